/*
 * What a host and the process of an isolated plugin share: two memory files, each written by one side only.
 *
 *   The page   written by the host, mapped read-only by the child: the ring of requests, a request for each slot, and a region for each slot with its inputs.
 *   The arena  written by the child, read by the host: the ring of what it says, an ending for each slot, its log, and a region for each slot with its outputs.
 *
 * The host trusts nothing in the arena: it reads a word once, and checks the copy. Neither file can shrink or grow, so that no read of it can fail.
 *
 * A ring's entry is one word: its number from 1 in the upper 32 bits, and below what it says. Entry n lies at n % capacity, so that a reader who
 * expects a number knows whether it is there; writers take numbers from the tail.
 */
#ifndef MILLRACE_ISOLATION_H
#define MILLRACE_ISOLATION_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/plugin.h"

#define MILLRACE_ISOLATION_VERSION 1u
#define MILLRACE_ISOLATION_MOST_SLOTS 1024u
#define MILLRACE_ISOLATION_LOG_BYTES (64u << 10)
#define MILLRACE_ISOLATION_LINE_BYTES 4096u           /* of a line of the log, at most; the rest is cut off */
#define MILLRACE_ISOLATION_DESCRIPTION_BYTES (8u << 20) /* what a plugin says of itself, at most */
#define MILLRACE_ISOLATION_SETTINGS_BYTES (1u << 20)
#define MILLRACE_ISOLATION_ALIGNMENT 4096u
#define MILLRACE_ISOLATION_NEAR_BYTES 512u

/* Descriptors that the child begins with, beside 0, 1 and 2. */
enum {
  MILLRACE_ISOLATION_PAGE = 3,   /* open for reading only */
  MILLRACE_ISOLATION_ARENA = 4,
  MILLRACE_ISOLATION_BELL = 5,   /* eventfd: wakes the host */
  MILLRACE_ISOLATION_PLUGIN = 6, /* the sealed copy of the plugin */
  MILLRACE_ISOLATION_DESCRIPTORS = 7
};

/* How far a child has come: `arena.state`. */
enum {
  MILLRACE_CHILD_STARTS = 0,
  MILLRACE_CHILD_READY = 1,    /* the description is there */
  MILLRACE_CHILD_REFUSED = 2,  /* the description is its reason */
  MILLRACE_CHILD_ABI = 3,      /* its entry returned NULL, or another version, which the description is */
  MILLRACE_CHILD_LINKER = 4,   /* the dynamic linker refused it, with these words */
  MILLRACE_CHILD_NO_ENTRY = 5,
  MILLRACE_CHILD_SANDBOX = 6,  /* the kernel cannot keep it in, and why */
  MILLRACE_CHILD_MALFORMED = 7 /* its description is not as plugin.h says: the field, a tab, and what it is */
};

/* What an entry of the ring of responses says: bits 16 to 31; the slot is below. */
enum { MILLRACE_SAYS_ENDED = 1, MILLRACE_SAYS_LATER = 2, MILLRACE_SAYS_BEAT = 3, MILLRACE_SAYS_LOG = 4 };

/* Of the ring of requests: no slot but the end. */
#define MILLRACE_ISOLATION_STOP 0xffffu

#define MILLRACE_ARENA_INPUT 1u  /* `payload.arena` of an input, whose offset is one in the page */
#define MILLRACE_ARENA_OUTPUT 2u /* of a claim, in the arena */

enum { MILLRACE_VARIABLE_SECRET = 1u << 0 };

typedef struct millrace_isolated_input {
  uint64_t offset; /* in the page */
  uint64_t length;
  uint32_t content_type;
  uint32_t reserved;
  uint64_t name; /* offset in the page of a text with its NUL */
} millrace_isolated_input;

typedef struct millrace_isolated_variable {
  uint64_t name, value; /* offsets in the page of texts with their NULs */
  uint32_t flags;
  uint32_t reserved;
} millrace_isolated_variable;

/* What different sides write lies 128 bytes apart: by padding, for Swift imports no struct with an alignment of its own. */

/* One attempt, as the host describes it. Written before its entry in the ring, but for `cancelled`. */
typedef struct millrace_isolated_request {
  uint32_t generation;
  uint32_t handler;
  uint32_t attempt_number;
  uint32_t input_count;
  uint32_t variable_count;
  uint32_t has_trace;
  uint64_t deadline;
  uint64_t inputs, variables, task_key, task_id; /* offsets in the page */
  char traceparent[MILLRACE_TRACEPARENT_BYTES];
  char apart[8];
  uint32_t cancelled; /* the generation that should stop */
  uint32_t reserved[31];
  /* Small texts and inputs: those of many slots lie near each other. Regions are far apart, and their beginnings fall into the same few lines of a cache. */
  char near[MILLRACE_ISOLATION_NEAR_BYTES];
} millrace_isolated_request;

typedef struct millrace_isolation_page {
  uint32_t version;
  uint32_t slots;
  uint64_t region_bytes; /* of each slot, in the page and in the arena */
  uint32_t parent;       /* process id of the host */
  uint32_t helpers;      /* threads for handlers that block */
  uint32_t untrusted;
  uint32_t may_lack_landlock;
  uint64_t memory_bytes; /* of its own that it may have; 0: no bound */
  uint32_t descriptors;  /* file descriptors that it may have */
  uint32_t spins;        /* looks at the ring before it sleeps; UINT32_MAX: it never sleeps */
  uint32_t setting_bytes;
  uint32_t library_bytes; /* directories that may be read while it is loaded, each with its NUL, behind the settings */
  uint32_t is_virtual;    /* the host's clock stands in `now` */
  uint32_t reserved;
  int64_t clock_offset; /* from the system's monotonic clock to the host's */
  char host_name[64], host_version[64];
  char apart1[128];
  uint32_t tail; /* numbers that were taken; the child sleeps on it */
  char apart2[124];
  uint32_t response_head; /* what the host has read of the responses */
  uint32_t log_head;      /* and of the log */
  char apart3[120];
  uint32_t sleeps; /* the host wants its bell rung */
  char apart4[124];
  uint64_t now;
} millrace_isolation_page;

/* How an attempt ended, or goes on, as the child says. One that is done has written the first half, one line of a cache, only. */
typedef struct millrace_isolated_ending {
  uint32_t generation;
  uint32_t status;
  uint64_t used; /* bytes of the region that were claimed */
  millrace_payload output;
  uint64_t delay;
  uint32_t progress; /* of a heartbeat */
  char apart1[12];
  /* Of one that is not done. */
  millrace_payload details;
  uint64_t retry_after;
  uint32_t message_length;
  char apart2[28];
} millrace_isolated_ending;

/* What it says of an error. */
typedef struct millrace_isolated_words {
  char error_type[MILLRACE_ERROR_TYPE_BYTES];
  char message[MILLRACE_MESSAGE_BYTES];
} millrace_isolated_words;

typedef struct millrace_isolation_arena {
  uint32_t state;
  uint32_t description_bytes;
  uint32_t landlock; /* version of it that keeps the child in; 0: none */
  uint32_t reserved;
  char apart1[112];
  uint32_t sleeps; /* the child wants to be woken */
  char apart2[124];
  uint32_t tail; /* of the ring of responses */
  char apart3[124];
  uint32_t log_tail;
  uint32_t lost_lines;
} millrace_isolation_arena;

/* Where things are, in bytes: a function of two numbers, so that nobody need be told. */
typedef struct millrace_isolation_layout {
  uint64_t requests, request_ring, settings, inputs, page_bytes;
  uint64_t endings, words, response_ring, log, description, outputs, arena_bytes;
  uint32_t request_capacity, response_capacity; /* powers of two */
} millrace_isolation_layout;

static inline uint64_t millrace_isolation_up(uint64_t bytes) {
  return (bytes + MILLRACE_ISOLATION_ALIGNMENT - 1) / MILLRACE_ISOLATION_ALIGNMENT * MILLRACE_ISOLATION_ALIGNMENT;
}

static inline millrace_isolation_layout millrace_isolation_lay(uint32_t slots, uint64_t region_bytes) {
  millrace_isolation_layout l;
  l.request_capacity = 2;
  while (l.request_capacity <= slots) l.request_capacity *= 2; /* the end has an entry of its own */
  l.response_capacity = 4 * l.request_capacity;                /* an end for each slot always has room: the rest is dropped beyond half */
  l.request_ring = millrace_isolation_up(sizeof(millrace_isolation_page));
  l.requests = l.request_ring + millrace_isolation_up(8ull * l.request_capacity);
  l.settings = l.requests + millrace_isolation_up(slots * sizeof(millrace_isolated_request));
  l.inputs = l.settings + MILLRACE_ISOLATION_SETTINGS_BYTES;
  l.page_bytes = l.inputs + slots * region_bytes;
  l.response_ring = millrace_isolation_up(sizeof(millrace_isolation_arena));
  l.endings = l.response_ring + millrace_isolation_up(8ull * l.response_capacity);
  l.words = l.endings + millrace_isolation_up(slots * sizeof(millrace_isolated_ending));
  l.log = l.words + millrace_isolation_up(slots * sizeof(millrace_isolated_words));
  l.description = l.log + MILLRACE_ISOLATION_LOG_BYTES;
  l.outputs = l.description + MILLRACE_ISOLATION_DESCRIPTION_BYTES;
  l.arena_bytes = l.outputs + slots * region_bytes;
  return l;
}

/* Words that the other side writes: read once, whatever stands there a moment later. */
static inline uint32_t millrace_shared_load(const void *word) { return __atomic_load_n((const uint32_t *)word, __ATOMIC_ACQUIRE); }
static inline uint64_t millrace_shared_load_long(const void *word) { return __atomic_load_n((const uint64_t *)word, __ATOMIC_ACQUIRE); }
static inline void millrace_shared_store(void *word, uint32_t value) { __atomic_store_n((uint32_t *)word, value, __ATOMIC_RELEASE); }
static inline void millrace_shared_store_long(void *word, uint64_t value) { __atomic_store_n((uint64_t *)word, value, __ATOMIC_RELEASE); }
static inline uint32_t millrace_shared_take(void *word) { return __atomic_fetch_add((uint32_t *)word, 1, __ATOMIC_SEQ_CST); }
static inline void millrace_shared_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

MILLRACE_ASSERT(sizeof(millrace_isolated_request) == 768 && offsetof(millrace_isolated_request, cancelled) == 128);
MILLRACE_ASSERT(offsetof(millrace_isolated_request, near) == 256);
MILLRACE_ASSERT(sizeof(millrace_isolated_ending) == 128 && offsetof(millrace_isolated_ending, details) == 64);

/* The words of both sides, by address. */
static inline void *millrace_page_tail(void *page) { return &((millrace_isolation_page *)page)->tail; }
static inline void *millrace_page_response_head(void *page) { return &((millrace_isolation_page *)page)->response_head; }
static inline void *millrace_page_log_head(void *page) { return &((millrace_isolation_page *)page)->log_head; }
static inline void *millrace_page_sleeps(void *page) { return &((millrace_isolation_page *)page)->sleeps; }
static inline void *millrace_page_now(void *page) { return &((millrace_isolation_page *)page)->now; }
static inline void *millrace_request_cancelled(void *request) { return &((millrace_isolated_request *)request)->cancelled; }
static inline const void *millrace_arena_state(const void *arena) { return &((const millrace_isolation_arena *)arena)->state; }
static inline const void *millrace_arena_bytes(const void *arena) { return &((const millrace_isolation_arena *)arena)->description_bytes; }
static inline const void *millrace_arena_landlock(const void *arena) { return &((const millrace_isolation_arena *)arena)->landlock; }
static inline const void *millrace_arena_sleeps(const void *arena) { return &((const millrace_isolation_arena *)arena)->sleeps; }
static inline const void *millrace_arena_log_tail(const void *arena) { return &((const millrace_isolation_arena *)arena)->log_tail; }
static inline const void *millrace_arena_lost_lines(const void *arena) { return &((const millrace_isolation_arena *)arena)->lost_lines; }

/* Of landlock, of this kernel; 0: it has none. */
int millrace_landlock_version(void);

/* As the futexes of shims.h, for words that processes share. */
int millrace_shared_wait(const void *word, uint32_t expected);
void millrace_shared_wake(const void *word);

/* A copy that is read once: the compiler may not go back for more. */
void millrace_shared_copy(void *to, const void *from, size_t bytes);

/* A memory file of `bytes`, zeroes, which cannot grow or shrink any more, or -1 and errno. */
int millrace_shared_memory(const char *name, uint64_t bytes);

/* A second descriptor of a memory file, by which nobody can write it, or -1 and errno. */
int millrace_shared_reader(int descriptor);

/* The mapping of all of it, or NULL and errno. */
void *millrace_shared_map(int descriptor, uint64_t bytes, int writable);
void millrace_shared_unmap(void *memory, uint64_t bytes);

/* Starts `program` with descriptors 0 to MILLRACE_ISOLATION_DESCRIPTORS - 1, an untrusted one with no environment and in `/`. 0, or an errno value. */
int millrace_spawn_child(const char *program, int is_untrusted, const int *descriptors, int32_t *child);

/* Gives the pages of a range back: they read as zeroes. Both are multiples of MILLRACE_ISOLATION_ALIGNMENT. 0, or an errno value. */
int millrace_shared_drop(int descriptor, uint64_t offset, uint64_t bytes);

#endif
