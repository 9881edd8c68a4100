/* Takes a setting for granted. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  return answer(call, outcome, call->host->setting(call->host, "checked.word"));
}
DESCRIBE()
