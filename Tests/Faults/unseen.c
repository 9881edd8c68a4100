/* Calls by which a file of the directory changes without a record: the trace says that they happened, and is refused later. */
#include "recorder.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define NEXT(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void look(const char *function, int fd) {
  char path[PATH_MAX];
  if (inside_descriptor(fd, path)) record_unseen_call(function, path);
}

static void look_at_path(const char *function, const char *name) {
  char path[PATH_MAX];
  if (inside_path(AT_FDCWD, name, path)) record_unseen_call(function, path);
}

EXPORT void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  if (flags & MAP_SHARED && protection & PROT_WRITE && !(flags & MAP_ANONYMOUS)) look("a shared, writable mapping", fd);
  return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
EXPORT void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset) __attribute__((alias("mmap")));

EXPORT ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length, unsigned flags) {
  NEXT(copy_file_range);
  look("copy_file_range", to);
  return real(from, from_offset, to, to_offset, length, flags);
}

EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t count) {
  NEXT(sendfile);
  look("sendfile", to);
  return real(to, from, offset, count);
}
EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t count) __attribute__((alias("sendfile")));

EXPORT FILE *fopen(const char *path, const char *mode) {
  NEXT(fopen);
  if (strpbrk(mode, "wa+")) look_at_path("fopen", path);
  return real(path, mode);
}
EXPORT FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

EXPORT FILE *fdopen(int fd, const char *mode) {
  NEXT(fdopen);
  if (strpbrk(mode, "wa+")) look("fdopen", fd);
  return real(fd, mode);
}

EXPORT int mkostemps(char *template, int suffix, int flags) {
  NEXT(mkostemps);
  look_at_path("mkstemp", template);
  return real(template, suffix, flags);
}
EXPORT int mkstemp(char *template) { return mkostemps(template, 0, 0); }
EXPORT int mkostemp(char *template, int flags) { return mkostemps(template, 0, flags); }
EXPORT int mkstemps(char *template, int suffix) { return mkostemps(template, suffix, 0); }
EXPORT int mkstemp64(char *template) { return mkostemps(template, 0, 0); }

EXPORT char *mkdtemp(char *template) {
  NEXT(mkdtemp);
  look_at_path("mkdtemp", template);
  return real(template);
}

EXPORT long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  /* Whatever it writes: it could be anything. */
  if (number == SYS_io_uring_setup) record_unseen_call("io_uring_setup", "");
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
