/* `replay/task`: one recorded task, again. */
#include "replay.h"

#include <time.h>

#include "../support/outcome.h"

#define BURN_ROUNDS 16384u /* arithmetic between two looks at the clock: some 20 us, so that short tasks stay short */
#define BURN_HEARTBEAT_NANOSECONDS 50000000u

static uint64_t real_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * Burns CPU for `length` nanoseconds of the host's clock. A host's clock may be virtual and stand still while this runs, so the same
 * length of real time ends it as well. MILLRACE_DONE or MILLRACE_CANCELLED.
 */
static uint32_t burn(const millrace_call *call, uint64_t length) {
  const uint64_t begin = call->host->now(call->host), real_begin = real_now();
  uint64_t beat = BURN_HEARTBEAT_NANOSECONDS, state = begin | 1;
  for (;;) {
    for (uint32_t i = 0; i < BURN_ROUNDS; i++) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
    }
    __asm__ volatile("" : "+r"(state)); /* keeps the arithmetic */
    if (call->host->cancelled(call->attempt)) return MILLRACE_CANCELLED;
    const uint64_t passed = call->host->now(call->host) - begin;
    if (passed >= length || real_now() - real_begin >= length) return MILLRACE_DONE;
    if (passed >= beat) {
      call->host->heartbeat(call->attempt, (uint32_t)(1000.0 * (double)passed / (double)length));
      beat = passed + BURN_HEARTBEAT_NANOSECONDS;
    }
  }
}

/* Hands the end of the attempt to the host's timers. */
static uint32_t wait_by_timer(const millrace_call *call, millrace_outcome *outcome, uint64_t length) {
  const millrace_token token = call->host->token(call->attempt);
  if (token == 0) return outcome_end(outcome, MILLRACE_RETRY, "no-token", "the host gave no completion token: set replay.mode=burn");
  outcome->status = MILLRACE_DONE;
  if (call->host->complete_after(call->host, token, length, outcome) != 0)
    return outcome_end(outcome, MILLRACE_RETRY, "too-late", "the attempt had ended before its timer was set");
  outcome->status = MILLRACE_PENDING;
  return MILLRACE_PENDING;
}

uint32_t replay_task(void *context, const millrace_call *call, millrace_outcome *outcome) {
  const replay_settings *settings = context;
  json_document d;
  double seconds = 0;
  size_t raw_length = 0;
  uint32_t status =
      outcome_read_object(call, outcome, 0, NULL, &d); /* recordings carry more than the length: other members may stand there */
  if (status != MILLRACE_DONE) return status;
  const uint32_t node = json_find(&d, 0, "seconds");
  const char *raw = json_raw(&d, node, &raw_length);
  if (node == 0 || json_number(&d, node, &seconds) || seconds < 0 || seconds > REPLAY_MOST_SECONDS ||
      seconds * settings->time_scale > REPLAY_MOST_SECONDS) {
    status = outcome_end(outcome, MILLRACE_FAILED, "bad-input", "`seconds` is `%.*s`: it must be a number from 0 to %.0f, scaled too",
                         (int)(node == 0         ? 0
                               : raw_length < 64 ? raw_length
                                                 : 64),
                         raw, REPLAY_MOST_SECONDS);
    json_free(&d);
    return status;
  }
  const uint64_t length = (uint64_t)(seconds * settings->time_scale * 1e9 + 0.5);
  json_writer w = outcome_writer();
  json_open(&w, "{");
  json_name(&w, "seconds");
  json_put_raw(&w, raw, raw_length);
  json_name(&w, "replayed");
  json_put_seconds(&w, length);
  json_close(&w, "}");
  json_free(&d); /* `raw` lies in the input, not in the document */
  status = outcome_done_json(call, outcome, &w, "write `seconds` with fewer digits");
  if (status != MILLRACE_DONE || length == 0) return status;
  if (settings->wait) return wait_by_timer(call, outcome, length);
  return burn(call, length) == MILLRACE_DONE ? MILLRACE_DONE : outcome_cancelled(outcome);
}
