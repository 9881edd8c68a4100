/*
 * `debian/merge-packages`: the chunks of the status file joined. Inputs 1.. are the outputs of debian/parse, in any order.
 *
 * A package is one per name and architecture; of several stanzas the last in the file stands, in whatever chunks they were. Everything
 * is done by sorting: no order, and no time, depends on what the database holds.
 */
#include "wire.h"

typedef struct record {
  text name, architecture, section;
  int64_t kib;
  uint64_t position; /* chunk, then order within it */
  wire_reader names; /* at the first name it depends on */
  size_t name_count;
  int installed;
} record;

typedef struct records {
  record *rows;
  size_t count, capacity;
  text *names; /* depended upon, one for each dependent */
  size_t name_count;
} records;

static int order_records(const void *left, const void *right) {
  const record *l = left, *r = right;
  int order = text_order(l->name, r->name);
  if (order == 0) order = text_order(l->architecture, r->architecture);
  if (order == 0) order = l->position < r->position ? -1 : 1;
  return order;
}

static int order_texts(const void *left, const void *right) { return text_order(*(const text *)left, *(const text *)right); }

static int push(records *all, const record *r) {
  if (all->count == all->capacity) {
    const size_t wanted = all->capacity ? all->capacity * 2 : 1024;
    record *grown = realloc(all->rows, wanted * sizeof *grown);
    if (grown == NULL) return -1;
    all->rows = grown;
    all->capacity = wanted;
  }
  all->rows[all->count++] = *r;
  return 0;
}

static record read_record(wire_reader *r, uint64_t position) {
  record made = {.position = position, .installed = wire_number(r) == 1};
  made.name = wire_text(r);
  made.architecture = wire_text(r);
  if (!made.installed) return made;
  made.section = wire_text(r);
  made.kib = wire_kib(r);
  made.name_count = wire_count(r, 1);
  made.names = *r;
  for (size_t i = 0; i < made.name_count && !r->failed; i++) (void)wire_text(r);
  return made;
}

/* Reads one chunk's output. `seen` has a byte for each chunk; `bytes` and `chunks` must agree among all. */
static uint32_t read_chunk(const millrace_input *input, records *all, unsigned char *seen, uint64_t *chunks, uint64_t *bytes,
                           millrace_outcome *outcome) {
  wire_reader r = wire_begin(input->bytes, input->payload.length, WIRE_CHUNK);
  const uint64_t chunk = wire_number(&r), of = wire_number(&r), file = wire_number(&r), packages = wire_number(&r);
  const int first = *chunks == 0;
  if (first) {
    *chunks = of;
    *bytes = file;
  }
  if (r.failed || of == 0 || of > CENSUS_CHUNKS || chunk >= of || of != *chunks || file != *bytes || seen[chunk])
    return outcome_end(
        outcome, MILLRACE_FAILED, "bad-input",
        "the input from %.128s is not a chunk of the same plan, or a chunk given twice: depend once on each debian/parse task",
        input->name);
  seen[chunk] = 1;
  for (uint64_t i = 0; i < packages && !r.failed; i++) {
    const record made = read_record(&r, chunk << 40 | i);
    if (!r.failed && push(all, &made)) return outcome_no_memory(outcome);
  }
  if (r.failed || r.at != r.end)
    return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "the input from %.128s is damaged: run debian/parse again", input->name);
  return MILLRACE_DONE;
}

static uint32_t read_chunks(const millrace_call *call, millrace_outcome *outcome, records *all) {
  unsigned char seen[CENSUS_CHUNKS] = {0};
  uint64_t chunks = 0, bytes = 0;
  const uint32_t inputs = call->host->input_count(call->attempt);
  millrace_input input;
  for (uint32_t i = 1; i < inputs; i++) {
    if (call->host->cancelled(call->attempt)) return outcome_cancelled(outcome);
    if (wire_input(call, i, &input)) return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "input %u cannot be read", i);
    const uint32_t status = read_chunk(&input, all, seen, &chunks, &bytes, outcome);
    if (status != MILLRACE_DONE) return status;
  }
  if (chunks == 0 || inputs - 1 != chunks)
    return outcome_end(outcome, MILLRACE_FAILED, "missing-chunk", "%u of %llu chunks came: depend on a debian/parse task for each",
                       inputs ? inputs - 1 : 0, (unsigned long long)chunks);
  return MILLRACE_DONE;
}

/* Keeps the last stanza of each package and architecture, if it is installed, and gathers the names they depend on, sorted. */
static int resolve(records *all) {
  size_t kept = 0, names = 0;
  if (all->count) qsort(all->rows, all->count, sizeof *all->rows, order_records);
  for (size_t i = 0; i < all->count; i++) {
    const record *r = &all->rows[i];
    const int last = i + 1 == all->count || text_order(r->name, r[1].name) != 0 || text_order(r->architecture, r[1].architecture) != 0;
    if (!last || !r->installed) continue;
    names += r->name_count;
    all->rows[kept++] = *r;
  }
  all->count = kept;
  all->names = malloc(names ? names * sizeof *all->names : 1);
  if (all->names == NULL) return -1;
  for (size_t i = 0; i < kept; i++)
    for (size_t k = 0; k < all->rows[i].name_count; k++) all->names[all->name_count++] = wire_text(&all->rows[i].names);
  if (names) qsort(all->names, names, sizeof *all->names, order_texts);
  return 0;
}

/* A sorted list as names and how often each stands in it. */
static void put_runs(json_writer *w, const text *sorted, size_t count) {
  size_t runs = 0, begin = 0;
  for (size_t i = 0; i < count; i++) runs += i == 0 || text_order(sorted[i - 1], sorted[i]) != 0;
  wire_put_number(w, runs);
  for (size_t i = 0; i < count; i++) {
    if (i + 1 < count && text_order(sorted[i], sorted[i + 1]) == 0) continue;
    wire_put_text(w, sorted[i]);
    wire_put_number(w, i + 1 - begin);
    begin = i + 1;
  }
}

static int put_merged(json_writer *w, const records *all) {
  int64_t kib = 0;
  text *sections = malloc(all->count ? all->count * sizeof *sections : 1);
  if (sections == NULL) return -1;
  for (size_t i = 0; i < all->count; i++) {
    kib += all->rows[i].kib;
    sections[i] = all->rows[i].section;
  }
  if (all->count) qsort(sections, all->count, sizeof *sections, order_texts);
  json_bytes(w, WIRE_MERGED, 4);
  wire_put_number(w, all->count);
  wire_put_number(w, (uint64_t)kib);
  put_runs(w, sections, all->count);
  wire_put_number(w, all->count);
  for (size_t i = 0; i < all->count; i++) {
    wire_put_text(w, all->rows[i].name);
    wire_put_text(w, all->rows[i].architecture);
    wire_put_number(w, (uint64_t)all->rows[i].kib);
  }
  put_runs(w, all->names, all->name_count);
  free(sections);
  return 0;
}

uint32_t census_merge_packages(void *context, const millrace_call *call, millrace_outcome *outcome) {
  records all = {0};
  json_writer w = outcome_writer();
  (void)context;
  uint32_t status = read_chunks(call, outcome, &all);
  if (status == MILLRACE_DONE && (resolve(&all) || put_merged(&w, &all) || w.failed == JSON_WRITE_NO_MEMORY))
    status = outcome_no_memory(outcome);
  if (status == MILLRACE_DONE && w.failed) status = outcome_too_large(outcome, "the database has too many packages for one census");
  if (status == MILLRACE_DONE) status = outcome_done(call, outcome, w.bytes, w.length, MILLRACE_BYTES);
  free(w.bytes);
  free(all.rows);
  free(all.names);
  return status;
}
