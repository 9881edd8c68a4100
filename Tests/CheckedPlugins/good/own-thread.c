/* Pending: a thread of its own claims, beats and completes; deinit waits for it. */
#include "thread.h"

static void go_on(work *own) {
  own->host->heartbeat(own->attempt, 500);
  end(own, own->host->cancelled(own->attempt) ? "cancelled" : "ok");
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const millrace_token token = call->host->token(call->attempt);
  if (token == 0 || begin(call, token) != 0) return outcome->status = MILLRACE_FAILED;
  return outcome->status = MILLRACE_PENDING;
}
DESCRIBE()
