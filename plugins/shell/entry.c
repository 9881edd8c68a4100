/* The shell plugin: what it is called and what it offers. */
#include <stdio.h>

#include "shell.h"

static const millrace_handler run = {
    .size = sizeof(millrace_handler),
    .flags = MILLRACE_BLOCKING,
    .name = "run",
    .summary = "runs a program, or text for /bin/sh, in a process group of its own",
    .input_schema =
        "{\"type\":\"object\",\"oneOf\":[{\"required\":[\"program\"]},{\"required\":[\"command\"]}],\"additionalProperties\":false,"
        "\"properties\":{"
        "\"program\":{\"type\":\"string\"},\"arguments\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
        "\"command\":{\"type\":\"string\"},\"environment\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}},"
        "\"inheritEnvironment\":{\"type\":\"boolean\",\"default\":true},\"directory\":{\"type\":\"string\"},\"stdin\":{\"type\":\"string\"}"
        ","
        "\"outputLimit\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":16777216,\"default\":1048576},"
        "\"result\":{\"type\":\"boolean\",\"default\":false}}}",
    .run = shell_run,
};

static const millrace_handler *const handlers[] = {&run};

static int32_t shell_init(const millrace_host *host, char *message, size_t capacity) {
  if (host->size < sizeof(millrace_host)) {
    (void)snprintf(message, capacity, "shell: the host's table is shorter than version %u of the interface", MILLRACE_ABI_VERSION);
    return -1;
  }
  if (shell_environment_keep() != 0) {
    (void)snprintf(message, capacity, "shell: the process is out of memory");
    return -1;
  }
  return 0;
}

static const millrace_plugin plugin = {
    .size = sizeof(millrace_plugin),
    .abi_version = MILLRACE_ABI_VERSION,
    .name = "shell",
    .version = "0.1.0",
    .summary = "runs programs of the machine",
    .init = shell_init,
    .deinit = shell_environment_drop,
    .handlers = handlers,
    .handler_count = 1,
};

MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version);

const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version) {
  return host_abi_version == MILLRACE_ABI_VERSION ? &plugin : NULL;
}
