/* What `split` gathers before it writes its plan. */
#ifndef MILLRACE_CENSUS_SPLIT_H
#define MILLRACE_CENSUS_SPLIT_H

#include "census.h"

#pragma GCC visibility push(hidden)

/* A package of the status file, as far as the division of work needs it. Text lies in the status file's bytes. */
typedef struct weight {
  text name, architecture;
  int64_t kib;
} weight;

/* ranges.c: one pass over the status file. */
typedef struct ranges {
  uint64_t *begins; /* of each chunk; the last ends with the file */
  weight *weights;  /* of the installed packages, by name and architecture */
  size_t weight_count;
  int64_t installed_kib;
} ranges;
int ranges_find(const char *bytes, size_t length, uint32_t chunks, ranges *r); /* 0, or -1: out of memory */
void ranges_free(ranges *r);
/* The KiB of the package a file of the info directory is about: `name` or `name:architecture`. */
int64_t ranges_kib(const ranges *r, const char *stem);

/* listing.c: the packages of an info directory. */
typedef struct entry {
  char *stem;    /* owned */
  uint64_t cost; /* bytes of reading it stands for */
  uint32_t chunk;
} entry;
typedef struct listing {
  entry *rows; /* by cost, the greatest first */
  size_t count, capacity;
} listing;
int listing_read(const char *info, const ranges *r, int64_t permille, listing *l); /* 0, or -1 with errno (EFBIG: too many) */
void listing_deal(listing *l, uint32_t chunks);                                    /* gives each the chunk that has least so far */
void listing_free(listing *l);

#pragma GCC visibility pop
#endif
