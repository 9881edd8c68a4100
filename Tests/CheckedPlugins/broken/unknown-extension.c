/* Has every extension that it is asked for. */
static const void *offer(const char *id);
#define EXTENSION offer
#include "plugin.h"

static const void *offer(const char *id) { return id; }
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) { (void)context; return answer(call, outcome, "ok"); }
DESCRIBE()
