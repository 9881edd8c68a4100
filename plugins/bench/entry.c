/* The bench plugin: what it is called, what it offers, how it is set. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "../support/json.h"

static bench_settings settings;

static const millrace_handler empty = {
    .size = sizeof(millrace_handler),
    .name = "empty",
    .summary = "done at once: what a task costs beside its work",
    .context = &settings,
    .run = bench_empty,
};

static const millrace_handler burn = {
    .size = sizeof(millrace_handler),
    .name = "burn",
    .summary = "burns CPU for so many nanoseconds: input `nanoseconds`, or the setting bench.nanoseconds",
    .input_schema = "{\"type\":[\"object\",\"null\"],\"properties\":{\"nanoseconds\":{\"type\":\"number\",\"minimum\":0}}}",
    .context = &settings,
    .run = bench_burn,
};

static const millrace_handler spin = {
    .size = sizeof(millrace_handler),
    .name = "spin",
    .summary = "does bench.rounds rounds of arithmetic: a fixed amount of work",
    .context = &settings,
    .run = bench_spin,
};

static const millrace_handler *const handlers[] = {&empty, &burn, &spin};

/* The setting `key` as a whole number from 0 to `most`; absent: 0. 0, or -1 and a message. */
static int read_setting(const millrace_host *host, const char *key, double most, uint64_t *value, char *message, size_t capacity) {
  const char *text = host->setting(host, key);
  double number = 0;
  if (text && (json_parse_number(text, strlen(text), &number) || !(number >= 0) || number > most)) {
    (void)snprintf(message, capacity, "%s is `%.64s`: set it to a number from 0 to %.0f", key, text, most);
    return -1;
  }
  *value = (uint64_t)number;
  return 0;
}

static int32_t bench_init(const millrace_host *host, char *message, size_t capacity) {
  if (host->size < sizeof(millrace_host)) {
    (void)snprintf(message, capacity, "bench: the host's table is shorter than version %u of the interface", MILLRACE_ABI_VERSION);
    return -1;
  }
  if (read_setting(host, "bench.nanoseconds", BENCH_MOST_NANOSECONDS, &settings.nanoseconds, message, capacity)) return -1;
  return read_setting(host, "bench.rounds", BENCH_MOST_ROUNDS, &settings.rounds, message, capacity);
}

static const millrace_plugin plugin = {
    .size = sizeof(millrace_plugin),
    .abi_version = MILLRACE_ABI_VERSION,
    .name = "bench",
    .version = "0.1.0",
    .summary = "bodies to measure an engine with",
    .configuration_schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"nanoseconds\":{\"type\":\"number\",\"minimum\":0,\"maximum\":3600000000000,"
                            "\"description\":\"what burn burns where its input says nothing\"},\"rounds\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1000000000000,"
                            "\"description\":\"rounds of arithmetic of spin\"}}}",
    .init = bench_init,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof handlers[0],
};

MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version);

const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version) {
  return host_abi_version == MILLRACE_ABI_VERSION ? &plugin : NULL;
}
