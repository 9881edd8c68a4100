/* `bench/empty`, `bench/burn`, `bench/spin`: the bodies that the engine is measured with. */
#include "bench.h"

#include <time.h>

#include "../support/outcome.h"

#define BURN_LOOKS 4096u /* at the clock, some 100 us, between two looks at the rest */

static uint64_t real_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t bench_empty(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  return MILLRACE_DONE;
}

/* The length from input 0, `{"nanoseconds": N}`, or the setting's where the input is absent, null or empty. MILLRACE_DONE, or the ended outcome's. */
static uint32_t read_length(const bench_settings *settings, const millrace_call *call, millrace_outcome *outcome, uint64_t *length) {
  static const char *const names[] = {"nanoseconds", NULL};
  *length = settings->nanoseconds;
  millrace_input input = {.size = sizeof input};
  if (call->host->input_count(call->attempt) == 0 || call->host->input(call->attempt, 0, &input) != 0) return MILLRACE_DONE;
  if (input.payload.length == 0 || (input.payload.length == 4 && memcmp(input.bytes, "null", 4) == 0)) return MILLRACE_DONE;
  json_document d;
  double nanoseconds;
  uint32_t status = outcome_read_object(call, outcome, 0, names, &d);
  if (status != MILLRACE_DONE) return status;
  const uint32_t node = json_find(&d, 0, "nanoseconds");
  if (node != 0 && (json_number(&d, node, &nanoseconds) || !(nanoseconds >= 0) || nanoseconds > BENCH_MOST_NANOSECONDS))
    status = outcome_end(outcome, MILLRACE_FAILED, "bad-input", "`nanoseconds` must be a number from 0 to %.0f", BENCH_MOST_NANOSECONDS);
  else if (node != 0) *length = (uint64_t)nanoseconds;
  json_free(&d);
  return status;
}

/* A host's clock may be virtual and stand still while this runs: the same length of real time ends it as well. */
uint32_t bench_burn(void *context, const millrace_call *call, millrace_outcome *outcome) {
  const uint64_t begin = call->host->now(call->host), real_begin = real_now();
  uint64_t length;
  const uint32_t status = read_length(context, call, outcome, &length);
  if (status != MILLRACE_DONE) return status;
  for (uint32_t looks = 1; call->host->now(call->host) - begin < length; looks++) {
    if (looks % BURN_LOOKS != 0) continue;
    if (call->host->cancelled(call->attempt)) return outcome_cancelled(outcome);
    if (real_now() - real_begin >= length) break;
  }
  return MILLRACE_DONE;
}

uint32_t bench_spin(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)call, (void)outcome;
  uint64_t state = 88172645463325252u; /* of xorshift64, G. Marsaglia 2003: each step needs the one before */
  for (uint64_t left = ((const bench_settings *)context)->rounds; left > 0; left--) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
  }
  __asm__ volatile("" : "+r"(state)); /* keeps the arithmetic */
  return MILLRACE_DONE;
}
