/* Cannot bear garbage: ends the process by abort. */
#include <stdlib.h>
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length;
  const char *bytes = first(call, &length);
  if (length > 0 && (unsigned char)bytes[0] > 0xF7) abort();
  return answer(call, outcome, "ok");
}
DESCRIBE()
