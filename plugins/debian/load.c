/* Files into memory, each with what it was when it was read. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "census.h"

static int read_all(int descriptor, uint64_t offset, char *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    const ssize_t got = pread(descriptor, bytes + at, length - at, (off_t)(offset + at));
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = ESTALE;
    if (got <= 0) return -1;
    at += (size_t)got;
  }
  return 0;
}

int load_file(const char *path, uint64_t offset, size_t length, uint64_t most, char **bytes, size_t *got, identity *id) {
  struct stat s;
  /* O_NONBLOCK: a pipe in the place of a file must not hold the task. */
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  int reason = 0;
  *bytes = NULL;
  *got = 0;
  if (descriptor < 0) return -1;
  if (fstat(descriptor, &s) != 0) {
    reason = errno;
  } else if (!S_ISREG(s.st_mode)) {
    reason = S_ISDIR(s.st_mode) ? EISDIR : EINVAL;
  } else if ((uint64_t)s.st_size > most) {
    reason = EFBIG;
  } else {
    const uint64_t size = (uint64_t)s.st_size;
    if (length == SIZE_MAX) length = size > offset ? (size_t)(size - offset) : 0;
    *bytes = malloc(length ? length : 1);
    *got = length;
    if (*bytes == NULL) reason = ENOMEM;
    else if (read_all(descriptor, offset, *bytes, length)) reason = errno;
    const uint64_t modified = (uint64_t)s.st_mtim.tv_sec * 1000000000u + (uint64_t)s.st_mtim.tv_nsec;
    if (id) *id = (identity){s.st_size, (int64_t)(modified & INT64_MAX), (int64_t)(s.st_ino & INT64_MAX)};
  }
  close(descriptor);
  if (reason) {
    free(*bytes);
    *bytes = NULL;
    *got = 0;
    errno = reason;
    return -1;
  }
  return 0;
}
