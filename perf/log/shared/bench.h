/* What the programs of the log's benchmark share: the command line, the clock, latencies, the line that is printed.

     PROGRAM WORK DIRECTORY SECONDS [MOST]

   One line of JSON on standard output. MOST ends a run of one caller at so many records, however quick the disk is. Exits 64 for wrong use, 69 where the program has no such work, 1 for what failed. */
#ifndef LOG_BENCH_H
#define LOG_BENCH_H
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

static inline uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn, format(printf, 2, 3))) static inline void quit(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "log: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  _exit(code);
}

/* Latencies, ns: within 1.6 %. */
enum { SUB_BITS = 6, BUCKETS = (64 - SUB_BITS + 1) << SUB_BITS };
typedef struct {
  uint64_t count, buckets[BUCKETS];
} Latencies;

static inline void latency_add(Latencies *latencies, uint64_t ns, uint64_t times) {
  const int shift = ns >> SUB_BITS ? 63 - __builtin_clzll(ns) - SUB_BITS : 0;
  latencies->buckets[((uint64_t)shift << SUB_BITS) + (ns >> shift)] += times;
  latencies->count += times;
}

static inline void latency_join(Latencies *all, const Latencies *some) {
  all->count += some->count;
  for (int i = 0; i < BUCKETS; i++) all->buckets[i] += some->buckets[i];
}

static inline uint64_t latency_at(const Latencies *latencies, double p) {
  uint64_t left = (uint64_t)(p * (double)latencies->count);
  for (uint64_t i = 0; i < BUCKETS; i++) {
    if (latencies->buckets[i] > left) {
      const int shift = i >> (SUB_BITS + 1) ? (int)(i >> SUB_BITS) - 1 : 0;
      return (i - ((uint64_t)shift << SUB_BITS)) << shift;
    }
    left -= latencies->buckets[i];
  }
  return 0;
}

typedef struct {
  const char *work, *directory;
  double seconds;
  uint64_t most;
} Call;

typedef struct {
  uint64_t records; /* acknowledged, or read and found good */
  double seconds;
  uint64_t syncs; /* that the program saw, or its system calls */
  Latencies latencies;
  const char *way; /* how it wrote, or null */
} Figures;

static inline void tell_percentile(const Latencies *latencies, const char *name, double p) {
  /* Fewer samples than these know nothing of it. */
  if ((double)latencies->count * (1 - p) < 10) printf(", \"%s\": null", name);
  else printf(", \"%s\": %llu", name, (unsigned long long)latency_at(latencies, p));
}

static inline void tell(const Call *call, const Figures *figures) {
  const bool reads = strncmp(call->work, "replay", 6) == 0 || strcmp(call->work, "verify") == 0;
  printf("{\"work\": \"%s\", \"%s\": %llu, \"seconds\": %.6f, \"syncs\": %llu", call->work, reads ? "events" : "acknowledged",
         (unsigned long long)figures->records, figures->seconds,
         (unsigned long long)figures->syncs);
  tell_percentile(&figures->latencies, "p50_ns", 0.5);
  tell_percentile(&figures->latencies, "p99_ns", 0.99);
  if (figures->way) printf(", \"way\": \"%s\"", figures->way);
  printf("}\n");
}

/* A sync of a file system in memory costs nothing and keeps nothing. */
static inline void refuse_memory(const char *directory) {
  struct statfs system;
  if (statfs(directory, &system) != 0) quit(1, "%s: %s", directory, strerror(errno));
  const unsigned long type = (unsigned long)system.f_type & 0xffffffff;
  if (type == 0x01021994 || type == 0x858458f6)
    quit(69, "%s is in memory (%s): nothing is durable there; choose a directory on a disk", directory, type == 0x01021994 ? "tmpfs" : "ramfs");
}

static inline Call bench_call(int argc, char **argv) {
  char *end = NULL, *rest = NULL;
  Call call = {argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "", argc > 3 ? strtod(argv[3], &end) : 0, UINT64_MAX};
  if (argc > 4) call.most = strtoull(argv[4], &rest, 10);
  if (argc < 4 || argc > 5 || *end || !(call.seconds >= 0 && call.seconds <= 3600) || (rest && *rest)) {
    fprintf(stderr, "usage: %s WORK DIRECTORY SECONDS [MOST]\n", argv[0]);
    exit(64);
  }
  refuse_memory(call.directory);
  return call;
}

#define MOST_IN_FLIGHT 65536
#define MOST_NUMBER ((uint64_t)1 << 32)

/* The N of `NAME-N`, 1 to `most`; 0: the work is another one. */
static inline uint64_t work_number(const Call *call, const char *name, uint64_t most) {
  const size_t length = strlen(name);
  char *end;
  if (strncmp(call->work, name, length) != 0 || call->work[length] != '-') return 0;
  const unsigned long number = strtoul(call->work + length + 1, &end, 10);
  return *end || number > most ? 0 : number;
}

static inline bool work_is(const Call *call, const char *name) { return strcmp(call->work, name) == 0; }

__attribute__((noreturn)) static inline void no_such_work(const Call *call) { quit(69, "there is no %s here", call->work); }

static inline void path_in(char path[PATH_MAX], const char *directory, const char *name) {
  if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX) quit(64, "%s is too long", directory);
}

/* As much as is written ahead; AHEAD_MIB says less for a test. */
static inline uint64_t ahead_bytes(uint64_t usual) {
  const char *text = getenv("AHEAD_MIB");
  const uint64_t said = text ? strtoull(text, NULL, 10) << 20 : 0;
  return said ? said : usual;
}

/* Writes zeros over the whole of a file and syncs: what is written there later changes no metadata. */
static inline void write_ahead(int file, uint64_t bytes) {
  const uint64_t piece = 1 << 20;
  void *zeros = calloc(1, piece);
  if (!zeros) quit(1, "no memory");
  struct stat status;
  if (fstat(file, &status) != 0) quit(1, "fstat: %s", strerror(errno));
  for (uint64_t at = (uint64_t)status.st_size; at < bytes;) {
    const ssize_t wrote = pwrite(file, zeros, bytes - at < piece ? bytes - at : piece, (off_t)at);
    if (wrote <= 0) quit(1, "writing ahead: %s", strerror(errno));
    at += (uint64_t)wrote;
  }
  if (fsync(file) != 0) quit(1, "fsync: %s", strerror(errno));
  free(zeros);
}

/* One caller: `count` events handed over together, acknowledged together, until the time is over, or MOST are reached. `append` makes them durable. */
typedef void (*Append)(void *store, uint64_t position, uint64_t count);

static inline void append_batches(Figures *figures, void *store, Append append, uint64_t count, const Call *call) {
  const uint64_t begin = now(), end = begin + (uint64_t)(call->seconds * 1e9);
  uint64_t at = begin;
  do {
    append(store, figures->records, count);
    const uint64_t done = now();
    latency_add(&figures->latencies, done - at, 1);
    figures->records += count;
    at = done;
  } while (at < end && figures->records < call->most);
  figures->seconds = (double)(at - begin) / 1e9;
}

/* Reads all again and again until the time is over: once, at least. `replay` returns how many held. */
typedef uint64_t (*Replay)(void *store);

static inline void replay_all(Figures *figures, void *store, Replay replay, uint64_t count, double seconds) {
  const uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);
  uint64_t at = begin;
  do {
    const uint64_t read = replay(store);
    if (read != count) quit(1, "replay: %llu of %llu records", (unsigned long long)read, (unsigned long long)count);
    figures->records += read;
    at = now();
  } while (at < end);
  figures->seconds = (double)(at - begin) / 1e9;
}

/* Counted in syncs.c: this process's calls that wait for the disk, those of its libraries too. */
#ifdef __cplusplus
extern "C"
#endif
    uint64_t
    syncs_called(void);
#endif
