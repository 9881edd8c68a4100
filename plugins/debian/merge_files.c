/* `debian/merge-files`: the counts of all chunks of files as one. Inputs 1.. are the outputs of debian/files, in any order. */
#include "census.h"

static const struct {
  const char *name;
  size_t offset;
} members[] = {
    {"paths", offsetof(file_counts, paths)},
    {"pathsMissing", offsetof(file_counts, paths_missing)},
    {"bytesOnDisk", offsetof(file_counts, bytes_on_disk)},
    {"filesListed", offsetof(file_counts, listed)},
    {"filesChecked", offsetof(file_counts, checked)},
    {"filesAltered", offsetof(file_counts, altered)},
    {"filesMissing", offsetof(file_counts, missing)},
    {"filesUnreadable", offsetof(file_counts, unreadable)},
    {"linesMalformed", offsetof(file_counts, malformed)},
    {"bytesChecked", offsetof(file_counts, bytes_checked)},
};

void file_counts_write(json_writer *w, const file_counts *c, text *altered, size_t altered_count) {
  for (size_t i = 0; i < sizeof members / sizeof *members; i++)
    json_member_integer(w, members[i].name, *(const int64_t *)((const char *)c + members[i].offset));
  json_name(w, "altered");
  json_open(w, "[");
  for (size_t i = 0; i < altered_count && i < CENSUS_ALTERED; i++) json_put_text(w, altered[i].bytes, altered[i].length);
  json_close(w, "]");
}

/* Adds the counts of one chunk. 0, or -1 if a member is missing, negative or too great. */
static int add(file_counts *sum, const json_document *d) {
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    const uint32_t node = json_find(d, 0, members[i].name);
    int64_t value = 0, *to = (int64_t *)((char *)sum + members[i].offset);
    if (node == 0 || json_integer(d, node, &value) || value < 0 || __builtin_add_overflow(*to, value, to)) return -1;
  }
  return 0;
}

static int order_texts(const void *left, const void *right) { return text_order(*(const text *)left, *(const text *)right); }

/* Takes over the paths of one chunk. `altered` has room for CENSUS_CHUNKS x CENSUS_ALTERED. */
static int take_altered(text *altered, size_t *count, const json_document *d) {
  const uint32_t array = json_find(d, 0, "altered");
  size_t taken = 0;
  if (array == 0 || d->nodes[array].type != JSON_ARRAY) return -1;
  for (uint32_t i = json_first(d, array); i; i = json_next(d, array, i)) {
    text t;
    t.bytes = json_string(d, i, &t.length);
    if (t.bytes == NULL || ++taken > CENSUS_ALTERED) {
      free((char *)t.bytes);
      return -1;
    }
    altered[(*count)++] = t;
  }
  return 0;
}

/* Reads chunk and chunks and checks them against what was seen. */
static int take_number(const json_document *d, unsigned char *seen, int64_t *chunks) {
  const uint32_t chunk_node = json_find(d, 0, "chunk"), chunks_node = json_find(d, 0, "chunks");
  int64_t chunk = 0, of = 0;
  if (!chunk_node || !chunks_node || json_integer(d, chunk_node, &chunk) || json_integer(d, chunks_node, &of)) return -1;
  if (of < 1 || of > CENSUS_CHUNKS || chunk < 0 || chunk >= of || seen[chunk] || (*chunks && *chunks != of)) return -1;
  seen[chunk] = 1;
  *chunks = of;
  return 0;
}

uint32_t census_merge_files(void *context, const millrace_call *call, millrace_outcome *outcome) {
  const uint32_t inputs = call->host->input_count(call->attempt);
  unsigned char seen[CENSUS_CHUNKS] = {0};
  file_counts sum = {0};
  int64_t chunks = 0;
  size_t altered_count = 0;
  uint32_t status = MILLRACE_DONE;
  (void)context;
  text *altered = malloc((size_t)CENSUS_CHUNKS * CENSUS_ALTERED * sizeof *altered);
  if (altered == NULL) return outcome_no_memory(outcome);
  for (uint32_t i = 1; i < inputs && status == MILLRACE_DONE; i++) {
    json_document d;
    status = outcome_read_object(call, outcome, i, NULL, &d);
    if (status != MILLRACE_DONE) break;
    if (take_number(&d, seen, &chunks) || add(&sum, &d) || take_altered(altered, &altered_count, &d))
      status = outcome_end(outcome, MILLRACE_FAILED, "bad-input",
                           "input %u is not the output of a debian/files task of this plan, or came twice: depend once on each", i);
    json_free(&d);
  }
  if (status == MILLRACE_DONE && (chunks == 0 || inputs - 1 != chunks))
    status = outcome_end(outcome, MILLRACE_FAILED, "missing-chunk", "%u of %lld file chunks came: depend on a debian/files task for each",
                         inputs ? inputs - 1 : 0, (long long)chunks);
  if (status == MILLRACE_DONE) {
    if (altered_count) qsort(altered, altered_count, sizeof *altered, order_texts);
    json_writer w = outcome_writer();
    json_open(&w, "{");
    file_counts_write(&w, &sum, altered, altered_count);
    json_close(&w, "}");
    status = outcome_done_json(call, outcome, &w, "the paths of altered files are too long");
  }
  for (size_t i = 0; i < altered_count; i++) free((char *)altered[i].bytes);
  free(altered);
  return status;
}
