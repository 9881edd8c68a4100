/* Calls the plugin's handler as a host does, and looks at what comes back. The plugin's file is the argument. */
#include <dlfcn.h>
#include <millrace/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One attempt: an input, and what the handler claims. */
struct millrace_attempt {
  const char *input;
  void *claimed;
};

static uint64_t now(const millrace_host *host) { return (void)host, 1; }
static const char *setting(const millrace_host *host, const char *key) { return (void)host, (void)key, NULL; }
static void log_line(const millrace_host *host, uint32_t level, const char *line) {
  (void)host;
  fprintf(stderr, "log %u: %s\n", level, line);
}
static uint32_t input_count(const millrace_attempt *attempt) { return (void)attempt, 1; }
static int32_t input(const millrace_attempt *attempt, uint32_t index, millrace_input *given) {
  if (index > 0) return -1;
  given->payload = (millrace_payload){.length = strlen(attempt->input), .content_type = MILLRACE_TEXT};
  given->bytes = attempt->input;
  given->name = "input";
  return 0;
}
static void *claim(millrace_attempt *attempt, uint64_t length, uint32_t content_type, millrace_payload *payload) {
  free(attempt->claimed);
  attempt->claimed = malloc(length + 1);
  *payload = (millrace_payload){.length = length, .arena = 1, .content_type = content_type};
  return attempt->claimed;
}
static int32_t cancelled(const millrace_attempt *attempt) { return (void)attempt, 0; }
static void heartbeat(millrace_attempt *attempt, uint32_t progress) { (void)attempt, (void)progress; }
static millrace_token token(millrace_attempt *attempt) { return (void)attempt, 0; }
static int32_t complete(const millrace_host *host, millrace_token of, const millrace_outcome *outcome) {
  return (void)host, (void)of, (void)outcome, -1;
}
static int32_t complete_after(const millrace_host *host, millrace_token of, uint64_t delay, const millrace_outcome *outcome) {
  return (void)host, (void)of, (void)delay, (void)outcome, -1;
}
static const void *extension(const millrace_host *host, const char *id) { return (void)host, (void)id, NULL; }

static const millrace_host host = {
    .size = sizeof host, .abi_version = MILLRACE_ABI_VERSION, .name = "test", .version = "1", .now = now, .setting = setting, .log = log_line,
    .input_count = input_count, .input = input, .claim = claim, .cancelled = cancelled, .heartbeat = heartbeat, .token = token,
    .complete = complete, .complete_after = complete_after, .extension = extension};

static int expect(const millrace_handler *handler, const char *given, const char *wanted) {
  millrace_attempt attempt = {.input = given};
  char message[MILLRACE_MESSAGE_BYTES] = "";
  millrace_outcome outcome = {.size = sizeof outcome, .message = message, .message_capacity = sizeof message};
  const millrace_call call = {.size = sizeof call, .attempt_number = 1, .attempt = &attempt, .host = &host, .task_key = "run/task", .task_id = "task"};
  const uint32_t status = handler->run(handler->context, &call, &outcome);
  const int is_good = status == MILLRACE_DONE && attempt.claimed && outcome.output.length == strlen(wanted) &&
                      memcmp(attempt.claimed, wanted, strlen(wanted)) == 0;
  if (!is_good)
    fprintf(stderr, "'%s' gives status %u, %.*s%s, expected %s\n", given, status, attempt.claimed ? (int)outcome.output.length : 0,
            attempt.claimed ? (char *)attempt.claimed : "", message, wanted);
  free(attempt.claimed);
  return is_good;
}

int main(int count, char **arguments) {
  void *object = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!object) return fprintf(stderr, "%s\n", count == 2 ? dlerror() : "usage: test PLUGIN"), 2;
  millrace_plugin_entry_function entry = NULL;
  *(void **)&entry = dlsym(object, MILLRACE_ENTRY_NAME);
  const millrace_plugin *plugin = entry ? entry(MILLRACE_ABI_VERSION) : NULL;
  if (!plugin || plugin->handler_count != 1) return fprintf(stderr, "no plugin with one handler\n"), 1;
  char reason[MILLRACE_MESSAGE_BYTES] = "";
  if (plugin->init && plugin->init(&host, reason, sizeof reason) != 0) return fprintf(stderr, "init: %s\n", reason), 1;
  const millrace_handler *count_words = plugin->handlers[0];
  int is_good = strcmp(count_words->name, "count") == 0;
  is_good &= expect(count_words, "two words", "{\"bytes\":9,\"words\":2}");
  is_good &= expect(count_words, "", "{\"bytes\":0,\"words\":0}");
  is_good &= expect(count_words, " \n a ", "{\"bytes\":5,\"words\":1}");
  if (plugin->deinit) plugin->deinit();
  printf("%s\n", is_good ? "the handler works" : "the handler does not work");
  return is_good ? 0 : 1;
}
