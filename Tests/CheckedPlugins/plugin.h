/* What a plugin with one handler needs besides the handler itself. Each part can be broken by a definition before this is included. */
#ifndef CHECKED_PLUGIN_H
#define CHECKED_PLUGIN_H

#include <millrace/plugin.h>
#include <string.h>

#ifndef NAME
#define NAME "checked"
#endif
#ifndef HANDLER_NAME
#define HANDLER_NAME "run"
#endif
#ifndef SUMMARY
#define SUMMARY "For the checker's tests"
#endif
#ifndef FLAGS
#define FLAGS 0
#endif
#ifndef PLUGIN_FLAGS
#define PLUGIN_FLAGS 0
#endif
#ifndef INPUT_SCHEMA
#define INPUT_SCHEMA NULL
#endif
#ifndef OUTPUT_SCHEMA
#define OUTPUT_SCHEMA NULL
#endif
#ifndef CONCURRENCY
#define CONCURRENCY 0
#endif
#if !defined(INIT) && !defined(STARTS)
#define INIT NULL
#endif
#ifndef DEINIT
#define DEINIT NULL
#endif
#ifndef EXTENSION
#define EXTENSION NULL
#endif
#ifndef ABI
#define ABI MILLRACE_ABI_VERSION
#endif
#ifndef ENTRY
#define ENTRY millrace_plugin_entry
#endif

#ifdef STARTS
#define INIT start
static int32_t start(const millrace_host *host, char *message, size_t capacity);
#endif

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome);

/* An output of text, or a failure. */
static inline uint32_t answer(const millrace_call *call, millrace_outcome *outcome, const char *text) {
  void *bytes = call->host->claim(call->attempt, strlen(text), MILLRACE_TEXT, &outcome->output);
  if (!bytes) return outcome->status = MILLRACE_FAILED;
  memcpy(bytes, text, strlen(text));
  return outcome->status = MILLRACE_DONE;
}

/* The bytes of input 0; none: NULL with length 0. */
static inline const char *first(const millrace_call *call, uint64_t *length) {
  millrace_input input = {.size = sizeof input};
  *length = 0;
  if (call->host->input(call->attempt, 0, &input) != 0) return NULL;
  *length = input.payload.length;
  return input.bytes;
}

#define DESCRIBE()                                                                                                                          \
  static const millrace_handler handler = {.size = sizeof handler, .flags = FLAGS, .name = HANDLER_NAME, .summary = SUMMARY,                  \
                                           .input_schema = INPUT_SCHEMA, .output_schema = OUTPUT_SCHEMA, .concurrency = CONCURRENCY,          \
                                           .run = run};                                                                                      \
  static const millrace_handler *const handlers[] = {&handler};                                                                              \
  static const millrace_plugin plugin = {.size = sizeof plugin, .abi_version = ABI, .name = NAME, .version = "1.0.0", .summary = SUMMARY,      \
                                         .init = INIT, .deinit = DEINIT, .extension = EXTENSION, .handlers = handlers, .handler_count = 1,     \
                                         .flags = PLUGIN_FLAGS};                                                                             \
  MILLRACE_MANIFEST();                                                                                                                       \
  MILLRACE_EXPORT const millrace_plugin *ENTRY(uint32_t version);                                                                            \
  const millrace_plugin *ENTRY(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }

#endif
