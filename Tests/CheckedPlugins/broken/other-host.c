/* The host is kept where all builds of a process find it: the last instance's is everybody's. */
#include <stdio.h>
#include <stdlib.h>
#define STARTS
#include "plugin.h"

static int32_t start(const millrace_host *host, char *message, size_t capacity) {
  (void)message, (void)capacity;
  char text[32];
  snprintf(text, sizeof text, "%p", (const void *)host);
  return setenv("CHECKED_PLUGIN_HOST", text, 1);
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  void *host = NULL;
  if (sscanf(getenv("CHECKED_PLUGIN_HOST"), "%p", &host) != 1) return MILLRACE_FAILED;
  ((const millrace_host *)host)->log(host, MILLRACE_LOG_NOTICE, "a call");
  return answer(call, outcome, "ok");
}
DESCRIBE()
