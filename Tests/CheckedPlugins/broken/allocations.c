/* A list of a thousand parts in each call. */
#include <stdlib.h>
#include "plugin.h"

static void *volatile last;
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  for (int i = 0; i < 1000; i++) {
    last = malloc(100);
    free(last);
  }
  return answer(call, outcome, "ok");
}
DESCRIBE()
