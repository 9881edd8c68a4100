/* Works in place. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length;
  char *bytes = (char *)(uintptr_t)first(call, &length);
  for (uint64_t i = 0; i < length; i++)
    if (bytes[i] == '"') bytes[i] = '\'';
  return answer(call, outcome, "ok");
}
DESCRIBE()
