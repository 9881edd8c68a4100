/* Pending without a thread: the host's timers end it. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const millrace_token token = call->host->token(call->attempt);
  millrace_outcome later = {.size = sizeof later, .status = MILLRACE_DONE};
  void *bytes = call->host->claim(call->attempt, 4, MILLRACE_JSON, &later.output);
  if (!bytes) return outcome->status = MILLRACE_FAILED;
  memcpy(bytes, "true", 4);
  if (call->host->complete_after(call->host, token, 60000000000u, &later) != 0) return outcome->status = MILLRACE_CANCELLED;
  return outcome->status = MILLRACE_PENDING;
}
DESCRIBE()
