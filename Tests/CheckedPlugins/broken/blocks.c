/* Sleeps on a worker. */
#include <time.h>
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const struct timespec time = {0, 25000000};
  nanosleep(&time, NULL);
  return answer(call, outcome, "ok");
}
DESCRIBE()
