/* A thread that nobody ends. */
#include <pthread.h>
#include <unistd.h>
#define STARTS
#include "plugin.h"

static void *wait_for_ever(void *context) {
  for (;;) pause();
  return context;
}
static int32_t start(const millrace_host *host, char *message, size_t capacity) {
  (void)host, (void)message, (void)capacity;
  pthread_t thread;
  return pthread_create(&thread, NULL, wait_for_ever, NULL);
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) { (void)context; return answer(call, outcome, "ok"); }
DESCRIBE()
