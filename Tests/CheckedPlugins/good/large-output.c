/* Claims 4 MiB, uses as much as it needs, and gives several claims up. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  millrace_payload unused;
  if (!call->host->claim(call->attempt, 100, MILLRACE_BYTES, &unused) || !call->host->claim(call->attempt, 0, MILLRACE_BYTES, &unused)) return MILLRACE_FAILED;
  char *bytes = call->host->claim(call->attempt, 4 << 20, MILLRACE_BYTES, &outcome->output);
  if (!bytes) return outcome->status = MILLRACE_RETRY;
  memset(bytes, 'x', 4 << 20);
  outcome->output.length = (4 << 20) - 7;
  return outcome->status = MILLRACE_DONE;
}
DESCRIBE()
