/*
 * `debian/single`: the whole census in one thread, to hold the parallel one against. Input 1 is split's plan, of which it takes only
 * what to read (paths) and how much (the sample), not how it is divided.
 * Output: {"packages", "installedSizeKiB", "sections", "largest", "mostDependedUpon", "paths", ..., "altered"}.
 */
#include <errno.h>

#include "single.h"

static uint32_t refuse(millrace_outcome *outcome, int ended, const plan *p, const char *path, int reason) {
  switch (ended) {
    case SINGLE_CANCELLED: return outcome_cancelled(outcome);
    case SINGLE_NO_MD5: return md5_refused(outcome);
    case SINGLE_UNREADABLE: return plan_unreadable(outcome, path, reason, CENSUS_LIST_BYTES);
    case SINGLE_TOO_MANY:
      return outcome_end(outcome, MILLRACE_FAILED, "too-large", "a package names more than %d dependencies: is %.1024s a dpkg status file?",
                         CENSUS_DEPENDENCIES, p->status);
    default: return outcome_no_memory(outcome);
  }
}

uint32_t census_single(void *context, const millrace_call *call, millrace_outcome *outcome) {
  plan p;
  identity id;
  char path[CENSUS_PATH_BYTES];
  char *bytes = NULL;
  size_t length = 0;
  (void)context;
  uint32_t status = plan_read(call, outcome, 1, &p);
  if (status != MILLRACE_DONE) return status;
  if (load_file(p.status, 0, SIZE_MAX, CENSUS_STATUS_BYTES, &bytes, &length, &id)) {
    status = plan_unreadable(outcome, p.status, errno, CENSUS_STATUS_BYTES);
  } else if (id.bytes != p.id.bytes || id.modified != p.id.modified || id.inode != p.id.inode) {
    status = plan_changed(outcome, p.status);
  } else {
    json_writer w = outcome_writer();
    json_open(&w, "{");
    int ended = single_packages(call, bytes, length, &w);
    if (ended == SINGLE_WELL) ended = single_files(call, &p, &w, path);
    const int reason = errno;
    json_close(&w, "}");
    if (ended == SINGLE_WELL) {
      status = outcome_done_json(call, outcome, &w, "the database names too many sections");
    } else {
      free(w.bytes);
      status = refuse(outcome, ended, &p, path, reason);
    }
  }
  free(bytes);
  plan_free(&p);
  return status;
}
