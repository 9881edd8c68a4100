#include <inttypes.h>
#include <millrace/plugin.h>
#include <stdio.h>
#include <string.h>

/* Counts the bytes of input 0, and the words: runs of other bytes than spaces. Called on many threads at once. */
static uint32_t count(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  millrace_input input = {.size = sizeof input};
  uint64_t words = 0;
  if (call->host->input(call->attempt, 0, &input) == 0) {
    int was_space = 1;
    for (uint64_t i = 0; i < input.payload.length; i++) {
      const int is_space = strchr(" \t\n\r", ((const char *)input.bytes)[i]) != NULL;
      words += was_space && !is_space;
      was_space = is_space;
    }
  }
  char text[80];
  const int length = snprintf(text, sizeof text, "{\"bytes\":%" PRIu64 ",\"words\":%" PRIu64 "}", input.payload.length, words);
  void *bytes = call->host->claim(call->attempt, (uint64_t)length, MILLRACE_JSON, &outcome->output);
  if (!bytes) {
    strcpy(outcome->error_type, "no-memory");
    return outcome->status = MILLRACE_RETRY;
  }
  memcpy(bytes, text, (size_t)length);
  return outcome->status = MILLRACE_DONE;
}

static const millrace_handler count_handler = {
    .size = sizeof(millrace_handler), .name = "count", .summary = "Counts the bytes and words of input 0",
    .output_schema = "{\"type\":\"object\",\"properties\":{\"bytes\":{\"type\":\"integer\",\"minimum\":0},\"words\":{\"type\":\"integer\",\"minimum\":0}},"
                     "\"required\":[\"bytes\",\"words\"],\"additionalProperties\":false}",
    .run = count};
static const millrace_handler *const handlers[] = {&count_handler};
static const millrace_plugin plugin = {.size = sizeof(millrace_plugin), .abi_version = MILLRACE_ABI_VERSION, .name = "@NAME@", .version = "0.1.0",
                                       .summary = "Counts words", .handlers = handlers, .handler_count = sizeof handlers / sizeof *handlers};

MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version);
const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version) {
  return host_abi_version == MILLRACE_ABI_VERSION ? &plugin : NULL;
}
