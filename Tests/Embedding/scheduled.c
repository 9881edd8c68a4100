/* A schedule that is followed, from three hours ago on: the fires that were missed are made up for at once. And all that is refused. */
#include <millrace/millrace.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HOUR = 3600 };

static millrace_error error = {.size = sizeof error};
static millrace_engine engine;
static int wrong;
static sem_t starts, ends;
static int64_t fires[3];
static int fire_count; /* of one worker after the other, as the starts are */

static void is(int32_t got, int32_t wanted, const char *what) {
  if (got == wanted) return;
  fprintf(stderr, "%s: %s instead of %s: %s\n", what, millrace_code_name(got), millrace_code_name(wanted), error.message);
  wrong++;
}

static void holds(int condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  wrong++;
}

/* Gets the parameter that the caller gave. */
static uint32_t look(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)outcome;
  millrace_input input = {.size = sizeof input};
  const int is_there = call->host->input(call->attempt, 0, &input) == 0 && input.payload.length == 7 && memcmp(input.bytes, "\"today\"", 7) == 0;
  return is_there ? MILLRACE_DONE : MILLRACE_FAILED;
}

static void started(void *context, millrace_run run, int64_t fire) {
  (void)context;
  if (fire_count < 3) fires[fire_count++] = fire;
  holds(run.id != 0, "a run has a handle");
  sem_post(&starts);
}

static void refused(void *context, int64_t fire, const char *reason) {
  (void)context;
  fprintf(stderr, "the fire of %lld was refused: %s\n", (long long)fire, reason);
  wrong++;
}

static void finished(void *context, millrace_run run, uint32_t status) {
  (void)context;
  holds(status == MILLRACE_RUN_COMPLETED, "a run completes");
  is(millrace_run_release(run, NULL), MILLRACE_OK, "release");
  sem_post(&ends);
}

static millrace_workflow prepare(const char *text) {
  millrace_workflow workflow = {0};
  is(millrace_workflow_prepare(engine, NULL, text, strlen(text), &workflow, &error), MILLRACE_OK, "prepare");
  return workflow;
}

int main(void) {
  sem_init(&starts, 0, 0);
  sem_init(&ends, 0, 0);
  const millrace_configuration configuration = {.size = sizeof configuration, .threads = 2};
  is(millrace_engine_create(&configuration, &engine, &error), MILLRACE_OK, "create");
  const millrace_handler handler = {.size = sizeof handler, .name = "look", .run = look};
  is(millrace_engine_register(engine, &handler, &error), MILLRACE_OK, "register");
  const millrace_workflow hourly = prepare(
      "format: 1\nworkflow: hourly\nschedule: { every: 1h, missed: all, overlap: queue }\nparameters: { day: { type: string, default: someday } }\n"
      "tasks: [{ id: a, handler: look, input: \"${params.day}\" }]\n");
  const millrace_workflow never = prepare("format: 1\nworkflow: never\ntasks: [{ id: a, handler: look }]\n");

  const int64_t before = (int64_t)time(NULL);
  static const char day[] = "{\"day\": \"today\"}";
  millrace_schedule_options options = {
      .size = sizeof options, .parameters = day, .parameters_length = sizeof day - 1, .handled = before - 3 * HOUR, .started = started, .refused = refused,
      .finished = finished};
  millrace_schedule schedule, other = {7};
  is(millrace_schedule_follow(hourly, &options, &schedule, &error), MILLRACE_OK, "follow");
  for (int i = 0; i < 3; i++) {
    sem_wait(&starts);
    sem_wait(&ends);
  }
  for (int i = 0; i < 3; i++) holds(fires[i] % HOUR == 0 && fires[i] == (before / HOUR - 2 + i) * HOUR, "the hours that were missed, in their order");
  int64_t handled = 0, next = 0;
  is(millrace_schedule_read(schedule, &handled, &next, &error), MILLRACE_OK, "read");
  holds(handled >= fires[2] && handled <= (int64_t)time(NULL), "it was followed to its last fire");
  holds(next % HOUR == 0 && next > before && next <= (int64_t)time(NULL) + HOUR, "it fires in an hour at most");
  millrace_metrics metrics = {.size = sizeof metrics};
  is(millrace_engine_metrics(engine, &metrics, &error), MILLRACE_OK, "metrics");
  holds(metrics.runs_started >= 3 && metrics.runs_completed >= 3, "its runs are counted");
  is(millrace_schedule_pause(schedule, &error), MILLRACE_OK, "pause");
  is(millrace_schedule_resume(schedule, &error), MILLRACE_OK, "resume");
  is(millrace_schedule_read(schedule, NULL, NULL, &error), MILLRACE_OK, "read nothing");
  is(millrace_engine_resume(engine, NULL, NULL, &error), MILLRACE_REFUSED, "resume runs after that");
  holds(strstr(error.message, "resume once") != NULL, "that is why");

  is(millrace_schedule_follow(never, NULL, &other, &error), MILLRACE_BAD_ARGUMENT, "a workflow without a schedule");
  holds(other.id == 0, "there is no schedule then");
  is(millrace_schedule_follow(hourly, &options, NULL, &error), MILLRACE_BAD_ARGUMENT, "no place for it");
  options.tenant = "nobody";
  is(millrace_schedule_follow(hourly, &options, &other, &error), MILLRACE_NOT_FOUND, "a tenant that is none");
  options.tenant = NULL;
  options.handled = -1;
  is(millrace_schedule_follow(hourly, &options, &other, &error), MILLRACE_BAD_ARGUMENT, "before 1970");
  options.handled = 0;
  options.started = NULL;
  is(millrace_schedule_follow(hourly, &options, &other, &error), MILLRACE_BAD_ARGUMENT, "told of ends, but not of runs");
  options.finished = NULL;
  options.parameters = "{\"night\": 1}";
  options.parameters_length = strlen(options.parameters);
  is(millrace_schedule_follow(hourly, &options, &other, &error), MILLRACE_BAD_ARGUMENT, "a parameter that there is not");
  options.parameters_length = 1; /* no JSON */
  is(millrace_schedule_follow(hourly, &options, &other, &error), MILLRACE_BAD_ARGUMENT, "parameters that are no JSON");
  is(millrace_schedule_pause((millrace_schedule){hourly.id}, &error), MILLRACE_BAD_HANDLE, "a workflow is no schedule");
  is(millrace_schedule_stop(schedule, &error), MILLRACE_OK, "stop");
  is(millrace_schedule_stop(schedule, &error), MILLRACE_BAD_HANDLE, "stop twice");
  options.parameters = day;
  options.parameters_length = sizeof day - 1;
  is(millrace_schedule_follow(hourly, &options, &schedule, &error), MILLRACE_OK, "follow again");
  is(millrace_engine_destroy(engine, &error), MILLRACE_OK, "destroy");
  is(millrace_schedule_resume(schedule, &error), MILLRACE_BAD_HANDLE, "a schedule of an engine that has gone");
  return wrong != 0;
}
