/*
 * `debian/compare`: holds the results of the parallel tasks against the single-threaded pass. The last input is the output of
 * debian/single, those before it (from 1) are what it is compared with. Output: {"equal": true, "compared": [name, ...]}.
 */
#include "census.h"

#define COMPARE_INPUTS 8u /* results that are compared with the single pass */
#define COMPARE_SHOWN 200 /* bytes of a value in the message */
#define COMPARE_MESSAGE 3072u

static void put_difference(char *to, size_t capacity, const json_document *single, uint32_t name, const char *raw, size_t length,
                           const char *other, size_t other_length) {
  const size_t used = strlen(to);
  size_t name_length;
  const char *name_text = json_raw(single, name, &name_length);
  (void)snprintf(to + used, capacity - used, "; %.*s: %.*s in parallel, %.*s in one thread", (int)(name_length < 64 ? name_length : 64),
                 name_text, (int)(other_length < COMPARE_SHOWN ? other_length : COMPARE_SHOWN), other,
                 (int)(length < COMPARE_SHOWN ? length : COMPARE_SHOWN), raw);
}

/* Compares each member of `single` with the member of that name in `others`: both write their values in the same order. */
static uint32_t compare(const json_document *single, const json_document *others, uint32_t count, json_writer *w,
                        millrace_outcome *outcome) {
  char differences[COMPARE_MESSAGE] = "";
  int different = 0;
  json_open(w, "{");
  json_name(w, "equal");
  json_put_literal(w, "true");
  json_name(w, "compared");
  json_open(w, "[");
  for (uint32_t name = json_first(single, 0); name;) {
    const uint32_t value = single->nodes[name].next;
    size_t name_length, length, other_length = 0;
    const char *name_raw = json_raw(single, name, &name_length), *raw = json_raw(single, value, &length), *other = "";
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "%.*s", (int)(name_length < 63 ? name_length : 63), name_raw);
    for (uint32_t i = 0, found = 0; i < count && !found; i++)
      if ((found = json_find(&others[i], 0, wanted)) != 0) other = json_raw(&others[i], found, &other_length);
    if (other_length != length || memcmp(raw, other, length) != 0) {
      different = 1;
      put_difference(differences, sizeof differences, single, name, raw, length, other_length ? other : "nothing",
                     other_length ? other_length : 7);
    }
    json_put_raw(w, name_raw - 1, name_length + 2); /* with its quotes */
    name = json_next(single, 0, value);
  }
  json_close(w, "]");
  json_close(w, "}");
  if (!different) return MILLRACE_DONE;
  return outcome_end(outcome, MILLRACE_FAILED, "totals-differ",
                     "the parallel census and the single-threaded one differ%s. If packages or files changed while it ran, run it again; "
                     "else report this as a fault",
                     differences);
}

uint32_t census_compare(void *context, const millrace_call *call, millrace_outcome *outcome) {
  const uint32_t inputs = call->host->input_count(call->attempt);
  json_document read[COMPARE_INPUTS + 1];
  uint32_t count = 0, status = MILLRACE_DONE;
  (void)context;
  if (inputs < 3 || inputs - 2 > COMPARE_INPUTS)
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input",
                       "debian/compare needs 2 to %u dependencies, the last of them the debian/single task", COMPARE_INPUTS + 1);
  for (; count < inputs - 1 && status == MILLRACE_DONE; count++) {
    status = outcome_read_object(call, outcome, count + 1, NULL, &read[count]);
    if (status != MILLRACE_DONE) break;
  }
  if (status == MILLRACE_DONE) {
    json_writer w = outcome_writer();
    status = compare(&read[count - 1], read, count - 1, &w, outcome);
    if (status == MILLRACE_DONE) status = outcome_done_json(call, outcome, &w, "the single pass has too many members");
    else free(w.bytes);
  }
  while (count > 0) json_free(&read[--count]);
  return status;
}
