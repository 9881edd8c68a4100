/*
 * A small real host for one attempt of one handler: loads a plugin, gives it inputs, prints how the attempt ended.
 *
 *   host PLUGIN.so HANDLER [--set KEY=VALUE] [--input NAME:json|bytes:FILE] [--output FILE] [--details FILE]
 *        [--variable NAME=VALUE] [--cancel-after MS] [--deadline MS] [--mutate SEED:COUNT] [--together COUNT]
 *
 * Inputs lie in blocks of exactly their size, so that a sanitizer sees every read beyond them. --mutate runs COUNT attempts on damaged
 * copies of the inputs and asks only that each ends with a status, and says a reason where that is not DONE.
 * --together runs COUNT attempts at once in as many threads.
 * stdout: one line each `status`, `error`, `message`, `wall` and `cpu` (seconds), `beats`.
 */
#include <dlfcn.h>
#include <millrace/plugin.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 512, CLAIMS = 8 };

struct millrace_attempt {
  struct {
    char name[128];
    uint32_t type;
    size_t length;
    void *bytes;
  } inputs[MOST];
  uint32_t input_count;
  void *claims[CLAIMS];
  uint32_t claim_count;
  uint64_t begin, cancel_at, deadline;
  uint32_t beats;
  /* what a completion left */
  int completed;
  uint64_t complete_at;
  millrace_outcome completion;
};

static struct {
  const char *key, *value;
} settings[MOST];
static uint32_t setting_count;
/* Variables of the task; each value counts as a secret. */
static struct {
  char *name, *value;
} variables[MOST];
static uint32_t variable_count;
static millrace_attempt *current;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "host: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  exit(70);
}

static uint64_t clock_of(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t host_now(const millrace_host *host) {
  (void)host;
  return clock_of(CLOCK_MONOTONIC);
}

static const char *host_setting(const millrace_host *host, const char *key) {
  (void)host;
  for (uint32_t i = 0; i < setting_count; i++)
    if (strcmp(settings[i].key, key) == 0) return settings[i].value;
  return NULL;
}

static void host_log(const millrace_host *host, uint32_t level, const char *line) {
  (void)host;
  fprintf(stderr, "log %u: %s\n", level, line);
}
static uint32_t host_input_count(const millrace_attempt *a) { return a->input_count; }

static int32_t host_input(const millrace_attempt *a, uint32_t index, millrace_input *input) {
  if (index >= a->input_count) return -1;
  if (input->size < sizeof *input) die("a handler asked for an input without its size");
  input->payload =
      (millrace_payload){.offset = index, .length = a->inputs[index].length, .arena = 1, .content_type = a->inputs[index].type};
  input->bytes = a->inputs[index].bytes;
  input->name = a->inputs[index].name;
  return 0;
}

static void *host_claim(millrace_attempt *a, uint64_t length, uint32_t type, millrace_payload *payload) {
  if (length > MILLRACE_INLINE_BYTES || a->claim_count == CLAIMS) return NULL;
  void *bytes = aligned_alloc(16, (length + 31) / 16 * 16);
  *payload = (millrace_payload){.offset = a->claim_count, .length = length, .arena = 2, .content_type = type};
  return a->claims[a->claim_count++] = bytes;
}

static int32_t host_cancelled(const millrace_attempt *a) {
  const uint64_t now = clock_of(CLOCK_MONOTONIC);
  return (a->cancel_at && now >= a->cancel_at) || (a->deadline && now >= a->deadline);
}

static void host_heartbeat(millrace_attempt *a, uint32_t progress) {
  if (progress > 1000) die("progress %u", progress);
  a->beats++;
}

static millrace_token host_token(millrace_attempt *a) {
  (void)a;
  return 7;
}

static int32_t host_complete_after(const millrace_host *host, millrace_token token, uint64_t delay, const millrace_outcome *outcome) {
  (void)host;
  pthread_mutex_lock(&mutex);
  const int taken = token == 7 && !current->completed;
  if (taken) {
    current->completed = 1;
    current->complete_at = clock_of(CLOCK_MONOTONIC) + delay;
    current->completion = *outcome;
    pthread_cond_signal(&changed);
  }
  pthread_mutex_unlock(&mutex);
  return taken ? 0 : -1;
}

static int32_t host_complete(const millrace_host *host, millrace_token token, const millrace_outcome *outcome) {
  return host_complete_after(host, token, 0, outcome);
}

static uint32_t variables_count(const millrace_attempt *a) {
  (void)a;
  return variable_count;
}

static int32_t variables_at(const millrace_attempt *a, uint32_t index, const char **name, const char **value) {
  (void)a;
  if (index >= variable_count) return -1;
  *name = variables[index].name;
  *value = variables[index].value;
  return 0;
}

static const char *variables_get(const millrace_attempt *a, const char *name) {
  (void)a;
  for (uint32_t i = 0; i < variable_count; i++)
    if (!strcmp(variables[i].name, name)) return variables[i].value;
  return NULL;
}

static size_t variables_redact(const millrace_host *host, char *bytes, size_t length) {
  (void)host;
  for (uint32_t i = 0; i < variable_count; i++) {
    const size_t secret = strlen(variables[i].value);
    for (char *at; secret >= 4 && (at = memmem(bytes, length, variables[i].value, secret)) != NULL; length -= secret - 3) {
      memcpy(at, "***", 3);
      memmove(at + 3, at + secret, length - (size_t)(at - bytes) - secret);
    }
  }
  return length;
}

static const millrace_environment environment = {sizeof(millrace_environment), 0, variables_count, variables_at, variables_get,
                                                 variables_redact};

/* A host without variables is one that knows nothing of them. */
static const void *host_extension(const millrace_host *host, const char *id) {
  (void)host;
  return variable_count > 0 && !strcmp(id, MILLRACE_ENVIRONMENT) ? &environment : NULL;
}

static const millrace_host host = {sizeof(millrace_host),
                                   MILLRACE_ABI_VERSION,
                                   "plugin-checks",
                                   "0",
                                   NULL,
                                   host_now,
                                   host_setting,
                                   host_log,
                                   host_input_count,
                                   host_input,
                                   host_claim,
                                   host_cancelled,
                                   host_heartbeat,
                                   host_token,
                                   host_complete,
                                   host_complete_after,
                                   host_extension};

static void read_input(millrace_attempt *a, const char *spec) {
  char name[128], type[16], path[1024];
  if (a->input_count == MOST || sscanf(spec, "%127[^:]:%15[^:]:%1023[^\n]", name, type, path) != 3)
    die("--input NAME:TYPE:FILE, not %s", spec);
  FILE *file = fopen(path, "rb");
  if (!file) die("cannot open %s", path);
  fseek(file, 0, SEEK_END);
  const size_t length = (size_t)ftell(file);
  rewind(file);
  void *bytes = malloc(length ? length : 1);
  if (fread(bytes, 1, length, file) != length) die("cannot read %s", path);
  fclose(file);
  snprintf(a->inputs[a->input_count].name, sizeof name, "%s", name);
  a->inputs[a->input_count].type = strcmp(type, "json") == 0 ? MILLRACE_JSON : MILLRACE_BYTES;
  a->inputs[a->input_count].length = length;
  a->inputs[a->input_count++].bytes = bytes;
}

static void write_payload(const millrace_attempt *a, const millrace_payload *payload, const char *path) {
  if (!path || payload->arena != 2) return;
  if (payload->offset >= a->claim_count) die("a payload that was not claimed");
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(a->claims[payload->offset], 1, payload->length, file) != payload->length) die("cannot write %s", path);
  fclose(file);
}

/* One attempt, waited for to its end. */
static uint32_t run(const millrace_handler *handler, millrace_attempt *a, millrace_outcome *outcome, char *message) {
  memset(outcome, 0, sizeof *outcome);
  outcome->size = sizeof *outcome;
  outcome->message = message;
  outcome->message_capacity = MILLRACE_MESSAGE_BYTES;
  const millrace_call call = {.size = sizeof call,
                              .attempt_number = 1,
                              .attempt = a,
                              .host = &host,
                              .task_key = "run/task",
                              .task_id = "task",
                              .deadline = a->deadline};
  pthread_mutex_lock(&mutex);
  current = a;
  pthread_mutex_unlock(&mutex);
  uint32_t status = handler->run(handler->context, &call, outcome);
  if (status == MILLRACE_PENDING) {
    pthread_mutex_lock(&mutex);
    while (!a->completed) pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    while (clock_of(CLOCK_MONOTONIC) < a->complete_at && !host_cancelled(a)) nanosleep(&(struct timespec){0, 200000}, NULL);
    *outcome = a->completion;
    if (host_cancelled(a)) {
      outcome->status = MILLRACE_CANCELLED;
      outcome->message_length = (uint32_t)snprintf(message, MILLRACE_MESSAGE_BYTES, "cancelled while it was pending");
      snprintf(outcome->error_type, sizeof outcome->error_type, "cancelled");
    }
    status = outcome->status;
  }
  if (status != outcome->status) die("the handler returned %u, its outcome says %u", status, outcome->status);
  if (outcome->message_length >= MILLRACE_MESSAGE_BYTES || strlen(message) != outcome->message_length) die("the message's length is wrong");
  if (status != MILLRACE_DONE && (outcome->error_type[0] == 0 || outcome->message_length == 0))
    die("an end with status %u and no reason", status);
  if (status == MILLRACE_DONE && outcome->output.arena != 2 && (outcome->output.arena != 0 || outcome->output.length != 0))
    die("DONE with an output that was not claimed");
  return status;
}

static uint64_t random_next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

/* Damages a copy of one input: bytes changed, cut, doubled or made extreme. */
static void *damage(const void *bytes, size_t length, uint64_t *state, size_t *made) {
  unsigned char *copy = malloc(length + 65);
  memcpy(copy, bytes, length);
  *made = length;
  for (uint64_t n = 1 + random_next(state) % 4; n > 0 && *made > 0; n--) {
    const size_t at = random_next(state) % *made;
    switch (random_next(state) % 5) {
      case 0: copy[at] ^= (unsigned char)(1u << random_next(state) % 8); break;
      case 1: copy[at] = (unsigned char)random_next(state); break;
      case 2: copy[at] = random_next(state) % 2 ? 0xFF : 0; break;
      case 3: *made = at; break;
      default:
        if (*made - at > 1) memmove(copy + at, copy + at + 1, --*made - at);
    }
  }
  void *exact = malloc(*made ? *made : 1);
  memcpy(exact, copy, *made);
  free(copy);
  return exact;
}

static void mutate(const millrace_handler *handler, const millrace_attempt *sound, const char *spec) {
  unsigned long seed = 1, count = 1;
  if (sscanf(spec, "%lu:%lu", &seed, &count) != 2) die("--mutate SEED:COUNT");
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1, ends[5] = {0};
  char message[MILLRACE_MESSAGE_BYTES] = "";
  for (unsigned long i = 0; i < count; i++) {
    millrace_attempt *a = malloc(sizeof *a);
    millrace_outcome outcome;
    *a = *sound;
    const uint32_t victim = (uint32_t)(random_next(&state) % a->input_count);
    a->inputs[victim].bytes = damage(sound->inputs[victim].bytes, sound->inputs[victim].length, &state, &a->inputs[victim].length);
    message[0] = 0;
    ends[run(handler, a, &outcome, message) % 5]++;
    free(a->inputs[victim].bytes);
    for (uint32_t k = 0; k < a->claim_count; k++) free(a->claims[k]);
    free(a);
  }
  printf("mutated %lu: done %lu retry %lu failed %lu\n", count, (unsigned long)ends[0], (unsigned long)ends[2], (unsigned long)ends[3]);
}

/* One of several attempts at once; the inputs are shared, the claims are its own. */
struct together {
  const millrace_handler *handler;
  millrace_attempt attempt;
  uint32_t status;
};

static void *run_one(void *context) {
  struct together *t = context;
  char message[MILLRACE_MESSAGE_BYTES] = "";
  millrace_outcome outcome;
  t->status = run(t->handler, &t->attempt, &outcome, message);
  for (uint32_t k = 0; k < t->attempt.claim_count; k++) free(t->attempt.claims[k]);
  return NULL;
}

/* Runs the handler in so many threads at once: all must end alike. For handlers that end when they return. */
static void run_together(const millrace_handler *handler, const millrace_attempt *sound, unsigned count) {
  struct together *all = calloc(count, sizeof *all);
  pthread_t *threads = calloc(count, sizeof *threads);
  for (unsigned i = 0; i < count; i++) {
    all[i].handler = handler;
    all[i].attempt = *sound;
    if (pthread_create(&threads[i], NULL, run_one, &all[i])) die("no thread");
  }
  for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
  for (unsigned i = 1; i < count; i++)
    if (all[i].status != all[0].status) die("one ended with %u, another with %u", all[0].status, all[i].status);
  printf("status %s\nerror \nmessage %u at once\n", all[0].status == MILLRACE_DONE ? "done" : "other", count);
  free(all);
  free(threads);
}

int main(int argc, char **argv) {
  static millrace_attempt attempt;
  unsigned together = 0;
  const char *output = NULL, *details = NULL, *mutation = NULL;
  char message[MILLRACE_MESSAGE_BYTES] = "";
  millrace_outcome outcome;
  if (argc < 3) die("usage: host PLUGIN.so HANDLER [options]");
  attempt.begin = clock_of(CLOCK_MONOTONIC);
  for (int i = 3; i + 1 < argc; i += 2) {
    char *value = argv[i + 1];
    if (!strcmp(argv[i], "--set")) {
      char *equals = strchr(value, '=');
      if (!equals) die("--set KEY=VALUE");
      *equals = 0;
      settings[setting_count].key = value;
      settings[setting_count++].value = equals + 1;
    } else if (!strcmp(argv[i], "--input")) read_input(&attempt, value);
    else if (!strcmp(argv[i], "--variable")) {
      char *equals = strchr(value, '=');
      if (!equals || variable_count == MOST) die("--variable NAME=VALUE");
      *equals = 0;
      variables[variable_count].name = value;
      variables[variable_count++].value = equals + 1;
    } else if (!strcmp(argv[i], "--output")) output = value;
    else if (!strcmp(argv[i], "--details")) details = value;
    else if (!strcmp(argv[i], "--mutate")) mutation = value;
    else if (!strcmp(argv[i], "--together")) together = (unsigned)atol(value);
    else if (!strcmp(argv[i], "--cancel-after")) attempt.cancel_at = attempt.begin + (uint64_t)atol(value) * 1000000u;
    else if (!strcmp(argv[i], "--deadline")) attempt.deadline = attempt.begin + (uint64_t)atol(value) * 1000000u;
    else die("unknown option %s", argv[i]);
  }
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) die("%s", dlerror());
  millrace_plugin_entry_function entry;
  *(void **)&entry = dlsym(library, MILLRACE_ENTRY_NAME);
  if (!entry) die("no entry");
  if (entry(MILLRACE_ABI_VERSION + 1)) die("the plugin takes a version it does not know");
  const millrace_plugin *plugin = entry(MILLRACE_ABI_VERSION);
  if (!plugin || plugin->size != sizeof *plugin || plugin->abi_version != MILLRACE_ABI_VERSION) die("no plugin of this version");
  if (plugin->init && plugin->init(&host, message, sizeof message) != 0) {
    printf("status init\nerror init\nmessage %s\n", message);
    return 0;
  }
  const millrace_handler *handler = NULL;
  for (uint32_t i = 0; i < plugin->handler_count; i++)
    if (!strcmp(plugin->handlers[i]->name, argv[2])) handler = plugin->handlers[i];
  if (!handler || handler->size != sizeof *handler) die("no handler %s", argv[2]);
  if (mutation) {
    mutate(handler, &attempt, mutation);
  } else if (together) {
    run_together(handler, &attempt, together);
  } else {
    static const char *const words[] = {"done", "pending", "retry", "failed", "cancelled"};
    const uint64_t wall = clock_of(CLOCK_MONOTONIC), cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    const uint32_t status = run(handler, &attempt, &outcome, message);
    printf("status %s\nerror %s\nwall %.6f\ncpu %.6f\nbeats %u\nmessage %s\n", words[status % 5], outcome.error_type,
           (double)(clock_of(CLOCK_MONOTONIC) - wall) / 1e9, (double)(clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9, attempt.beats,
           message);
    write_payload(&attempt, &outcome.output, status == MILLRACE_DONE ? output : NULL);
    write_payload(&attempt, &outcome.details, details);
  }
  for (uint32_t k = 0; k < attempt.claim_count; k++) free(attempt.claims[k]);
  for (uint32_t k = 0; k < attempt.input_count; k++) free(attempt.inputs[k].bytes);
  if (plugin->deinit) plugin->deinit();
  dlclose(library);
  return 0;
}
