/* One sign in the middle of an input is too much: only changed inputs find it. */
#include <stdlib.h>
#define INPUT_SCHEMA "{\"type\":\"object\",\"properties\":{\"word\":{\"type\":\"string\",\"examples\":[\"alpha\"],\"minLength\":1}},\"required\":[\"word\"]}"
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length;
  const char *bytes = first(call, &length);
  for (uint64_t i = 8; i + 2 < length; i++)
    if (memcmp(bytes, "{\"word\"", 7) == 0 && bytes[i] == '%' && bytes[i + 1] == 's') abort();
  return answer(call, outcome, "ok");
}
DESCRIBE()
