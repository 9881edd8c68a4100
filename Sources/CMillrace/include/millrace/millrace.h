/*
 * millrace/millrace.h: the workflow core inside a program of any language, by libmillrace.so. Version 0: it may still change.
 *
 *     millrace_error error = {sizeof error};
 *     millrace_engine engine;
 *     if (millrace_engine_create(NULL, &engine, &error) != MILLRACE_OK) { fprintf(stderr, "%s\n", error.message); return 1; }
 *
 * Rules that hold everywhere
 *   Sizes     Every struct begins with its `size`, which the caller sets, also of those that are filled. What lies behind it is neither
 *             read nor written: a member that is not there has its default, which is what 0 says wherever nothing else is said.
 *   Handles   Engines, workflows, runs and subscriptions are named by numbers, not by addresses. One that was given back, is of another kind
 *             or was never there is MILLRACE_BAD_HANDLE, and harms nothing. {0} is none.
 *   Errors    Every function that can fail returns MILLRACE_OK or a code, and then fills `error`, which may be NULL. What it says it has not done
 *             has not happened. Nothing is thrown, unwound or longjmp-ed across this boundary, in neither direction.
 *   Threads   [any] any thread at any time, from handlers and callbacks too. [outside] any thread but the engine's own: not from a handler, nor from
 *             a callback; there it is MILLRACE_WRONG_THREAD. [loop] with `loop`: its thread, and nobody else; without: as [outside].
 *             Callbacks come on threads of the engine, several at once, and must not block.
 *   Ownership What is passed in is the caller's, read during the call, and may go when it has returned, but for `context` and functions, which the engine
 *             keeps for as long as it is said. What is given out as `millrace_bytes` is the caller's, who gives it back by `millrace_bytes_free`.
 *   Text      UTF-8 without NUL inside, NUL at the end; where a length stands beside it, without NUL at the end.
 *   Time      Durations are unsigned nanoseconds; MILLRACE_FOREVER is no bound.
 *   Forks     A child of `fork` has no engine: it may call nothing but `exec`.
 *
 * C11 and C++17. Handlers are those of millrace/plugin.h, in the program instead of a shared object.
 */
#ifndef MILLRACE_MILLRACE_H
#define MILLRACE_MILLRACE_H

#include "millrace/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MILLRACE_EMBEDDING_VERSION 0u
#define MILLRACE_FOREVER UINT64_MAX
#define MILLRACE_RUN_ID_BYTES 37u             /* a UUID and the NUL */
#define MILLRACE_DEFINITION_BYTES (64u << 20) /* of a definition, at most; of YAML 4 MiB */
#define MILLRACE_PARAMETER_BYTES (16u << 20)  /* of the parameters of a run, at most */

/* What became of a call. New codes may come: what is not known is a failure. */
enum {
  MILLRACE_OK = 0,
  MILLRACE_BAD_ARGUMENT = 1,   /* NULL where something is wanted, no UTF-8, a name that is none, a number out of its bounds */
  MILLRACE_BAD_HANDLE = 2,     /* given back already, of another kind, of another engine, or never there */
  MILLRACE_BAD_DEFINITION = 3, /* of a workflow: the message lists its faults, with lines and columns */
  MILLRACE_BAD_VERSION = 4,    /* a struct of another version, or a libuv that is not the library's own */
  MILLRACE_TOO_LARGE = 5,      /* more bytes than are taken */
  MILLRACE_NOT_FOUND = 6,      /* no handler, tenant, task, queue or exchange of that name */
  MILLRACE_EXISTS = 7,         /* a handler of that name, or a queue that is not as it was asked for */
  MILLRACE_FULL = 8,           /* a bound of the engine or a queue: again later */
  MILLRACE_NOT_READY = 9,      /* a task that is not completed has no output */
  MILLRACE_TIMED_OUT = 10,     /* it goes on */
  MILLRACE_CLOSED = 11,        /* the engine takes no more */
  MILLRACE_WRONG_THREAD = 12,  /* see the tag of the function */
  MILLRACE_REFUSED = 13,       /* what the plugin, the secret, the store or the broker says */
  MILLRACE_SYSTEM = 14         /* no memory, threads or files to be had */
};

/* Why a call failed. `size` = sizeof is enough; a shorter struct gets a shorter message. */
typedef struct millrace_error {
  uint32_t size;
  int32_t code;
  char message[MILLRACE_MESSAGE_BYTES]; /* what was wrong, where, and what to do; cut off at the end of a character */
} millrace_error;

typedef struct millrace_engine { uint64_t id; } millrace_engine;
typedef struct millrace_workflow { uint64_t id; } millrace_workflow;
typedef struct millrace_run { uint64_t id; } millrace_run;
typedef struct millrace_subscription { uint64_t id; } millrace_subscription;

/* Bytes that the library has made. */
typedef struct millrace_bytes {
  uint32_t size;
  uint32_t content_type; /* MILLRACE_BYTES, _JSON or _TEXT */
  void *data;            /* a NUL behind them, which does not count; never NULL after MILLRACE_OK */
  uint64_t length;
} millrace_bytes;

/* How a run is, or was. */
enum {
  MILLRACE_RUN_CREATED = 0, /* it waits for its turn */
  MILLRACE_RUN_RUNNING = 1,
  MILLRACE_RUN_COMPLETED = 2,
  MILLRACE_RUN_FAILED = 3,
  MILLRACE_RUN_CANCELLED = 4
};

/* What `event` is told. */
enum {
  MILLRACE_EVENT_RUN_BEGAN = 0,
  MILLRACE_EVENT_RUN_ENDED = 1,     /* status: MILLRACE_RUN_COMPLETED, _FAILED or _CANCELLED */
  MILLRACE_EVENT_ATTEMPT_BEGAN = 2,
  MILLRACE_EVENT_ATTEMPT_ENDED = 3, /* status: a word of tasks */
  MILLRACE_EVENT_RETRY = 4,         /* the attempt failed; the next begins after `duration` */
  MILLRACE_EVENT_TASK_ENDED = 5     /* status: a word of tasks */
};

/* One event. All of it is the engine's, for the call. */
typedef struct millrace_event {
  uint32_t size;
  uint32_t kind;
  const char *run;        /* UUIDv7 */
  const char *workflow;
  const char *tenant;
  const char *task;       /* NULL of a run's */
  const char *status;     /* COMPLETED, FAILED, SKIPPED, CANCELLED, TIMED_OUT or RUNNING */
  const char *error_type; /* empty: there was none */
  const char *message;    /* empty: it said nothing; without the values of secrets */
  uint64_t duration;      /* of the run or the attempt that ended, or until the next one */
  uint32_t attempt;       /* from 1; 0 of a run's */
  uint32_t reserved;
} millrace_event;

/* How an engine is made. NULL, or 0 in a member, is its default. */
typedef struct millrace_configuration {
  uint32_t size;
  uint32_t version;         /* MILLRACE_EMBEDDING_VERSION */
  uint32_t slots;           /* tasks in progress at once, to 16,777,216; 0: as many as threads */
  uint32_t threads;         /* that run handlers, to 55; 0: the processors granted */
  uint32_t blocking_threads; /* for handlers that block, at most, to 4,096; 0: as many as slots, 256 at most */
  uint32_t capacity;        /* unfinished tasks of all runs; 0: 2^22, or what a quarter of the memory granted holds */
  const char *data;         /* directory for durable runs and queues, made if it is not there; NULL: there are none */
  const char *plugins;      /* files, or directories of libmillrace-plugin-*.so, with colons between; one that is refused fails the call. NULL: none */
  const char *tenants;      /* JSON, name to weight: {"web": 3, "batch": 1}; NULL: only "default" */
  const char *settings;     /* JSON, what plugins read: {"replay.mode": "fast"}; NULL: nothing */
  void *context;            /* handed to the functions below; until the engine is destroyed */

  /* A line of the log, of plugins too, without the values of secrets; level: MILLRACE_LOG_DEBUG ... _ERROR. NULL: they are dropped. */
  void (*log)(void *context, uint32_t level, const char *line);
  /* What runs, attempts and tasks do, in their order for each run. NULL, and free: nobody hears of it. */
  void (*event)(void *context, const millrace_event *event);

  /* A uv_loop_t that the caller runs, for callbacks: `finished` is called on its thread. Time stays on a thread of the engine: what keeps the loop busy delays
     nothing else. It outlives the engine and one more turn. It is not kept running by the engine. NULL: `finished` is called on threads of the engine. */
  void *loop;
  unsigned int (*uv_version)(void); /* with `loop`: libuv's function of this name, by which it is seen that both have the same library */
  uint32_t uv_header;               /* with `loop`: UV_VERSION_HEX */
  uint32_t reserved;
} millrace_configuration;

/* Figures of an engine, since it was made; counted without stopping it. */
typedef struct millrace_metrics {
  uint32_t size;
  uint32_t threads;         /* that run handlers */
  uint64_t slots;           /* tasks that may be in progress */
  uint64_t slots_in_use;
  uint64_t tasks;           /* of all runs that are not over */
  uint64_t runs;            /* that are not over, those of messages among them */
  uint64_t runs_waiting;    /* for others of their key */
  uint64_t runs_started;    /* by millrace_run_start, or gone on with by millrace_engine_resume */
  uint64_t runs_completed;  /* of those */
  uint64_t runs_failed;
  uint64_t runs_cancelled;
  uint64_t published;       /* messages that millrace_publish has brought to at least one queue */
  uint64_t refused;         /* that it has not taken: full, too large, closed */
  uint64_t replies_lost;    /* whose queue had gone or was full */
} millrace_metrics;

/* 0.1.0. [any] Static. */
const char *millrace_version(void);
/* MILLRACE_EMBEDDING_VERSION of the library: a program compares it with that of its header. [any] */
uint32_t millrace_embedding_version(void);
/* The name of a code, as "MILLRACE_FULL"; "unknown" of others. [any] Static. */
const char *millrace_code_name(int32_t code);
/* Gives back what a call has made, and empties it. NULL, and what is empty, is nothing to do. [any] */
void millrace_bytes_free(millrace_bytes *bytes);

/* Makes an engine and starts its threads. 64 at once in a process. [any; with `loop`: its thread] */
int32_t millrace_engine_create(const millrace_configuration *configuration, millrace_engine *engine, millrace_error *error);

/* Takes no more runs and messages, and lets those that go on end; waits for that for `timeout` at most: then MILLRACE_TIMED_OUT. 0 does not wait.
   Any number of times. [any with 0, else outside; not on the loop's thread, which would stand still] */
int32_t millrace_engine_drain(millrace_engine engine, uint64_t timeout, millrace_error *error);

/* Cancels the runs that go on, waits for their cleanup and for handlers that run, ends the threads, unloads the plugins. The handle and those of its workflows
   and subscriptions are none then; runs stay, to be read, until they are released. Durable runs stay as they are on the disk. [loop] */
int32_t millrace_engine_destroy(millrace_engine engine, millrace_error *error);

/* Fills `metrics`. [any] */
int32_t millrace_engine_metrics(millrace_engine engine, millrace_metrics *metrics, millrace_error *error);

/* Makes a function of this program a handler. The struct is copied; `name` is the whole name, as "greet" or "shop/charge"; `context` is kept until the engine is
   destroyed, and `run` called by several threads at once. 65,536 handlers. [any] */
int32_t millrace_engine_register(millrace_engine engine, const millrace_handler *handler, millrace_error *error);

/* Loads the plugin in a file; its handlers are `plugin/handler`. [any; while it lasts, other plugins wait] */
int32_t millrace_engine_load(millrace_engine engine, const char *path, millrace_error *error);

/* Reads a workflow, YAML or JSON, and checks it against the handlers that there are. `name` stands in messages; NULL: "workflow". [any] */
int32_t millrace_workflow_prepare(
    millrace_engine engine, const char *name, const char *text, size_t length, millrace_workflow *workflow, millrace_error *error);
/* Runs of it go on. [any] */
int32_t millrace_workflow_release(millrace_workflow workflow, millrace_error *error);

/* What a run is started with. */
typedef struct millrace_start {
  uint32_t size;
  uint32_t reserved;
  const char *parameters;   /* a JSON object, or NULL */
  size_t parameters_length; /* bytes */
  const char *tenant;       /* NULL: "default" */
  const char *trace;        /* a W3C traceparent, or NULL */
  void *context;
  /* Once, when the run has ended, status: MILLRACE_RUN_COMPLETED ...; also if that is before `millrace_run_start` has returned. NULL: nobody is told. */
  void (*finished)(void *context, millrace_run run, uint32_t status);
} millrace_start;

/* Starts a run. `start` NULL: without parameters. The handle is the caller's to release. [any] */
int32_t millrace_run_start(millrace_workflow workflow, const millrace_start *start, millrace_run *run, millrace_error *error);
/* Waits for its end, `timeout` at most: then MILLRACE_TIMED_OUT. `status` may be NULL. [outside] */
int32_t millrace_run_wait(millrace_run run, uint64_t timeout, uint32_t *status, millrace_error *error);
/* MILLRACE_RUN_CREATED ... [any] */
int32_t millrace_run_status(millrace_run run, uint32_t *status, millrace_error *error);
/* Its UUIDv7, MILLRACE_RUN_ID_BYTES. [any] */
int32_t millrace_run_id(millrace_run run, char *id, millrace_error *error);
/* Asks it to stop. `reason` may be NULL. Any number of times. [any] */
int32_t millrace_run_cancel(millrace_run run, const char *reason, millrace_error *error);
/* The output of a completed task, copied; `task` NULL: of the definition's `result`. [any] */
int32_t millrace_run_output(millrace_run run, const char *task, millrace_bytes *output, millrace_error *error);
/* Sends a signal with a JSON payload to a task that waits for it, or will. [any] */
int32_t millrace_run_signal(
    millrace_run run, const char *name, const char *payload, size_t length, millrace_error *error);
/* Everything that is known of it, JSON: run.json of docs/report.md. [any] */
int32_t millrace_run_record(millrace_run run, millrace_bytes *record, millrace_error *error);
/* The run goes on; its handle is none any more. [any] */
int32_t millrace_run_release(millrace_run run, millrace_error *error);

/* Who is told of the runs that an earlier process has left. */
typedef struct millrace_resumption {
  uint32_t size;
  uint32_t reserved;
  void *context;
  /* One goes on: the caller's to release, and the name of its workflow, which is the engine's for the call. NULL: nobody is told, and there are no handles. */
  void (*resumed)(void *context, millrace_run run, const char *workflow);
  /* One does not, or does without a handle, as there is room for no more: its id, and why, which are the engine's for the call. Nothing of it is lost. NULL: nobody
     is told. */
  void (*left)(void *context, const char *id, const char *reason);
  /* As that of millrace_start, for each run that `resumed` was told of, and after that. NULL: nobody is told. */
  void (*finished)(void *context, millrace_run run, uint32_t status);
} millrace_resumption;

/* Goes on with the durable runs of `data` that are not over: what has completed is not done again, what was under way is, with the same task keys. Once, when
   handlers are registered and before runs are started; else MILLRACE_REFUSED. Reads the disk and waits for it; `resumed` and `left` are called meanwhile, on this
   thread. `resumption` NULL: nobody is told. `count`, which may be NULL, gets how many go on. [outside; on the loop's thread, too, which stands still] */
int32_t millrace_engine_resume(millrace_engine engine, const millrace_resumption *resumption, uint64_t *count, millrace_error *error);

/* How a schedule is followed. */
typedef struct millrace_schedule_options {
  uint32_t size;
  uint32_t reserved;
  const char *tenant;       /* whose work the runs are; NULL: "default" */
  const char *parameters;   /* of all runs, a JSON object, before those of the schedule; or NULL */
  size_t parameters_length; /* bytes */
  int64_t handled;          /* seconds since 1970, up to which every fire was started or passed over, as millrace_schedule_read gave it: what was missed since is treated
                               as the schedule says; 0: fires from now on, of a durable workflow from where `data` says */
  void *context;            /* handed to the functions below; until the engine is destroyed */
  /* A run was started for the fire of that second; the handle is the caller's to release, or none if there is room for no more. NULL: nobody is told, and there are
     no handles. */
  void (*started)(void *context, millrace_run run, int64_t fire);
  /* None was, and none will be. NULL: nobody is told. */
  void (*refused)(void *context, int64_t fire, const char *reason);
  /* As that of millrace_start, for each run that `started` was told of, and after that. NULL: nobody is told. */
  void (*finished)(void *context, millrace_run run, uint32_t status);
} millrace_schedule_options;
typedef struct millrace_schedule { uint64_t id; } millrace_schedule;
#define MILLRACE_NEVER INT64_MAX

/* Follows the schedule of a workflow (docs/schedules.md): starts a run at each fire, until it is stopped or the engine is drained or destroyed. After
   millrace_engine_resume, where there are durable runs. `options` NULL: as zeros are. Fires may be told before it has returned. [any] */
int32_t millrace_schedule_follow(
    millrace_workflow workflow, const millrace_schedule_options *options, millrace_schedule *schedule, millrace_error *error);
/* How far it was followed, to be stored, and when it fires next, MILLRACE_NEVER: no more; seconds since 1970, either may be NULL. [any] */
int32_t millrace_schedule_read(millrace_schedule schedule, int64_t *handled, int64_t *next, millrace_error *error);
/* Nothing is started until `millrace_schedule_resume`; what is missed is treated then as the schedule says. Both any number of times. [any] */
int32_t millrace_schedule_pause(millrace_schedule schedule, millrace_error *error);
int32_t millrace_schedule_resume(millrace_schedule schedule, millrace_error *error);
/* Follows it no longer; runs go on. Its handle is none any more. [any] */
int32_t millrace_schedule_stop(millrace_schedule schedule, millrace_error *error);

/* How a saga is, or was: docs/sagas.md. */
enum {
  MILLRACE_SAGA_STARTED = 0,
  MILLRACE_SAGA_RUNNING = 1,
  MILLRACE_SAGA_COMPLETED = 2,
  MILLRACE_SAGA_COMPENSATING = 3,
  MILLRACE_SAGA_COMPENSATED = 4,
  MILLRACE_SAGA_COMPENSATED_WITH_SKIPS = 5,
  MILLRACE_SAGA_COMPENSATION_PARKED = 6, /* from here on: waits for one of the verbs below */
  MILLRACE_SAGA_PIVOT_PARKED = 7,
  MILLRACE_SAGA_FORWARD_PARKED = 8
};

/* MILLRACE_SAGA_STARTED ... MILLRACE_NOT_FOUND: the run is no saga. [any] */
int32_t millrace_saga_status(millrace_run run, uint32_t *status, millrace_error *error);

/* What somebody wants of a saga that is parked: `by` says who, `reason` why; both stand in its history. They wait until that is recorded. MILLRACE_REFUSED: it is not
   possible, and nothing has changed; MILLRACE_NOT_FOUND: the run is no saga, or has no such step. [outside; on the loop's thread, too, which stands still] */
/* Has what is parked run once more: a step, or, `step` NULL, all. */
int32_t millrace_saga_resume(millrace_run run, const char *step, const char *by, millrace_error *error);
/* Passes over what is parked at a step. As above. */
int32_t millrace_saga_skip(millrace_run run, const char *step, const char *by, const char *reason, millrace_error *error);
/* Declares what is parked to be complete. As above. */
int32_t millrace_saga_force(millrace_run run, const char *by, const char *reason, millrace_error *error);

/* How a queue behaves: docs/broker.md. */
typedef struct millrace_queue {
  uint32_t size;
  uint32_t flags;          /* MILLRACE_QUEUE_... */
  uint64_t max_messages;   /* 0: no bound */
  uint64_t max_bytes;      /* of payloads; 0: no bound */
  uint64_t time_to_live;   /* 0: for ever */
  uint64_t retry_delay;    /* times the failed deliveries of a message that comes again */
  uint64_t lease;          /* of a message; 0: for ever */
  uint32_t delivery_limit; /* failed deliveries; 0: 20 */
  uint32_t reserved;
  const char *dead_letters; /* the queue for what failed, expired or had no room; NULL: none */
} millrace_queue;
enum {
  MILLRACE_QUEUE_DURABLE = 1u << 0, /* outlives the process: needs `data` */
  MILLRACE_QUEUE_REJECTS = 1u << 1  /* when it is full, publishers get MILLRACE_FULL; else the oldest message makes room */
};

/* Makes a queue, or sees that it is there as it is asked for. `queue` NULL: one without bounds. [any] */
int32_t millrace_queue_declare(millrace_engine engine, const char *name, const millrace_queue *queue, millrace_error *error);

/* Figures of a queue. */
typedef struct millrace_queue_metrics {
  uint32_t size;
  uint32_t consumers;
  uint64_t ready;
  uint64_t delayed;
  uint64_t unacknowledged;
  uint64_t bytes; /* of ready payloads */
  uint64_t published;
  uint64_t delivered;
  uint64_t redelivered;
} millrace_queue_metrics;
int32_t millrace_queue_read(millrace_engine engine, const char *name, millrace_queue_metrics *metrics, millrace_error *error);

enum { MILLRACE_EXCHANGE_DIRECT = 0, MILLRACE_EXCHANGE_FANOUT = 1, MILLRACE_EXCHANGE_TOPIC = 2 };
/* Makes an exchange, or sees that it is there; `kind`: MILLRACE_EXCHANGE_DIRECT ... [any] */
int32_t millrace_exchange_declare(millrace_engine engine, const char *name, uint32_t kind, millrace_error *error);
/* What comes to the exchange by a key, or by one that the pattern fits, goes to the queue as well. Any number of times. [any] */
int32_t millrace_bind(millrace_engine engine, const char *exchange, const char *key, const char *queue, millrace_error *error);

/* A message to publish. */
typedef struct millrace_message {
  uint32_t size;
  uint32_t content_type;  /* MILLRACE_BYTES, _JSON or _TEXT */
  const char *exchange;   /* NULL: to the queue of the key's name */
  const char *key;
  const void *payload;    /* copied once */
  uint64_t length;
  uint64_t delay;         /* before which nobody gets it */
  uint64_t time_to_live;  /* 0: as its queues say */
  uint32_t priority;      /* 0: normal, which is 1; else priority + 1, to 32 */
  uint32_t flags;         /* MILLRACE_MESSAGE_TRANSIENT */
  const char *id;         /* by which a second one is not taken, or NULL */
  const char *correlation; /* or NULL */
  const char *reply_to;   /* a queue for the answer, or NULL */
  const char *tenant;     /* whose work it is, or NULL */
  const char *const *headers; /* `header_count` names, each followed by its text; NULL with 0 */
  uint32_t header_count;  /* MILLRACE_HEADERS at most */
  uint32_t reserved;
} millrace_message;
enum { MILLRACE_MESSAGE_TRANSIENT = 1u << 0 /* durable queues do not keep it over a restart */ };

/* Publishes, and waits for nothing: MILLRACE_FULL where a queue has no room. `queues`, which may be NULL, gets how many queues have it: 0 if nobody wants it, or one
   of its id was taken before. [any] */
int32_t millrace_publish(millrace_engine engine, const millrace_message *message, uint32_t *queues, millrace_error *error);

/* Publishes a request and waits for its answer, `timeout` at most: then MILLRACE_TIMED_OUT, and it may still be done. Subscriptions answer by their output; others
   publish to the queue that `reply_to` names, with the correlation id of the request: both are the library's to set. The request expires when its time is over, and
   no restart keeps it. MILLRACE_NOT_FOUND: no queue takes it; MILLRACE_FULL: none has room, which is not waited for; MILLRACE_REFUSED: whoever was asked says why
   it cannot be done; MILLRACE_CLOSED: the engine stops meanwhile. [outside; not on the loop's thread, which would stand still] */
int32_t millrace_engine_request(
    millrace_engine engine, const millrace_message *message, uint64_t timeout, millrace_bytes *answer, millrace_error *error);

/* How messages are taken. */
typedef struct millrace_subscribe_options {
  uint32_t size;
  uint32_t prefetch;    /* messages that it has at a time, to 65,535; 0: 100 */
  uint32_t concurrency; /* that run at a time; 0: as many as there are slots */
  uint32_t reserved;
  uint64_t timeout;     /* of one message; 0: none */
} millrace_subscribe_options;

/* Has the messages of a queue handled. The payload is input 0, in place; what else a message says, and how often it came, is told by the host's extension
   MILLRACE_DELIVERY. MILLRACE_DONE acknowledges the message, and the output is the answer, where
   one is wanted; _RETRY and _FAILED count as failed, _FAILED makes it a dead letter; _CANCELLED gives it back. `options` may be NULL. `handler` is copied, its
   name stands in the log. Its `context` is kept until the engine is destroyed: `run` may still go on after millrace_unsubscribe. [any] */
int32_t millrace_subscribe(
    millrace_engine engine, const char *queue, const millrace_handler *handler, const millrace_subscribe_options *options,
    millrace_subscription *subscription, millrace_error *error);
/* No more messages; those whose handlers run are settled as these end. [any] */
int32_t millrace_unsubscribe(millrace_subscription subscription, millrace_error *error);

/* The layout is part of the interface. */
#if UINTPTR_MAX == UINT64_MAX
MILLRACE_ASSERT(sizeof(millrace_error) == 4104);
MILLRACE_ASSERT(sizeof(millrace_engine) == 8);
MILLRACE_ASSERT(sizeof(millrace_bytes) == 24);
MILLRACE_ASSERT(sizeof(millrace_event) == 80);
MILLRACE_ASSERT(sizeof(millrace_configuration) == 104);
MILLRACE_ASSERT(offsetof(millrace_configuration, loop) == 80);
MILLRACE_ASSERT(sizeof(millrace_metrics) == 104);
MILLRACE_ASSERT(sizeof(millrace_start) == 56);
MILLRACE_ASSERT(sizeof(millrace_resumption) == 40);
MILLRACE_ASSERT(sizeof(millrace_schedule_options) == 72);
MILLRACE_ASSERT(sizeof(millrace_queue) == 64);
MILLRACE_ASSERT(sizeof(millrace_queue_metrics) == 64);
MILLRACE_ASSERT(sizeof(millrace_message) == 112);
MILLRACE_ASSERT(sizeof(millrace_subscribe_options) == 24);
#endif

#ifdef __cplusplus
}
#endif
#endif
