/* What `split` decided, read back by the tasks after it, and the refusals they share. */
#include <errno.h>

#include "census.h"

void plan_free(plan *p) {
  json_free(&p->d);
  free(p->status);
  free(p->info);
  free(p->root);
}

static char *member_text(const plan *p, const char *name) {
  const uint32_t node = json_find(&p->d, 0, name);
  return node ? json_text(&p->d, node) : NULL;
}

static int64_t member_integer(const plan *p, const char *name, int64_t most) {
  const uint32_t node = json_find(&p->d, 0, name);
  int64_t value = -1;
  return node == 0 || json_integer(&p->d, node, &value) || value < 0 || value > most ? -1 : value;
}

static uint32_t member_array(const plan *p, const char *name) {
  const uint32_t node = json_find(&p->d, 0, name);
  return node && p->d.nodes[node].type == JSON_ARRAY && json_count(&p->d, node) <= CENSUS_CHUNKS ? node : 0;
}

uint32_t plan_read(const millrace_call *call, millrace_outcome *outcome, uint32_t index, plan *p) {
  memset(p, 0, sizeof *p);
  const uint32_t status = outcome_read_object(call, outcome, index, NULL, &p->d);
  if (status != MILLRACE_DONE) return status;
  p->status = member_text(p, "status");
  p->info = member_text(p, "info");
  p->root = member_text(p, "root");
  p->id = (identity){member_integer(p, "bytes", (int64_t)CENSUS_STATUS_BYTES), member_integer(p, "modified", INT64_MAX),
                     member_integer(p, "inode", INT64_MAX)};
  p->sample = member_integer(p, "sample", CENSUS_PERMILLE);
  p->chunks = member_array(p, "chunks");
  p->file_chunks = member_array(p, "files");
  if (p->status && p->info && p->root && p->id.bytes >= 0 && p->sample >= 0 && p->chunks && p->file_chunks) return MILLRACE_DONE;
  plan_free(p);
  return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "input %u is not the output of debian/split: name that task as the dependency",
                     index);
}

uint32_t plan_item(const plan *p, uint32_t array, int64_t index) {
  uint32_t item = json_first(&p->d, array);
  for (int64_t i = 0; item && i < index; i++) item = json_next(&p->d, array, item);
  return item;
}

uint32_t plan_chunk(const millrace_call *call, millrace_outcome *outcome, int64_t *chunk) {
  static const char *const members[] = {"chunk", NULL};
  json_document d;
  uint32_t status = outcome_read_object(call, outcome, 0, members, &d);
  if (status != MILLRACE_DONE) return status;
  const uint32_t node = json_find(&d, 0, "chunk");
  if (node == 0 || json_integer(&d, node, chunk) || *chunk < 0 || *chunk >= CENSUS_CHUNKS)
    status = outcome_end(outcome, MILLRACE_FAILED, "bad-input", "`chunk` must be the number of a chunk, from 0 to %d", CENSUS_CHUNKS - 1);
  json_free(&d);
  return status;
}

uint32_t plan_changed(millrace_outcome *outcome, const char *path) {
  return outcome_end(outcome, MILLRACE_FAILED, "changed",
                     "%.1024s changed while it was read: wait until no package is being installed, and run again", path);
}

uint32_t plan_unreadable(millrace_outcome *outcome, const char *path, int reason, uint64_t most) {
  switch (reason) {
    case ENOMEM: return outcome_no_memory(outcome);
    case ESTALE: return plan_changed(outcome, path);
    case EFBIG:
      return outcome_end(outcome, MILLRACE_FAILED, "too-large",
                         "%.1024s is larger than %llu MiB, the most that is read: is it the right file?", path,
                         (unsigned long long)(most >> 20));
    case EINVAL: return outcome_end(outcome, MILLRACE_FAILED, "unreadable", "%.1024s is not a regular file: name a file", path);
    case EIO:
    case EMFILE:
    case ENFILE: return outcome_end(outcome, MILLRACE_RETRY, "unreadable", "%.1024s cannot be read: %s", path, strerrordesc_np(reason));
    default: return outcome_end(outcome, MILLRACE_FAILED, "unreadable", "%.1024s cannot be read: %s", path, strerrordesc_np(reason));
  }
}
