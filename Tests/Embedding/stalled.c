/*
 * stalled [ROUNDS]: the program's loop stands still, and what the engine does on its own threads does not: an engine that calls back on that loop, and one that knows
 * nothing of it.
 *
 * First the loop's thread is held in a callback for as long as another thread needs to see runs, retries, waits, timeouts and messages come to their ends; only
 * `finished` waits for the loop. Then the loop is held for 10 ms again and again, and it is printed how late timers are, and how long runs take to begin.
 */
#include <millrace/millrace.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum { STALL = 10000000, WAIT = 1000000 }; /* ns */

static millrace_error error = {.size = sizeof error};
static void check(int32_t code) {
  if (code == MILLRACE_OK) return;
  fprintf(stderr, "%s: %s\n", millrace_code_name(code), error.message);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The loop's thread. */
static uv_loop_t loop;
static uv_async_t hold, end;
static uv_idle_t idle;
static millrace_engine hosted;
static sem_t ready, held, release, told;
static atomic_int tellings;
static uint64_t stalls;

static void stalls_again(uv_idle_t *handle) {
  (void)handle;
  const struct timespec pause = {0, STALL};
  nanosleep(&pause, NULL);
  stalls++;
}

static void holds(uv_async_t *handle) {
  (void)handle;
  sem_post(&held);
  sem_wait(&release);
  uv_idle_start(&idle, stalls_again);
}

static void ends(uv_async_t *handle) {
  check(millrace_engine_destroy(hosted, &error));
  uv_close((uv_handle_t *)&hold, NULL);
  uv_close((uv_handle_t *)&idle, NULL);
  uv_close((uv_handle_t *)handle, NULL);
}

static void *turn(void *unused) {
  (void)unused;
  uv_loop_init(&loop);
  uv_async_init(&loop, &hold, holds);
  uv_async_init(&loop, &end, ends);
  uv_idle_init(&loop, &idle);
  millrace_configuration configuration = {
      .size = sizeof configuration, .threads = 2, .loop = &loop, .uv_version = uv_version, .uv_header = UV_VERSION_HEX};
  check(millrace_engine_create(&configuration, &hosted, &error));
  sem_post(&ready);
  uv_run(&loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&loop) != 0) abort();
  return NULL;
}

/* Handlers. */
static sem_t stuck, came;
static _Atomic uint64_t began, due;

static uint32_t stamp(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  atomic_store(&began, now());
  return MILLRACE_DONE;
}

/* Again after 1 ms of the engine's timers: how late that was. */
static uint32_t again(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const uint64_t here = now();
  if (call->attempt_number > 1) {
    atomic_store(&began, here);
    return MILLRACE_DONE;
  }
  outcome->retry_after = WAIT;
  atomic_store(&due, here + WAIT);
  return MILLRACE_RETRY;
}

static uint32_t hang(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  sem_wait(&stuck);
  return MILLRACE_DONE;
}

static uint32_t take(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  sem_post(&came);
  return MILLRACE_DONE;
}

static void finished(void *context, millrace_run run, uint32_t status) {
  (void)context, (void)run, (void)status;
  atomic_fetch_add(&tellings, 1);
  sem_post(&told);
}

static const struct { const char *name, *text; uint32_t end; } cases[] = {
  {"submitted", "{ id: a, handler: stamp }", MILLRACE_RUN_COMPLETED},
  {"retried", "{ id: a, handler: again, retry: { attempts: 2, initial: 1h } }", MILLRACE_RUN_COMPLETED},
  {"delayed", "{ id: a, wait: { for: 2ms } }, { id: b, handler: stamp, dependencies: [a] }", MILLRACE_RUN_COMPLETED},
  {"timed out while it waits", "{ id: a, wait: { signal: never }, timeouts: { scheduleToClose: 2ms } }", MILLRACE_RUN_FAILED},
  {"timed out while its handler hangs", "{ id: a, handler: hang, timeouts: { startToClose: 2ms } }", MILLRACE_RUN_FAILED},
};
enum { CASES = sizeof cases / sizeof *cases };
static millrace_workflow workflows[2][CASES];

static void prepare(millrace_engine engine, int which) {
  const millrace_handler handlers[] = {
    {.size = sizeof(millrace_handler), .name = "stamp", .run = stamp}, {.size = sizeof(millrace_handler), .name = "again", .run = again},
    {.size = sizeof(millrace_handler), .name = "hang", .run = hang}};
  for (int i = 0; i < 3; i++) check(millrace_engine_register(engine, &handlers[i], &error));
  for (int i = 0; i < CASES; i++) {
    char text[256];
    snprintf(text, sizeof text, "format: 1\nworkflow: w\ntasks: [%s]\n", cases[i].text);
    check(millrace_workflow_prepare(engine, cases[i].name, text, strlen(text), &workflows[which][i], &error));
  }
}

static void run(int which, int index) {
  millrace_start start = {.size = sizeof start, .finished = finished};
  millrace_run run;
  uint32_t status;
  check(millrace_run_start(workflows[which][index], &start, &run, &error));
  check(millrace_run_wait(run, MILLRACE_FOREVER, &status, &error));
  if (status != cases[index].end) {
    fprintf(stderr, "engine %d: the run that is %s ended with status %u\n", which, cases[index].name, status);
    exit(1);
  }
  check(millrace_run_release(run, &error));
}

static void message(millrace_engine engine) {
  const millrace_handler handler = {.size = sizeof handler, .name = "take", .run = take};
  millrace_subscription subscription;
  check(millrace_queue_declare(engine, "box", NULL, &error));
  check(millrace_subscribe(engine, "box", &handler, NULL, &subscription, &error));
  const millrace_message late = {.size = sizeof late, .key = "box", .payload = "x", .length = 1, .delay = 2000000};
  check(millrace_publish(engine, &late, NULL, &error));
  sem_wait(&came);
}

static int ascending(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void measure(const char *name, int which, int rounds) {
  const size_t all = (size_t)rounds, p99 = all * 99 / 100;
  uint64_t *starts = calloc(all, sizeof *starts), *lates = calloc(all, sizeof *lates);
  for (int i = 0; i < rounds; i++) {
    const uint64_t before = now();
    run(which, 0);
    starts[i] = atomic_load(&began) - before;
    run(which, 1);
    if (atomic_load(&began) < atomic_load(&due)) {
      fprintf(stderr, "%s: a timer was early\n", name);
      exit(1);
    }
    lates[i] = atomic_load(&began) - atomic_load(&due);
  }
  qsort(starts, all, sizeof *starts, ascending);
  qsort(lates, all, sizeof *lates, ascending);
  printf("%s: %d timers of 1 ms: p99 %.2f ms late, the latest %.2f ms; submit to start: p50 %.1f us, p99 %.1f us\n", name, rounds,
         (double)lates[p99] / 1e6, (double)lates[all - 1] / 1e6, (double)starts[all / 2] / 1e3, (double)starts[p99] / 1e3);
  free(starts);
  free(lates);
}

int main(int count, char **arguments) {
  const int rounds = count > 1 ? atoi(arguments[1]) : 1000;
  if (rounds < 1) return 64;
  pthread_t thread;
  millrace_engine own;
  sem_t *all[] = {&ready, &held, &release, &told, &stuck, &came};
  for (int i = 0; i < 6; i++) sem_init(all[i], 0, 0);
  pthread_create(&thread, NULL, turn, NULL);
  sem_wait(&ready);
  const millrace_configuration configuration = {.size = sizeof configuration, .threads = 2};
  check(millrace_engine_create(&configuration, &own, &error));
  prepare(hosted, 0);
  prepare(own, 1);

  uv_async_send(&hold);
  sem_wait(&held);
  for (int which = 1; which >= 0; which--) {
    for (int i = 0; i < CASES; i++) run(which, i);
    sem_post(&stuck);
    message(which == 0 ? hosted : own);
  }
  /* The engine of its own has told of its runs; the other's are told on the loop, which is still held. */
  for (int i = 0; i < CASES; i++) sem_wait(&told);
  const int early = atomic_load(&tellings) - CASES;
  sem_post(&release); /* from here on it stalls again and again */
  for (int i = 0; i < CASES; i++) sem_wait(&told);
  if (early != 0 || atomic_load(&tellings) != 2 * CASES) {
    fprintf(stderr, "%d runs were told on a loop that was held, %d in all\n", early, atomic_load(&tellings));
    return 1;
  }

  measure("on a loop that stalls", 0, rounds);
  measure("without a loop", 1, rounds);
  uv_async_send(&end);
  pthread_join(thread, NULL);
  printf("the loop stalled for 10 ms %llu times\n", (unsigned long long)stalls);
  check(millrace_engine_destroy(own, &error));
  return stalls == 0;
}
