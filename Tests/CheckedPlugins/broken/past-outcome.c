/* An error type as long as a message. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call;
  memset(outcome->error_type, 'e', MILLRACE_ERROR_TYPE_BYTES);
  return outcome->status = MILLRACE_FAILED;
}
DESCRIBE()
