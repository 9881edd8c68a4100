/*
 * `debian/report`: the report of a census. Inputs 1.. are, in any order, the outputs of debian/rank, debian/merge-files, debian/compare
 * and debian/split; each member is taken from the first input that has it. What the census itself needs must be there.
 */
#include "census.h"

#define REPORT_INPUTS 16u

/* In the order of the report: required ones first. */
static const struct {
  const char *name;
  int required;
} members[] = {{"packages", 1},
               {"installedSizeKiB", 1},
               {"sections", 1},
               {"largest", 1},
               {"mostDependedUpon", 1},
               {"filesChecked", 1},
               {"filesAltered", 1},
               {"filesListed", 0},
               {"filesMissing", 0},
               {"filesUnreadable", 0},
               {"bytesChecked", 0},
               {"paths", 0},
               {"pathsMissing", 0},
               {"bytesOnDisk", 0},
               {"linesMalformed", 0},
               {"altered", 0},
               {"status", 0},
               {"sample", 0},
               {"note", 0}};

/* The member of that name in the first document that has it; `in` takes which. 0: none. */
static uint32_t find(const json_document *read, uint32_t count, const char *name, uint32_t *in) {
  for (*in = 0; *in < count; ++*in) {
    const uint32_t node = json_find(&read[*in], 0, name);
    if (node) return node;
  }
  return 0;
}

static void put_value(json_writer *w, const json_document *d, uint32_t node) {
  size_t length;
  const char *raw = json_raw(d, node, &length);
  if (d->nodes[node].type == JSON_STRING) json_put_raw(w, raw - 1, length + 2); /* with its quotes */
  else json_put_raw(w, raw, length);
}

/* 0, or the name of a required member that no input has. */
static const char *put_report(json_writer *w, const json_document *read, uint32_t count) {
  uint32_t in;
  json_open(w, "{");
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    const uint32_t node = find(read, count, members[i].name, &in);
    if (node == 0 && members[i].required) return members[i].name;
    if (node == 0 || (strcmp(members[i].name, "note") == 0 && json_raw_is(&read[in], node, ""))) continue;
    json_name(w, members[i].name);
    put_value(w, &read[in], node);
  }
  const uint32_t equal = find(read, count, "equal", &in);
  if (equal) {
    const uint32_t compared = json_find(&read[in], 0, "compared");
    json_name(w, "comparison");
    json_open(w, "{");
    json_name(w, "equal");
    put_value(w, &read[in], equal);
    if (compared) {
      json_name(w, "compared");
      put_value(w, &read[in], compared);
    }
    json_close(w, "}");
  }
  json_close(w, "}");
  return NULL;
}

uint32_t census_report(void *context, const millrace_call *call, millrace_outcome *outcome) {
  const uint32_t inputs = call->host->input_count(call->attempt);
  json_document read[REPORT_INPUTS];
  uint32_t count = 0, status = MILLRACE_DONE;
  (void)context;
  if (inputs < 2 || inputs - 1 > REPORT_INPUTS)
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input",
                       "debian/report needs 1 to %u dependencies: debian/rank and debian/merge-files at least", REPORT_INPUTS);
  for (; count < inputs - 1; count++) {
    status = outcome_read_object(call, outcome, count + 1, NULL, &read[count]);
    if (status != MILLRACE_DONE) break;
  }
  if (status == MILLRACE_DONE) {
    json_writer w = outcome_writer();
    const char *missing = put_report(&w, read, count);
    if (missing == NULL) status = outcome_done_json(call, outcome, &w, "the database names too many sections");
    else
      status = outcome_end(outcome, MILLRACE_FAILED, "bad-input",
                           "no input has `%s`: debian/report needs debian/rank and debian/merge-files among its dependencies", missing);
    free(w.bytes);
  }
  while (count > 0) json_free(&read[--count]);
  return status;
}
