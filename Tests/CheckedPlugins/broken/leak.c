#include <stdlib.h>
#include "plugin.h"

static char *volatile kept;
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  kept = malloc(40);
  return answer(call, outcome, "ok");
}
DESCRIBE()
