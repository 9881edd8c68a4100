/* A plugin that keeps a ledger outside of the engine: what a key has called it for, and what it has done, once a key.

   `ledger/do` does it; `ledger/flaky` fails at the first attempt; `ledger/fail` does nothing, and fails. The setting ledger.directory names a directory: an effect is a file of
   the key's name there, made only if it is not there; each call is a line of the file `calls` beside it. */
#include <fcntl.h>
#include <millrace/plugin.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char directory[1024];

/* A line in one write: whole, whenever the process is killed. 0, or -1. */
static int32_t write_call(const millrace_call *call) {
  char path[1200], line[512];
  (void)snprintf(path, sizeof path, "%s.calls", directory);
  const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  const int length = snprintf(line, sizeof line, "%s %u\n", call->task_key, call->attempt_number);
  const ssize_t wrote = write(file, line, (size_t)length);
  (void)close(file);
  return wrote == length ? 0 : -1;
}

/* 0 done now or before, or -1. */
static int32_t do_once(const millrace_call *call) {
  char path[1500], key[400];
  (void)snprintf(key, sizeof key, "%s", call->task_key);
  for (char *at = key; *at; at++)
    if (*at == '/') *at = '~';
  (void)snprintf(path, sizeof path, "%s/%s", directory, key);
  const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  (void)close(file);
  return 0;
}

static uint32_t failed(millrace_outcome *outcome, uint32_t status, const char *type) {
  outcome->status = status;
  (void)snprintf(outcome->error_type, sizeof outcome->error_type, "%s", type);
  return status;
}

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  const char *what = context;
  if (write_call(call)) return failed(outcome, MILLRACE_FAILED, "ledger");
  if (strcmp(what, "fail") == 0) return failed(outcome, MILLRACE_FAILED, "as-asked");
  if (strcmp(what, "flaky") == 0 && call->attempt_number == 1) return failed(outcome, MILLRACE_RETRY, "at-first");
  return do_once(call) ? failed(outcome, MILLRACE_FAILED, "ledger") : MILLRACE_DONE;
}

static const millrace_handler do_handler = {.size = sizeof do_handler, .name = "do", .summary = "does it", .context = "do", .run = run};
static const millrace_handler flaky_handler = {.size = sizeof flaky_handler, .name = "flaky", .summary = "fails first", .context = "flaky", .run = run};
static const millrace_handler fail_handler = {.size = sizeof fail_handler, .name = "fail", .summary = "fails", .context = "fail", .run = run};
static const millrace_handler *const handlers[] = {&do_handler, &flaky_handler, &fail_handler};

static int32_t start(const millrace_host *host, char *message, size_t capacity) {
  const char *text = host->setting(host, "ledger.directory");
  if (!text || strlen(text) >= sizeof directory) {
    (void)snprintf(message, capacity, "ledger.directory names no directory");
    return -1;
  }
  (void)snprintf(directory, sizeof directory, "%s", text);
  return 0;
}

static const millrace_plugin plugin = {
    .size = sizeof plugin,
    .abi_version = MILLRACE_ABI_VERSION,
    .name = "ledger",
    .version = "1.0.0",
    .summary = "keeps a ledger outside",
    .init = start,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof handlers[0],
};

MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version);

const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version) { return host_abi_version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
