#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  answer(call, outcome, "ok");
  return 200;
}
DESCRIBE()
