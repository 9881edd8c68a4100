/* Writes into the output once more, after the attempt has ended. */
#include <stdlib.h>
#include "thread.h"

static void go_on(work *own) {
  millrace_outcome outcome = {.size = sizeof outcome, .status = MILLRACE_DONE};
  char *bytes = own->host->claim(own->attempt, 64, MILLRACE_BYTES, &outcome.output);
  if (!bytes) outcome.status = MILLRACE_FAILED;
  own->host->complete(own->host, own->token, &outcome);
  for (int i = 0; bytes && i < 100; i++) {
    bytes[0] = 'x';
    moment();
  }
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  if (begin(call, call->host->token(call->attempt)) != 0) return outcome->status = MILLRACE_FAILED;
  return outcome->status = MILLRACE_PENDING;
}
DESCRIBE()
