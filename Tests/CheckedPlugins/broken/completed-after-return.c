/* Says how it ended, and has somebody else say so too. */
#include <stdlib.h>
#include "thread.h"

static void go_on(work *own) {
  millrace_outcome outcome = {.size = sizeof outcome, .status = MILLRACE_DONE};
  moment();
  own->host->complete(own->host, own->token, &outcome);
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  if (begin(call, call->host->token(call->attempt)) != 0) return outcome->status = MILLRACE_FAILED;
  return answer(call, outcome, "ok");
}
DESCRIBE()
