/* Goes as deep as the input does. */
#include "plugin.h"

static uint64_t depth(const char *bytes, uint64_t length) {
  volatile char room[64] = {0};
  if (length == 0 || *bytes != '[') return (uint64_t)room[0];
  return 1 + depth(bytes + 1, length - 1) + (uint64_t)room[1];
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length;
  const char *bytes = first(call, &length);
  return answer(call, outcome, bytes && depth(bytes, length) > 3 ? "deep" : "flat");
}
DESCRIBE()
