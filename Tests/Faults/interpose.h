/* What both tools stand on: the calls of a program that touch files, seen through LD_PRELOAD as values of one type.
 *
 * Every wrapped function of libc fills a `call` and gives it to `handle`, which the tool defines; `perform` makes the real call. Names are folded:
 * open, open64, openat, creat and the checked variants are all `open`; unlinkat is `unlink` or `rmdir`; a 64 at the end of a name is dropped.
 *
 * Not seen: what libc calls inside itself (fwrite to a file, mkstemp), io_uring, and stores into a shared mapping. The recorder says so when
 * such a thing happens to a file of the directory; a program linked with -static is not reached at all.
 */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum class { c_open, c_read, c_write, c_sync, c_dirsync, c_allocate, c_rename, c_unlink, c_link, c_mkdir, class_count };

/* name, class */
#define FUNCTIONS(X) \
  X(open, open) X(read, read) X(pread, read) X(readv, read) X(preadv, read) \
  X(write, write) X(pwrite, write) X(writev, write) X(pwritev, write) \
  X(fsync, sync) X(fdatasync, sync) X(sync_file_range, sync) X(syncfs, sync) X(sync, sync) \
  X(fallocate, allocate) X(posix_fallocate, allocate) X(ftruncate, allocate) X(truncate, allocate) \
  X(rename, rename) X(unlink, unlink) X(rmdir, unlink) X(link, link) X(symlink, link) X(mkdir, mkdir)

enum function {
#define X(name, class) f_##name,
  FUNCTIONS(X)
#undef X
  function_count
};

typedef struct {
  enum function function;
  enum class class; /* of the function; a tool may make c_dirsync of c_sync */
  int fd;           /* or that of the directory in which `path` begins */
  int target_fd;
  const char *path; /* null where a descriptor names the file */
  const char *target;
  int flags;        /* of open, renameat2, linkat, unlinkat, sync_file_range, preadv2, pwritev2; the mode of fallocate */
  mode_t mode;
  const struct iovec *vector;
  int vectors;
  struct iovec single;
  off_t offset;     /* of pread and pwrite and their like */
  off_t length;     /* of fallocate and truncate: [offset, offset + length), or the new size */
} call;

extern const char *const class_names[class_count];
extern const char *const function_names[function_count];

/* The tool. Result and errno are those of the function; posix_fallocate too is -1 and errno here. */
long handle(call *c);
void tool_start(void);
void tool_end(void); /* the process ends by exit or _exit; at most once */

long perform(const call *c);
size_t call_bytes(const call *c);
bool has_position(const call *c); /* reads or writes where it says, not where the descriptor stands */

/* Whether the file is below MILLRACE_FAULT_DIR, or the directory itself; then `path` is its path from there, "" for the directory. */
bool inside_descriptor(int fd, char path[PATH_MAX]);
bool inside_path(int fd, const char *name, char path[PATH_MAX]);

/* By system calls that no tool wraps. All or abort. */
void append_all(int fd, const struct iovec *parts, int count);
int open_report(const char *path); /* without a path standard error; -1 when there is none */
_Noreturn void refuse(const char *words, const char *value); /* wrong use of a tool */
