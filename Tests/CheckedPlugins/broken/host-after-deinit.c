/* deinit asks a thread to end, and does not wait for it: it says good-bye to a host that has gone. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
static void stop(void);
#define STARTS
#define DEINIT stop
#include "plugin.h"

static const millrace_host *kept;
static atomic_int asked;
static void *watch(void *context) {
  const struct timespec moment = {0, 5000000};
  while (!asked) nanosleep(&moment, NULL);
  nanosleep(&moment, NULL);
  kept->log(kept, MILLRACE_LOG_NOTICE, "good-bye");
  return context;
}
static int32_t start(const millrace_host *host, char *message, size_t capacity) {
  (void)message, (void)capacity;
  kept = host;
  pthread_t thread;
  return pthread_create(&thread, NULL, watch, NULL) || pthread_detach(thread);
}
static void stop(void) { asked = 1; }
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) { (void)context; return answer(call, outcome, "ok"); }
DESCRIBE()
