/* What init takes of the process, deinit does not give back. */
#include <stdlib.h>
#include <stdio.h>
#define STARTS
#include "plugin.h"

static int32_t start(const millrace_host *host, char *message, size_t capacity) {
  (void)host;
  if (getenv("CHECKED_PLUGIN_IS_THERE")) {
    snprintf(message, capacity, "it is there already");
    return -1;
  }
  return setenv("CHECKED_PLUGIN_IS_THERE", "1", 1);
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) { (void)context; return answer(call, outcome, "ok"); }
DESCRIBE()
