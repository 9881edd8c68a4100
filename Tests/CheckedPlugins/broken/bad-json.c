/* Says JSON, and writes what is nearly so. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const uint32_t status = answer(call, outcome, "{'a': 1}");
  outcome->output.content_type = MILLRACE_JSON;
  return status;
}
DESCRIBE()
