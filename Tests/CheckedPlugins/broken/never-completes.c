/* Keeps the token to itself. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  call->host->token(call->attempt);
  return outcome->status = MILLRACE_PENDING;
}
DESCRIBE()
