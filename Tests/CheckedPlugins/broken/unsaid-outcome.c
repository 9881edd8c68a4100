#define EXTENSION extension
#include "plugin.h"

static const void *extension(const char *id);
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  return answer(call, outcome, "ok");
}

/* Those that fail are forgotten, and all do. */
static void several(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count) {
  (void)context, (void)outcomes;
  for (uint32_t i = 0; i < count; i++) (void)calls[i]->host->now(calls[i]->host);
}
static const void *extension(const char *id) {
  static const millrace_batch_handler batch = {.size = sizeof batch, .most = 16, .name = HANDLER_NAME, .run = several};
  static const millrace_batch_handler *const handlers[] = {&batch};
  static const millrace_batch table = {.size = sizeof table, .handler_count = 1, .handlers = handlers};
  return strcmp(id, MILLRACE_BATCH) == 0 ? &table : NULL;
}
DESCRIBE()
