/*
 * An engine with the program's loop, destroyed on that loop's thread while runs go on whose cleanup waits for time: it ends all the same. Who started runs has been
 * told of their ends when it has. Another thread may not destroy it.
 */
#include <millrace/millrace.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static millrace_engine engine;
static atomic_int cleanups;
static int ended[5];

static uint32_t clean(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)outcome;
  if (call->attempt_number < 3) return MILLRACE_RETRY;
  atomic_fetch_add(&cleanups, 1);
  return MILLRACE_DONE;
}

static void finished(void *context, millrace_run run, uint32_t status) {
  (void)run;
  if (!pthread_equal(pthread_self(), *(pthread_t *)context)) abort();
  ended[status]++;
}

static void *destroy(void *result) {
  *(int32_t *)result = millrace_engine_destroy(engine, NULL);
  return NULL;
}

static void check(int32_t code, const millrace_error *error) {
  if (code == MILLRACE_OK) return;
  fprintf(stderr, "%s: %s\n", millrace_code_name(code), error->message);
  exit(1);
}

int main(void) {
  static const char text[] =
      "format: 1\n"
      "workflow: w\n"
      "tasks: [{ id: a, wait: { signal: never } }]\n"
      "cleanup: [{ id: b, handler: clean, retry: { attempts: 3, initial: 20ms } }]\n";
  pthread_t thread = pthread_self(), other;
  uv_loop_t loop;
  uv_loop_init(&loop);
  millrace_error error = {.size = sizeof error};
  millrace_configuration configuration = {.size = sizeof configuration, .loop = &loop, .uv_version = uv_version, .uv_header = UV_VERSION_HEX};
  check(millrace_engine_create(&configuration, &engine, &error), &error);
  millrace_handler handler = {.size = sizeof handler, .name = "clean", .run = clean};
  check(millrace_engine_register(engine, &handler, &error), &error);
  millrace_workflow workflow;
  check(millrace_workflow_prepare(engine, NULL, text, strlen(text), &workflow, &error), &error);
  for (int i = 0; i < 3; i++) {
    millrace_start start = {.size = sizeof start, .context = &thread, .finished = finished};
    millrace_run run;
    check(millrace_run_start(workflow, &start, &run, &error), &error);
  }
  int32_t elsewhere = MILLRACE_OK;
  pthread_create(&other, NULL, destroy, &elsewhere);
  pthread_join(other, NULL);
  check(millrace_engine_destroy(engine, &error), &error);
  int told = ended[MILLRACE_RUN_CANCELLED];
  uv_run(&loop, UV_RUN_DEFAULT);
  int left = uv_loop_close(&loop);
  if (elsewhere == MILLRACE_WRONG_THREAD && told == 3 && atomic_load(&cleanups) == 3 && left == 0) return 0;
  fprintf(stderr, "elsewhere: %s, %d told, %d cleaned up, loop %d\n", millrace_code_name(elsewhere), told, atomic_load(&cleanups), left);
  return 1;
}
