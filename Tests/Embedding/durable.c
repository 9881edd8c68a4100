/*
 * durable begin|resume DIRECTORY: a durable run whose process ends within a task (exit code 42) goes on in the next one, where what has completed is not done again;
 * there also sagas that wait for somebody are resumed, skipped and forced. And all that is refused on the way.
 */
#include <millrace/millrace.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static millrace_error error = {.size = sizeof error};
static millrace_engine engine;
static int wrong, isFirst;
static atomic_int firsts, seconds, undoings, ends;
static millrace_run resumed;
static char resumed_workflow[32];

static void is(int32_t got, int32_t wanted, const char *what) {
  if (got == wanted) return;
  fprintf(stderr, "%s: %s instead of %s: %s\n", what, millrace_code_name(got), millrace_code_name(wanted), error.message);
  wrong++;
}

static void equal(long got, long wanted, const char *what) {
  if (got == wanted) return;
  fprintf(stderr, "%s: %ld instead of %ld\n", what, got, wanted);
  wrong++;
}

static uint32_t first(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  atomic_fetch_add(&firsts, 1);
  return MILLRACE_DONE;
}

/* The process ends here, the first time. */
static uint32_t second(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  if (isFirst) _exit(42);
  atomic_fetch_add(&seconds, 1);
  return MILLRACE_DONE;
}

static uint32_t fails(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  return MILLRACE_FAILED;
}

/* Works the second time. */
static uint32_t undo(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  return atomic_fetch_add(&undoings, 1) == 0 ? MILLRACE_FAILED : MILLRACE_DONE;
}

static uint32_t asks(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  return millrace_engine_resume(engine, NULL, NULL, NULL) == MILLRACE_WRONG_THREAD ? MILLRACE_DONE : MILLRACE_FAILED;
}

static void goes_on(void *context, millrace_run run, const char *workflow) {
  (void)context;
  resumed = run;
  snprintf(resumed_workflow, sizeof resumed_workflow, "%s", workflow);
}

static void stays(void *context, const char *id, const char *reason) {
  (void)context;
  fprintf(stderr, "%s does not go on: %s\n", id, reason);
  wrong++;
}

static void finished(void *context, millrace_run run, uint32_t status) {
  (void)context;
  if (run.id == resumed.id && status == MILLRACE_RUN_COMPLETED) atomic_fetch_add(&ends, 1);
}

static void make(const char *directory) {
  static const struct { const char *name; uint32_t (*run)(void *, const millrace_call *, millrace_outcome *); } all[] = {
    {"first", first}, {"second", second}, {"fails", fails}, {"undo", undo}, {"asks", asks}};
  const millrace_configuration configuration = {.size = sizeof configuration, .threads = 2, .data = directory};
  is(millrace_engine_create(&configuration, &engine, &error), MILLRACE_OK, "create");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const millrace_handler handler = {.size = sizeof handler, .name = all[i].name, .run = all[i].run};
    is(millrace_engine_register(engine, &handler, &error), MILLRACE_OK, "register");
  }
}

static millrace_run start(const char *text) {
  millrace_workflow workflow;
  millrace_run run = {0};
  is(millrace_workflow_prepare(engine, NULL, text, strlen(text), &workflow, &error), MILLRACE_OK, "prepare");
  is(millrace_run_start(workflow, NULL, &run, &error), MILLRACE_OK, "start");
  return run;
}

static uint32_t wait_for(millrace_run run) {
  uint32_t status = 0;
  is(millrace_run_wait(run, MILLRACE_FOREVER, &status, &error), MILLRACE_OK, "wait");
  return status;
}

static uint32_t saga_status(millrace_run run) {
  uint32_t status = 0;
  is(millrace_saga_status(run, &status, &error), MILLRACE_OK, "status of a saga");
  return status;
}

/* A saga whose second step fails, and of whose first the compensation: it waits for somebody. */
static millrace_run parked(const char *compensation) {
  char text[512];
  snprintf(
      text, sizeof text,
      "format: 1\nkind: saga\nworkflow: s\nsteps:\n  - { id: a, handler: first, compensation: { handler: %s, retry: { attempts: 1 } } }\n"
      "  - { id: b, handler: fails, dependencies: [a], compensation: none }\n", compensation);
  const millrace_run run = start(text);
  while (saga_status(run) != MILLRACE_SAGA_COMPENSATION_PARKED && wrong == 0) sched_yield();
  return run;
}

static void sagas(void) {
  const millrace_run again = parked("undo");
  is(millrace_saga_resume(again, "c", "me", &error), MILLRACE_NOT_FOUND, "a step that is none");
  is(millrace_saga_resume(again, NULL, NULL, &error), MILLRACE_BAD_ARGUMENT, "nobody resumes");
  is(millrace_saga_resume(again, NULL, "me", &error), MILLRACE_OK, "resume");
  wait_for(again);
  equal(saga_status(again), MILLRACE_SAGA_COMPENSATED, "a saga that was resumed");
  equal(atomic_load(&undoings), 2, "compensations");
  is(millrace_saga_resume(again, NULL, "me", &error), MILLRACE_REFUSED, "one that has ended");

  const millrace_run passed = parked("fails");
  is(millrace_saga_skip(passed, NULL, "me", "gone", &error), MILLRACE_BAD_ARGUMENT, "no step is skipped");
  is(millrace_saga_skip(passed, "a", "me", NULL, &error), MILLRACE_BAD_ARGUMENT, "for no reason");
  is(millrace_saga_skip(passed, "b", "me", "gone", &error), MILLRACE_REFUSED, "a step that is not parked");
  is(millrace_saga_skip(passed, "a", "me", "gone", &error), MILLRACE_OK, "skip");
  wait_for(passed);
  equal(saga_status(passed), MILLRACE_SAGA_COMPENSATED_WITH_SKIPS, "a saga with a step that was skipped");

  const millrace_run forced = parked("fails");
  is(millrace_saga_force(forced, "me", "done by hand", &error), MILLRACE_OK, "force");
  wait_for(forced);
  equal(saga_status(forced), MILLRACE_SAGA_COMPENSATED_WITH_SKIPS, "a saga that was forced");

  uint32_t status;
  is(millrace_saga_status(resumed, &status, &error), MILLRACE_NOT_FOUND, "a run that is no saga");
  is(millrace_saga_status(forced, NULL, &error), MILLRACE_BAD_ARGUMENT, "no place for a status");
  is(millrace_saga_force(resumed, "me", "why", &error), MILLRACE_NOT_FOUND, "a run that is no saga");
  is(millrace_run_release(forced, &error), MILLRACE_OK, "release");
  is(millrace_saga_force(forced, "me", "why", &error), MILLRACE_BAD_HANDLE, "a run that was released");
}

int main(int count, char **arguments) {
  if (count != 3) return 64;
  isFirst = strcmp(arguments[1], "begin") == 0;
  if (!isFirst) {
    make(NULL);
    is(millrace_engine_resume(engine, NULL, NULL, &error), MILLRACE_REFUSED, "resume without a directory");
    is(millrace_engine_destroy(engine, &error), MILLRACE_OK, "destroy");
  }
  make(arguments[2]);
  if (isFirst) {
    const millrace_run run = start(
        "format: 1\nworkflow: left\ndurability: log\ntasks: [{ id: a, handler: first }, { id: b, handler: second, dependencies: [a], retry: { attempts: 3 } }]\n");
    wait_for(run);
    return 1; /* the process has not ended where it should */
  }

  millrace_resumption resumption = {.size = sizeof resumption, .left = stays, .finished = finished};
  uint64_t runs = 9;
  is(millrace_engine_resume(engine, &resumption, &runs, &error), MILLRACE_BAD_ARGUMENT, "told of ends, but not of runs");
  resumption.resumed = goes_on;
  is(millrace_engine_resume(engine, &resumption, &runs, &error), MILLRACE_OK, "resume");
  equal((long)runs, 1, "runs that go on");
  equal(strcmp(resumed_workflow, "left"), 0, "the name of its workflow");
  equal(wait_for(resumed), MILLRACE_RUN_COMPLETED, "the run that was left");
  while (atomic_load(&ends) == 0) sched_yield();
  millrace_metrics metrics = {.size = sizeof metrics};
  is(millrace_engine_metrics(engine, &metrics, &error), MILLRACE_OK, "metrics");
  equal((long)metrics.runs_started, 1, "runs that were gone on with");
  equal((long)metrics.runs_completed, 1, "and have completed");
  equal(atomic_load(&firsts), 0, "times that what had completed was done again");
  equal(atomic_load(&seconds), 1, "times that what was under way was done again");
  is(millrace_engine_resume(engine, NULL, NULL, &error), MILLRACE_REFUSED, "resume twice");
  equal(wait_for(start("format: 1\nworkflow: w\ntasks: [{ id: a, handler: asks }]\n")), MILLRACE_RUN_COMPLETED, "a handler that resumes");
  sagas();
  is(millrace_engine_destroy(engine, &error), MILLRACE_OK, "destroy");
  is(millrace_engine_resume(engine, NULL, NULL, &error), MILLRACE_BAD_HANDLE, "resume after that");
  return wrong != 0;
}
