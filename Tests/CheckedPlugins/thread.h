/* A thread for each attempt, which deinit waits for. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
static void stop(void);
#define DEINIT stop
#include "plugin.h"

typedef struct work {
  const millrace_host *host;
  millrace_attempt *attempt;
  millrace_token token;
} work;

static atomic_int running;
static void go_on(work *own);
static void moment(void) {
  const struct timespec time = {0, 1000000};
  nanosleep(&time, NULL);
}
static void *body(void *context) {
  work own = *(work *)context;
  free(context);
  go_on(&own);
  running--;
  return NULL;
}
static int begin(const millrace_call *call, millrace_token token) {
  work *own = malloc(sizeof *own);
  if (!own) return -1;
  *own = (work){call->host, call->attempt, token};
  running++;
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, own) == 0) return pthread_detach(thread);
  running--;
  free(own);
  return -1;
}
static void stop(void) {
  while (running > 0) moment();
  moment();
}
static inline void end(const work *own, const char *text) {
  millrace_outcome outcome = {.size = sizeof outcome, .status = MILLRACE_DONE};
  void *bytes = own->host->claim(own->attempt, strlen(text), MILLRACE_TEXT, &outcome.output);
  if (bytes) memcpy(bytes, text, strlen(text));
  else outcome.status = MILLRACE_FAILED;
  own->host->complete(own->host, own->token, &outcome);
}
