/* Has every extension that it is asked for, but the one that every host asks for. */
static const void *offer(const char *id);
#define EXTENSION offer
#include "plugin.h"

static const void *offer(const char *id) { return strcmp(id, MILLRACE_BATCH) ? id : NULL; }
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) { (void)context; return answer(call, outcome, "ok"); }
DESCRIBE()
