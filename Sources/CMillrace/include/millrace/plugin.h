/*
 * millrace/plugin.h: the interface between Millrace and a task handler in a shared object. Version 1, frozen: what is here keeps its place, its type
 * and its meaning. New fields come at the end of a struct, new functions in extensions; anything else would be version 2.
 *
 * A plugin is a shared object that exports one function, `millrace_plugin_entry`. It returns a description of the plugin and its handlers. The host
 * calls a handler once for each attempt of a task. Once in each plugin stands `MILLRACE_MANIFEST();`: the layout of the structs as they were compiled,
 * which the host compares with its own before any code of the plugin runs.
 *
 * Rules that hold everywhere
 *   Sizes     Every struct but `millrace_payload`, which never changes, begins with its `size`: the bytes that whoever made it knows of. Read a field
 *             only if it lies within `size`, write none beyond it. All fields of this version are there in every host of version 1.
 *   Threads   Each function carries a tag: [main] the thread that loads, never concurrent with another call of this plugin;
 *             [worker] any worker thread, many at once; [any] any thread at any time.
 *   Ownership The owner of memory is named at each field. "For the call" ends when the function returns. What a caller passes is read during the call
 *             only, unless it says otherwise; nobody frees what another made.
 *   Errors    Nothing is thrown, unwound or longjmp-ed across this boundary. Failures are outcomes, or what a function says it returns then. A pointer
 *             may be NULL only where that is said.
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

#define MILLRACE_ABI_VERSION 1u
#define MILLRACE_ENTRY_NAME "millrace_plugin_entry"
#define MILLRACE_ERROR_TYPE_BYTES 64u      /* with the NUL */
#define MILLRACE_MESSAGE_BYTES 4096u       /* with the NUL */
#define MILLRACE_INLINE_BYTES (16u << 20)  /* the largest payload held inline */
#define MILLRACE_NAME_BYTES 128u           /* plugin and handler names: [a-z0-9-]+; with the NUL */
#define MILLRACE_SCHEMA_BYTES (1u << 20)   /* the largest JSON Schema, without the NUL */

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

  /* [any] Nanoseconds of the host's monotonic clock, which may be virtual. Never fails, never goes back. */
  uint64_t (*now)(const struct millrace_host *host);

  /* [any] The value of a setting (`--set plugin.key=value`), or NULL if it is not set. `key` is the full name, as "replay.mode". The text is the
     host's, unchanged until `deinit` has returned. */
  const char *(*setting)(const struct millrace_host *host, const char *key);

  /* [any] One line for the log, copied; `level` is MILLRACE_LOG_DEBUG ...; values of secrets become "***". Cannot fail: without a log it is dropped. */
  void (*log)(const struct millrace_host *host, uint32_t level, const char *line);

  /* [worker, and any while pending] How many inputs: input 0 is the definition's `input`, the outputs of the dependencies follow in
     the order in which the definition names them. The same for the whole attempt. */
  uint32_t (*input_count)(const millrace_attempt *attempt);

  /* [worker, and any while pending] Fills `input`, the caller's, as far as its `size` goes (set it first). 0, or -1 if there is no such input or
     `size` is less than that of version 1; then nothing is written. What it points to is the host's, until the attempt ends. */
  int32_t (*input)(const millrace_attempt *attempt, uint32_t index, millrace_input *input);

  /* [worker, and any while pending] `length` writable bytes, aligned to 16, for an output or for details; `payload`, the caller's,
     names them. The bytes are the host's, not cleared, the attempt's to write until it ends; unused claims are freed with the run. NULL if length
     exceeds MILLRACE_INLINE_BYTES, memory is exhausted or the attempt has been ended; then `payload` is not written. */
  void *(*claim)(millrace_attempt *attempt, uint64_t length, uint32_t content_type, millrace_payload *payload);

  /* [any while the attempt is valid] Nonzero once the attempt should stop: cancelled, timed out or engine stopping.
     Once nonzero, always. One load. */
  int32_t (*cancelled)(const millrace_attempt *attempt);

  /* [worker, and any while pending] Says that the attempt is alive, with progress 0 to 1000 (per mille; more counts
     as 1000; 0 says nothing of it), which people are shown. Resets the heartbeat timeout. Cannot fail: late ones are ignored. */
  void (*heartbeat)(millrace_attempt *attempt, uint32_t progress);

  /* [worker, during `run`] A token for this attempt; call it before returning MILLRACE_PENDING. The same at each call; zero if the host cannot give
     one: then end the attempt at once. It may be kept and copied; after the end of the attempt it names nothing. */
  millrace_token (*token)(millrace_attempt *attempt);

  /* [any] Ends a pending attempt, even before its handler has returned. `outcome`, the caller's, and the message that it points to are copied during
     the call; its payloads were claimed for this attempt. 0 taken, -1 too late (already completed, timed out or cancelled): then nothing happened. */
  int32_t (*complete)(const struct millrace_host *host, millrace_token token, const millrace_outcome *outcome);

  /* [any] As `complete`, after `delay` nanoseconds, by the host's timers: no thread is held. If the attempt is cancelled before, the host ends it
     then. 0, or -1 as above. */
  int32_t (*complete_after)(const struct millrace_host *host, millrace_token token, uint64_t delay, const millrace_outcome *outcome);

  /* [any] A named extension of the host, or NULL if this host has none of that name and version: say so in `init`, or do without. The id ends in its
     version, as "millrace.trace/1". The table is the host's, unchanged until `deinit` has returned. */
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

/*
 * The extension MILLRACE_RANDOM of the host: the randomness that it was given. Of a host with a seed, as in a simulation, the same bytes come in the same order
 * each time, and anybody who knows the seed can tell them: no keys are made of these. Of any other host they are the system's.
 */
#define MILLRACE_RANDOM "millrace.random/1"
#define MILLRACE_RANDOM_BYTES 65536u /* the most of one call */
typedef struct millrace_random {
  uint32_t size;
  uint32_t reserved;

  /* [any] Fills `length` bytes of the caller's. 0, or -1 if that is more than MILLRACE_RANDOM_BYTES or the system has none; then they may be anything. */
  int32_t (*fill)(const millrace_host *host, void *bytes, size_t length);
} millrace_random;

/*
 * The extension MILLRACE_BROKER of the host: messages for its exchanges and queues. A message is claimed, written where its consumers will read it, and
 * published or dropped. A plugin that holds one when `deinit` has returned has lost it.
 */
#define MILLRACE_BROKER "millrace.broker/1"

/* Names a message that was claimed and is neither published nor dropped. Zero is none. Using one that is over is harmless: MILLRACE_PUBLISH_MALFORMED. */
typedef uint64_t millrace_draft;

/* How it went. */
enum {
  MILLRACE_PUBLISH_DONE = 0,       /* claimed; or published: all of its queues have it. Whether the disk has it is not told */
  MILLRACE_PUBLISH_DUPLICATE = 1,  /* a message of this id was taken before: this one is not needed, and is gone */
  MILLRACE_PUBLISH_UNROUTABLE = 2, /* no queue wants it */
  MILLRACE_PUBLISH_FULL = 3,       /* one of its queues is full: none has it */
  MILLRACE_PUBLISH_BUSY = 4,       /* in a moment: the disk is behind, or a message of this id is under way */
  MILLRACE_PUBLISH_MALFORMED = 5,  /* a name, key, text or number is not as said below, or there is no such draft */
  MILLRACE_PUBLISH_NOWHERE = 6,    /* there is no such exchange, or it takes messages of other exchanges only */
  MILLRACE_PUBLISH_TOO_LARGE = 7,  /* the payload, or the other fields together */
  MILLRACE_PUBLISH_NO_MEMORY = 8,  /* all memory for messages is in use, or too many are claimed at once */
  MILLRACE_PUBLISH_CLOSED = 9,     /* the host stops */
  MILLRACE_PUBLISH_JOURNAL = 10    /* what durable queues keep could not be kept */
};

enum {
  MILLRACE_PUBLICATION_TRANSIENT = 1u << 0, /* durable queues need not keep it over a restart */
  MILLRACE_PUBLICATION_PRIORITY = 1u << 1   /* `priority` is set */
};

#define MILLRACE_HEADERS 256u /* the most of one message */

/* Where a message goes, and what it says of itself. The caller's, read during `claim`: zeroed, then `size` and what is wanted. */
typedef struct millrace_publication {
  uint32_t size;
  uint32_t flags;             /* MILLRACE_PUBLICATION_TRANSIENT | MILLRACE_PUBLICATION_PRIORITY */
  const char *exchange;       /* NULL: to the queue of the key's name */
  const char *key;            /* by which the exchange chooses, 255 bytes at most; NULL: empty */
  const char *id;             /* by which a second one is told apart; NULL: none */
  const char *content_type;   /* as MIME has it; NULL: not said */
  const char *correlation_id; /* what it answers; NULL: nothing */
  const char *reply_to;       /* the queue that an answer is wanted in; NULL: none */
  const char *const *headers; /* `header_count` names, each followed by its text; NULL with 0 */
  uint64_t delay;             /* nanoseconds before which nobody gets it */
  uint64_t time_to_live;      /* nanoseconds after which nobody wants it; 0: its queues say */
  uint32_t priority;          /* 0 the lowest to 255, with MILLRACE_PUBLICATION_PRIORITY; without: 1, normal */
  uint32_t header_count;      /* MILLRACE_HEADERS at most */
} millrace_publication;

typedef struct millrace_broker {
  uint32_t size;
  uint32_t reserved;

  /* [any] Memory for the `length` bytes of a message. `draft` names it, `bytes` is the host's, not cleared, and the caller's to write until it is published
     or dropped; both are written if the result is MILLRACE_PUBLISH_DONE. The message is on behalf of `attempt`'s tenant and part of its trace; NULL: of
     nobody's. */
  uint32_t (*claim)(const millrace_host *host, const millrace_attempt *attempt, uint64_t length, const millrace_publication *message,
                    millrace_draft *draft, void **bytes);

  /* [any, one at a time for a draft] Publishes it. Done or a duplicate: the draft is over; otherwise it is as before, to be published again or dropped.
     `queues`, the caller's, gets how many have it, 0 unless done; NULL: it does not care. Never waits. */
  uint32_t (*publish)(const millrace_host *host, millrace_draft draft, uint32_t *queues);

  /* [any] Gives the memory back. */
  void (*drop)(const millrace_host *host, millrace_draft draft);
} millrace_broker;

/*
 * The extension MILLRACE_DELIVERY of the host: the message that an attempt handles, where its handler consumes a queue. The payload is input 0.
 */
#define MILLRACE_DELIVERY "millrace.delivery/1"

/* What a message says of itself, and how it came. Texts are the host's, until the attempt ends, each up to its first NUL; NULL: not said. */
typedef struct millrace_delivery {
  uint32_t size;
  uint32_t priority;          /* 0 the lowest to 255 */
  const char *queue;          /* that it was taken from */
  const char *exchange;       /* that it was published to; empty: to the queue itself, or it has gone */
  const char *key;            /* by which it was published; of one that was published to a queue itself the queue's name */
  const char *id;             /* its publisher's */
  const char *content_type;   /* of the payload, as MIME has it */
  const char *correlation_id; /* what it answers, or what its answer is to name */
  const char *reply_to;       /* the queue that an answer is wanted in: the output of the attempt goes there */
  const char *type;           /* its kind, in the publisher's words */
  const char *tenant;         /* on whose behalf it was published */
  int64_t timestamp;          /* when it was made, nanoseconds since 1970; 0: not said */
  uint32_t acquired;          /* times that it was delivered from this queue before */
  uint32_t failed;            /* how many of those failed */
  uint32_t header_count;
  uint32_t reserved;
} millrace_delivery;

typedef struct millrace_deliveries {
  uint32_t size;
  uint32_t reserved;

  /* [worker, and any while pending] Fills `delivery`, the caller's, as far as its `size` goes (set it first). 0, or -1 if the attempt handles no message or `size` is
     less than that of the struct above; then nothing is written. */
  int32_t (*read)(const millrace_attempt *attempt, millrace_delivery *delivery);

  /* [worker, and any while pending] Name and value of a header, in the order of their names; each may be NULL if it is not wanted. Of a number its digits, of a truth
     "true" or "false", NULL of what is no text. Both are the host's, until the attempt ends. 0, or -1 if there is no such header; then nothing is written. */
  int32_t (*header)(const millrace_attempt *attempt, uint32_t index, const char **name, const char **value);
} millrace_deliveries;

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
  const char *input_schema;    /* JSON Schema of input 0, an object of at most MILLRACE_SCHEMA_BYTES; NULL: anything */
  const char *output_schema;   /* the same of the output, for people and tools: no output is checked against it; NULL: anything */
  void *context;               /* handed to `run` */
  uint32_t concurrency;        /* at most so many attempts at once; 0: no limit of its own */
  uint32_t reserved;

  /* [worker; with MILLRACE_BLOCKING a thread that may wait] Runs one attempt and returns its status, MILLRACE_DONE ... What it returns counts, not
     `outcome->status`. `call` and `outcome` are the host's, for the call; after MILLRACE_PENDING `call->attempt`, `call->host` and the token go on.
     A status that is none, or a payload that the attempt did not claim, fails the attempt with `bad-outcome`. */
  uint32_t (*run)(void *context, const millrace_call *call, millrace_outcome *outcome);
} millrace_handler;

/* A plugin. Owned by the plugin, valid for as long as the shared object is mapped. */
typedef struct millrace_plugin {
  uint32_t size;
  uint32_t abi_version;  /* MILLRACE_ABI_VERSION */
  const char *name;      /* [a-z0-9-]+ */
  const char *version;   /* the plugin's own */
  const char *summary;   /* one line for people */
  const char *configuration_schema; /* JSON Schema of the plugin's settings, an object whose properties are their names without the plugin's. The
                                       host holds them against it before `init`, as text where it takes text, else as JSON. NULL: it says nothing */

  /* Called once. Readied handlers and memory live until deinit. 0, or anything else: refused, and nothing more is called. `message`
     (the host's, `capacity` bytes, for the call) takes the reason, with a NUL. `host` may be kept until deinit has returned. NULL: nothing to do. [main] */
  int32_t (*init)(const millrace_host *host, char *message, size_t capacity);

  /* Called once after a successful init, when no call is in progress. NULL: nothing to do. [main] */
  void (*deinit)(void);

  /* A named extension of the plugin, or NULL. The table is the plugin's, until deinit has returned. The field itself may be NULL. [main] */
  const void *(*extension)(const char *id);

  /* Read once, after init; neither the table nor what it points to may change until deinit has returned. */
  const millrace_handler *const *handlers;
  uint32_t handler_count; /* 1 to 1,024 */
  uint32_t flags;         /* MILLRACE_PLUGIN_STAYS */
} millrace_plugin;

/*
 * The extension MILLRACE_STATE of a plugin, asked for by `extension` of millrace_plugin: what it keeps in memory outlives its build. When a new build takes its
 * place, the old one's state is saved, and loaded into the new one after its `init` and before the first call of a handler. Handlers of the old build may be in
 * progress meanwhile, and go on until their runs have ended; what they change after `save` the new build does not see.
 */
#define MILLRACE_STATE "millrace.state/1"
#define MILLRACE_STATE_BYTES (16u << 20) /* the most that is handed over */
typedef struct millrace_state {
  uint32_t size;
  uint32_t format; /* the plugin's own number for what `save` writes: 1, 2 ... */

  /* [main, beside calls of handlers] Writes the state to `bytes`, `capacity` bytes of the host's, for the call. Its length; if that is more than `capacity` the
     host calls again with more, up to MILLRACE_STATE_BYTES; or -1 if it cannot be saved: then the build stays in its place. */
  int64_t (*save)(void *bytes, size_t capacity);

  /* [main, after `init`, before any call of a handler, at most once] Takes over what a build saved in `format`, which may be another one's. `bytes` are the
     host's, for the call. 0, or anything else: refused, and the old build stays in its place; `message` (the host's, `message_capacity` bytes, for the call)
     takes the reason, with a NUL. */
  int32_t (*load)(uint32_t format, const void *bytes, size_t length, char *message, size_t message_capacity);
} millrace_state;

/*
 * The extension MILLRACE_BATCH of a plugin, asked for by `extension` of millrace_plugin after `init`: handlers that run several attempts in one call, as a model does that
 * is asked for many answers at once, or a statement that stores many rows. The attempts are those that are ready one after the other when a worker comes to them: none
 * waits for others to come, and each counts as a task in progress. The host calls `run` of millrace_batch_handler for one attempt too; `run` of the handler is
 * called where there are no batches: by hosts that do not know them, and in a process of its own.
 */
#define MILLRACE_BATCH "millrace.batch/1"
#define MILLRACE_BATCH_ATTEMPTS 256u /* the most of one call */
typedef struct millrace_batch_handler {
  uint32_t size;
  uint32_t most;    /* attempts of one call, 2 to MILLRACE_BATCH_ATTEMPTS */
  const char *name; /* of a handler of this plugin that is not MILLRACE_EXCLUSIVE */
  void *context;    /* handed to `run` */

  /* [worker; of a handler with MILLRACE_BLOCKING a thread that may wait] Runs `count` attempts, 1 to `most`, of any runs and tenants, each with its own inputs, `cancelled`
     and deadline. `calls` and `outcomes` are as those of millrace_handler, in the same order, the host's for the call. `status` of each outcome says how its attempt
     ended: the host sets it to none, and an attempt of which nothing is said fails with `bad-outcome`. One that goes on is MILLRACE_PENDING, and its token was asked for
     during the call. One that has to end before the others is completed by its token. */
  void (*run)(void *context, const millrace_call *const *calls, millrace_outcome *const *outcomes, uint32_t count);
} millrace_batch_handler;

typedef struct millrace_batch {
  uint32_t size;
  uint32_t handler_count; /* 1 to the plugin's handlers */

  /* The plugin's, as its handlers are; each handler is named once at most. */
  const millrace_batch_handler *const *handlers;
} millrace_batch;

enum { MILLRACE_PLUGIN_STAYS = 1u << 0 /* never unmapped: set by Swift plugins, whose runtime cannot be unloaded */ };

/* The one exported function. Returns the plugin's description, its own as long as the object is mapped, or NULL if it cannot work with a host of
   `host_abi_version`. Called once, before anything else; it may not call the host. [main] */
typedef const millrace_plugin *(*millrace_plugin_entry_function)(uint32_t host_abi_version);

#if defined(_WIN32)
#define MILLRACE_EXPORT __declspec(dllexport)
#else
#define MILLRACE_EXPORT __attribute__((visibility("default")))
#endif

/*
 * The layout is part of the interface. The structs and fields of version 1: S(struct) and F(struct, field). Fields that are added later get a list of
 * their own, for a plugin that was built before them has not got them.
 */
#define MILLRACE_LAYOUT_1(S, F)                                                                                                              \
  S(payload) F(payload, offset) F(payload, length) F(payload, arena) F(payload, content_type)                                                \
  S(outcome) F(outcome, size) F(outcome, status) F(outcome, retry_after) F(outcome, output) F(outcome, details) F(outcome, message_capacity) \
    F(outcome, message_length) F(outcome, message) F(outcome, error_type)                                                                    \
  S(input) F(input, size) F(input, reserved) F(input, payload) F(input, bytes) F(input, name)                                                \
  S(host) F(host, size) F(host, abi_version) F(host, name) F(host, version) F(host, context) F(host, now) F(host, setting) F(host, log)      \
    F(host, input_count) F(host, input) F(host, claim) F(host, cancelled) F(host, heartbeat) F(host, token) F(host, complete)                \
    F(host, complete_after) F(host, extension)                                                                                               \
  S(environment) F(environment, size) F(environment, reserved) F(environment, count) F(environment, at) F(environment, get)                  \
    F(environment, redact)                                                                                                                   \
  S(items) F(items, size) F(items, reserved) F(items, count) F(items, item)                                                                  \
  S(trace) F(trace, size) F(trace, reserved) F(trace, traceparent)                                                                           \
  S(random) F(random, size) F(random, reserved) F(random, fill)                                                                              \
  S(publication) F(publication, size) F(publication, flags) F(publication, exchange) F(publication, key) F(publication, id) F(publication, content_type)                 \
    F(publication, correlation_id) F(publication, reply_to) F(publication, headers) F(publication, delay) F(publication, time_to_live) F(publication, priority)      \
    F(publication, header_count)                                                                                                                 \
  S(broker) F(broker, size) F(broker, reserved) F(broker, claim) F(broker, publish) F(broker, drop)                                          \
  S(call) F(call, size) F(call, attempt_number) F(call, attempt) F(call, host) F(call, task_key) F(call, task_id) F(call, deadline)          \
    F(call, reserved)                                                                                                                        \
  S(handler) F(handler, size) F(handler, flags) F(handler, name) F(handler, summary) F(handler, input_schema) F(handler, output_schema)      \
    F(handler, context) F(handler, concurrency) F(handler, reserved) F(handler, run)                                                         \
  S(plugin) F(plugin, size) F(plugin, abi_version) F(plugin, name) F(plugin, version) F(plugin, summary) F(plugin, configuration_schema)     \
    F(plugin, init) F(plugin, deinit) F(plugin, extension) F(plugin, handlers) F(plugin, handler_count) F(plugin, flags)

/* Added after version 1 was frozen: a plugin that was built before has not got them, and need not. */
#define MILLRACE_LAYOUT_2(S, F)                                                                                                              \
  S(state) F(state, size) F(state, format) F(state, save) F(state, load)                                                                     \
  S(delivery) F(delivery, size) F(delivery, priority) F(delivery, queue) F(delivery, exchange) F(delivery, key) F(delivery, id)              \
    F(delivery, content_type) F(delivery, correlation_id) F(delivery, reply_to) F(delivery, type) F(delivery, tenant)                        \
    F(delivery, timestamp) F(delivery, acquired) F(delivery, failed) F(delivery, header_count) F(delivery, reserved)                         \
  S(deliveries) F(deliveries, size) F(deliveries, reserved) F(deliveries, read) F(deliveries, header)                                        \
  S(batch_handler) F(batch_handler, size) F(batch_handler, most) F(batch_handler, name) F(batch_handler, context) F(batch_handler, run)      \
  S(batch) F(batch, size) F(batch, handler_count) F(batch, handlers)

/*
 * The manifest: what this compiler made of the layout, in the section `.millrace` of the shared object. It is data; the host reads it from the file.
 * Offsets and sizes that a plugin and its host do not agree on would be memory corruption: such a plugin is refused by the name of the field.
 * Entries are sizes of structs ("host"), with offset 0, and fields ("host.now").
 */
typedef struct millrace_manifest_entry {
  char name[40]; /* with the NUL, and NULs behind it */
  uint32_t offset;
  uint32_t size;
} millrace_manifest_entry;

#define MILLRACE_MANIFEST_SECTION ".millrace"
#define MILLRACE_MANIFEST_VERSION 1u
#define MILLRACE_MANIFEST_PLUS_STRUCT(type) +1
#define MILLRACE_MANIFEST_PLUS_FIELD(type, field) +1
#define MILLRACE_MANIFEST_STRUCT(type) {#type, 0, (uint32_t)sizeof(millrace_##type)},
#define MILLRACE_MANIFEST_FIELD(type, field) \
  {#type "." #field, (uint32_t)offsetof(millrace_##type, field), (uint32_t)sizeof(((millrace_##type *)0)->field)},

enum { MILLRACE_REQUIRED_COUNT = 0 MILLRACE_LAYOUT_1(MILLRACE_MANIFEST_PLUS_STRUCT, MILLRACE_MANIFEST_PLUS_FIELD) };
enum { MILLRACE_MANIFEST_COUNT = MILLRACE_REQUIRED_COUNT MILLRACE_LAYOUT_2(MILLRACE_MANIFEST_PLUS_STRUCT, MILLRACE_MANIFEST_PLUS_FIELD) };

typedef struct millrace_manifest {
  char magic[8]; /* "MILLRACE", without a NUL */
  uint32_t size; /* of all of it */
  uint32_t manifest_version;
  uint32_t abi_version;
  uint32_t entry_count;
  millrace_manifest_entry entries[MILLRACE_MANIFEST_COUNT];
} millrace_manifest;

#define MILLRACE_MANIFEST_VALUE                                                                                        \
  {{'M', 'I', 'L', 'L', 'R', 'A', 'C', 'E'},  (uint32_t)sizeof(millrace_manifest), MILLRACE_MANIFEST_VERSION,            \
   MILLRACE_ABI_VERSION, MILLRACE_MANIFEST_COUNT,                                                                      \
   {MILLRACE_LAYOUT_1(MILLRACE_MANIFEST_STRUCT, MILLRACE_MANIFEST_FIELD) MILLRACE_LAYOUT_2(MILLRACE_MANIFEST_STRUCT, MILLRACE_MANIFEST_FIELD)}}

/* `retain` keeps the section where the linker collects what nobody refers to (--gc-sections). */
#if defined(__has_attribute)
#if __has_attribute(retain)
#define MILLRACE_RETAIN __attribute__((used, retain, section(MILLRACE_MANIFEST_SECTION)))
#endif
#endif
#ifndef MILLRACE_RETAIN
#define MILLRACE_RETAIN __attribute__((used, section(MILLRACE_MANIFEST_SECTION)))
#endif

/* Once in a plugin, in one file, outside of functions: `MILLRACE_MANIFEST();`. MillracePluginKit has it already. */
#define MILLRACE_MANIFEST() MILLRACE_RETAIN static const millrace_manifest millrace_plugin_manifest = MILLRACE_MANIFEST_VALUE

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
MILLRACE_ASSERT(offsetof(millrace_call, deadline) == 40);
MILLRACE_ASSERT(sizeof(millrace_handler) == 64);
MILLRACE_ASSERT(offsetof(millrace_handler, run) == 56);
MILLRACE_ASSERT(sizeof(millrace_host) == 128);
MILLRACE_ASSERT(offsetof(millrace_host, now) == 32);
MILLRACE_ASSERT(offsetof(millrace_host, extension) == 120);
MILLRACE_ASSERT(sizeof(millrace_environment) == 40);
MILLRACE_ASSERT(sizeof(millrace_items) == 24);
MILLRACE_ASSERT(sizeof(millrace_trace) == 16);
MILLRACE_ASSERT(sizeof(millrace_random) == 16);
MILLRACE_ASSERT(sizeof(millrace_publication) == 88);
MILLRACE_ASSERT(sizeof(millrace_broker) == 32);
MILLRACE_ASSERT(sizeof(millrace_delivery) == 104);
MILLRACE_ASSERT(offsetof(millrace_delivery, timestamp) == 80);
MILLRACE_ASSERT(sizeof(millrace_deliveries) == 24);
MILLRACE_ASSERT(sizeof(millrace_plugin) == 80);
MILLRACE_ASSERT(offsetof(millrace_plugin, handlers) == 64);
MILLRACE_ASSERT(sizeof(millrace_state) == 24);
MILLRACE_ASSERT(offsetof(millrace_state, load) == 16);
MILLRACE_ASSERT(sizeof(millrace_batch_handler) == 32);
MILLRACE_ASSERT(offsetof(millrace_batch_handler, run) == 24);
MILLRACE_ASSERT(sizeof(millrace_batch) == 16);
MILLRACE_ASSERT(sizeof(millrace_manifest_entry) == 48);
MILLRACE_ASSERT(offsetof(millrace_manifest, entries) == 24);
#endif

#ifdef __cplusplus
}
#endif
#endif
