/* recorder.so: records what a crash could see of a program (LD_PRELOAD), for crash images of its directory.
 *
 *   MILLRACE_FAULT_DIR=DIRECTORY  whose files are recorded; an absolute path
 *   MILLRACE_RECORD=FILE          the trace, appended; recorder.h has its format
 *   MILLRACE_RECORD_MARKS=N       what is written to descriptor N is a mark ("acknowledged 17"). With 1 also what goes through stdout (print, printf)
 *
 * With the injector: LD_PRELOAD=recorder.so:injector.so, so that failed calls are recorded as failed.
 */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct __attribute__((packed)) record {
  uint32_t length;
  uint16_t kind, phase;
  uint64_t call, inode;
  int64_t offset, count, result;
  uint32_t flags, thread, what;
  uint16_t name, target;
};
_Static_assert(sizeof(struct record) == 64, "recorder.h says so");

enum { phase_begin, phase_return, phase_moment };
enum { what_created = 1, what_directory = 2 };

static int trace = -1, marks = -1;
static atomic_uint_least32_t call_number;
/* Entries of directories change one at a time, so that `created` is true; the same for writes that move a descriptor's position. */
static pthread_mutex_t entries = PTHREAD_MUTEX_INITIALIZER, positions = PTHREAD_MUTEX_INITIALIZER;

static void append(struct record *r, const char *name, const char *target, const struct iovec *data, int count) {
  struct iovec parts[IOV_MAX + 3];
  r->name = (uint16_t)(name ? strlen(name) : 0);
  r->target = (uint16_t)(target ? strlen(target) : 0);
  r->thread = (uint32_t)gettid();
  size_t length = sizeof *r + r->name + r->target;
  parts[0] = (struct iovec){r, sizeof *r};
  parts[1] = (struct iovec){(void *)(uintptr_t)name, r->name};
  parts[2] = (struct iovec){(void *)(uintptr_t)target, r->target};
  int used = 3;
  for (int i = 0; i < count; i++) {
    length += data[i].iov_len;
    if (used == IOV_MAX) refuse("more parts in one write than can be recorded", name);
    parts[used++] = data[i];
  }
  if (length > UINT32_MAX / 2) refuse("a write too large to record", name);
  r->length = (uint32_t)length;
  append_all(trace, parts, used);
}

static uint64_t new_call(void) { return (uint64_t)getpid() << 32 | atomic_fetch_add(&call_number, 1); }

static void append_return(struct record *r, long result) {
  int kept = errno;
  r->phase = phase_return;
  r->result = result < 0 ? -kept : result;
  append(r, NULL, NULL, NULL, 0);
  errno = kept;
}

void record_unseen_call(const char *function, const char *path) {
  char words[PATH_MAX + 64];
  int kept = errno;
  snprintf(words, sizeof words, "%s %s", function, path);
  append(&(struct record){.kind = record_unseen, .phase = phase_moment, .call = new_call()}, words, NULL, NULL, 0);
  errno = kept;
}

static long mark(const call *c) {
  int kept = errno;
  append(&(struct record){.kind = record_mark, .phase = phase_moment, .call = new_call()}, NULL, NULL, c->vector, c->vectors);
  errno = kept;
  return perform(c);
}

static long record_open_call(const call *c) {
  char path[PATH_MAX], name[PATH_MAX];
  if (!inside_path(c->fd, c->path, path)) return perform(c);
  if ((c->flags & O_TMPFILE) == O_TMPFILE) record_unseen_call("open with O_TMPFILE", path);
  pthread_mutex_lock(&entries);
  int kept = errno;
  struct stat file;
  bool changes = c->flags & (O_CREAT | O_TRUNC);
  bool existed = fstatat(c->fd, c->path, &file, 0) == 0;
  struct record r = {.kind = record_open, .phase = phase_begin, .call = new_call(), .flags = (uint32_t)c->flags};
  if (existed) r.inode = file.st_ino;
  if (changes) append(&r, path, NULL, NULL, 0);
  errno = kept;
  long fd = perform(c);
  kept = errno;
  if (fd >= 0 && fstat((int)fd, &file) == 0) {
    r.inode = file.st_ino;
    if (!existed) r.what |= what_created;
    if (S_ISDIR(file.st_mode)) r.what |= what_directory;
  }
  if (changes || fd >= 0) {
    r.phase = phase_return;
    r.result = fd < 0 ? -kept : fd;
    append(&r, fd >= 0 && inside_descriptor((int)fd, name) ? name : path, NULL, NULL, 0);
  }
  pthread_mutex_unlock(&entries);
  errno = kept;
  return fd;
}

static long record_write_call(const call *c) {
  char path[PATH_MAX];
  struct stat file;
  int kept = errno;
  if (!inside_descriptor(c->fd, path) || fstat(c->fd, &file) != 0 || !S_ISREG(file.st_mode)) {
    errno = kept;
    return perform(c);
  }
  bool moves = !has_position(c);
  if (moves) pthread_mutex_lock(&positions);
  struct record r = {
      .kind = record_write, .phase = phase_begin, .call = new_call(), .inode = file.st_ino, .offset = c->offset,
      .count = (int64_t)call_bytes(c), .flags = (uint32_t)fcntl(c->fd, F_GETFL)};
  if (c->function == f_pwritev && c->flags & RWF_SYNC) r.flags |= O_SYNC;
  if (c->function == f_pwritev && c->flags & RWF_DSYNC) r.flags |= O_DSYNC;
  bool appends = r.flags & O_APPEND || (c->function == f_pwritev && c->flags & RWF_APPEND);
  if (appends && !moves) pthread_mutex_lock(&positions);
  if (appends) r.offset = fstat(c->fd, &file) == 0 ? file.st_size : 0;
  else if (moves) r.offset = lseek(c->fd, 0, SEEK_CUR);
  append(&r, path, NULL, c->vector, c->vectors < 0 ? 0 : c->vectors);
  errno = kept;
  long result = perform(c);
  append_return(&r, result);
  if (moves || appends) pthread_mutex_unlock(&positions);
  return result;
}

static long record_descriptor_call(const call *c) {
  char path[PATH_MAX];
  struct stat file;
  int kept = errno;
  bool below = c->path ? inside_path(c->fd, c->path, path) && stat(c->path, &file) == 0 : inside_descriptor(c->fd, path) && fstat(c->fd, &file) == 0;
  errno = kept;
  if (c->function == f_sync_file_range || (!below && c->function != f_sync)) return perform(c);
  struct record r = {.phase = phase_begin, .call = new_call(), .offset = c->offset, .count = c->length};
  r.kind = c->class == c_sync ? record_sync : c->function == f_ftruncate || c->function == f_truncate ? record_truncate : record_allocate;
  if (r.kind == record_truncate) r.offset = c->length;
  if (r.kind == record_allocate) r.flags = (uint32_t)c->flags;
  if (c->function == f_fdatasync) r.flags = 1;
  if (c->function == f_sync || c->function == f_syncfs) {
    path[0] = 0;
  } else {
    r.inode = file.st_ino;
    if (S_ISDIR(file.st_mode)) r.what = what_directory;
  }
  append(&r, path, NULL, NULL, 0);
  errno = kept;
  long result = perform(c);
  append_return(&r, result);
  return result;
}

static long record_entry_call(const call *c) {
  static const enum record_kind kinds[] = {
      [f_rename] = record_rename, [f_unlink] = record_unlink, [f_rmdir] = record_rmdir, [f_link] = record_link, [f_mkdir] = record_mkdir};
  char path[PATH_MAX], target[PATH_MAX];
  if (c->function == f_symlink) {
    if (inside_path(c->target_fd, c->target, path)) record_unseen_call("symlink", path);
    return perform(c);
  }
  bool two = c->function == f_rename || c->function == f_link;
  bool from = inside_path(c->fd, c->path, path);
  bool to = two && inside_path(c->target_fd, c->target, target);
  if (!from && !to) return perform(c);
  if (two && from != to) record_unseen_call("rename or link across the border of the directory", from ? path : target);
  if (c->function == f_rename && c->flags & ~RENAME_NOREPLACE) record_unseen_call("renameat2 with flags", path);
  pthread_mutex_lock(&entries);
  struct record r = {.kind = (uint16_t)kinds[c->function], .phase = phase_begin, .call = new_call()};
  append(&r, path, two && to ? target : NULL, NULL, 0);
  long result = perform(c);
  int kept = errno;
  struct stat file;
  if (c->function == f_mkdir && result == 0 && fstatat(c->fd, c->path, &file, AT_SYMLINK_NOFOLLOW) == 0) r.inode = file.st_ino;
  errno = kept;
  append_return(&r, result);
  pthread_mutex_unlock(&entries);
  return result;
}

long handle(call *c) {
  switch (c->class) {
    case c_open: return record_open_call(c);
    case c_read: return perform(c);
    case c_write: return c->fd == marks && c->fd >= 0 ? mark(c) : record_write_call(c);
    case c_sync: case c_dirsync: case c_allocate: return record_descriptor_call(c);
    default: return record_entry_call(c);
  }
}

/* libc writes stdout's buffer by a call inside itself: a stream of our own writes it by the one that is seen. */
static ssize_t write_mark(void *cookie, const char *bytes, size_t count) {
  (void)cookie;
  return write(1, bytes, count) < 0 ? 0 : (ssize_t)count;
}

void tool_start(void) {
  const char *file = getenv("MILLRACE_RECORD"), *number = getenv("MILLRACE_RECORD_MARKS");
  if (!file) refuse("MILLRACE_RECORD must be the path of the trace", file);
  trace = open_report(file);
  if (trace < 0) refuse("no descriptor for the trace", file);
  struct stat state;
  static char head[] = "millrace-trace\1";
  if (fstat(trace, &state) != 0) refuse("cannot look at the trace", file);
  if (state.st_size == 0) append_all(trace, &(struct iovec){head, 16}, 1);
  if (!number) return;
  marks = atoi(number);
  unsetenv("MILLRACE_RECORD_MARKS"); /* the same number is another file in a child */
  if (marks != 1) return;
  FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_mark});
  if (!stream) abort();
  setvbuf(stream, NULL, isatty(1) ? _IOLBF : _IOFBF, BUFSIZ);
  stdout = stream;
}

void tool_end(void) {}
