/* Takes a bad input for a reason to end the program. */
#include <stdio.h>
#include <stdlib.h>
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length;
  const char *bytes = first(call, &length);
  if (!bytes || length == 0) {
    fprintf(stderr, "usage: an input\n");
    exit(2);
  }
  return answer(call, outcome, "ok");
}
DESCRIBE()
