/* Refuses whatever is no JSON object, with an error type, a message and details. */
#include <stdio.h>
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length;
  const char *bytes = first(call, &length);
  if (length > 0 && bytes[0] == '{' && bytes[length - 1] == '}') return answer(call, outcome, "an object");
  memcpy(outcome->error_type, "bad-input", sizeof "bad-input");
  outcome->message_length = (uint32_t)snprintf(outcome->message, outcome->message_capacity, "expected an object, found %llu bytes", (unsigned long long)length);
  char *details = call->host->claim(call->attempt, 2, MILLRACE_JSON, &outcome->details);
  if (details) memcpy(details, "{}", 2);
  return outcome->status = length % 2 ? MILLRACE_FAILED : MILLRACE_RETRY;
}
DESCRIBE()
