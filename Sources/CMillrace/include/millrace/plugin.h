/*
 * millrace/plugin.h: the interface between Millrace and a task handler in a shared object. Version 0: it may still change.
 *
 * A plugin is a shared object that exports one function, `millrace_plugin_entry`. It returns a description of the plugin
 * and its handlers. The host calls a handler once for each attempt of a task.
 *
 * Rules that hold everywhere
 *   Sizes     Every struct begins with its `size`. Read a field only if it lies within `size`; new fields come at the end.
 *   Threads   Each function carries a tag: [main] the thread that loads, never concurrent with another call of this plugin;
 *             [worker] any worker thread, many at once; [any] any thread at any time.
 *   Ownership The owner of memory is named at each field. "For the call" ends when the function returns.
 *   Errors    Nothing is thrown, unwound or longjmp-ed across this boundary. Failures are outcomes.
 *   Text      UTF-8 without NUL inside, NUL at the end.
 *   Time      uint64_t nanoseconds of CLOCK_MONOTONIC; durations are unsigned nanoseconds.
 *
 * C11 and C++17.
 */
#ifndef MILLRACE_PLUGIN_H
#define MILLRACE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MILLRACE_ABI_VERSION 0u
#define MILLRACE_ENTRY_NAME "millrace_plugin_entry"
#define MILLRACE_ERROR_TYPE_BYTES 64u      /* with the NUL */
#define MILLRACE_MESSAGE_BYTES 4096u       /* with the NUL */
#define MILLRACE_INLINE_BYTES (16u << 20)  /* the largest payload held inline */
#define MILLRACE_NAME_BYTES 128u           /* plugin and handler names: [a-z0-9-]+ */

/* What a payload's bytes are. */
enum {
  MILLRACE_BYTES = 0, /* application/octet-stream */
  MILLRACE_JSON = 1,  /* application/json, UTF-8 */
  MILLRACE_TEXT = 2   /* text/plain, UTF-8 */
};

/* How an attempt ended. */
enum {
  MILLRACE_DONE = 0,      /* the output holds the result */
  MILLRACE_PENDING = 1,   /* it goes on: whoever holds the completion token ends it later */
  MILLRACE_RETRY = 2,     /* an error that another attempt may cure: the task's retry policy decides */
  MILLRACE_FAILED = 3,    /* an error that no attempt can cure */
  MILLRACE_CANCELLED = 4  /* stopped because `cancelled` said so */
};

/* What a handler is like. */
enum {
  MILLRACE_BLOCKING = 1u << 0,  /* may wait for I/O, a lock or a child: runs in the blocking pool, not on a worker */
  MILLRACE_EXCLUSIVE = 1u << 1  /* an attempt never overlaps late code of an earlier attempt of the same task */
};

enum { MILLRACE_LOG_DEBUG = 0, MILLRACE_LOG_NOTICE = 1, MILLRACE_LOG_WARNING = 2, MILLRACE_LOG_ERROR = 3 };

/* A reference to bytes in an arena of the host. Plain data: may be copied, stored and sent. */
typedef struct millrace_payload {
  uint64_t offset; /* bytes from the start of the arena */
  uint64_t length; /* bytes */
  uint32_t arena;  /* index given by the host; 0 with length 0 is the empty payload */
  uint32_t content_type;
} millrace_payload;

/* How an attempt ended, filled by the handler. The host sets `size`, `message`, `message_capacity` and zeroes the rest. */
typedef struct millrace_outcome {
  uint32_t size;
  uint32_t status;           /* MILLRACE_DONE ...; for `complete`: the handler's function returns it as well */
  uint64_t retry_after;      /* with MILLRACE_RETRY: wait this long instead of the policy's wait; 0: as the policy says */
  millrace_payload output;   /* claimed from the host; `length` may be less than claimed */
  millrace_payload details;  /* claimed from the host: structured description of an error, or empty */
  uint32_t message_capacity; /* MILLRACE_MESSAGE_BYTES */
  uint32_t message_length;   /* bytes of the message, without the NUL */
  char *message;             /* the host's buffer, for the call; write at most message_capacity - 1 bytes */
  char error_type[MILLRACE_ERROR_TYPE_BYTES]; /* short word for the kind of error, as `not-found`; retry policies match it */
} millrace_outcome;

/* One input of a task. */
typedef struct millrace_input {
  uint32_t size;
  uint32_t reserved;
  millrace_payload payload;
  const void *bytes; /* payload.length read-only bytes; the host's, until the attempt ends */
  const char *name;  /* id of the task that made it; "input" for input 0; the host's, until the attempt ends */
} millrace_input;

/* One attempt, as the host knows it. Opaque; valid until the handler returns, or, after MILLRACE_PENDING, until it is completed. */
typedef struct millrace_attempt millrace_attempt;

/* Names an attempt that goes on after its handler returned. Zero is none. Completing it twice, or late, is harmless and reported. */
typedef uint64_t millrace_token;

/* What the host offers. Valid from `millrace_plugin_entry` until `deinit` has returned. Owned by the host. */
typedef struct millrace_host {
  uint32_t size;
  uint32_t abi_version;
  const char *name;    /* "millrace" or the embedding program's name */
  const char *version; /* "0.1.0" */
  void *context;       /* the host's own */

  /* [any] Nanoseconds of the host's monotonic clock, which may be virtual. */
  uint64_t (*now)(const struct millrace_host *host);

  /* [any] The value of a setting (`--set plugin.key=value`), or NULL. `key` is the full name, as "replay.mode". The host's until deinit. */
  const char *(*setting)(const struct millrace_host *host, const char *key);

  /* [any] One line for the log. */
  void (*log)(const struct millrace_host *host, uint32_t level, const char *line);

  /* [worker, and any while pending] How many inputs: input 0 is the definition's `input`, the outputs of the dependencies follow in
     the order in which the definition names them. */
  uint32_t (*input_count)(const millrace_attempt *attempt);

  /* [worker, and any while pending] Fills `input` (set its `size` first). 0, or -1 if there is no such input. */
  int32_t (*input)(const millrace_attempt *attempt, uint32_t index, millrace_input *input);

  /* [worker, and any while pending] `length` writable bytes, aligned to 16, for an output or for details; `payload` names them. Unused
     claims are freed with the run. NULL if length exceeds MILLRACE_INLINE_BYTES or memory is exhausted. */
  void *(*claim)(millrace_attempt *attempt, uint64_t length, uint32_t content_type, millrace_payload *payload);

  /* [any while the attempt is valid] Nonzero once the attempt should stop: cancelled, timed out or engine stopping. One load. */
  int32_t (*cancelled)(const millrace_attempt *attempt);

  /* [worker, and any while pending] Says that the attempt is alive, with progress 0 to 1000 (per mille). Resets the heartbeat timeout. */
  void (*heartbeat)(millrace_attempt *attempt, uint32_t progress);

  /* [worker] A token for this attempt; call it before returning MILLRACE_PENDING. */
  millrace_token (*token)(millrace_attempt *attempt);

  /* [any] Ends a pending attempt. `outcome` is read during the call. 0 taken, -1 too late (already completed, timed out or cancelled). */
  int32_t (*complete)(const struct millrace_host *host, millrace_token token, const millrace_outcome *outcome);

  /* [any] As `complete`, after `delay` nanoseconds, by the host's timers: no thread is held. If the attempt is cancelled before, the host ends it
     then. 0, or -1 as above. */
  int32_t (*complete_after)(const struct millrace_host *host, millrace_token token, uint64_t delay, const millrace_outcome *outcome);

  /* [any] A named extension of the host, or NULL. The id ends in its version, as "millrace.trace/1". The host's until deinit. */
  const void *(*extension)(const struct millrace_host *host, const char *id);
} millrace_host;

/*
 * The extension MILLRACE_ENVIRONMENT of the host: the variables of a task's `env`, where its secrets are. Nothing of them may be logged, put into an
 * output or kept; the host replaces the values of secrets in log lines and errors by "***" all the same.
 */
#define MILLRACE_ENVIRONMENT "millrace.environment/1"
typedef struct millrace_environment {
  uint32_t size;
  uint32_t reserved;

  /* [worker, and any while pending] How many variables the task has. */
  uint32_t (*count)(const millrace_attempt *attempt);

  /* [worker, and any while pending] Name and value of a variable, in the order of the definition; the host's, until the attempt ends. 0, or -1 if
     there is no such variable. */
  int32_t (*at)(const millrace_attempt *attempt, uint32_t index, const char **name, const char **value);

  /* [worker, and any while pending] The value of a variable, or NULL; the host's, until the attempt ends. */
  const char *(*get)(const millrace_attempt *attempt, const char *name);

  /* [any] Replaces the values of secrets in `length` bytes of text by "***", in place. The new length, which is not larger. */
  size_t (*redact)(const struct millrace_host *host, char *bytes, size_t length);
} millrace_environment;

/*
 * The extension MILLRACE_ITEMS of the host: the output of a dependency that is done for each item of a list (`foreach`), one item after the other. As an input it
 * is one JSON list, made of all outputs; here nothing is copied, and there is no bound but that of each.
 */
#define MILLRACE_ITEMS "millrace.items/1"
typedef struct millrace_items {
  uint32_t size;
  uint32_t reserved;

  /* [worker, and any while pending] How many items input `index` is made of, or -1 if it is no such list. */
  int64_t (*count)(const millrace_attempt *attempt, uint32_t index);

  /* [worker, and any while pending] The output of one of them, as `input` gives an input: the host's, until the attempt ends; null, as JSON, of one that was skipped.
     The caller has set `size`. 0, or -1 if there is no such item. */
  int32_t (*item)(const millrace_attempt *attempt, uint32_t index, uint32_t item, millrace_input *output);
} millrace_items;

/*
 * The extension MILLRACE_TRACE of the host: what the attempt is part of, for a handler that calls others. See W3C Trace Context.
 */
#define MILLRACE_TRACE "millrace.trace/1"
enum { MILLRACE_TRACEPARENT_BYTES = 56 };
typedef struct millrace_trace {
  uint32_t size;
  uint32_t reserved;

  /* [worker, and any while pending] Writes the `traceparent` of the attempt: 55 characters and a NUL. 0, or -1 if the run belongs to no trace; then
     nothing is written. */
  int32_t (*traceparent)(const millrace_attempt *attempt, char text[MILLRACE_TRACEPARENT_BYTES]);
} millrace_trace;

/* One attempt, as the handler sees it. The host's, for the call. */
typedef struct millrace_call {
  uint32_t size;
  uint32_t attempt_number; /* from 1 */
  millrace_attempt *attempt;
  const millrace_host *host;
  const char *task_key;    /* `run/task`, of an item `run/task[index]`: the same for every attempt of the task: the idempotency key */
  const char *task_id;     /* the definition's id of the task; of an item `task[index]` */
  uint64_t deadline;       /* when start-to-close ends, host clock; 0: none */
  uint64_t reserved;
} millrace_call;

/* One handler. Owned by the plugin, from entry until deinit has returned. */
typedef struct millrace_handler {
  uint32_t size;
  uint32_t flags;              /* MILLRACE_BLOCKING | MILLRACE_EXCLUSIVE */
  const char *name;            /* [a-z0-9-]+; the host calls it `plugin/name` */
  const char *summary;         /* one line for people */
  const char *input_schema;    /* JSON Schema of input 0, or NULL */
  void *context;               /* handed to `run` */
  uint32_t concurrency;        /* at most so many attempts at once; 0: no limit of its own */
  uint32_t reserved;

  /* [worker] Runs one attempt and returns its status. With MILLRACE_PENDING nothing but the token may be kept. */
  uint32_t (*run)(void *context, const millrace_call *call, millrace_outcome *outcome);
} millrace_handler;

/* A plugin. Owned by the plugin, valid for as long as the shared object is mapped. */
typedef struct millrace_plugin {
  uint32_t size;
  uint32_t abi_version;  /* MILLRACE_ABI_VERSION */
  const char *name;      /* [a-z0-9-]+ */
  const char *version;   /* the plugin's own */
  const char *summary;   /* one line for people */

  /* Called once. Readied handlers and memory live until deinit. 0, or anything else: refused, and nothing more is called. `message`
     (capacity bytes) takes the reason. NULL: nothing to do. [main] */
  int32_t (*init)(const millrace_host *host, char *message, size_t capacity);

  /* Called once after a successful init, when no call is in progress. NULL: nothing to do. [main] */
  void (*deinit)(void);

  /* A named extension of the plugin, or NULL. The field itself may be NULL. [main] */
  const void *(*extension)(const char *id);

  /* Read after init. */
  const millrace_handler *const *handlers;
  uint32_t handler_count; /* 1 to 1,024 */
  uint32_t flags;         /* MILLRACE_PLUGIN_STAYS */
} millrace_plugin;

enum { MILLRACE_PLUGIN_STAYS = 1u << 0 /* never unmapped: set by Swift plugins, whose runtime cannot be unloaded */ };

/* The one exported function. Returns NULL if the plugin cannot work with a host of `host_abi_version`. [main] */
typedef const millrace_plugin *(*millrace_plugin_entry_function)(uint32_t host_abi_version);

#if defined(_WIN32)
#define MILLRACE_EXPORT __declspec(dllexport)
#else
#define MILLRACE_EXPORT __attribute__((visibility("default")))
#endif

/* The layout is part of the interface. */
#if defined(__cplusplus)
#define MILLRACE_ASSERT(condition) static_assert(condition, #condition)
#else
#define MILLRACE_ASSERT(condition) _Static_assert(condition, #condition)
#endif
#if UINTPTR_MAX == UINT64_MAX
MILLRACE_ASSERT(sizeof(millrace_payload) == 24);
MILLRACE_ASSERT(sizeof(millrace_outcome) == 144);
MILLRACE_ASSERT(offsetof(millrace_outcome, error_type) == 80);
MILLRACE_ASSERT(sizeof(millrace_input) == 48);
MILLRACE_ASSERT(sizeof(millrace_call) == 56);
MILLRACE_ASSERT(sizeof(millrace_handler) == 56);
MILLRACE_ASSERT(offsetof(millrace_handler, run) == 48);
MILLRACE_ASSERT(sizeof(millrace_host) == 128);
MILLRACE_ASSERT(sizeof(millrace_environment) == 40);
MILLRACE_ASSERT(sizeof(millrace_trace) == 16);
MILLRACE_ASSERT(sizeof(millrace_plugin) == 72);
#endif

#ifdef __cplusplus
}
#endif
#endif
