/* What the programs in C and C++ share: the command line, the clock, what a message holds, the line that is printed.

     PROGRAM WORK SECONDS

   One line of JSON on standard output. Exits 64 for wrong use, an unknown work among it, 1 for what failed. */
#ifndef BROKER_BENCH_H
#define BROKER_BENCH_H
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn, format(printf, 2, 3))) static inline void quit(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "broker: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  _exit(code);
}

typedef struct {
  const char *work;
  double seconds;
} Call;

static inline Call called(int argc, char **argv) {
  char *end = NULL;
  const double seconds = argc == 3 ? strtod(argv[2], &end) : 0;
  if (argc != 3 || *end || !(seconds > 0 && seconds <= 3600)) quit(64, "usage: %s WORK SECONDS", argv[0]);
  return (Call){argv[1], seconds};
}

/* Word k of message i is i * MIX + k: what all of them come to is known without looking. */
#define MIX UINT64_C(0x9e3779b97f4a7c15)

static inline void fill(uint64_t *words, size_t count, uint64_t i) {
  const uint64_t first = i * MIX;
  for (size_t k = 0; k < count; k++) words[k] = first + k;
}

static inline uint64_t sum(const uint64_t *words, size_t count) {
  uint64_t total = 0;
  for (size_t k = 0; k < count; k++) total += words[k];
  return total;
}

static inline uint64_t triangle(uint64_t n) { return n % 2 ? n * ((n - 1) / 2) : n / 2 * (n - 1); }

/* The sum of all words of messages 0..<messages. */
static inline uint64_t expected(uint64_t words, uint64_t messages) { return words * MIX * triangle(messages) + messages * triangle(words); }

static inline void check(uint64_t messages, uint64_t received, uint64_t total, uint64_t right) {
  if (received != messages || total != right)
    quit(1, "%" PRIu64 " of %" PRIu64 " messages were received; their sum is %s", received, messages, total == right ? "right" : "wrong");
}

static inline void tell(const char *work, uint64_t messages, uint64_t received, int bytes, int consumers, double seconds) {
  printf("{\"work\":\"%s\",\"messages\":%" PRIu64 ",\"received\":%" PRIu64 ",\"lost\":0,\"bytes\":%d,\"consumers\":%d,\"seconds\":%.9f}\n", work,
         messages, received, bytes, consumers, seconds);
}
#endif
