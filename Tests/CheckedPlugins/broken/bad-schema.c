#define INPUT_SCHEMA "{\"type\": \"objekt\"}"
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) { (void)context; return answer(call, outcome, "ok"); }
DESCRIBE()
