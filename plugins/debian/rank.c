/*
 * `debian/rank`: what people want to know of the merged packages. Input 1 the output of debian/merge-packages.
 * Output: {"packages", "installedSizeKiB", "sections", "largest", "mostDependedUpon"}.
 */
#include "wire.h"

/* A row that competes for the top. */
typedef struct row {
  text name, more; /* `more` decides between equal names */
  int64_t value;
} row;

/* Takes a row into the best CENSUS_TOP: the greater value first, then by name. O(CENSUS_TOP). */
static void compete(row *top, size_t *count, row candidate) {
  size_t at = *count;
  while (at > 0) {
    const row *above = &top[at - 1];
    int order = above->value > candidate.value ? -1 : above->value < candidate.value ? 1 : text_order(above->name, candidate.name);
    if (order == 0) order = text_order(above->more, candidate.more);
    if (order <= 0) break;
    at--;
  }
  if (at == CENSUS_TOP) return;
  const size_t moved = (*count < CENSUS_TOP ? *count : CENSUS_TOP - 1) - at;
  memmove(&top[at + 1], &top[at], moved * sizeof *top);
  top[at] = candidate;
  if (*count < CENSUS_TOP) ++*count;
}

static void put_top(json_writer *w, const char *name, const char *value, const row *top, size_t count) {
  json_name(w, name);
  json_open(w, "[");
  for (size_t i = 0; i < count; i++) {
    json_open(w, "{");
    json_member_text(w, "package", top[i].name.bytes, top[i].name.length);
    json_member_integer(w, value, top[i].value);
    json_close(w, "}");
  }
  json_close(w, "]");
}

static int64_t read_count(wire_reader *r) {
  const uint64_t count = wire_number(r);
  if (count > INT64_MAX) r->failed = 1;
  return r->failed ? 0 : (int64_t)count;
}

static void put_ranks(json_writer *w, wire_reader *r) {
  row top[CENSUS_TOP];
  size_t count = 0;
  json_open(w, "{");
  json_member_integer(w, "packages", read_count(r));
  json_member_integer(w, "installedSizeKiB", read_count(r));
  json_name(w, "sections");
  json_open(w, "{");
  for (size_t rows = wire_count(r, 2), i = 0; i < rows && !r->failed; i++) {
    const text section = wire_text(r);
    json_name_text(w, section.bytes, section.length);
    json_put_integer(w, read_count(r));
  }
  json_close(w, "}");
  for (size_t rows = wire_count(r, 3), i = 0; i < rows && !r->failed; i++) {
    row made = {.name = wire_text(r)};
    made.more = wire_text(r);
    made.value = wire_kib(r);
    compete(top, &count, made);
  }
  put_top(w, "largest", "installedSizeKiB", top, count);
  count = 0;
  for (size_t rows = wire_count(r, 2), i = 0; i < rows && !r->failed; i++) {
    row made = {.name = wire_text(r)};
    made.value = read_count(r);
    compete(top, &count, made);
  }
  put_top(w, "mostDependedUpon", "dependents", top, count);
  json_close(w, "}");
}

uint32_t census_rank(void *context, const millrace_call *call, millrace_outcome *outcome) {
  millrace_input input;
  (void)context;
  if (wire_input(call, 1, &input))
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "input 1 is missing: depend on the debian/merge-packages task");
  json_writer w = outcome_writer();
  wire_reader r = wire_begin(input.bytes, input.payload.length, WIRE_MERGED);
  put_ranks(&w, &r);
  if (r.failed || r.at != r.end) {
    free(w.bytes);
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input",
                       "the input from %.128s is not the output of debian/merge-packages, or damaged", input.name);
  }
  return outcome_done_json(call, outcome, &w, "the database names too many sections");
}
