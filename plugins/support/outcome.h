/*
 * Ends of an attempt, and what every handler does with its input 0.
 */
#ifndef MILLRACE_PLUGIN_OUTCOME_H
#define MILLRACE_PLUGIN_OUTCOME_H

#include <millrace/plugin.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "json_write.h"

/* Makes `text` UTF-8 without NUL or control characters, in place and in the same length. */
static inline void outcome_clean(char *text, size_t length) {
  for (size_t at = 0; at < length;) {
    int valid;
    const size_t step = utf8_step((const unsigned char *)text + at, length - at, &valid);
    const unsigned char c = (unsigned char)text[at];
    if (!valid || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) memset(text + at, '?', step);
    at += step;
  }
}

/* Ends an attempt without an output: `type` is the kind of error, the format says what was wrong, where, and what to do. */
__attribute__((format(printf, 4, 5))) static inline uint32_t outcome_end(millrace_outcome *outcome, uint32_t status, const char *type,
                                                                         const char *format, ...) {
  va_list arguments;
  outcome->status = status;
  outcome->message_length = 0;
  (void)snprintf(outcome->error_type, sizeof outcome->error_type, "%s", type);
  if (outcome->message == NULL || outcome->message_capacity == 0) return status;
  va_start(arguments, format);
  const int wanted = vsnprintf(outcome->message, outcome->message_capacity, format, arguments);
  va_end(arguments);
  if (wanted < 0) outcome->message[0] = 0;
  outcome->message_length = (uint32_t)strlen(outcome->message);
  outcome_clean(outcome->message, outcome->message_length);
  return status;
}

static inline uint32_t outcome_no_memory(millrace_outcome *outcome) {
  return outcome_end(outcome, MILLRACE_RETRY, "no-memory", "the process is out of memory; give it more, or run fewer tasks at once");
}

static inline uint32_t outcome_cancelled(millrace_outcome *outcome) {
  return outcome_end(outcome, MILLRACE_CANCELLED, "cancelled", "stopped because the attempt was cancelled or timed out");
}

static inline uint32_t outcome_too_large(millrace_outcome *outcome, const char *advice) {
  return outcome_end(outcome, MILLRACE_FAILED, "too-large", "the output exceeds %u MiB, the most a payload holds: %s",
                     MILLRACE_INLINE_BYTES >> 20, advice);
}

/* Ends an attempt with a copy of `bytes` as its output. */
static inline uint32_t outcome_done(const millrace_call *call, millrace_outcome *outcome, const void *bytes, size_t length,
                                    uint32_t content_type) {
  void *to = call->host->claim(call->attempt, length, content_type, &outcome->output);
  if (to == NULL) return outcome_no_memory(outcome);
  memcpy(to, bytes, length);
  outcome->status = MILLRACE_DONE;
  return MILLRACE_DONE;
}

/* Ends an attempt with the text of a writer, which is freed. `advice`: what to do if it is too long. */
static inline uint32_t outcome_done_json(const millrace_call *call, millrace_outcome *outcome, json_writer *w, const char *advice) {
  uint32_t status;
  if (w->failed == JSON_WRITE_TOO_LONG) status = outcome_too_large(outcome, advice);
  else if (w->failed) status = outcome_no_memory(outcome);
  else status = outcome_done(call, outcome, w->bytes, w->length, MILLRACE_JSON);
  free(w->bytes);
  w->bytes = NULL;
  return status;
}

/* A writer whose text an inline payload can hold. */
static inline json_writer outcome_writer(void) {
  json_writer w = {0};
  w.limit = MILLRACE_INLINE_BYTES;
  return w;
}

/*
 * Reads input `index` as a JSON object whose members are among `names` (ended by NULL; NULL: any). MILLRACE_DONE, and the document is
 * the caller's to free; or the ended outcome's status, and there is nothing to free.
 */
static inline uint32_t outcome_read_object(const millrace_call *call, millrace_outcome *outcome, uint32_t index, const char *const *names,
                                           json_document *d) {
  millrace_input input = {0};
  input.size = sizeof input;
  if (call->host->input(call->attempt, index, &input) != 0)
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "input %u is missing: the task needs one more dependency", index);
  const char *name = input.name ? input.name : "";
  if (json_read(d, input.bytes ? (const char *)input.bytes : "", (size_t)input.payload.length))
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "input %u (%.128s) is not JSON: byte %u: %s", index, name, d->fault_at,
                       d->fault);
  uint32_t stray = 0;
  if (d->nodes[0].type != JSON_OBJECT) {
    json_free(d);
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input",
                       "input %u (%.128s) is not a JSON object: give it members, as in docs/plugins-shipped.md", index, name);
  }
  if (names && (stray = json_stray(d, 0, names)) != 0) {
    size_t length, used = 0;
    const char *raw = json_raw(d, stray, &length);
    char known[512] = "";
    for (const char *const *n = names; *n && used < sizeof known; n++)
      used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", n == names ? "" : ", ", *n);
    const uint32_t status =
        outcome_end(outcome, MILLRACE_FAILED, "bad-input", "input %u (%.128s): `%.*s` is unknown or stands there twice; known are: %s",
                    index, name, (int)(length < 128 ? length : 128), raw, known);
    json_free(d);
    return status;
  }
  return MILLRACE_DONE;
}

#endif
