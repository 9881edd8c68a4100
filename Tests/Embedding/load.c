/* load PLUGIN OTHER: a plugin is loaded into an engine that runs, and its handler used; twice, or a file that is none, is refused, and the engine goes on. */
#include <millrace/millrace.h>
#include <stdio.h>
#include <string.h>

static millrace_error error = {.size = sizeof error};

static int is(int32_t got, int32_t wanted, const char *what) {
  if (got == wanted) return 0;
  fprintf(stderr, "%s: %s instead of %s: %s\n", what, millrace_code_name(got), millrace_code_name(wanted), error.message);
  return 1;
}

int main(int count, char **arguments) {
  static const char text[] = "format: 1\nworkflow: w\ntasks: [{ id: a, handler: bench/empty }]\n";
  millrace_engine engine;
  millrace_workflow workflow;
  millrace_run run;
  uint32_t status = 0;
  if (count != 3 || is(millrace_engine_create(NULL, &engine, &error), MILLRACE_OK, "create")) return 1;
  int wrong = is(millrace_workflow_prepare(engine, NULL, text, strlen(text), &workflow, &error), MILLRACE_BAD_DEFINITION, "prepare before");
  wrong += is(millrace_engine_load(engine, arguments[1], &error), MILLRACE_OK, "load");
  wrong += is(millrace_engine_load(engine, arguments[1], &error), MILLRACE_REFUSED, "load twice");
  wrong += is(millrace_engine_load(engine, arguments[2], &error), MILLRACE_REFUSED, "load a text");
  wrong += is(millrace_engine_load(engine, "/nowhere/at-all.so", &error), MILLRACE_NOT_FOUND, "load nothing");
  wrong += is(millrace_workflow_prepare(engine, NULL, text, strlen(text), &workflow, &error), MILLRACE_OK, "prepare");
  wrong += is(millrace_run_start(workflow, NULL, &run, &error), MILLRACE_OK, "start");
  wrong += is(millrace_run_wait(run, MILLRACE_FOREVER, &status, &error), MILLRACE_OK, "wait");
  wrong += status != MILLRACE_RUN_COMPLETED;
  wrong += is(millrace_engine_destroy(engine, &error), MILLRACE_OK, "destroy");
  return wrong != 0;
}
