#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

const char *const class_names[] = {"open", "read", "write", "sync", "dirsync", "allocate", "rename", "unlink", "link", "mkdir"};
const char *const function_names[] = {
#define X(name, class) #name,
    FUNCTIONS(X)
#undef X
};
static const enum class classes[] = {
#define X(name, class) c_##class,
    FUNCTIONS(X)
#undef X
};

static struct {
  int (*openat)(int, const char *, int, ...);
  ssize_t (*read)(int, void *, size_t), (*pread)(int, void *, size_t, off_t);
  ssize_t (*readv)(int, const struct iovec *, int), (*preadv2)(int, const struct iovec *, int, off_t, int);
  ssize_t (*write)(int, const void *, size_t), (*pwrite)(int, const void *, size_t, off_t);
  ssize_t (*writev)(int, const struct iovec *, int), (*pwritev2)(int, const struct iovec *, int, off_t, int);
  int (*fsync)(int), (*fdatasync)(int), (*sync_file_range)(int, off_t, off_t, unsigned), (*syncfs)(int);
  void (*sync)(void);
  int (*fallocate)(int, int, off_t, off_t), (*posix_fallocate)(int, off_t, off_t), (*ftruncate)(int, off_t), (*truncate)(const char *, off_t);
  int (*renameat2)(int, const char *, int, const char *, unsigned), (*unlinkat)(int, const char *, int);
  int (*linkat)(int, const char *, int, const char *, int), (*symlinkat)(const char *, int, const char *), (*mkdirat)(int, const char *, mode_t);
  void (*_exit)(int) __attribute__((noreturn));
} real;

static char directory[PATH_MAX];
static size_t directory_length;
static atomic_bool ended;

void append_all(int fd, const struct iovec *parts, int count) {
  size_t size = 0;
  for (int i = 0; i < count; i++) size += parts[i].iov_len;
  /* One system call: with O_APPEND it is one piece in the file, whichever threads and processes write. */
  long written = syscall(SYS_writev, fd, parts, count);
  if (written != (long)size) abort();
}

void refuse(const char *words, const char *value) {
  dprintf(2, "millrace faults: %s: %s\n", words, value ? value : "nothing");
  syscall(SYS_exit_group, 64);
  __builtin_unreachable();
}

int open_report(const char *path) {
  int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : 2;
  if (fd < 0) refuse("cannot open", path);
  /* Programs count low descriptors, and close standard error at their end. */
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 200);
  if (path) syscall(SYS_close, fd);
  return high;
}

static void *next(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) refuse("no such function in libc", name);
  return found;
}

static void end(void) {
  if (!atomic_exchange(&ended, true)) tool_end();
}

__attribute__((constructor(101))) static void start(void) {
  if (real.openat) return;
#define NEXT(name) real.name = next(#name);
  NEXT(read) NEXT(pread) NEXT(readv) NEXT(preadv2) NEXT(write) NEXT(pwrite) NEXT(writev) NEXT(pwritev2)
  NEXT(fsync) NEXT(fdatasync) NEXT(sync_file_range) NEXT(syncfs) NEXT(sync)
  NEXT(fallocate) NEXT(posix_fallocate) NEXT(ftruncate) NEXT(truncate)
  NEXT(renameat2) NEXT(unlinkat) NEXT(linkat) NEXT(symlinkat) NEXT(mkdirat) NEXT(_exit)
#undef NEXT
  const char *given = getenv("MILLRACE_FAULT_DIR");
  if (!given || given[0] != '/' || !realpath(given, directory)) refuse("MILLRACE_FAULT_DIR must be the absolute path of a directory", given);
  directory_length = strlen(directory);
  real.openat = next("openat");
  tool_start();
}
__attribute__((destructor)) static void finish(void) { end(); }

EXPORT void _exit(int code) {
  end();
  real._exit(code);
}
EXPORT void _Exit(int code) { _exit(code); }

static bool inside(char *path) {
  if (strncmp(path, directory, directory_length) != 0) return false;
  if (path[directory_length] != '/' && path[directory_length] != 0) return false;
  size_t skipped = directory_length + (path[directory_length] == '/');
  memmove(path, path + skipped, strlen(path + skipped) + 1);
  return true;
}

static bool path_of(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length <= 0) return false;
  path[length] = 0;
  return true;
}

bool inside_descriptor(int fd, char path[PATH_MAX]) {
  int kept = errno;
  bool found = fd >= 0 && path_of(fd, path) && inside(path);
  errno = kept;
  return found;
}

bool inside_path(int fd, const char *name, char path[PATH_MAX]) {
  int kept = errno;
  char parent[PATH_MAX];
  size_t length = strlen(name);
  while (length > 1 && name[length - 1] == '/') length--;
  size_t cut = length;
  while (cut > 0 && name[cut - 1] != '/') cut--;
  size_t last = length - cut;
  if ((last == 1 && name[cut] == '.') || (last == 2 && name[cut] == '.' && name[cut + 1] == '.')) cut = length;
  bool found = false;
  if (length < PATH_MAX) {
    /* The directory is resolved, the last name is not, unless it is a directory's: it may not exist yet. */
    memcpy(parent, name, cut);
    strcpy(parent + cut, cut > 0 && cut == length ? "" : ".");
    int at = (int)syscall(SYS_openat, fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (at >= 0) {
      found = path_of(at, path);
      size_t end = found ? strlen(path) : 0;
      const char *slash = cut == length || (end > 0 && path[end - 1] == '/') ? "" : "/";
      size_t room = PATH_MAX - end;
      found = found && (size_t)snprintf(path + end, room, "%s%.*s", slash, (int)(length - cut), name + cut) < room && inside(path);
      syscall(SYS_close, at);
    }
  }
  errno = kept;
  return found;
}

size_t call_bytes(const call *c) {
  size_t size = 0;
  for (int i = 0; i < c->vectors; i++) size += c->vector[i].iov_len;
  return size;
}

bool has_position(const call *c) {
  return c->function == f_pread || c->function == f_pwrite || ((c->function == f_preadv || c->function == f_pwritev) && c->offset != -1);
}

long perform(const call *c) {
  switch (c->function) {
    case f_open: return real.openat(c->fd, c->path, c->flags, c->mode);
    case f_read: return real.read(c->fd, c->vector[0].iov_base, c->vector[0].iov_len);
    case f_pread: return real.pread(c->fd, c->vector[0].iov_base, c->vector[0].iov_len, c->offset);
    case f_readv: return real.readv(c->fd, c->vector, c->vectors);
    case f_preadv: return real.preadv2(c->fd, c->vector, c->vectors, c->offset, c->flags);
    case f_write: return real.write(c->fd, c->vector[0].iov_base, c->vector[0].iov_len);
    case f_pwrite: return real.pwrite(c->fd, c->vector[0].iov_base, c->vector[0].iov_len, c->offset);
    case f_writev: return real.writev(c->fd, c->vector, c->vectors);
    case f_pwritev: return real.pwritev2(c->fd, c->vector, c->vectors, c->offset, c->flags);
    case f_fsync: return real.fsync(c->fd);
    case f_fdatasync: return real.fdatasync(c->fd);
    case f_sync_file_range: return real.sync_file_range(c->fd, c->offset, c->length, (unsigned)c->flags);
    case f_syncfs: return real.syncfs(c->fd);
    case f_sync: real.sync(); return 0;
    case f_fallocate: return real.fallocate(c->fd, c->flags, c->offset, c->length);
    case f_posix_fallocate: {
      int code = real.posix_fallocate(c->fd, c->offset, c->length);
      if (code == 0) return 0;
      errno = code;
      return -1;
    }
    case f_ftruncate: return real.ftruncate(c->fd, c->length);
    case f_truncate: return real.truncate(c->path, c->length);
    case f_rename: return real.renameat2(c->fd, c->path, c->target_fd, c->target, (unsigned)c->flags);
    case f_unlink: return real.unlinkat(c->fd, c->path, 0);
    case f_rmdir: return real.unlinkat(c->fd, c->path, AT_REMOVEDIR);
    case f_link: return real.linkat(c->fd, c->path, c->target_fd, c->target, c->flags);
    case f_symlink: return real.symlinkat(c->path, c->target_fd, c->target);
    case f_mkdir: return real.mkdirat(c->fd, c->path, c->mode);
    case function_count: break;
  }
  abort();
}

static long give(call c) {
  if (!real.openat) start(); /* another library's constructor came first */
  c.class = classes[c.function];
  if (!c.vector && c.vectors == 1) c.vector = &c.single;
  return handle(&c);
}

/* The wrappers. */
#define SINGLE(buffer, count) .single = {(void *)(uintptr_t)(buffer), count}, .vectors = 1
#define ALIAS(name, other, type, parameters) EXPORT type other parameters __attribute__((alias(#name)));

static int give_open(int fd, const char *path, int flags, mode_t mode) {
  return (int)give((call){.function = f_open, .fd = fd, .path = path, .flags = flags, .mode = mode});
}
#define MODE_AFTER(last) \
  mode_t mode = 0; \
  if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
    va_list more; \
    va_start(more, last); \
    mode = va_arg(more, mode_t); \
    va_end(more); \
  }
EXPORT int open(const char *path, int flags, ...) {
  MODE_AFTER(flags)
  return give_open(AT_FDCWD, path, flags, mode);
}
EXPORT int openat(int fd, const char *path, int flags, ...) {
  MODE_AFTER(flags)
  return give_open(fd, path, flags, mode);
}
EXPORT int creat(const char *path, mode_t mode) { return give_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
EXPORT int __open_2(const char *path, int flags);
EXPORT int __openat_2(int fd, const char *path, int flags);
int __open_2(const char *path, int flags) { return give_open(AT_FDCWD, path, flags, 0); }
int __openat_2(int fd, const char *path, int flags) { return give_open(fd, path, flags, 0); }
ALIAS(open, open64, int, (const char *, int, ...))
ALIAS(open, __open, int, (const char *, int, ...))
ALIAS(open, __open64, int, (const char *, int, ...))
ALIAS(openat, openat64, int, (int, const char *, int, ...))
ALIAS(creat, creat64, int, (const char *, mode_t))
ALIAS(__open_2, __open64_2, int, (const char *, int))
ALIAS(__openat_2, __openat64_2, int, (int, const char *, int))

EXPORT ssize_t read(int fd, void *to, size_t count) { return give((call){.function = f_read, .fd = fd, SINGLE(to, count)}); }
EXPORT ssize_t pread(int fd, void *to, size_t count, off_t offset) {
  return give((call){.function = f_pread, .fd = fd, SINGLE(to, count), .offset = offset});
}
EXPORT ssize_t readv(int fd, const struct iovec *v, int n) { return give((call){.function = f_readv, .fd = fd, .vector = v, .vectors = n}); }
EXPORT ssize_t preadv2(int fd, const struct iovec *v, int n, off_t offset, int flags) {
  return give((call){.function = f_preadv, .fd = fd, .vector = v, .vectors = n, .offset = offset, .flags = flags});
}
EXPORT ssize_t preadv(int fd, const struct iovec *v, int n, off_t offset) { return preadv2(fd, v, n, offset, 0); }
/* The checked variants trust the compiler here: a test tool need not look for overflows. */
EXPORT ssize_t __read_chk(int fd, void *to, size_t count, size_t room);
EXPORT ssize_t __pread_chk(int fd, void *to, size_t count, off_t offset, size_t room);
ssize_t __read_chk(int fd, void *to, size_t count, size_t room) { return count > room ? (abort(), -1) : read(fd, to, count); }
ssize_t __pread_chk(int fd, void *to, size_t count, off_t offset, size_t room) {
  return count > room ? (abort(), -1) : pread(fd, to, count, offset);
}
ALIAS(read, __read, ssize_t, (int, void *, size_t))
ALIAS(pread, pread64, ssize_t, (int, void *, size_t, off_t))
ALIAS(pread, __pread64, ssize_t, (int, void *, size_t, off_t))
ALIAS(preadv, preadv64, ssize_t, (int, const struct iovec *, int, off_t))
ALIAS(preadv2, preadv64v2, ssize_t, (int, const struct iovec *, int, off_t, int))
ALIAS(__pread_chk, __pread64_chk, ssize_t, (int, void *, size_t, off_t, size_t))

EXPORT ssize_t write(int fd, const void *from, size_t count) { return give((call){.function = f_write, .fd = fd, SINGLE(from, count)}); }
EXPORT ssize_t pwrite(int fd, const void *from, size_t count, off_t offset) {
  return give((call){.function = f_pwrite, .fd = fd, SINGLE(from, count), .offset = offset});
}
EXPORT ssize_t writev(int fd, const struct iovec *v, int n) { return give((call){.function = f_writev, .fd = fd, .vector = v, .vectors = n}); }
EXPORT ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t offset, int flags) {
  return give((call){.function = f_pwritev, .fd = fd, .vector = v, .vectors = n, .offset = offset, .flags = flags});
}
EXPORT ssize_t pwritev(int fd, const struct iovec *v, int n, off_t offset) { return pwritev2(fd, v, n, offset, 0); }
ALIAS(write, __write, ssize_t, (int, const void *, size_t))
ALIAS(pwrite, pwrite64, ssize_t, (int, const void *, size_t, off_t))
ALIAS(pwrite, __pwrite64, ssize_t, (int, const void *, size_t, off_t))
ALIAS(pwritev, pwritev64, ssize_t, (int, const struct iovec *, int, off_t))
ALIAS(pwritev2, pwritev64v2, ssize_t, (int, const struct iovec *, int, off_t, int))

EXPORT int fsync(int fd) { return (int)give((call){.function = f_fsync, .fd = fd}); }
EXPORT int fdatasync(int fd) { return (int)give((call){.function = f_fdatasync, .fd = fd}); }
EXPORT int syncfs(int fd) { return (int)give((call){.function = f_syncfs, .fd = fd}); }
EXPORT void sync(void) { give((call){.function = f_sync, .fd = -1}); }
EXPORT int sync_file_range(int fd, off_t offset, off_t length, unsigned flags) {
  return (int)give((call){.function = f_sync_file_range, .fd = fd, .offset = offset, .length = length, .flags = (int)flags});
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t length) {
  return (int)give((call){.function = f_fallocate, .fd = fd, .flags = mode, .offset = offset, .length = length});
}
EXPORT int posix_fallocate(int fd, off_t offset, off_t length) {
  int kept = errno;
  int code = give((call){.function = f_posix_fallocate, .fd = fd, .offset = offset, .length = length}) == 0 ? 0 : errno;
  errno = kept;
  return code;
}
EXPORT int ftruncate(int fd, off_t size) { return (int)give((call){.function = f_ftruncate, .fd = fd, .length = size}); }
EXPORT int truncate(const char *path, off_t size) {
  return (int)give((call){.function = f_truncate, .fd = AT_FDCWD, .path = path, .length = size});
}
ALIAS(fallocate, fallocate64, int, (int, int, off_t, off_t))
ALIAS(posix_fallocate, posix_fallocate64, int, (int, off_t, off_t))
ALIAS(ftruncate, ftruncate64, int, (int, off_t))
ALIAS(truncate, truncate64, int, (const char *, off_t))

EXPORT int renameat2(int fd, const char *path, int target_fd, const char *target, unsigned flags) {
  return (int)give((call){.function = f_rename, .fd = fd, .path = path, .target_fd = target_fd, .target = target, .flags = (int)flags});
}
EXPORT int renameat(int fd, const char *path, int target_fd, const char *target) { return renameat2(fd, path, target_fd, target, 0); }
EXPORT int rename(const char *path, const char *target) { return renameat2(AT_FDCWD, path, AT_FDCWD, target, 0); }

EXPORT int unlinkat(int fd, const char *path, int flags) {
  return (int)give((call){.function = flags & AT_REMOVEDIR ? f_rmdir : f_unlink, .fd = fd, .path = path, .flags = flags});
}
EXPORT int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
EXPORT int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
EXPORT int remove(const char *path) { return unlink(path) == 0 ? 0 : errno == EISDIR ? rmdir(path) : -1; }

EXPORT int linkat(int fd, const char *path, int target_fd, const char *target, int flags) {
  return (int)give((call){.function = f_link, .fd = fd, .path = path, .target_fd = target_fd, .target = target, .flags = flags});
}
EXPORT int link(const char *path, const char *target) { return linkat(AT_FDCWD, path, AT_FDCWD, target, 0); }
EXPORT int symlinkat(const char *path, int target_fd, const char *target) {
  return (int)give((call){.function = f_symlink, .fd = -1, .path = path, .target_fd = target_fd, .target = target});
}
EXPORT int symlink(const char *path, const char *target) { return symlinkat(path, AT_FDCWD, target); }

EXPORT int mkdirat(int fd, const char *path, mode_t mode) { return (int)give((call){.function = f_mkdir, .fd = fd, .path = path, .mode = mode}); }
EXPORT int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
