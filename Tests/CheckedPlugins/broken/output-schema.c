#define OUTPUT_SCHEMA "{\"type\":\"object\",\"required\":[\"count\"],\"properties\":{\"count\":{\"type\":\"integer\"}}}"
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const uint32_t status = answer(call, outcome, "{\"count\":\"three\"}");
  outcome->output.content_type = MILLRACE_JSON;
  return status;
}
DESCRIBE()
