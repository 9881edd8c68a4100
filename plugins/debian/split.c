/*
 * `debian/split`: the plan of a census. Input 0 {"status", "info", "root", "chunks", "fileChunks", "sampleMiB"}, all optional.
 * Output: {"status", "bytes", "modified", "inode", "info", "root", "note", "sample",
 *          "chunks": [[begin, end], ...], "files": [[stem, ...], ...]}.
 */
#include <errno.h>

#include "split.h"

#define DEFAULT_STATUS "/var/lib/dpkg/status"
#define DEFAULT_SAMPLE_MIB 12288 /* read twice, at some 600 MB/s and core: 20 s of two cores */
#define MOST_SAMPLE_MIB (1ll << 30)

typedef struct request {
  char *status, *info, *root; /* owned; `info` may be NULL */
  int64_t chunks, file_chunks, sample_mib;
  int info_given;
} request;

static void request_free(request *q) {
  free(q->status);
  free(q->info);
  free(q->root);
}

/* A whole number within bounds, or as text, as a parameter on a command line may come. An absent one leaves *value. */
static int read_number(const json_document *d, const char *name, int64_t low, int64_t high, int64_t *value) {
  const uint32_t node = json_find(d, 0, name);
  size_t length;
  double number;
  if (node == 0) return 0;
  if (json_integer(d, node, value) == 0) return *value < low || *value > high ? -1 : 0;
  const char *raw = json_raw(d, node, &length);
  if (d->nodes[node].type != JSON_STRING || json_parse_number(raw, length, &number) || number < (double)low || number > (double)high)
    return -1;
  *value = (int64_t)number;
  return (double)*value == number ? 0 : -1;
}

/* A path, absent and empty alike "". NULL if it is none. */
static char *read_path(const json_document *d, const char *name) {
  const uint32_t node = json_find(d, 0, name);
  char *path = node ? json_text(d, node) : strdup("");
  if (path && strlen(path) >= CENSUS_PATH_BYTES / 2) {
    free(path);
    return NULL;
  }
  return path;
}

/* `directory`/`tail` in new memory. */
static char *joined(const char *directory, size_t length, const char *tail) {
  char *made = malloc(length + strlen(tail) + 1);
  if (made == NULL) return NULL;
  memcpy(made, directory, length);
  memcpy(made + length, tail, strlen(tail) + 1);
  return made;
}

static uint32_t read_request(const millrace_call *call, millrace_outcome *outcome, request *q) {
  static const char *const members[] = {"status", "info", "root", "chunks", "fileChunks", "sampleMiB", NULL};
  json_document d;
  const uint32_t status = outcome_read_object(call, outcome, 0, members, &d);
  if (status != MILLRACE_DONE) return status;
  *q = (request){.chunks = 8, .file_chunks = 24, .sample_mib = DEFAULT_SAMPLE_MIB};
  const int bad = read_number(&d, "chunks", 1, CENSUS_CHUNKS, &q->chunks) ||
                  read_number(&d, "fileChunks", 1, CENSUS_CHUNKS, &q->file_chunks) ||
                  read_number(&d, "sampleMiB", 0, MOST_SAMPLE_MIB, &q->sample_mib);
  q->status = read_path(&d, "status");
  q->info = read_path(&d, "info");
  q->root = read_path(&d, "root");
  json_free(&d);
  if (bad || !q->status || !q->info || !q->root)
    return outcome_end(
        outcome, MILLRACE_FAILED, "bad-input",
        "debian/split takes paths as `status`, `info` and `root`, `chunks` and `fileChunks` from 1 to %d, and `sampleMiB` from 0",
        CENSUS_CHUNKS);
  if (q->status[0] == 0) {
    free(q->status);
    q->status = joined(q->root, strlen(q->root), DEFAULT_STATUS);
  }
  q->info_given = q->info[0] != 0;
  if (q->status && !q->info_given) {
    const char *slash = strrchr(q->status, '/');
    free(q->info);
    q->info = joined(q->status, slash ? (size_t)(slash - q->status) + 1 : 0, "info");
  }
  return q->status && q->info ? MILLRACE_DONE : outcome_no_memory(outcome);
}

static void write_plan(json_writer *w, const request *q, const identity *id, const ranges *r, const listing *l, const char *note,
                       int64_t permille) {
  json_open(w, "{");
  json_member_text(w, "status", q->status, strlen(q->status));
  json_member_integer(w, "bytes", id->bytes);
  json_member_integer(w, "modified", id->modified);
  json_member_integer(w, "inode", id->inode);
  json_member_text(w, "info", q->info, strlen(q->info));
  json_member_text(w, "root", q->root, strlen(q->root));
  json_member_text(w, "note", note, strlen(note));
  json_member_integer(w, "sample", permille);
  json_name(w, "chunks");
  json_open(w, "[");
  for (int64_t c = 0; c < q->chunks; c++) {
    json_open(w, "[");
    json_put_integer(w, (int64_t)r->begins[c]);
    json_put_integer(w, c + 1 < q->chunks ? (int64_t)r->begins[c + 1] : id->bytes);
    json_close(w, "]");
  }
  json_close(w, "]");
  json_name(w, "files");
  json_open(w, "[");
  for (int64_t c = 0; c < q->file_chunks; c++) {
    json_open(w, "[");
    for (size_t i = 0; i < l->count; i++)
      if (l->rows[i].chunk == c) json_put_text(w, l->rows[i].stem, strlen(l->rows[i].stem));
    json_close(w, "]");
  }
  json_close(w, "]");
  json_close(w, "}");
}

static uint32_t refuse_status(millrace_outcome *outcome, const request *q, int reason) {
  if (reason != ENOENT && reason != ENOTDIR) return plan_unreadable(outcome, q->status, reason, CENSUS_STATUS_BYTES);
  return outcome_end(outcome, MILLRACE_FAILED, "no-dpkg",
                     "there is no package database at %.1024s: give one with `--param status=FILE`, for instance a copy of "
                     "/var/lib/dpkg/status of a Debian machine",
                     q->status);
}

/* The info directory's packages, dealt out; none, and a note that says so, where there is none beside the status file. */
static uint32_t divide_files(millrace_outcome *outcome, request *q, const ranges *r, int64_t permille, listing *l, char *note,
                             size_t capacity) {
  note[0] = 0;
  if (listing_read(q->info, r, permille, l) == 0) {
    listing_deal(l, (uint32_t)q->file_chunks);
    return MILLRACE_DONE;
  }
  if (errno == ENOMEM) return outcome_no_memory(outcome);
  if (errno == EFBIG)
    return outcome_end(outcome, MILLRACE_FAILED, "too-large", "%.1024s has more than %d packages: is it dpkg's info directory?", q->info,
                       CENSUS_ENTRIES);
  if (q->info_given || (errno != ENOENT && errno != ENOTDIR))
    return outcome_end(outcome, MILLRACE_FAILED, "no-info",
                       "the info directory %.1024s cannot be read: %s; leave `info` out to take the one beside the status file", q->info,
                       strerrordesc_np(errno));
  (void)snprintf(note, capacity, "No files were checked: there is no directory %.1024s beside the package database.", q->info);
  q->info[0] = 0;
  return MILLRACE_DONE;
}

uint32_t census_split(void *context, const millrace_call *call, millrace_outcome *outcome) {
  request q = {0};
  identity id = {0};
  ranges r = {0};
  listing l = {0};
  char note[CENSUS_PATH_BYTES];
  char *bytes = NULL;
  size_t length = 0;
  (void)context;
  uint32_t status = read_request(call, outcome, &q);
  if (status == MILLRACE_DONE && load_file(q.status, 0, SIZE_MAX, CENSUS_STATUS_BYTES, &bytes, &length, &id))
    status = refuse_status(outcome, &q, errno);
  if (status == MILLRACE_DONE && ranges_find(bytes, length, (uint32_t)q.chunks, &r)) status = outcome_no_memory(outcome);
  if (status == MILLRACE_DONE) {
    const int64_t installed_mib = r.installed_kib >> 10;
    int64_t permille = CENSUS_PERMILLE;
    if (installed_mib > q.sample_mib) permille = q.sample_mib * CENSUS_PERMILLE / installed_mib;
    if (q.sample_mib == 0) permille = 0;
    else if (permille == 0) permille = 1;
    status = divide_files(outcome, &q, &r, permille, &l, note, sizeof note);
    if (status == MILLRACE_DONE) {
      json_writer w = outcome_writer();
      write_plan(&w, &q, &id, &r, &l, note, permille);
      status = outcome_done_json(call, outcome, &w, "the info directory has too many packages");
    }
  }
  listing_free(&l);
  ranges_free(&r);
  free(bytes);
  request_free(&q);
  return status;
}
