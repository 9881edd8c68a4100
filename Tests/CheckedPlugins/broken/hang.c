/* Never looks whether it should stop. */
#include <unistd.h>
#define FLAGS MILLRACE_BLOCKING
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  for (;;) pause();
  return answer(call, outcome, "ok");
}
DESCRIBE()
