/* The replay plugin: what it is called, what it offers, how it is set. */
#include "replay.h"

#include <stdio.h>
#include <string.h>

#include "../support/json.h"

static replay_settings settings;

static const millrace_handler task = {
    .size = sizeof(millrace_handler),
    .name = "task",
    .summary = "replays a recorded task: burns CPU, or completes by a timer, for its recorded length",
    .input_schema = "{\"type\":\"object\",\"required\":[\"seconds\"],\"properties\":{\"seconds\":{\"type\":\"number\",\"minimum\":0}}}",
    .context = &settings,
    .run = replay_task,
};

static const millrace_handler *const handlers[] = {&task};

static int32_t replay_init(const millrace_host *host, char *message, size_t capacity) {
  settings = (replay_settings){.wait = 0, .time_scale = 1.0};
  if (host->size < sizeof(millrace_host)) {
    (void)snprintf(message, capacity, "replay: the host's table is shorter than version %u of the interface", MILLRACE_ABI_VERSION);
    return -1;
  }
  const char *mode = host->setting(host, "replay.mode");
  if (mode && strcmp(mode, "wait") == 0) {
    settings.wait = 1;
  } else if (mode && strcmp(mode, "burn") != 0) {
    (void)snprintf(message, capacity, "replay.mode is `%.64s`: set it to `burn` (uses CPU) or `wait` (holds a slot, no thread)", mode);
    return -1;
  }
  const char *scale = host->setting(host, "replay.time-scale");
  if (scale && (json_parse_number(scale, strlen(scale), &settings.time_scale) || !(settings.time_scale >= 0) ||
                settings.time_scale > REPLAY_MOST_SCALE)) {
    (void)snprintf(message, capacity, "replay.time-scale is `%.64s`: set it to a number from 0 to %.0f, as 0.01", scale, REPLAY_MOST_SCALE);
    return -1;
  }
  return 0;
}

static const millrace_plugin plugin = {
    .size = sizeof(millrace_plugin),
    .abi_version = MILLRACE_ABI_VERSION,
    .name = "replay",
    .version = "0.1.0",
    .summary = "replays recorded workflows",
    .configuration_schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"mode\":{\"type\":\"string\",\"enum\":[\"burn\",\"wait\"],\"description\":"
                            "\"burn uses CPU, wait holds a slot and no thread\"},\"time-scale\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1000000,\"description\":"
                            "\"what recorded times are multiplied by\"}}}",
    .init = replay_init,
    .handlers = handlers,
    .handler_count = 1,
};

MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version);

const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version) {
  return host_abi_version == MILLRACE_ABI_VERSION ? &plugin : NULL;
}
