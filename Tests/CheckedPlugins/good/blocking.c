/* Waits, and says that it does; stops when it is asked to. One at a time. */
#include <time.h>
#define FLAGS (MILLRACE_BLOCKING | MILLRACE_EXCLUSIVE)
#define CONCURRENCY 1
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const struct timespec moment = {0, 500000};
  for (int i = 0; i < 10; i++) {
    if (call->host->cancelled(call->attempt)) return outcome->status = MILLRACE_CANCELLED;
    nanosleep(&moment, NULL);
    call->host->heartbeat(call->attempt, (uint32_t)i * 100);
  }
  return answer(call, outcome, "ok");
}
DESCRIBE()
