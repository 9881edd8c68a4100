#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const uint32_t status = answer(call, outcome, "hello");
  outcome->output.length++;
  return status;
}
DESCRIBE()
