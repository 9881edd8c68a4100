/*
 * Millrace in a service in C that has a loop of its own: callbacks come on that loop, handlers run on the engine's threads.
 *
 *     cc -o service service.c $(pkg-config --cflags --libs millrace libuv) && ./service
 *
 * A timer starts a run every 5 ms. Who started it is told on the loop, where nothing needs a lock. After 20 runs, or at SIGTERM, it ends.
 */
#include <millrace/millrace.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { RUNS = 20 };

typedef struct service {
  uv_loop_t loop;
  uv_timer_t timer;
  uv_signal_t signal;
  millrace_engine engine;
  millrace_workflow workflow;
  pthread_t thread;  /* of the loop */
  int started, completed, elsewhere;
} service;

static void check(int32_t code, const millrace_error *error, const char *what) {
  if (code == MILLRACE_OK) return;
  fprintf(stderr, "%s: %s: %s\n", what, millrace_code_name(code), error->message);
  exit(1);
}

static const char workflow_text[] =
    "format: 1\n"
    "workflow: tick\n"
    "tasks:\n"
    "  - { id: pause, wait: { for: 3ms } }\n" /* by a timer of the engine */
    "  - { id: work, handler: work, dependencies: [pause], retry: { attempts: 2, initial: 1ms } }\n";

static uint32_t work(void *context, const millrace_call *call, millrace_outcome *outcome) {
  service *self = (service *)context;
  (void)outcome;
  if (pthread_equal(pthread_self(), self->thread)) abort(); /* never on the loop */
  return call->attempt_number == 1 ? MILLRACE_RETRY : MILLRACE_DONE;
}

static void stop(service *self) {
  uv_close((uv_handle_t *)&self->timer, NULL);
  uv_close((uv_handle_t *)&self->signal, NULL);
}

static void finished(void *context, millrace_run run, uint32_t status) {
  service *self = (service *)context;
  self->elsewhere += !pthread_equal(pthread_self(), self->thread);
  self->completed += status == MILLRACE_RUN_COMPLETED;
  millrace_error error = {.size = sizeof error};
  check(millrace_run_release(run, &error), &error, "release");
  if (self->completed == RUNS) stop(self);
}

static void tick(uv_timer_t *timer) {
  service *self = (service *)timer->data;
  if (self->started == RUNS) {
    uv_timer_stop(timer);
    return;
  }
  millrace_start start = {.size = sizeof start, .context = self, .finished = finished};
  millrace_run run;
  millrace_error error = {.size = sizeof error};
  check(millrace_run_start(self->workflow, &start, &run, &error), &error, "start");
  self->started++;
  /* The loop would stand still: waiting here is refused. */
  if (self->started == 1 && millrace_run_wait(run, MILLRACE_FOREVER, NULL, NULL) != MILLRACE_WRONG_THREAD) abort();
}

static void interrupted(uv_signal_t *signal, int number) {
  (void)number;
  stop((service *)signal->data);
}

int main(void) {
  static service self;
  self.thread = pthread_self();
  uv_loop_init(&self.loop);
  millrace_error error = {.size = sizeof error};
  millrace_configuration configuration = {
      .size = sizeof configuration, .threads = 2, .loop = &self.loop, .uv_version = uv_version, .uv_header = UV_VERSION_HEX};
  check(millrace_engine_create(&configuration, &self.engine, &error), &error, "create");
  millrace_handler handler = {.size = sizeof handler, .name = "work", .run = work, .context = &self};
  check(millrace_engine_register(self.engine, &handler, &error), &error, "register");
  check(millrace_workflow_prepare(self.engine, "tick.yaml", workflow_text, strlen(workflow_text), &self.workflow, &error), &error, "prepare");

  self.timer.data = self.signal.data = &self;
  uv_timer_init(&self.loop, &self.timer);
  uv_timer_start(&self.timer, tick, 0, 5);
  uv_signal_init(&self.loop, &self.signal);
  uv_signal_start(&self.signal, interrupted, SIGTERM);
  uv_run(&self.loop, UV_RUN_DEFAULT);

  check(millrace_engine_destroy(self.engine, &error), &error, "destroy");
  /* One more turn: the engine's handles are closed in it. */
  uv_run(&self.loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&self.loop) != 0) {
    fprintf(stderr, "something is left on the loop\n");
    return 1;
  }
  printf("%d of %d runs completed, %d told elsewhere\n", self.completed, self.started, self.elsewhere);
  return self.completed == RUNS && self.elsewhere == 0 ? 0 : 1;
}
