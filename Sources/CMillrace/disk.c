#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

int millrace_open_at(int folder, const char *name, int how) {
  int flags = O_CLOEXEC;
  flags |= how & (MILLRACE_WRITE | MILLRACE_CREATE) ? O_RDWR : O_RDONLY;
  if (how & MILLRACE_CREATE) flags |= O_CREAT | O_EXCL;
  if (how & MILLRACE_OR_CREATE) flags |= O_CREAT;
  if (how & MILLRACE_DIRECTORY) flags |= O_DIRECTORY;
  if (how & MILLRACE_DATA_SYNC) flags |= O_DSYNC;
  if (how & MILLRACE_DIRECT) flags |= O_DIRECT;
  int fd;
  do fd = openat(folder < 0 ? AT_FDCWD : folder, name, flags, 0640);
  while (fd < 0 && errno == EINTR);
  return fd < 0 ? -errno : fd;
}

int millrace_lock_file(int fd) {
  int r;
  do r = flock(fd, LOCK_EX | LOCK_NB);
  while (r < 0 && errno == EINTR);
  return r == 0 ? 1 : errno == EWOULDBLOCK ? 0 : -errno;
}

int millrace_is_memory(int fd) {
  struct statfs s;
  /* TMPFS_MAGIC, RAMFS_MAGIC of linux/magic.h */
  return fstatfs(fd, &s) == 0 && (s.f_type == 0x01021994 || s.f_type == 0x858458f6);
}

unsigned millrace_major(uint64_t device) { return major(device); }
unsigned millrace_minor(uint64_t device) { return minor(device); }
