/*
 * A host for checking plugins: the whole table of `millrace/plugin.h`, made to notice what an engine cannot afford to. In C, since it may neither allocate while a
 * plugin's allocations are counted nor do more in a signal handler than C promises.
 *
 * Memory that a plugin is given ends at a page that nobody may touch: a byte too many is a SIGSEGV, which `check_catch` has told on a descriptor before the process ends by
 * it. Attempts are never used again, so that one that is over is known; their memory stays closed for a while.
 *
 * A host belongs to the thread that makes it; what the plugin calls may be called by any.
 */
#ifndef MILLRACE_PLUGIN_CHECK_H
#define MILLRACE_PLUGIN_CHECK_H

#include <millrace/plugin.h>
#include <stdint.h>

typedef struct check_host check_host;
typedef struct check_worker check_worker;

/* What a plugin did that it may not; told by `check_next_fault`. */
enum {
  CHECK_NONE = 0,
  CHECK_WRONG_THREAD = 1,   /* a function of the attempt, called by a thread that is not its worker, without a token */
  CHECK_ATTEMPT_OVER = 2,   /* a function of an attempt that has ended */
  CHECK_AFTER_DEINIT = 3,   /* a function of the host after `deinit` had returned */
  CHECK_OTHER_HOST = 4,     /* a function of another host than that of the call */
  CHECK_TWICE = 5,          /* a token was completed that had been completed */
  CHECK_ENDED_BY_RETURN = 6, /* a token was completed of an attempt that its handler had ended by what it returned */
  CHECK_NO_TOKEN = 7,       /* a token was completed that was never given */
  CHECK_NULL = 8,           /* NULL was passed where it may not be */
  CHECK_LATE_TOKEN = 9,     /* a token was asked for after the handler had returned */
  CHECK_NO_DRAFT = 10,      /* a message was published or dropped that was over */
  CHECK_LEFT_DRAFTS = 11    /* `deinit` has returned, and messages are claimed */
};

typedef struct check_fault {
  uint32_t kind;
  uint32_t attempt;     /* number of the attempt from 1, or 0 */
  const char *function; /* a literal, as "claim" */
} check_fault;

/* How a plugin's memory failed, beyond what crashes: bits of `check_result.damage`. */
enum {
  CHECK_CLAIM_OVERRUN = 1u << 0, /* bytes behind a claim, before its guard page, were written */
  CHECK_MESSAGE_LONG = 1u << 1   /* `message_length` is not below `message_capacity` */
};

/* What became of an attempt. */
enum {
  CHECK_ENDED = 0,
  CHECK_RUNS = 1,      /* its handler has not returned */
  CHECK_UNFINISHED = 2 /* it is pending, and nobody has completed it */
};

/* What is said of a payload. */
enum { CHECK_EMPTY = 0, CHECK_CLAIMED = 1, CHECK_UNCLAIMED = 2, CHECK_TOO_LONG = 3 };

typedef struct check_result {
  uint32_t state;          /* CHECK_ENDED ... */
  uint32_t returned;       /* what `run` returned */
  uint32_t status;         /* how the attempt ended */
  uint32_t was_pending;    /* `run` returned MILLRACE_PENDING */
  uint32_t output_state;   /* CHECK_EMPTY ... */
  uint32_t details_state;
  uint32_t damage;
  uint32_t content_type;
  uint64_t output_length;
  uint64_t claimed_length; /* of the output */
  const void *output;      /* readable until the attempt is let go of */
  uint64_t wall;           /* nanoseconds of `run` */
  uint64_t cpu;
  uint64_t waits;          /* voluntary context switches during `run` */
  uint32_t message_length;
  uint32_t asked_cancelled; /* the handler looked at `cancelled` */
  char message[MILLRACE_MESSAGE_BYTES];
  char error_type[MILLRACE_ERROR_TYPE_BYTES];
} check_result;

typedef struct check_bytes {
  const void *bytes;
  uint64_t length;
  uint32_t content_type;
  uint32_t reserved;
} check_bytes;

/* Writes what goes wrong with memory to `descriptor`, a line of JSON, before the process ends by its signal. Once in a process. */
void check_catch(int descriptor);

/* `bare`: it has no extensions. `settings`: names and values in turns, `count` of both together, copied. NULL: no memory. */
check_host *check_host_make(int bare, const char *const *settings, uint32_t count);
const millrace_host *check_host_table(const check_host *host);
/* `deinit` has returned: whatever is called now is a fault. */
void check_host_close(check_host *host);
/* The next fault, each kind of a function only once; 0: there is none. */
int check_next_fault(check_host *host, check_fault *fault);
/* Claims come from memory that is used again by the next attempt, without guards: for measuring. */
void check_host_measure(check_host *host, int measures);

/* A thread for attempts, with a stack of so many bytes. NULL: no thread. */
check_worker *check_worker_make(check_host *host, uint64_t stack);
/* Ends the thread, which has no attempt. */
void check_worker_end(check_worker *worker);

/* Begins an attempt. `inputs`: copied into guarded memory. `cancelled`: it is, from the beginning. The worker has none. 0: no memory. */
int check_begin(check_worker *worker, const millrace_handler *handler, const check_bytes *inputs, uint32_t count, int cancelled);
/* Waits until the attempt has ended, for `patience` nanoseconds; then cancels it and waits as long again. */
void check_await(check_worker *worker, uint64_t patience, check_result *result);
/* Lets go of the memory of an attempt that has ended; what uses it from now on is told. */
void check_let_go(check_worker *worker);

/* Makes `count` attempts on the worker's thread, one after the other, each awaited as above. `walls`: nanoseconds of each, or NULL. Calls `before` and
   `after` on that thread. The attempts that ended; fewer than `count`: one did not. */
uint64_t check_repeat(check_worker *worker, const millrace_handler *handler, const check_bytes *inputs, uint32_t count, uint64_t times, uint64_t patience,
                      uint64_t *walls, void (*meter)(void *context, int isAfter), void *context);

#endif
