/* Says that it is of any version that it is asked for. */
#include "plugin.h"

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) { (void)context; return answer(call, outcome, "ok"); }
static const millrace_handler handler = {.size = sizeof handler, .name = "run", .summary = SUMMARY, .run = run};
static const millrace_handler *const handlers[] = {&handler};
static millrace_plugin plugin = {.size = sizeof plugin, .name = "checked", .version = "1", .summary = SUMMARY, .handlers = handlers, .handler_count = 1};
MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
const millrace_plugin *millrace_plugin_entry(uint32_t version) {
  plugin.abi_version = version;
  return &plugin;
}
