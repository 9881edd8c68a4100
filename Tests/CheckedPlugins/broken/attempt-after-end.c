/* A thread that beats for an attempt which is over. */
#include <stdlib.h>
#include "thread.h"

static void go_on(work *own) {
  moment();
  moment();
  own->host->heartbeat(own->attempt, 500);
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  if (begin(call, call->host->token(call->attempt)) != 0) return outcome->status = MILLRACE_FAILED;
  return answer(call, outcome, "ok");
}
DESCRIBE()
