/* Takes an input for a text with a NUL at its end. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length;
  const char *bytes = first(call, &length);
  if (!bytes || length == 0) return answer(call, outcome, "nothing");
  return answer(call, outcome, strlen(bytes) > 10 ? "long" : "short");
}
DESCRIBE()
