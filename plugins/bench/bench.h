/* The bench plugin inside: its settings and its handlers. */
#ifndef MILLRACE_BENCH_H
#define MILLRACE_BENCH_H

#include <millrace/plugin.h>

#pragma GCC visibility push(hidden)

#define BENCH_MOST_NANOSECONDS 3600000000000.0 /* an hour: the longest burn */
#define BENCH_MOST_ROUNDS 1e12

/* Read once by init, constant until deinit. */
typedef struct bench_settings {
  uint64_t nanoseconds; /* bench.nanoseconds: what `bench/burn` burns without an input */
  uint64_t rounds;      /* bench.rounds: what `bench/spin` does */
} bench_settings;

/* `bench/empty`. Done at once: what remains is the engine's own cost. */
uint32_t bench_empty(void *context, const millrace_call *call, millrace_outcome *outcome);

/* `bench/burn`. Burns CPU until so much time has passed. `context` is the settings. */
uint32_t bench_burn(void *context, const millrace_call *call, millrace_outcome *outcome);

/* `bench/spin`. A fixed amount of arithmetic, without a look at the clock: the same work however the time is shared. `context` is the settings. */
uint32_t bench_spin(void *context, const millrace_call *call, millrace_outcome *outcome);

#pragma GCC visibility pop
#endif
