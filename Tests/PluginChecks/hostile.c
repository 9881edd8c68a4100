/* A plugin that does on purpose what plugins do by mistake, and worse: a handler for each. The tests of isolation compile it. */
#include <millrace/plugin.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <isolation.h>

static const millrace_host *host;

static uint32_t text(const millrace_call *call, millrace_outcome *outcome, const char *words) {
  char *bytes = call->host->claim(call->attempt, strlen(words), MILLRACE_TEXT, &outcome->output);
  if (!bytes) return MILLRACE_FAILED;
  memcpy(bytes, words, strlen(words));
  return MILLRACE_DONE;
}

/* Where the arena lies, which a claim tells. */
static char *arena(const millrace_call *call) {
  millrace_payload payload;
  char *bytes = call->host->claim(call->attempt, 16, MILLRACE_BYTES, &payload);
  return bytes - payload.offset;
}

static void push(const millrace_call *call, uint32_t what, uint32_t slot) {
  millrace_isolation_arena *a = (millrace_isolation_arena *)arena(call);
  uint64_t *ring = (uint64_t *)((char *)a + millrace_isolation_up(sizeof *a));
  for (uint32_t i = 0; i < 8; i++) {
    uint32_t tail = a->tail++;
    millrace_shared_store_long(&ring[tail % 16], (uint64_t)(tail + 1) << 32 | what << 16 | slot);
  }
}

#define HANDLER(name) static uint32_t run_##name(void *context, const millrace_call *call, millrace_outcome *outcome)
#define UNUSED (void)context, (void)call, (void)outcome

HANDLER(say) {
  (void)context;
  char words[256];
  millrace_input input = {.size = sizeof input};
  int n = snprintf(words, sizeof words, "%s %s %u", call->task_key, call->task_id, call->attempt_number);
  for (uint32_t i = 0; call->host->input(call->attempt, i, &input) == 0; i++)
    n += snprintf(words + n, sizeof words - n, " %s=%.*s", input.name, (int)input.payload.length, (const char *)input.bytes);
  return text(call, outcome, words);
}
HANDLER(crash) { UNUSED; *(volatile int *)8 = 1; return MILLRACE_DONE; }
HANDLER(leave) { UNUSED; exit(7); }
HANDLER(give_up) { UNUSED; abort(); }
HANDLER(hang) { UNUSED; for (;;) usleep(1000); }
HANDLER(stop) { UNUSED; raise(SIGSTOP); for (;;) usleep(1000); }
HANDLER(grow) {
  (void)context;
  for (size_t taken = 0;; taken += 1 << 20) {
    char *more = malloc(1 << 20);
    if (!more) return text(call, outcome, "no memory");
    memset(more, 1, 1 << 20);
  }
}
HANDLER(overflow) { char big[1 << 16]; memset(big, 1, sizeof big); return run_overflow(context, call, outcome) + (uint32_t)big[9]; }
HANDLER(shut) { UNUSED; for (int i = 0; i < 1024; i++) close(i); return MILLRACE_DONE; }
HANDLER(shoot) {
  UNUSED;
  char words[64];
  int failed = kill(getppid(), SIGKILL) ? errno : 0;
  snprintf(words, sizeof words, "%s", failed ? strerror(failed) : "done");
  return text(call, outcome, words);
}
HANDLER(breed) {
  UNUSED;
  for (int i = 0; i < 64; i++) {
    pid_t child = fork();
    if (child < 0) return text(call, outcome, strerror(errno));
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
  }
  return text(call, outcome, "bred");
}
HANDLER(scribble) { UNUSED; char *a = arena(call); memset(a + 128, 0xA5, 1 << 20); return MILLRACE_DONE; }
HANDLER(garble) { UNUSED; push(call, 77, 3); return MILLRACE_DONE; }
HANDLER(foreign) {
  UNUSED;
  const uint32_t own = (uint32_t)call->host->token(call->attempt) - 1;
  push(call, MILLRACE_SAYS_ENDED, own == 1 ? 2 : 1);
  return MILLRACE_DONE;
}
HANDLER(tokens) {
  UNUSED;
  int taken = 0;
  for (uint64_t slot = 0; slot < 64; slot++)
    for (uint64_t generation = 0; generation < 64; generation++)
      if ((generation << 32 | (slot + 1)) != call->host->token(call->attempt)) taken += call->host->complete(call->host, generation << 32 | (slot + 1), outcome) == 0;
  return text(call, outcome, taken ? "taken" : "none taken");
}
HANDLER(beyond) { UNUSED; outcome->output = (millrace_payload){UINT64_MAX - 8, 64, MILLRACE_ARENA_OUTPUT, MILLRACE_TEXT}; return MILLRACE_DONE; }
HANDLER(others) { UNUSED; outcome->output = (millrace_payload){0, 64, MILLRACE_ARENA_OUTPUT, MILLRACE_TEXT}; return MILLRACE_DONE; }
HANDLER(huge) { UNUSED; millrace_payload p; (void)call->host->claim(call->attempt, 16, MILLRACE_TEXT, &p); outcome->output = p; outcome->output.length = UINT64_MAX; return MILLRACE_DONE; }
HANDLER(talk) {
  UNUSED;
  for (int i = 0; i < 200000; i++) call->host->log(call->host, MILLRACE_LOG_NOTICE, "talk talk talk talk talk talk talk talk talk talk talk talk talk talk talk");
  return MILLRACE_DONE;
}
HANDLER(inputs) { UNUSED; millrace_input input = {.size = sizeof input}; call->host->input(call->attempt, 0, &input); *(volatile char *)input.bytes = 1; return MILLRACE_DONE; }
HANDLER(nothing) { UNUSED; return 99; }
HANDLER(liar) { UNUSED; outcome->message_length = UINT32_MAX; outcome->message = (char *)16; memset(outcome->error_type, 'x', sizeof outcome->error_type); return MILLRACE_FAILED; }

static int denied(int failed, int *count) { *count += failed == -1 && (errno == EPERM || errno == EACCES); return failed; }
static void *idle(void *unused) { return unused; }
HANDLER(escape) {
  UNUSED;
  char words[128];
  int count = 0, tries = 0;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  pthread_t thread;
  tries++, denied(open("/etc/passwd", O_RDONLY), &count);
  tries++, denied(open("/tmp/millrace-escaped", O_RDWR | O_CREAT, 0600), &count);
  tries++, denied(open("/proc/self/mem", O_RDWR), &count);
  tries++, denied(open("/usr/lib/os-release", O_RDONLY), &count);
  tries++, denied(unlink("/tmp/millrace-escaped"), &count);
  tries++, denied(socket(AF_INET, SOCK_STREAM, 0), &count);
  tries++, denied(socket(AF_UNIX, SOCK_STREAM, 0), &count);
  tries++, denied(connect(5, (struct sockaddr *)&address, sizeof address), &count);
  tries++, denied(fork(), &count);
  tries++, denied(execl("/bin/true", "true", NULL), &count);
  tries++, denied((int)ptrace(PTRACE_ATTACH, getppid(), 0, 0), &count);
  tries++, denied(kill(getppid(), SIGTERM), &count);
  tries++, denied(kill(getppid(), 0), &count);
  tries++, denied(pthread_create(&thread, NULL, idle, NULL) ? (errno = EPERM, -1) : 0, &count);
  void *writable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, MILLRACE_ISOLATION_PAGE, 0);
  tries++, denied(writable == MAP_FAILED ? -1 : 0, &count);
  tries++, denied(mprotect((void *)((uintptr_t)call->task_key & ~4095ul), 4096, PROT_READ | PROT_WRITE), &count);
  tries++, denied(ftruncate(MILLRACE_ISOLATION_ARENA, 0), &count);
  snprintf(words, sizeof words, "%d of %d denied", count, tries);
  return text(call, outcome, words);
}

HANDLER(wait) { UNUSED; while (!call->host->cancelled(call->attempt)) usleep(500); return MILLRACE_CANCELLED; }
HANDLER(large) {
  UNUSED;
  millrace_input input = {.size = sizeof input};
  if (call->host->input(call->attempt, 0, &input)) return MILLRACE_FAILED;
  char *bytes = call->host->claim(call->attempt, input.payload.length, MILLRACE_BYTES, &outcome->output);
  if (!bytes) return MILLRACE_FAILED;
  for (uint64_t i = 0; i < input.payload.length; i++) bytes[i] = (char)(((const char *)input.bytes)[i] + 1);
  return MILLRACE_DONE;
}
static void *finish(void *kept) {
  millrace_outcome outcome = {.size = sizeof outcome, .status = MILLRACE_DONE};
  host->complete(host, *(millrace_token *)kept, &outcome);
  free(kept);
  return NULL;
}
HANDLER(later) {
  UNUSED;
  millrace_token *kept = malloc(sizeof *kept);
  *kept = call->host->token(call->attempt);
  pthread_t thread;
  if (pthread_create(&thread, NULL, finish, kept)) return MILLRACE_FAILED;
  pthread_detach(thread);
  return MILLRACE_PENDING;
}
HANDLER(delayed) {
  UNUSED;
  outcome->status = MILLRACE_DONE;
  return call->host->complete_after(call->host, call->host->token(call->attempt), 12345, outcome) == 0 ? MILLRACE_PENDING : MILLRACE_FAILED;
}
HANDLER(fails) {
  UNUSED;
  strcpy(outcome->error_type, "no-luck");
  outcome->retry_after = 77;
  outcome->message_length = (uint32_t)snprintf(outcome->message, outcome->message_capacity, "it did not %s", "work");
  return MILLRACE_RETRY;
}
HANDLER(asks) {
  UNUSED;
  char words[256], random[16] = "";
  const char *value = host->setting(host, "hostile.word"), *other = host->setting(host, "other.word");
  const millrace_random *r = host->extension(host, MILLRACE_RANDOM);
  host->log(host, MILLRACE_LOG_WARNING, "asked");
  call->host->heartbeat(call->attempt, 250);
  snprintf(words, sizeof words, "%s %s %llu %s %d %d %s", value ? value : "-", other ? other : "-", (unsigned long long)host->now(host), host->name,
           r && r->fill(host, random, sizeof random) == 0, host->extension(host, MILLRACE_BROKER) == NULL && host->extension(host, MILLRACE_ITEMS) == NULL,
           host->version);
  return text(call, outcome, words);
}

#define ENTRY(function, called, what) static const millrace_handler function##_handler = {.size = sizeof(millrace_handler), .name = called, .flags = what, .summary = "x", .run = run_##function};
#ifndef SAY_FLAGS
#define SAY_FLAGS 0
#endif
#define ALL(E) E(say, "say", SAY_FLAGS) E(crash, "crash", 0) E(leave, "exit", 0) E(give_up, "abort", 0) E(hang, "hang", 0) E(stop, "stop", 0) E(grow, "grow", 0) \
  E(overflow, "overflow", 0) E(shut, "shut", 0) E(shoot, "shoot", 0) E(breed, "breed", 0) E(scribble, "scribble", 0) E(garble, "garble", 0) E(foreign, "foreign", 0) \
  E(tokens, "tokens", 0) E(beyond, "beyond", 0) E(others, "others", 0) E(huge, "huge", 0) E(talk, "talk", 0) E(inputs, "inputs", 0) E(nothing, "nothing", 0) E(liar, "liar", 0) \
  E(escape, "escape", 0) E(wait, "wait", MILLRACE_BLOCKING) E(large, "large", 0) E(later, "later", 0) E(delayed, "delayed", 0) E(fails, "fails", 0) E(asks, "asks", 0)
ALL(ENTRY)
#define POINTER(function, called, what) &function##_handler,
static const millrace_handler *const handlers[] = {ALL(POINTER)};

static int32_t init(const millrace_host *given, char *message, size_t capacity) {
  host = given;
  (void)message, (void)capacity;
#ifdef INIT
  INIT;
#endif
  return 0;
}
static void deinit(void) {
  host->log(host, MILLRACE_LOG_NOTICE, "deinit");
#ifdef DEINIT
  DEINIT;
#endif
}
#ifdef CONSTRUCTOR
__attribute__((constructor)) static void first(void) { CONSTRUCTOR; }
#endif
#ifndef NAME
#define NAME "hostile"
#endif
static const millrace_plugin plugin = {.size = sizeof(millrace_plugin), .abi_version = MILLRACE_ABI_VERSION, .name = NAME, .version = "1",
                                       .summary = "x", .init = init, .deinit = deinit, .handlers = handlers, .handler_count = sizeof handlers / sizeof *handlers};
MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
