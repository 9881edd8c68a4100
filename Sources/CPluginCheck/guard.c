#include "guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "plugin_check.h"

enum { BLOCKS = 8192, PAGE = 4096, CANARY = 0xA5, STACK = 1 << 16, LINE = 512 };

struct guard {
  char *start; /* of the mapping; NULL: the place is free */
  char *bytes;
  size_t mapped;
  uint64_t length;
  enum guard_kind kind;
  atomic_int is_open, is_retired;
};

static guard blocks[BLOCKS];
static unsigned next_block;
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static int report = -1;

static size_t rounded(size_t length, size_t unit) { return (length + unit - 1) / unit * unit; }

/* The place that was retired the longest time ago, or was never used. */
static guard *place(void) {
  for (unsigned i = 0; i < BLOCKS; i++) {
    guard *block = &blocks[(next_block + i) % BLOCKS];
    if (block->start && !atomic_load(&block->is_retired)) continue;
    next_block = (next_block + i + 1) % BLOCKS;
    if (block->start) munmap(block->start, block->mapped);
    block->start = NULL;
    return block;
  }
  return NULL;
}

guard *guard_make(enum guard_kind kind, uint64_t length, uint64_t alignment) {
  const size_t room = rounded(length > 0 ? length : 1, PAGE), mapped = room + 2 * PAGE;
  pthread_mutex_lock(&blocks_lock);
  guard *block = place();
  if (block) {
    char *start = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED || mprotect(start + PAGE, room, PROT_READ | PROT_WRITE) != 0) {
      if (start != MAP_FAILED) munmap(start, mapped);
      block = NULL;
    } else {
      char *end = start + PAGE + room;
      block->bytes = end - rounded(length, alignment);
      memset(block->bytes + length, CANARY, (size_t)(end - block->bytes) - length);
      block->mapped = mapped;
      block->length = length;
      block->kind = kind;
      atomic_store(&block->is_open, 1);
      atomic_store(&block->is_retired, 0);
      block->start = start;
    }
  }
  pthread_mutex_unlock(&blocks_lock);
  return block;
}

void *guard_bytes(const guard *block) { return block->bytes; }

int guard_is_whole(const guard *block) {
  const char *end = block->start + block->mapped - PAGE;
  for (const char *at = block->bytes + block->length; at < end; at++)
    if ((unsigned char)*at != CANARY) return 0;
  return 1;
}

void guard_read_only(const guard *block) { mprotect(block->start + PAGE, block->mapped - 2 * PAGE, PROT_READ); }

void guard_shut(guard *block) {
  atomic_store(&block->is_open, 0);
  madvise(block->start + PAGE, block->mapped - 2 * PAGE, MADV_DONTNEED);
  mprotect(block->start + PAGE, block->mapped - 2 * PAGE, PROT_NONE);
}

void guard_open(guard *block) {
  mprotect(block->start + PAGE, block->mapped - 2 * PAGE, PROT_READ | PROT_WRITE);
  atomic_store(&block->is_open, 1);
}

void guard_retire(guard *block) {
  guard_shut(block);
  atomic_store(&block->is_retired, 1);
}

/* What a signal handler may say: no stdio there. */
typedef struct words {
  char text[LINE];
  size_t length;
} words;

static void say(words *line, const char *text) {
  while (*text && line->length < LINE) line->text[line->length++] = *text++;
}

static void say_number(words *line, uint64_t number) {
  char digits[24];
  size_t at = sizeof digits;
  digits[--at] = 0;
  do digits[--at] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  say(line, digits + at);
}

static const char *noun(enum guard_kind kind) {
  switch (kind) {
    case GUARD_CLAIM: return "a claim";
    case GUARD_INPUT: return "an input";
    case GUARD_OUTCOME: return "the outcome";
    case GUARD_MESSAGE: return "the buffer for the message";
    case GUARD_DRAFT: return "the memory of a message";
  }
  return "memory";
}

static const char *code(const guard *block, int is_write, int is_inside) {
  const int is_over = !atomic_load(&block->is_open);
  switch (block->kind) {
    case GUARD_CLAIM: return is_over ? "late-memory" : "past-claim";
    case GUARD_INPUT: return is_over ? "late-memory" : is_inside && is_write ? "input-written" : "past-input";
    case GUARD_OUTCOME: return is_over ? "late-memory" : "past-outcome";
    case GUARD_MESSAGE: return is_over ? "late-memory" : "past-message";
    case GUARD_DRAFT: return is_over ? "late-memory" : "past-draft";
  }
  return "crash";
}

static void describe(words *line, const guard *block, const char *address, int is_write) {
  const char *end = block->bytes + block->length;
  const int is_inside = address >= block->bytes && address < end;
  say(line, "{\"memory\":\"");
  say(line, code(block, is_write, is_inside));
  say(line, "\",\"text\":\"");
  say(line, is_write < 0 ? "touched " : is_write ? "wrote " : "read ");
  if (is_inside) {
    say(line, "byte ");
    say_number(line, (uint64_t)(address - block->bytes));
    say(line, " of ");
  } else {
    const uint64_t away = address < block->bytes ? (uint64_t)(block->bytes - address) : (uint64_t)(address - end) + 1;
    say_number(line, away);
    say(line, away == 1 ? " byte " : " bytes ");
    say(line, address < block->bytes ? "before " : "past the end of ");
  }
  say(line, noun(block->kind));
  say(line, " of ");
  say_number(line, block->length);
  say(line, " bytes");
  if (!atomic_load(&block->is_open)) say(line, block->kind <= GUARD_INPUT ? ", whose attempt is over" : ", which is over");
  say(line, "\"}\n");
}

static void caught(int signal, siginfo_t *about, void *context) {
  const ucontext_t *machine = context;
  const char *address = about->si_addr;
  int is_write = -1;
  uintptr_t stack = 0, code_at = 0;
#if defined(__x86_64__)
  is_write = (machine->uc_mcontext.gregs[REG_ERR] & 2) != 0;
  stack = (uintptr_t)machine->uc_mcontext.gregs[REG_RSP];
  code_at = (uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  stack = (uintptr_t)machine->uc_mcontext.sp;
  code_at = (uintptr_t)machine->uc_mcontext.pc;
#else
  (void)machine;
#endif
  words line = {.length = 0};
  if (code_at >= PAGE && code_at == (uintptr_t)address)
    say(&line, "{\"memory\":\"unmapped-code\",\"text\":\"a thread ran code that is not there, or not there any more\"}\n");
  for (unsigned i = 0; i < BLOCKS && line.length == 0; i++) {
    const guard *block = &blocks[i];
    if (block->start && address >= block->start && address < block->start + block->mapped) describe(&line, block, address, is_write);
  }
  if (line.length == 0) {
    const uintptr_t at = (uintptr_t)address;
    if (at < PAGE) say(&line, "{\"memory\":\"null-pointer\",\"text\":\"followed a pointer that is NULL, or near it\"}\n");
    else if (stack && at + STACK >= stack && at < stack + PAGE)
      say(&line, "{\"memory\":\"stack-overflow\",\"text\":\"needed more stack than its thread has\"}\n");
  }
  if (line.length > 0 && write(report, line.text, line.length) < 0) {
    /* The signal tells the rest. */
  }
  /* Once more, and this time it ends the process. */
  struct sigaction usual = {.sa_handler = SIG_DFL};
  sigaction(signal, &usual, NULL);
}

void guard_thread(void) {
  /* As long as the process lives, for the thread's last moments are watched as well. */
  void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) return;
  const stack_t own = {.ss_sp = stack, .ss_size = STACK};
  sigaltstack(&own, NULL);
}

void check_catch(int descriptor) {
  report = descriptor;
  guard_thread();
  struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}
