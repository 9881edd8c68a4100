/*
 * idle [SECONDS]: what an engine costs that has nothing to do. Prints the time that it takes to be made, the memory that it holds, and how often its threads
 * woke up in so many seconds (10), before there was work and after; exits with 1 if one did. After work the engine may look once, 10 s later, whether a handler
 * is stuck.
 */
#include <dirent.h>
#include <millrace/millrace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* The number behind a word at the beginning of a line of a file of /proc; -1: there is none. */
static long field(const char *path, const char *word) {
  char line[256];
  long value = -1;
  FILE *file = fopen(path, "r");
  if (file == NULL) return -1;
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, word, strlen(word)) == 0) value = strtol(line + strlen(word), NULL, 10);
  }
  fclose(file);
  return value;
}

static long resident(void) { return field("/proc/self/status", "VmRSS:"); }

/* Of all threads but this one: how often they were put on a processor, and how many they are. */
static long switches(int *threads) {
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *entry;
  long sum = 0;
  *threads = 0;
  while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
    char path[320];
    if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == (long)getpid()) continue;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    long voluntary = field(path, "voluntary_ctxt_switches:"), forced = field(path, "nonvoluntary_ctxt_switches:");
    if (voluntary < 0 || forced < 0) exit(2);
    sum += voluntary + forced;
    ++*threads;
  }
  if (tasks != NULL) closedir(tasks);
  return sum;
}

static int threads;

/* Workers that find nothing go to sleep; when they have, nothing wakes them. Seen by their counts, not by the clock. */
static long woke_in(unsigned seconds) {
  long last = -1, here = switches(&threads);
  for (int look = 0; look < 100 && last != here; look++) {
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, NULL);
    last = here;
    here = switches(&threads);
  }
  sleep(seconds);
  return switches(&threads) - here;
}

static millrace_error error = {.size = sizeof error};
static void check(int32_t code) {
  if (code == MILLRACE_OK) return;
  fprintf(stderr, "%s: %s\n", millrace_code_name(code), error.message);
  exit(2);
}

static uint32_t nothing(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  return MILLRACE_DONE;
}

int main(int count, char **arguments) {
  unsigned seconds = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 10;
  millrace_version();
  long before = resident();
  double begin = now();
  millrace_engine engine;
  check(millrace_engine_create(NULL, &engine, &error));
  double made = now();
  long created = resident();
  millrace_handler handler = {.size = sizeof handler, .name = "nothing", .run = nothing};
  check(millrace_engine_register(engine, &handler, &error));
  static const char text[] = "format: 1\nworkflow: one\ntasks: [{ id: a, handler: nothing }]\n";
  millrace_workflow workflow;
  check(millrace_workflow_prepare(engine, NULL, text, strlen(text), &workflow, &error));
  double ready = now();
  long quiet = woke_in(seconds);
  double begun = now();
  millrace_run run;
  check(millrace_run_start(workflow, NULL, &run, &error));
  check(millrace_run_wait(run, MILLRACE_FOREVER, NULL, &error));
  double ran = now();
  check(millrace_run_release(run, &error));

  long woke = woke_in(seconds);
  long held = resident();
  printf("created in %.2f ms, first definition read in %.2f ms, first run in %.2f ms\n", made - begin, ready - made, ran - begun);
  printf("resident: %ld KiB with the library, %ld KiB more with an engine, %ld KiB more after a run\n", before, created - before, held - before);
  printf("%d threads woke up %ld times in %u s before the first run, %ld times after it\n", threads, quiet, seconds, woke);
  check(millrace_engine_destroy(engine, &error));
  return quiet == 0 && woke <= 1 ? 0 : 1;
}
