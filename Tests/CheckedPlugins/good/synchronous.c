/* Answers at once: the letters of its input. */
#include <stdio.h>
#define INPUT_SCHEMA "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}"
#define OUTPUT_SCHEMA "{\"type\":\"object\",\"properties\":{\"letters\":{\"type\":\"integer\",\"minimum\":0}},\"required\":[\"letters\"],\"additionalProperties\":false}"
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  uint64_t length, letters = 0;
  const char *bytes = first(call, &length);
  for (uint64_t i = 0; i < length; i++) letters += (bytes[i] | 0x20) >= 'a' && (bytes[i] | 0x20) <= 'z';
  char text[64];
  snprintf(text, sizeof text, "{\"letters\":%llu}", (unsigned long long)letters);
  const uint32_t status = answer(call, outcome, text);
  outcome->output.content_type = MILLRACE_JSON;
  return status;
}
DESCRIBE()
