/* The process of an isolated plugin: what its files share. Depends on libc only. See millrace's isolation.h for what the host and it share. */
#ifndef MILLRACE_CHILD_H
#define MILLRACE_CHILD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "isolation.h"

/* What is known here of an attempt: `millrace_attempt` of plugin.h. One for each slot. */
struct millrace_attempt {
  uint32_t slot, generation;
  const millrace_isolated_request *request;
  uint64_t claimed;        /* bytes of the slot's region in the arena */
  atomic_uint state;       /* ATTEMPT_... */
  uint64_t last_beat;      /* nanoseconds of the system's clock */
  pthread_mutex_t claiming; /* guards `claimed` */
};

enum { ATTEMPT_NONE, ATTEMPT_RUNS, ATTEMPT_ENDED };

typedef struct child {
  const millrace_isolation_page *page;
  millrace_isolation_arena *arena;
  millrace_isolation_layout layout;
  struct millrace_attempt *attempts; /* page->slots */
  const millrace_plugin *plugin;
  millrace_host host;
  pthread_mutex_t says; /* one thread at a time writes the ring of responses and the log */
} child;

extern child self;

/* calls.c: the functions that plugins call. */
void calls_fill(millrace_host *host);
/* Runs one attempt, and says how it ended. */
void calls_run(uint32_t slot);

/* speech.c: what the host is told. */
void say_state(uint32_t state, const char *words);
void say(uint32_t what, uint32_t slot, int may_drop);
void say_line(uint32_t level, const char *line);

/* helpers.c: threads for handlers that block. */
#define HELPER_STACK_BYTES (1u << 20)
int helpers_start(uint32_t count);
/* 0: there are none, and the caller runs it itself. */
int helpers_run(uint32_t slot);
/* Waits until none runs anything. */
void helpers_finish(void);

/* describe.c: what the plugin says of itself, for the host. 0; otherwise it has been said what is wrong. */
int describe(const millrace_plugin *plugin);

/* sandbox.c: what an untrusted plugin may not. 0; otherwise it has been said why not. */
int sandbox_limit(void);
int sandbox_before_loading(void);
int sandbox_after_loading(void);

#endif
