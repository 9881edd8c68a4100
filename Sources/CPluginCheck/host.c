#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guard.h"
#include "plugin_check.h"

enum { FAULTS = 64, ATTEMPTS = 1 << 20, CLAIMS = 1 << 20, DRAFTS = 1024, INPUTS = 8, ARENA = 64 << 20, FIRST_INPUT = 48 };
#define OFFSET 65536u /* of the first byte of a claim: a payload that was made by hand does not match */
#define SECOND 1000000000ull

typedef struct claim {
  guard *block; /* NULL: of the arena */
  char *bytes;
  uint64_t length;
  struct claim *next;
} claim;

struct millrace_attempt {
  check_host *host;
  check_worker *worker;
  claim *claims;
  uint32_t number;
  int runner; /* thread */
  atomic_int is_issued, is_over, is_cancelled;
  int is_completed, has_returned, asked_cancelled;
};

typedef struct input {
  guard *block;
  millrace_input value;
} input;

struct check_host {
  millrace_host table;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* anything of an attempt */
  millrace_attempt *attempts;
  claim *claims;
  char *arena;
  uint64_t arena_used;
  uint32_t attempt_count, claim_count, fault_count, told_count, draft_count, setting_count;
  int measures;
  const char **settings;
  check_fault faults[FAULTS];
  struct {
    guard *block;
    uint32_t generation;
  } drafts[DRAFTS];
  atomic_int is_closed;
  atomic_ullong logged; /* bytes */
  atomic_ullong added; /* nanoseconds that `complete_after` passed over */
  uint64_t random;
};

enum command { WAIT, RUN, REPEAT, LEAVE };

struct check_worker {
  check_host *host;
  pthread_t thread;
  enum command command; /* under the host's lock, as all that follows */
  millrace_attempt *attempt;
  const millrace_handler *handler;
  input inputs[INPUTS];
  uint32_t input_count;
  int cancelled;
  check_result kept; /* of the attempt, once it has ended */
  /* What `run` gets: the call, and behind it the outcome at the end of a page. */
  guard *outcome, *message;
  millrace_call call;
  /* REPEAT */
  uint64_t times, patience, ended, *walls;
  void (*meter)(void *, int);
  void *context;
};

static _Thread_local millrace_attempt *current;

static int thread_id(void) { return (int)syscall(SYS_gettid); }

static uint64_t clock_of(clockid_t id) {
  struct timespec time;
  clock_gettime(id, &time);
  return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* Under the lock or not: `lock_is_held`. */
static void note(check_host *host, uint32_t kind, uint32_t attempt, const char *function, int lock_is_held) {
  if (!lock_is_held) pthread_mutex_lock(&host->lock);
  int is_known = 0;
  for (uint32_t i = 0; i < host->fault_count; i++)
    is_known |= host->faults[i].kind == kind && strcmp(host->faults[i].function, function) == 0;
  if (!is_known && host->fault_count < FAULTS) host->faults[host->fault_count++] = (check_fault){kind, attempt, function};
  if (!lock_is_held) pthread_mutex_unlock(&host->lock);
}

int check_next_fault(check_host *host, check_fault *fault) {
  pthread_mutex_lock(&host->lock);
  const int is_there = host->told_count < host->fault_count;
  if (is_there) *fault = host->faults[host->told_count++];
  pthread_mutex_unlock(&host->lock);
  return is_there;
}

/* The host of a table that a plugin hands back. */
static check_host *host_of(const millrace_host *table, const char *function) {
  check_host *host = table->context;
  if (atomic_load(&host->is_closed)) note(host, CHECK_AFTER_DEINIT, 0, function, 0);
  if (current && current->host != host) note(current->host, CHECK_OTHER_HOST, current->number, function, 0);
  return host;
}

/* Whether the attempt may be used by this thread; `needs_worker`: [worker, and any while pending]. */
static int is_usable(const millrace_attempt *attempt, const char *function, int needs_worker) {
  check_host *host = attempt->host;
  if (atomic_load(&host->is_closed)) {
    note(host, CHECK_AFTER_DEINIT, attempt->number, function, 0);
    return 0;
  }
  if (current && current->host != host) note(current->host, CHECK_OTHER_HOST, current->number, function, 0);
  if (atomic_load(&attempt->is_over)) {
    note(host, CHECK_ATTEMPT_OVER, attempt->number, function, 0);
    return 0;
  }
  if (needs_worker && !atomic_load(&attempt->is_issued) && attempt->runner != thread_id())
    note(host, CHECK_WRONG_THREAD, attempt->number, function, 0);
  return 1;
}

static int is_null(const millrace_attempt *attempt, const void *pointer, const char *function) {
  if (pointer) return 0;
  note(attempt->host, CHECK_NULL, attempt->number, function, 0);
  return 1;
}

/* The table. */

static uint64_t table_now(const millrace_host *table) {
  return clock_of(CLOCK_MONOTONIC) + atomic_load(&host_of(table, "now")->added);
}

static const char *table_setting(const millrace_host *table, const char *key) {
  check_host *host = host_of(table, "setting");
  if (!key) {
    note(host, CHECK_NULL, 0, "setting", 0);
    return NULL;
  }
  for (uint32_t i = 0; i + 1 < host->setting_count; i += 2)
    if (strcmp(host->settings[i], key) == 0) return host->settings[i + 1];
  return NULL;
}

/* Kept nowhere; but read, as a log would. */
static void table_log(const millrace_host *table, uint32_t level, const char *line) {
  check_host *host = host_of(table, "log");
  (void)level;
  if (line) atomic_fetch_add(&host->logged, strlen(line));
  else note(host, CHECK_NULL, 0, "log", 0);
}

static uint32_t table_input_count(const millrace_attempt *attempt) {
  return is_usable(attempt, "input_count", 1) ? attempt->worker->input_count : 0;
}

static int32_t write_input(const millrace_input *found, millrace_input *given) {
  const uint32_t size = given->size;
  if (size < FIRST_INPUT) return -1;
  memcpy(given, found, size < sizeof *found ? size : sizeof *found);
  given->size = size;
  return 0;
}

static int32_t table_input(const millrace_attempt *attempt, uint32_t index, millrace_input *given) {
  if (!is_usable(attempt, "input", 1) || is_null(attempt, given, "input") || index >= attempt->worker->input_count) return -1;
  return write_input(&attempt->worker->inputs[index].value, given);
}

static void *table_claim(millrace_attempt *attempt, uint64_t length, uint32_t content_type, millrace_payload *payload) {
  if (!is_usable(attempt, "claim", 1) || is_null(attempt, payload, "claim") || length > MILLRACE_INLINE_BYTES) return NULL;
  check_host *host = attempt->host;
  pthread_mutex_lock(&host->lock);
  char *bytes = NULL;
  if (host->claim_count < CLAIMS) {
    claim *made = &host->claims[host->claim_count];
    const uint64_t room = (length + 15) / 16 * 16;
    if (!host->measures) {
      made->block = guard_make(GUARD_CLAIM, length, 16);
      if (made->block) bytes = guard_bytes(made->block);
    } else if (room <= ARENA - host->arena_used) {
      made->block = NULL;
      bytes = host->arena + host->arena_used;
      host->arena_used += room;
    }
    if (bytes) {
      made->bytes = bytes;
      made->length = length;
      made->next = attempt->claims;
      attempt->claims = made;
      *payload = (millrace_payload){.offset = OFFSET, .length = length, .arena = ++host->claim_count, .content_type = content_type};
    }
  }
  pthread_mutex_unlock(&host->lock);
  return bytes;
}

static int32_t table_cancelled(const millrace_attempt *attempt) {
  if (!is_usable(attempt, "cancelled", 0)) return 1;
  ((millrace_attempt *)attempt)->asked_cancelled = 1;
  return atomic_load(&attempt->is_cancelled);
}

static void table_heartbeat(millrace_attempt *attempt, uint32_t progress) {
  (void)progress;
  is_usable(attempt, "heartbeat", 1);
}

static millrace_token table_token(millrace_attempt *attempt) {
  if (!is_usable(attempt, "token", 0)) return 0;
  if (attempt->has_returned) {
    note(attempt->host, CHECK_LATE_TOKEN, attempt->number, "token", 0);
    return 0;
  }
  if (attempt->runner != thread_id()) note(attempt->host, CHECK_WRONG_THREAD, attempt->number, "token", 0);
  atomic_store(&attempt->is_issued, 1);
  return ((uint64_t)0x70 << 56) | attempt->number;
}

static void keep(millrace_attempt *attempt, const millrace_outcome *outcome, uint32_t status);

static int32_t end_by(const millrace_host *table, millrace_token token, const millrace_outcome *outcome, const char *function) {
  check_host *host = host_of(table, function);
  if (!outcome) {
    note(host, CHECK_NULL, 0, function, 0);
    return -1;
  }
  int32_t result = -1;
  pthread_mutex_lock(&host->lock);
  const uint32_t number = (uint32_t)token;
  millrace_attempt *attempt = token >> 56 == 0x70 && number > 0 && number <= host->attempt_count ? &host->attempts[number - 1] : NULL;
  if (!attempt || !atomic_load(&attempt->is_issued)) {
    note(host, CHECK_NO_TOKEN, 0, function, 1);
  } else if (attempt->is_completed) {
    note(host, CHECK_TWICE, number, function, 1);
  } else if (atomic_load(&attempt->is_over)) {
    note(host, CHECK_ENDED_BY_RETURN, number, function, 1);
  } else {
    keep(attempt, outcome, outcome->status);
    attempt->is_completed = 1;
    if (attempt->has_returned) atomic_store(&attempt->is_over, 1);
    pthread_cond_broadcast(&host->changed);
    result = 0;
  }
  pthread_mutex_unlock(&host->lock);
  return result;
}

static int32_t table_complete(const millrace_host *table, millrace_token token, const millrace_outcome *outcome) {
  return end_by(table, token, outcome, "complete");
}

/* The host's clock goes on by itself: nothing is waited for. */
static int32_t table_complete_after(const millrace_host *table, millrace_token token, uint64_t delay, const millrace_outcome *outcome) {
  const int32_t result = end_by(table, token, outcome, "complete_after");
  if (result == 0) atomic_fetch_add(&((check_host *)table->context)->added, delay < 3600 * SECOND ? delay : 3600 * SECOND);
  return result;
}

/* The extensions. */

static const char *const variable[] = {"MILLRACE_CHECK", "a value"};

static uint32_t environment_count(const millrace_attempt *attempt) { return is_usable(attempt, "environment.count", 1) ? 1 : 0; }

static int32_t environment_at(const millrace_attempt *attempt, uint32_t index, const char **name, const char **value) {
  if (!is_usable(attempt, "environment.at", 1) || index > 0) return -1;
  if (name) *name = variable[0];
  if (value) *value = variable[1];
  return 0;
}

static const char *environment_get(const millrace_attempt *attempt, const char *name) {
  if (!is_usable(attempt, "environment.get", 1) || is_null(attempt, name, "environment.get")) return NULL;
  return strcmp(name, variable[0]) == 0 ? variable[1] : NULL;
}

static size_t environment_redact(const millrace_host *table, char *bytes, size_t length) {
  host_of(table, "environment.redact");
  (void)bytes;
  return length;
}

static int64_t items_count(const millrace_attempt *attempt, uint32_t index) {
  (void)index;
  is_usable(attempt, "items.count", 1);
  return -1;
}

static int32_t items_item(const millrace_attempt *attempt, uint32_t index, uint32_t item, millrace_input *output) {
  (void)index, (void)item, (void)output;
  is_usable(attempt, "items.item", 1);
  return -1;
}

/* A handler is called with a task here, not with a message. */
static int32_t deliveries_read(const millrace_attempt *attempt, millrace_delivery *delivery) {
  if (is_usable(attempt, "deliveries.read", 1)) is_null(attempt, delivery, "deliveries.read");
  return -1;
}

static int32_t deliveries_header(const millrace_attempt *attempt, uint32_t index, const char **name, const char **value) {
  (void)index, (void)name, (void)value;
  is_usable(attempt, "deliveries.header", 1);
  return -1;
}

static int32_t trace_parent(const millrace_attempt *attempt, char text[MILLRACE_TRACEPARENT_BYTES]) {
  if (!is_usable(attempt, "trace.traceparent", 1) || is_null(attempt, text, "trace.traceparent")) return -1;
  memcpy(text, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", MILLRACE_TRACEPARENT_BYTES);
  return 0;
}

static int32_t random_fill(const millrace_host *table, void *bytes, size_t length) {
  check_host *host = host_of(table, "random.fill");
  if (length > MILLRACE_RANDOM_BYTES) return -1;
  pthread_mutex_lock(&host->lock);
  for (size_t i = 0; i < length; i++) {
    host->random = host->random * 6364136223846793005ull + 1442695040888963407ull;
    ((unsigned char *)bytes)[i] = (unsigned char)(host->random >> 56);
  }
  pthread_mutex_unlock(&host->lock);
  return 0;
}

static uint32_t broker_claim(const millrace_host *table, const millrace_attempt *attempt, uint64_t length, const millrace_publication *message,
                             millrace_draft *draft, void **bytes) {
  check_host *host = host_of(table, "broker.claim");
  if (attempt && !is_usable(attempt, "broker.claim", 0)) return MILLRACE_PUBLISH_CLOSED;
  if (!message || message->size < sizeof *message || !draft || !bytes) return MILLRACE_PUBLISH_MALFORMED;
  if (length > MILLRACE_INLINE_BYTES) return MILLRACE_PUBLISH_TOO_LARGE;
  uint32_t code = MILLRACE_PUBLISH_NO_MEMORY;
  pthread_mutex_lock(&host->lock);
  for (uint32_t i = 0; i < DRAFTS && code == MILLRACE_PUBLISH_NO_MEMORY; i++) {
    if (host->drafts[i].block) continue;
    host->drafts[i].block = guard_make(GUARD_DRAFT, length, 16);
    if (!host->drafts[i].block) break;
    *draft = (uint64_t)++host->drafts[i].generation << 32 | (i + 1);
    *bytes = guard_bytes(host->drafts[i].block);
    host->draft_count++;
    code = MILLRACE_PUBLISH_DONE;
  }
  pthread_mutex_unlock(&host->lock);
  return code;
}

static uint32_t broker_end(const millrace_host *table, millrace_draft draft, const char *function) {
  check_host *host = host_of(table, function);
  const uint32_t index = (uint32_t)draft - 1;
  uint32_t code = MILLRACE_PUBLISH_MALFORMED;
  pthread_mutex_lock(&host->lock);
  if (index < DRAFTS && host->drafts[index].block && host->drafts[index].generation == draft >> 32) {
    guard_retire(host->drafts[index].block);
    host->drafts[index].block = NULL;
    host->draft_count--;
    code = MILLRACE_PUBLISH_DONE;
  } else {
    note(host, CHECK_NO_DRAFT, 0, function, 1);
  }
  pthread_mutex_unlock(&host->lock);
  return code;
}

static uint32_t broker_publish(const millrace_host *table, millrace_draft draft, uint32_t *queues) {
  const uint32_t code = broker_end(table, draft, "broker.publish");
  if (queues) *queues = code == MILLRACE_PUBLISH_DONE;
  return code;
}

static void broker_drop(const millrace_host *table, millrace_draft draft) { broker_end(table, draft, "broker.drop"); }

static const millrace_environment environment_table = {.size = sizeof environment_table, .count = environment_count, .at = environment_at,
                                                       .get = environment_get, .redact = environment_redact};
static const millrace_items items_table = {.size = sizeof items_table, .count = items_count, .item = items_item};
static const millrace_deliveries delivery_table = {.size = sizeof delivery_table, .read = deliveries_read, .header = deliveries_header};
static const millrace_trace trace_table = {.size = sizeof trace_table, .traceparent = trace_parent};
static const millrace_random random_table = {.size = sizeof random_table, .fill = random_fill};
static const millrace_broker broker_table = {.size = sizeof broker_table, .claim = broker_claim, .publish = broker_publish, .drop = broker_drop};

static const void *no_extension(const millrace_host *table, const char *id) {
  check_host *host = host_of(table, "extension");
  if (!id) note(host, CHECK_NULL, 0, "extension", 0);
  return NULL;
}

static const void *table_extension(const millrace_host *table, const char *id) {
  static const struct {
    const char *id;
    const void *table;
  } all[] = {{MILLRACE_ENVIRONMENT, &environment_table}, {MILLRACE_ITEMS, &items_table}, {MILLRACE_TRACE, &trace_table},
             {MILLRACE_RANDOM, &random_table}, {MILLRACE_BROKER, &broker_table},
             {MILLRACE_DELIVERY, &delivery_table}};
  no_extension(table, id);
  for (size_t i = 0; id && i < sizeof all / sizeof *all; i++)
    if (strcmp(id, all[i].id) == 0) return all[i].table;
  return NULL;
}

/* Hosts. */

static void *reserve(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

/* A host is never freed: what comes too late is to find it. */
check_host *check_host_make(int bare, const char *const *settings, uint32_t count) {
  check_host *host = reserve(sizeof *host);
  if (!host) return NULL;
  host->attempts = reserve(ATTEMPTS * sizeof(millrace_attempt));
  host->claims = reserve(CLAIMS * sizeof(claim));
  host->arena = reserve(ARENA);
  host->settings = calloc(count + 1, sizeof *host->settings);
  if (!host->attempts || !host->claims || !host->arena || !host->settings) return NULL;
  for (uint32_t i = 0; i < count; i++) host->settings[i] = strdup(settings[i]);
  host->setting_count = count;
  host->random = 1;
  pthread_mutex_init(&host->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&host->changed, &attributes);
  host->table = (millrace_host){.size = sizeof host->table, .abi_version = MILLRACE_ABI_VERSION, .name = "millrace-check", .version = "0.1.0",
                                .context = host, .now = table_now, .setting = table_setting, .log = table_log,
                                .input_count = table_input_count, .input = table_input, .claim = table_claim, .cancelled = table_cancelled,
                                .heartbeat = table_heartbeat, .token = table_token, .complete = table_complete,
                                .complete_after = table_complete_after, .extension = bare ? no_extension : table_extension};
  return host;
}

const millrace_host *check_host_table(const check_host *host) { return &host->table; }

void check_host_close(check_host *host) {
  atomic_store(&host->is_closed, 1);
  pthread_mutex_lock(&host->lock);
  if (host->draft_count > 0) note(host, CHECK_LEFT_DRAFTS, 0, "broker.claim", 1);
  pthread_mutex_unlock(&host->lock);
}

void check_host_measure(check_host *host, int measures) { host->measures = measures; }

/* Attempts. All under the lock. */

static uint32_t payload_state(const millrace_attempt *attempt, const millrace_payload *payload, const claim **found) {
  *found = NULL;
  if (payload->arena == 0) return payload->length == 0 ? CHECK_EMPTY : CHECK_UNCLAIMED;
  if (payload->arena > attempt->host->claim_count) return CHECK_UNCLAIMED;
  const claim *named = &attempt->host->claims[payload->arena - 1];
  for (const claim *own = attempt->claims; own; own = own->next) {
    if (own != named || payload->offset < OFFSET) continue;
    *found = own;
    const uint64_t from = payload->offset - OFFSET;
    return from <= own->length && payload->length <= own->length - from ? CHECK_CLAIMED : CHECK_TOO_LONG;
  }
  return CHECK_UNCLAIMED;
}

/* How it ended, copied while everything is there. */
static void keep(millrace_attempt *attempt, const millrace_outcome *outcome, uint32_t status) {
  check_result *kept = &attempt->worker->kept;
  const claim *found;
  kept->status = status;
  kept->details_state = payload_state(attempt, &outcome->details, &found);
  kept->output_state = payload_state(attempt, &outcome->output, &found);
  kept->output = kept->output_state == CHECK_CLAIMED ? found->bytes + (outcome->output.offset - OFFSET) : NULL;
  kept->claimed_length = found ? found->length : 0;
  kept->output_length = outcome->output.length;
  kept->content_type = outcome->output.content_type;
  memcpy(kept->error_type, outcome->error_type, sizeof kept->error_type);
  kept->message_length = 0;
  if (outcome->message_length >= MILLRACE_MESSAGE_BYTES) kept->damage |= CHECK_MESSAGE_LONG;
  else if (outcome->message) {
    kept->message_length = outcome->message_length;
    memcpy(kept->message, outcome->message, outcome->message_length);
  }
  for (const claim *own = attempt->claims; own; own = own->next)
    if (own->block && !guard_is_whole(own->block)) kept->damage |= CHECK_CLAIM_OVERRUN;
}

/* A new attempt in the place of the worker's last one. NULL: there have been too many. */
static millrace_attempt *new_attempt(check_worker *worker) {
  check_host *host = worker->host;
  if (host->attempt_count == ATTEMPTS) return NULL;
  millrace_attempt *attempt = &host->attempts[host->attempt_count++];
  *attempt = (millrace_attempt){.host = host, .worker = worker, .number = host->attempt_count, .runner = thread_id()};
  atomic_store(&attempt->is_cancelled, worker->cancelled);
  if (host->measures) host->arena_used = 0, host->claim_count = 0;
  worker->attempt = attempt;
  /* The text of a message is long, and read as far as it goes. */
  memset(&worker->kept, 0, offsetof(check_result, message));
  pthread_cond_broadcast(&host->changed);
  return attempt;
}

/* Runs one attempt as far as its handler does. On the worker's thread, without the lock. */
static void run(check_worker *worker, millrace_attempt *attempt) {
  check_host *host = worker->host;
  millrace_outcome *outcome = guard_bytes(worker->outcome);
  memset(outcome, 0, sizeof *outcome);
  outcome->size = sizeof *outcome;
  outcome->message = guard_bytes(worker->message);
  outcome->message_capacity = MILLRACE_MESSAGE_BYTES;
  worker->call = (millrace_call){.size = sizeof worker->call, .attempt_number = 1, .attempt = attempt, .host = &host->table, .task_key = "run-1/check",
                                 .task_id = "check", .deadline = 0};
  struct rusage before, after;
  getrusage(RUSAGE_THREAD, &before);
  const uint64_t cpu = clock_of(CLOCK_THREAD_CPUTIME_ID), start = clock_of(CLOCK_MONOTONIC);
  current = attempt;
  const uint32_t returned = worker->handler->run(worker->handler->context, &worker->call, outcome);
  current = NULL;
  const uint64_t wall = clock_of(CLOCK_MONOTONIC) - start, used = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
  getrusage(RUSAGE_THREAD, &after);
  pthread_mutex_lock(&host->lock);
  check_result *kept = &worker->kept;
  kept->returned = returned;
  kept->wall = wall;
  kept->cpu = used;
  kept->waits = (uint64_t)(after.ru_nvcsw - before.ru_nvcsw);
  kept->was_pending = returned == MILLRACE_PENDING;
  attempt->has_returned = 1;
  if (returned != MILLRACE_PENDING) {
    if (attempt->is_completed) note(host, CHECK_ENDED_BY_RETURN, attempt->number, "complete", 1);
    keep(attempt, outcome, returned);
    atomic_store(&attempt->is_over, 1);
  } else if (attempt->is_completed) {
    atomic_store(&attempt->is_over, 1);
  }
  pthread_cond_broadcast(&host->changed);
  pthread_mutex_unlock(&host->lock);
}

static void give_back(millrace_attempt *attempt) {
  for (claim *own = attempt->claims; own; own = own->next)
    if (own->block) guard_retire(own->block);
  attempt->claims = NULL;
}

/* Waits for the end of an attempt under the lock; whether it has ended. */
static int wait_until(check_host *host, const millrace_attempt *attempt, uint64_t patience) {
  const uint64_t due = clock_of(CLOCK_MONOTONIC) + patience;
  const struct timespec time = {(time_t)(due / SECOND), (long)(due % SECOND)};
  while (!atomic_load(&attempt->is_over))
    if (pthread_cond_timedwait(&host->changed, &host->lock, &time) != 0) return atomic_load(&attempt->is_over);
  return 1;
}

/* Whether it has ended, perhaps after it was cancelled. Under the lock. */
static int await(check_host *host, millrace_attempt *attempt, uint64_t patience) {
  if (wait_until(host, attempt, patience)) return 1;
  atomic_store(&attempt->is_cancelled, 1);
  return wait_until(host, attempt, patience);
}

static void repeat(check_worker *worker) {
  check_host *host = worker->host;
  if (worker->meter) worker->meter(worker->context, 0);
  uint64_t ended = 0;
  for (; ended < worker->times; ended++) {
    pthread_mutex_lock(&host->lock);
    millrace_attempt *attempt = new_attempt(worker);
    pthread_mutex_unlock(&host->lock);
    if (!attempt) break;
    run(worker, attempt);
    int is_over = atomic_load(&attempt->is_over);
    if (!is_over) {
      pthread_mutex_lock(&host->lock);
      is_over = await(host, attempt, worker->patience);
      pthread_mutex_unlock(&host->lock);
    }
    if (!is_over) break;
    if (worker->walls) worker->walls[ended] = worker->kept.wall;
    pthread_mutex_lock(&host->lock);
    give_back(attempt);
    pthread_mutex_unlock(&host->lock);
  }
  if (worker->meter) worker->meter(worker->context, 1);
  worker->ended = ended;
}

/* Workers. */

static void *work(void *context) {
  check_worker *worker = context;
  check_host *host = worker->host;
  guard_thread();
  pthread_mutex_lock(&host->lock);
  for (;;) {
    while (worker->command == WAIT) pthread_cond_wait(&host->changed, &host->lock);
    if (worker->command == LEAVE) break;
    const enum command command = worker->command;
    if (command == RUN) {
      millrace_attempt *attempt = new_attempt(worker);
      pthread_mutex_unlock(&host->lock);
      if (attempt) run(worker, attempt);
      /* What the handler got for the call is gone with it, but for what belongs to the attempt. */
      if (!host->measures) guard_shut(worker->outcome), guard_shut(worker->message);
    } else {
      pthread_mutex_unlock(&host->lock);
      repeat(worker);
    }
    pthread_mutex_lock(&host->lock);
    worker->command = WAIT;
    pthread_cond_broadcast(&host->changed);
  }
  pthread_mutex_unlock(&host->lock);
  return NULL;
}

check_worker *check_worker_make(check_host *host, uint64_t stack) {
  check_worker *worker = reserve(sizeof *worker);
  if (!worker) return NULL;
  worker->host = host;
  worker->outcome = guard_make(GUARD_OUTCOME, sizeof(millrace_outcome), 16);
  worker->message = guard_make(GUARD_MESSAGE, MILLRACE_MESSAGE_BYTES, 16);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (!worker->outcome || !worker->message || pthread_attr_setstacksize(&attributes, stack) != 0 ||
      pthread_create(&worker->thread, &attributes, work, worker) != 0)
    worker = NULL;
  pthread_attr_destroy(&attributes);
  return worker;
}

static void command(check_worker *worker, enum command command) {
  worker->command = command;
  pthread_cond_broadcast(&worker->host->changed);
}

static void forget_inputs(check_worker *worker) {
  for (uint32_t i = 0; i < worker->input_count; i++) guard_retire(worker->inputs[i].block);
  worker->input_count = 0;
}

void check_worker_end(check_worker *worker) {
  pthread_mutex_lock(&worker->host->lock);
  forget_inputs(worker);
  command(worker, LEAVE);
  pthread_mutex_unlock(&worker->host->lock);
  pthread_join(worker->thread, NULL);
  guard_retire(worker->outcome);
  guard_retire(worker->message);
}

static int take_inputs(check_worker *worker, const check_bytes *inputs, uint32_t count) {
  static const char *const names[INPUTS] = {"input", "first", "second", "third", "fourth", "fifth", "sixth", "seventh"};
  forget_inputs(worker);
  for (uint32_t i = 0; i < count && i < INPUTS; i++) {
    guard *block = guard_make(GUARD_INPUT, inputs[i].length, 1);
    if (!block) return 0;
    if (inputs[i].length > 0) memcpy(guard_bytes(block), inputs[i].bytes, inputs[i].length);
    guard_read_only(block);
    worker->inputs[i] = (input){block, {.size = sizeof(millrace_input),
                                        .payload = {.length = inputs[i].length, .content_type = inputs[i].content_type},
                                        .bytes = guard_bytes(block), .name = names[i]}};
    worker->input_count = i + 1;
  }
  return 1;
}

static int prepare(check_worker *worker, const millrace_handler *handler, const check_bytes *inputs, uint32_t count, int cancelled) {
  if (!take_inputs(worker, inputs, count)) return 0;
  guard_open(worker->outcome);
  guard_open(worker->message);
  worker->handler = handler;
  worker->cancelled = cancelled;
  worker->attempt = NULL;
  return 1;
}

int check_begin(check_worker *worker, const millrace_handler *handler, const check_bytes *inputs, uint32_t count, int cancelled) {
  check_host *host = worker->host;
  pthread_mutex_lock(&host->lock);
  const int is_ready = host->attempt_count < ATTEMPTS && prepare(worker, handler, inputs, count, cancelled);
  if (is_ready) {
    command(worker, RUN);
    while (!worker->attempt) pthread_cond_wait(&host->changed, &host->lock);
  }
  pthread_mutex_unlock(&host->lock);
  return is_ready;
}

void check_await(check_worker *worker, uint64_t patience, check_result *result) {
  check_host *host = worker->host;
  pthread_mutex_lock(&host->lock);
  const int is_over = await(host, worker->attempt, patience);
  /* The thread is done with it in a moment. */
  while (worker->attempt->has_returned && worker->command != WAIT) pthread_cond_wait(&host->changed, &host->lock);
  *result = worker->kept;
  result->asked_cancelled = (uint32_t)worker->attempt->asked_cancelled;
  result->state = is_over ? CHECK_ENDED : worker->attempt->has_returned ? CHECK_UNFINISHED : CHECK_RUNS;
  pthread_mutex_unlock(&host->lock);
}

void check_let_go(check_worker *worker) {
  pthread_mutex_lock(&worker->host->lock);
  give_back(worker->attempt);
  forget_inputs(worker);
  pthread_mutex_unlock(&worker->host->lock);
}

uint64_t check_repeat(check_worker *worker, const millrace_handler *handler, const check_bytes *inputs, uint32_t count, uint64_t times, uint64_t patience,
                      uint64_t *walls, void (*meter)(void *context, int isAfter), void *context) {
  check_host *host = worker->host;
  pthread_mutex_lock(&host->lock);
  uint64_t ended = 0;
  if (prepare(worker, handler, inputs, count, 0)) {
    worker->times = times;
    worker->patience = patience;
    worker->walls = walls;
    worker->meter = meter;
    worker->context = context;
    command(worker, REPEAT);
    while (worker->command != WAIT) pthread_cond_wait(&host->changed, &host->lock);
    ended = worker->ended;
    forget_inputs(worker);
  }
  pthread_mutex_unlock(&host->lock);
  return ended;
}
