/* An output in memory of its own. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call;
  static const char text[] = "hello";
  outcome->output = (millrace_payload){.offset = (uint64_t)(uintptr_t)text, .length = 5, .arena = 1, .content_type = MILLRACE_TEXT};
  return outcome->status = MILLRACE_DONE;
}
DESCRIBE()
