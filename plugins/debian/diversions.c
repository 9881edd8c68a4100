/* dpkg's diversions: three lines each, where a file would go, where it went, and whose package may have the place (":" for none). */
#include <errno.h>

#include "census.h"

static int order_rows(const void *left, const void *right) {
  return text_order(((const diversion *)left)->from, ((const diversion *)right)->from);
}

static text next_line(const char **at, const char *end) {
  const char *begin = *at, *stop = begin < end ? memchr(begin, '\n', (size_t)(end - begin)) : NULL;
  if (stop == NULL) stop = end;
  *at = stop < end ? stop + 1 : end;
  return (text){begin, (size_t)(stop - begin)};
}

/* The file lies beside the info directory. None is as good as an empty one. 0, or -1 with errno. */
int diversions_load(const char *info, diversions *d) {
  char path[CENSUS_PATH_BYTES];
  size_t length = 0, lines = 0;
  memset(d, 0, sizeof *d);
  const char *slash = strrchr(info, '/');
  if (snprintf(path, sizeof path, "%.*sdiversions", slash ? (int)(slash - info) + 1 : 0, info) >= (int)sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (load_file(path, 0, SIZE_MAX, CENSUS_LIST_BYTES, &d->bytes, &length, NULL)) return errno == ENOENT ? 0 : -1;
  for (size_t i = 0; i < length; i++) lines += d->bytes[i] == '\n';
  d->rows = malloc((lines / 3 + 1) * sizeof *d->rows);
  if (d->rows == NULL) {
    diversions_free(d);
    errno = ENOMEM;
    return -1;
  }
  const char *at = d->bytes, *end = at + length;
  while (at < end && d->count < lines / 3 + 1) {
    const text from = next_line(&at, end), to = next_line(&at, end), by = next_line(&at, end);
    if (from.length && to.length) d->rows[d->count++] = (diversion){from, to, by};
  }
  if (d->count) qsort(d->rows, d->count, sizeof *d->rows, order_rows);
  return 0;
}

void diversions_free(diversions *d) {
  free(d->bytes);
  free(d->rows);
  memset(d, 0, sizeof *d);
}

/* Where `package`'s file of that path lies. O(log diversions). */
text diversions_find(const diversions *d, text path, text package) {
  const diversion wanted = {.from = path};
  const diversion *found = d->count ? bsearch(&wanted, d->rows, d->count, sizeof *d->rows, order_rows) : NULL;
  return found && text_order(found->by, package) != 0 ? found->to : path;
}
