/*
 * The single-threaded pass inside. It counts the same things as the tasks it is compared with and shares none of their code for it: it
 * reads lines where they read stanzas, keeps trees where they sort, walks the info directory where they follow a plan.
 */
#ifndef MILLRACE_CENSUS_SINGLE_H
#define MILLRACE_CENSUS_SINGLE_H

#include "census.h"

#pragma GCC visibility push(hidden)

/* How a part of the pass ended. */
enum { SINGLE_WELL, SINGLE_NO_MEMORY, SINGLE_CANCELLED, SINGLE_TOO_MANY, SINGLE_NO_MD5, SINGLE_UNREADABLE };

/* single_status.c: writes `packages` to `mostDependedUpon`. */
int single_packages(const millrace_call *call, const char *bytes, size_t length, json_writer *w);

/* single_files.c: writes `paths` to `altered`. SINGLE_UNREADABLE leaves the path in `path` (CENSUS_PATH_BYTES), the reason in errno. */
int single_files(const millrace_call *call, const plan *p, json_writer *w, char *path);

#pragma GCC visibility pop
#endif
