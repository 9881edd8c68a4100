#include <fcntl.h>
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  return answer(call, outcome, open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 ? "none" : "open");
}
DESCRIBE()
