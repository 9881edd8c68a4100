/* `shell/run`: one program, from its request to its result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/outcome.h"
#include "shell.h"

#define FRAME_BYTES 1024u /* of the result around its two texts */

static void put_number_or_null(json_writer *w, const char *name, int known, int value) {
  json_name(w, name);
  if (known) json_put_integer(w, value);
  else json_put_literal(w, "null");
}

/*
 * "result": `text` without the line break at its end. "value": the JSON that this is, or the same text. What was cut off is text: the
 * beginning of a number would be another number.
 */
static void put_value(json_writer *w, const char *text, size_t length, int is_whole) {
  json_document d;
  if (length > 0 && text[length - 1] == '\n') length--;
  json_member_text(w, "result", text, length);
  if (!is_whole || json_read(&d, text, length)) {
    json_member_text(w, "value", text, length);
    return;
  }
  json_name(w, "value");
  size_t value_length;
  const char *value = json_raw(&d, 0, &value_length);
  if (d.nodes[0].type == JSON_STRING) json_put_raw(w, value - 1, value_length + 2);
  else json_put_raw(w, value, value_length);
  json_free(&d);
}

/*
 * {"exitCode", "signal", "stdout", "stderr", "truncated", "droppedBytes"}, and "result" and "value" where they are asked for. Bytes may
 * take six times their length once escaped: what does not fit the largest payload is dropped from the end and counted too. stderr may
 * take half, stdout what is left, a third of it where it is there three times.
 */
static json_writer write_result(const shell_request *q, const shell_result *r) {
  json_writer w = outcome_writer();
  const size_t room = MILLRACE_INLINE_BYTES - FRAME_BYTES;
  size_t out_taken = 0, err_taken = 0;
  const size_t err_length = json_fitting(r->err.bytes, r->err.length, room / 2, &err_taken);
  const size_t out_length = json_fitting(r->out.bytes, r->out.length, (room - err_taken) / (q->with_result ? 3 : 1), &out_taken);
  const uint64_t dropped = r->out.dropped + r->err.dropped + (r->out.length - out_length) + (r->err.length - err_length);
  json_open(&w, "{");
  put_number_or_null(&w, "exitCode", r->exit_code >= 0, r->exit_code);
  put_number_or_null(&w, "signal", r->signal != 0, r->signal);
  json_member_text(&w, "stdout", r->out.bytes, out_length);
  json_member_text(&w, "stderr", r->err.bytes, err_length);
  json_name(&w, "truncated");
  json_put_literal(&w, dropped ? "true" : "false");
  json_member_integer(&w, "droppedBytes", (int64_t)dropped);
  if (q->with_result) put_value(&w, r->out.bytes, out_length, r->out.dropped == 0 && out_length == r->out.length);
  json_close(&w, "}");
  return w;
}

/* Gives the result to a failure as its details; without room for them the failure stands without. */
static void attach_details(const millrace_call *call, millrace_outcome *outcome, const json_writer *w) {
  if (w->failed) return;
  void *to = call->host->claim(call->attempt, w->length, MILLRACE_JSON, &outcome->details);
  if (to) memcpy(to, w->bytes, w->length);
}

/* The end of stderr that a message has room for, begun at a line where one begins soon. `to` has SHELL_TAIL_BYTES + 1. */
static void tail(const shell_stream *err, char *to) {
  size_t take = err->length < SHELL_TAIL_BYTES ? err->length : SHELL_TAIL_BYTES;
  to[0] = 0;
  if (take == 0) return;
  const char *end = err->bytes + err->length, *from = end - take;
  if (take < err->length) {
    const char *line = memchr(from, '\n', take);
    if (line && end - line > (ptrdiff_t)take / 2) from = line + 1;
  }
  while (end > from && (end[-1] == '\n' || end[-1] == '\r')) end--;
  take = (size_t)(end - from);
  for (size_t i = 0; i < take; i++) to[i] = from[i] ? from[i] : '?';
  to[take] = 0;
}

static uint32_t refuse_end(millrace_outcome *outcome, const shell_request *q, const shell_result *r) {
  char type[MILLRACE_ERROR_TYPE_BYTES];
  char text[SHELL_TAIL_BYTES + 1];
  tail(&r->err, text);
  if (r->left)
    return outcome_end(outcome, MILLRACE_FAILED, "left-behind",
                       "`%.512s` did not end within 5 s after SIGKILL: the kernel holds it; look for a dead network file system",
                       q->program);
  if (r->timed_out)
    return outcome_end(outcome, MILLRACE_RETRY, "timed-out",
                       "`%.512s` ran past the task's start-to-close timeout; its process group was ended. stderr: %s", q->program, text);
  if (r->cancelled)
    return outcome_end(outcome, MILLRACE_CANCELLED, "cancelled",
                       "`%.512s` was stopped, and its process group ended, because the attempt was", q->program);
  if (r->lost)
    return outcome_end(outcome, MILLRACE_FAILED, "status-lost",
                       "how `%.512s` ended is not known: this process ignores SIGCHLD or reaps children it did not start", q->program);
  if (r->signal) {
    (void)snprintf(type, sizeof type, "signal-%d", r->signal);
    return outcome_end(outcome, MILLRACE_RETRY, type, "`%.512s` was ended by signal %d (%s). stderr: %s", q->program, r->signal,
                       sigdescr_np(r->signal) ? sigdescr_np(r->signal) : "unknown", text);
  }
  (void)snprintf(type, sizeof type, "exit-%d", r->exit_code);
  return outcome_end(outcome, MILLRACE_RETRY, type, "`%.512s` ended with exit code %d. stderr: %s", q->program, r->exit_code, text);
}

static uint32_t finish(const millrace_call *call, millrace_outcome *outcome, const shell_request *q, shell_result *r) {
  json_writer w = write_result(q, r);
  if (r->exit_code == 0 && !r->left && !r->timed_out && !r->cancelled && !r->lost)
    return outcome_done_json(call, outcome, &w, "lower `outputLimit`");
  const uint32_t status = refuse_end(outcome, q, r);
  attach_details(call, outcome, &w);
  free(w.bytes);
  return status;
}

/* What a program says of the secrets it was given is not passed on. Before anything is cut off it. */
static void redact(const millrace_call *call, shell_stream *s) {
  const millrace_environment *env = shell_task_environment(call);
  if (env && s->length > 0) s->length = env->redact(call->host, s->bytes, s->length);
}

uint32_t shell_run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  shell_request request = {0};
  shell_result result = {.out.descriptor = -1, .err.descriptor = -1};
  pid_t child = 0;
  (void)context;
  uint32_t status = shell_request_read(call, outcome, &request);
  if (status == MILLRACE_DONE) status = shell_start(outcome, &request, &child, &result.out, &result.err);
  if (status == MILLRACE_DONE) {
    result.out.limit = result.err.limit = request.output_limit;
    shell_collect(call, child, &result);
    redact(call, &result.out);
    redact(call, &result.err);
    status = finish(call, outcome, &request, &result);
  }
  free(result.out.bytes);
  free(result.err.bytes);
  shell_request_free(&request);
  return status;
}
