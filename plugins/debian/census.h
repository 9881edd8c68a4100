/*
 * The debian plugin inside: a census of a dpkg database.
 *
 *   split -> parse (chunks of the status file) -> merge-packages -> rank -+
 *        \-> files (chunks of the info directory) -> merge-files ---------+-> compare -> report
 *        \-> single (all of it, one thread, own code) --------------------+
 *
 * Two forms go between tasks: JSON where it is small, and the compact form of wire.h (MILLRACE_BYTES) for packages. The content of a
 * database is never trusted: every length is checked, every field may be missing, and text that is not UTF-8 is taken with U+FFFD.
 */
#ifndef MILLRACE_CENSUS_H
#define MILLRACE_CENSUS_H

#include <millrace/plugin.h>
#include <stdint.h>
#include <sys/types.h>

#include "../support/outcome.h"

#pragma GCC visibility push(hidden)

#define CENSUS_STATUS_BYTES (1ull << 30)             /* of a status file */
#define CENSUS_LIST_BYTES (64ull << 20)              /* of one .list or .md5sums file, and of the diversions */
#define CENSUS_FILE_BYTES (4ull << 30)               /* of one file whose MD5 sum is checked; larger ones count as unreadable */
#define CENSUS_CHUNKS 256                            /* most chunks of either kind */
#define CENSUS_ENTRIES 200000                        /* most packages of an info directory */
#define CENSUS_PATH_BYTES 4096                       /* with the NUL */
#define CENSUS_NAME_BYTES 4096                       /* of a package's name, architecture or section; the rest is cut off */
#define CENSUS_SECTION_BYTES (3 * CENSUS_NAME_BYTES) /* each byte may become U+FFFD */
#define CENSUS_DEPENDENCIES 65536                    /* names in one package's dependencies */
#define CENSUS_PACKAGE_KIB (1ll << 36)               /* 64 TiB: a larger Installed-Size is no size and counts as 0 */
#define CENSUS_TOP 15                                /* rows of `largest` and `mostDependedUpon` */
#define CENSUS_ALTERED 100                           /* paths of altered files that are listed */
#define CENSUS_PERMILLE 1000                         /* of files whose sums are checked: all of them */
#define CENSUS_UNKNOWN "unknown"                     /* the section of a package that names none */

/* Bytes of somebody else. */
typedef struct text {
  const char *bytes;
  size_t length;
} text;

/* -1, 0 or 1: by bytes, the shorter first. */
int text_order(text left, text right);
int text_is(text t, const char *word);

/* What of a stanza is read. Missing fields have length 0. Only dependencies are ever folded over several lines. */
typedef struct stanza {
  text package, architecture, status, section, installed_size, depends, pre_depends;
} stanza;

/* status.c: reads the stanza at or after `at`; returns the offset after it, or 0 if there is none. O(its length). */
size_t stanza_read(const char *bytes, size_t length, size_t at, stanza *s);
/* A package's or an architecture's name, as far as CENSUS_NAME_BYTES. */
text stanza_name(text t);
/* The section as UTF-8, in `buffer` (CENSUS_SECTION_BYTES) or a constant. */
text stanza_section(const stanza *s, char *buffer);
int stanza_is_installed(const stanza *s);
int64_t stanza_kib(const stanza *s);
/* Takes the next name off a list of dependencies, without versions, architectures and build profiles. 0 at the end. */
int dependency_next(text *list, text *name);

/* What a pass over a file or a plan found it to be; a change between two tasks is refused. */
typedef struct identity {
  int64_t bytes, modified, inode;
} identity;

/*
 * load.c. Reads `length` bytes (SIZE_MAX: all, at most `most`) at `offset` of a file into memory of the caller. Reads, and does not map:
 * a mapped file that somebody shortens would kill the host by SIGBUS. 0, or -1 with errno (EFBIG: more than `most`; ESTALE: shorter).
 */
int load_file(const char *path, uint64_t offset, size_t length, uint64_t most, char **bytes, size_t *got, identity *id);

/* plan.c: what `split` decided, as parse, files and single read it. Strings are owned. */
typedef struct plan {
  json_document d;
  char *status;
  char *info; /* "" : none beside the status file */
  char *root; /* "" or the directory that stands for / */
  identity id;
  int64_t sample;       /* per mille of files whose sums are checked */
  uint32_t chunks;      /* node: [[begin, end], ...] */
  uint32_t file_chunks; /* node: [[stem, ...], ...] */
} plan;
uint32_t plan_read(const millrace_call *call, millrace_outcome *outcome, uint32_t index, plan *p);
void plan_free(plan *p);
/* The `index`-th value of an array, or 0. */
uint32_t plan_item(const plan *p, uint32_t array, int64_t index);
/* Reads input 0 as {"chunk": n}. */
uint32_t plan_chunk(const millrace_call *call, millrace_outcome *outcome, int64_t *chunk);
uint32_t plan_changed(millrace_outcome *outcome, const char *path);
uint32_t plan_unreadable(millrace_outcome *outcome, const char *path, int reason, uint64_t most);

/* diversions.c: where dpkg put files that another package diverts. */
typedef struct diversion {
  text from, to, by;
} diversion;
typedef struct diversions {
  char *bytes;
  diversion *rows; /* by `from` */
  size_t count;
} diversions;
int diversions_load(const char *info, diversions *d);
void diversions_free(diversions *d);
text diversions_find(const diversions *d, text path, text package);

/* md5.c. Whether the file's MD5 sum is `sum` (32 hexadecimal digits). */
enum { MD5_SAME, MD5_ALTERED, MD5_MISSING, MD5_UNREADABLE, MD5_CANCELLED, MD5_REFUSED };
typedef struct md5 md5;
md5 *md5_new(void);
void md5_free(md5 *m);
int md5_check(md5 *m, const char *path, const char *sum, const millrace_call *call, uint64_t *bytes);
/* Whether a file belongs to a sample of so many per mille. Depends on nothing but the path. */
int md5_in_sample(text path, int64_t permille);
uint32_t md5_refused(millrace_outcome *outcome);

/* Counts of files; equal, whatever the division into chunks. */
typedef struct file_counts {
  int64_t paths, paths_missing, bytes_on_disk;
  int64_t listed, checked, altered, missing, unreadable, malformed, bytes_checked;
} file_counts;
/* The members of both passes' file results, `altered` sorted; at most CENSUS_ALTERED of them are written. */
void file_counts_write(json_writer *w, const file_counts *c, text *altered, size_t altered_count);

/* The handlers. */
uint32_t census_split(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_parse(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_merge_packages(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_rank(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_files(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_merge_files(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_single(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_compare(void *context, const millrace_call *call, millrace_outcome *outcome);
uint32_t census_report(void *context, const millrace_call *call, millrace_outcome *outcome);

#pragma GCC visibility pop
#endif
