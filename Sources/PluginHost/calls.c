/* The functions of the host's table, as a plugin finds them in a process of its own: each is plugin.h's, which says what it promises. */
#include "child.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { BEAT_NANOSECONDS = 1000000 }; /* between two that are told: a timeout of a heartbeat is no shorter */
#define FIRST_INPUT_BYTES 48u        /* of `millrace_input` in version 1 */

static uint64_t monotonic(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const char *in_page(uint64_t offset) { return (const char *)self.page + offset; }

static millrace_isolated_ending *ending_of(uint32_t slot) {
  return (millrace_isolated_ending *)((char *)self.arena + self.layout.endings) + slot;
}

static uint64_t call_now(const millrace_host *host) {
  (void)host;
  return self.page->is_virtual ? millrace_shared_load_long(&self.page->now) : monotonic() + (uint64_t)self.page->clock_offset;
}

/* Names and values, each with its NUL, one after the other. */
static const char *call_setting(const millrace_host *host, const char *key) {
  (void)host;
  const char *at = in_page(self.layout.settings), *end = at + self.page->setting_bytes;
  while (key && at < end) {
    const char *value = at + strlen(at) + 1;
    if (strcmp(at, key) == 0) return value;
    at = value + strlen(value) + 1;
  }
  return NULL;
}

static void call_log(const millrace_host *host, uint32_t level, const char *line) {
  (void)host;
  if (line) say_line(level, line);
}

static uint32_t call_input_count(const millrace_attempt *attempt) { return attempt->request->input_count; }

static int32_t call_input(const millrace_attempt *attempt, uint32_t index, millrace_input *input) {
  if (!input || input->size < FIRST_INPUT_BYTES || index >= attempt->request->input_count) return -1;
  const millrace_isolated_input *found = (const millrace_isolated_input *)in_page(attempt->request->inputs) + index;
  input->payload = (millrace_payload){found->offset, found->length, found->length ? MILLRACE_ARENA_INPUT : 0, found->content_type};
  if (!found->length) input->payload.offset = 0;
  input->bytes = in_page(found->offset);
  input->name = in_page(found->name);
  return 0;
}

static void *call_claim(millrace_attempt *attempt, uint64_t length, uint32_t content_type, millrace_payload *payload) {
  if (!payload || length > MILLRACE_INLINE_BYTES || atomic_load(&attempt->state) != ATTEMPT_RUNS) return NULL;
  pthread_mutex_lock(&attempt->claiming);
  const uint64_t at = attempt->claimed, end = at + (length + 15) / 16 * 16;
  const int fits = end <= self.page->region_bytes;
  if (fits) attempt->claimed = end;
  pthread_mutex_unlock(&attempt->claiming);
  if (!fits) return NULL;
  const uint64_t offset = self.layout.outputs + attempt->slot * self.page->region_bytes + at;
  *payload = (millrace_payload){offset, length, MILLRACE_ARENA_OUTPUT, content_type};
  return (char *)self.arena + offset;
}

static int32_t call_cancelled(const millrace_attempt *attempt) {
  return millrace_shared_load(&attempt->request->cancelled) == attempt->generation || atomic_load(&((millrace_attempt *)attempt)->state) != ATTEMPT_RUNS;
}

static void call_heartbeat(millrace_attempt *attempt, uint32_t progress) {
  const uint64_t now = monotonic();
  if (atomic_load(&attempt->state) != ATTEMPT_RUNS || (attempt->last_beat != 0 && now - attempt->last_beat < BEAT_NANOSECONDS)) return;
  attempt->last_beat = now;
  ending_of(attempt->slot)->progress = progress;
  say(MILLRACE_SAYS_BEAT, attempt->slot, 1);
}

static millrace_token call_token(millrace_attempt *attempt) { return (uint64_t)attempt->generation << 32 | (attempt->slot + 1); }

/* Writes down how the attempt ended, once: -1 the second time. */
static int end(millrace_attempt *attempt, uint32_t status, const millrace_outcome *outcome, uint32_t what, uint64_t delay) {
  unsigned runs = ATTEMPT_RUNS;
  if (!atomic_compare_exchange_strong(&attempt->state, &runs, ATTEMPT_ENDED)) return -1;
  millrace_isolated_ending *ending = ending_of(attempt->slot);
  const uint32_t slot = attempt->slot;
  ending->generation = attempt->generation;
  ending->status = status;
  ending->used = attempt->claimed;
  ending->output = outcome->output;
  ending->delay = delay;
  if (status != MILLRACE_DONE) {
    ending->details = outcome->details;
    ending->retry_after = outcome->retry_after;
    ending->message_length = 0;
    millrace_isolated_words *words = (millrace_isolated_words *)((char *)self.arena + self.layout.words) + attempt->slot;
    memcpy(words->error_type, outcome->error_type, sizeof words->error_type);
    if (outcome->message) {
      const uint32_t most = MILLRACE_MESSAGE_BYTES - 1;
      ending->message_length = outcome->message_length < most ? outcome->message_length : most;
      memcpy(words->message, outcome->message, ending->message_length);
    }
  }
  say(what, slot, 0);
  return 0;
}

static millrace_attempt *of_token(millrace_token token) {
  const uint32_t slot = (uint32_t)token - 1;
  if (slot >= self.page->slots) return NULL;
  return self.attempts[slot].generation == token >> 32 ? &self.attempts[slot] : NULL;
}

static int32_t call_complete(const millrace_host *host, millrace_token token, const millrace_outcome *outcome) {
  (void)host;
  millrace_attempt *attempt = of_token(token);
  return attempt && outcome ? end(attempt, outcome->status, outcome, MILLRACE_SAYS_ENDED, 0) : -1;
}

static int32_t call_complete_after(const millrace_host *host, millrace_token token, uint64_t delay, const millrace_outcome *outcome) {
  (void)host;
  millrace_attempt *attempt = of_token(token);
  return attempt && outcome ? end(attempt, outcome->status, outcome, MILLRACE_SAYS_LATER, delay) : -1;
}

/* Extensions. */

static const millrace_isolated_variable *variable(const millrace_attempt *attempt, uint32_t index) {
  return (const millrace_isolated_variable *)in_page(attempt->request->variables) + index;
}

static uint32_t environment_count(const millrace_attempt *attempt) { return attempt->request->variable_count; }

static int32_t environment_at(const millrace_attempt *attempt, uint32_t index, const char **name, const char **value) {
  if (index >= attempt->request->variable_count) return -1;
  if (name) *name = in_page(variable(attempt, index)->name);
  if (value) *value = in_page(variable(attempt, index)->value);
  return 0;
}

static const char *environment_get(const millrace_attempt *attempt, const char *name) {
  for (uint32_t i = 0; name && i < attempt->request->variable_count; i++)
    if (strcmp(in_page(variable(attempt, i)->name), name) == 0) return in_page(variable(attempt, i)->value);
  return NULL;
}

static size_t replace(char *bytes, size_t length, const char *secret) {
  const size_t size = strlen(secret);
  if (size < 3) return length; /* the host's redactor leaves those alone, too */
  size_t to = 0;
  for (size_t from = 0; from < length;) {
    if (length - from >= size && memcmp(bytes + from, secret, size) == 0) {
      memcpy(bytes + to, "***", 3);
      to += 3;
      from += size;
    } else {
      bytes[to++] = bytes[from++];
    }
  }
  return to;
}

/* Secrets of the attempts that run here: others are not known here. */
static size_t environment_redact(const millrace_host *host, char *bytes, size_t length) {
  (void)host;
  for (uint32_t slot = 0; bytes && slot < self.page->slots; slot++) {
    millrace_attempt *attempt = &self.attempts[slot];
    if (atomic_load(&attempt->state) != ATTEMPT_RUNS) continue;
    for (uint32_t i = 0; i < attempt->request->variable_count; i++)
      if (variable(attempt, i)->flags & MILLRACE_VARIABLE_SECRET) length = replace(bytes, length, in_page(variable(attempt, i)->value));
  }
  return length;
}

static int32_t trace_parent(const millrace_attempt *attempt, char text[MILLRACE_TRACEPARENT_BYTES]) {
  if (!attempt->request->has_trace || !text) return -1;
  memcpy(text, attempt->request->traceparent, MILLRACE_TRACEPARENT_BYTES);
  return 0;
}

static int32_t random_fill(const millrace_host *host, void *bytes, size_t length) {
  (void)host;
  if (length > MILLRACE_RANDOM_BYTES || !bytes) return -1;
  for (size_t done = 0; done < length;) {
    const ssize_t got = getrandom((char *)bytes + done, length - done, 0);
    if (got <= 0) return -1;
    done += (size_t)got;
  }
  return 0;
}

static const void *call_extension(const millrace_host *host, const char *id) {
  (void)host;
  static const millrace_environment environment = {
      .size = sizeof environment, .count = environment_count, .at = environment_at, .get = environment_get, .redact = environment_redact};
  static const millrace_trace trace = {.size = sizeof trace, .traceparent = trace_parent};
  static const millrace_random random = {.size = sizeof random, .fill = random_fill};
  if (!id) return NULL;
  if (strcmp(id, MILLRACE_ENVIRONMENT) == 0) return &environment;
  if (strcmp(id, MILLRACE_TRACE) == 0) return &trace;
  if (strcmp(id, MILLRACE_RANDOM) == 0) return &random;
  return NULL; /* MILLRACE_ITEMS, MILLRACE_BROKER and MILLRACE_DELIVERY: they are of memory that is not here */
}

void calls_fill(millrace_host *host) {
  *host = (millrace_host){
      .size = sizeof *host,
      .abi_version = MILLRACE_ABI_VERSION,
      .name = self.page->host_name,
      .version = self.page->host_version,
      .now = call_now,
      .setting = call_setting,
      .log = call_log,
      .input_count = call_input_count,
      .input = call_input,
      .claim = call_claim,
      .cancelled = call_cancelled,
      .heartbeat = call_heartbeat,
      .token = call_token,
      .complete = call_complete,
      .complete_after = call_complete_after,
      .extension = call_extension,
  };
}

void calls_run(uint32_t slot) {
  static _Thread_local char message[MILLRACE_MESSAGE_BYTES];
  millrace_attempt *attempt = &self.attempts[slot];
  const millrace_isolated_request *request = attempt->request;
  attempt->generation = request->generation;
  attempt->claimed = 0;
  attempt->last_beat = 0;
  atomic_store(&attempt->state, ATTEMPT_RUNS);
  const millrace_handler *handler = self.plugin->handlers[request->handler];
  const millrace_call call = {
      .size = sizeof call,
      .attempt_number = request->attempt_number,
      .attempt = attempt,
      .host = &self.host,
      .task_key = in_page(request->task_key),
      .task_id = in_page(request->task_id),
      .deadline = request->deadline,
  };
  millrace_outcome outcome = {.size = sizeof outcome, .message_capacity = sizeof message, .message = message};
  const uint32_t status = handler->run(handler->context, &call, &outcome);
  /* The message is this thread's: one that is not where it was is none. */
  if (outcome.message != message) outcome.message = NULL;
  /* Who has the token ends it. Otherwise it may have been ended already, and what is said here comes too late. */
  if (status != MILLRACE_PENDING) (void)end(attempt, status, &outcome, MILLRACE_SAYS_ENDED, 0);
}
