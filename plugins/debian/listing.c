/* The packages of an info directory, and their division into chunks of about equal work. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "split.h"

#define COST_OF_PATH_BYTE 28u /* asking for a path costs as much as summing 1.4 KB, and a line of a .list file has some 50 bytes */
#define COST_OF_SUM_BYTE 200u /* opening a file costs as much as summing 19 KB, and a line of a .md5sums file has some 95 bytes */

/* The length of a name's stem if it ends in `.list` or `.md5sums` and could be a package's, else 0. */
static size_t stem_length(const char *name) {
  const char *dot = strrchr(name, '.');
  if (dot == NULL || (strcmp(dot, ".list") != 0 && strcmp(dot, ".md5sums") != 0)) return 0;
  const size_t length = (size_t)(dot - name);
  return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.:~_") >= length ? length : 0;
}

static int push(listing *l, const char *name, size_t length, uint64_t cost) {
  if (l->count == 2 * (size_t)CENSUS_ENTRIES) {
    errno = EFBIG;
    return -1;
  }
  if (l->count == l->capacity) {
    const size_t wanted = l->capacity ? l->capacity * 2 : 1024;
    entry *grown = realloc(l->rows, wanted * sizeof *grown);
    if (grown == NULL) return -1;
    l->rows = grown;
    l->capacity = wanted;
  }
  char *stem = strndup(name, length);
  if (stem == NULL) return -1;
  l->rows[l->count++] = (entry){stem, cost, 0};
  return 0;
}

static int order_stems(const void *left, const void *right) { return strcmp(((const entry *)left)->stem, ((const entry *)right)->stem); }

static int order_costs(const void *left, const void *right) {
  const entry *l = left, *r = right;
  if (l->cost != r->cost) return l->cost > r->cost ? -1 : 1;
  return strcmp(l->stem, r->stem);
}

/* `.list` and `.md5sums` of a package become one entry. */
static void join(listing *l, const ranges *r, int64_t permille) {
  size_t kept = 0;
  if (l->count) qsort(l->rows, l->count, sizeof *l->rows, order_stems);
  for (size_t i = 0; i < l->count; i++) {
    if (kept && strcmp(l->rows[kept - 1].stem, l->rows[i].stem) == 0) {
      l->rows[kept - 1].cost += l->rows[i].cost;
      free(l->rows[i].stem);
      continue;
    }
    l->rows[kept] = l->rows[i];
    l->rows[kept].cost += (uint64_t)(ranges_kib(r, l->rows[kept].stem) * 1024 / CENSUS_PERMILLE * permille);
    kept++;
  }
  l->count = kept;
  if (kept) qsort(l->rows, kept, sizeof *l->rows, order_costs);
}

int listing_read(const char *info, const ranges *r, int64_t permille, listing *l) {
  memset(l, 0, sizeof *l);
  DIR *directory = opendir(info);
  if (directory == NULL) return -1;
  int reason = 0;
  for (struct dirent *e; errno = 0, (e = readdir(directory)) != NULL;) {
    struct stat s;
    const size_t length = stem_length(e->d_name);
    if (length == 0) continue;
    if (fstatat(dirfd(directory), e->d_name, &s, 0) != 0 || !S_ISREG(s.st_mode)) continue; /* gone, or not a file */
    const uint64_t size = (uint64_t)s.st_size < CENSUS_LIST_BYTES ? (uint64_t)s.st_size : CENSUS_LIST_BYTES;
    const uint64_t cost =
        strcmp(e->d_name + length, ".list") == 0 ? COST_OF_PATH_BYTE : COST_OF_SUM_BYTE * (uint64_t)permille / CENSUS_PERMILLE;
    if (push(l, e->d_name, length, size * cost)) {
      reason = errno ? errno : ENOMEM;
      break;
    }
  }
  if (reason == 0) reason = errno; /* of readdir */
  closedir(directory);
  if (reason) {
    listing_free(l);
    errno = reason;
    return -1;
  }
  join(l, r, permille);
  return 0;
}

void listing_deal(listing *l, uint32_t chunks) {
  uint64_t loads[CENSUS_CHUNKS] = {0};
  for (size_t i = 0; i < l->count; i++) {
    uint32_t least = 0;
    for (uint32_t c = 1; c < chunks; c++)
      if (loads[c] < loads[least]) least = c;
    l->rows[i].chunk = least;
    loads[least] += l->rows[i].cost;
  }
}

void listing_free(listing *l) {
  for (size_t i = 0; i < l->count; i++) free(l->rows[i].stem);
  free(l->rows);
  memset(l, 0, sizeof *l);
}
