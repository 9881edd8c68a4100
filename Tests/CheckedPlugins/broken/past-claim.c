/* The NUL behind the text has no room. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  static const char text[] = "sixteen bytes!!!";
  char *bytes = call->host->claim(call->attempt, strlen(text), MILLRACE_TEXT, &outcome->output);
  if (!bytes) return outcome->status = MILLRACE_FAILED;
  strcpy(bytes, text);
  return outcome->status = MILLRACE_DONE;
}
DESCRIBE()
