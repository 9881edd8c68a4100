/* injector.so: fails chosen calls of a program, from outside (LD_PRELOAD).
 *
 *   MILLRACE_FAULT_DIR=DIRECTORY  only calls on files below it count, or on it; an absolute path
 *   MILLRACE_FAULT=WHAT:N:FAULT   the N-th of these calls (from 1) meets the fault; WHAT:N+:FAULT: each from the N-th on. Several, with commas
 *   MILLRACE_FAULT_UNTIL=PATH     an N+ fault ends when this file exists: a disk that gets room again
 *   MILLRACE_FAULT_REPORT=FILE    what was done is appended here; without it, standard error
 *
 * WHAT: classes or functions, with + between: open read write sync dirsync allocate rename unlink link mkdir, or any; pwrite, fdatasync, ...
 *   dirsync is a sync of a directory, sync that of a file; allocate is also a change of size; unlink also rmdir.
 * FAULT:
 *   E...           nothing is done, this errno (EIO, ENOSPC, EINTR, ...). ENOSPC counts only what may need room; EINTR none of a directory's entries
 *   E...-late      all is done, and fails nevertheless: an O_DSYNC write whose sync failed
 *   EIO-dropped    of a sync: it fails, and what was written to the file since its last sync is gone, as when Linux has forgotten the pages. Later
 *                  syncs succeed. (What O_TRUNC cut off is not brought back.)
 *   short          of a read or write: the first half is done, its length returned (whole blocks of 512 with O_DIRECT)
 *   exit, kill     of a write: the first half is done; of other calls: nothing. Then _exit(137), or SIGKILL
 *   exit-after, kill-after  all is done, then the end
 *   A number after a further colon, as in write:3:short:10, is the bytes that are done instead of the half.
 * Only calls that a fault can meet are counted for it: `short` counts no write of one byte. So a run has met no fault when N is above its count.
 *
 * Each line of the report: `millrace-fault PID injected FAULT FUNCTION offset=N length=N result=N PATH`, at the end (exit, _exit, and the
 * ends above) `millrace-fault PID counts FAULT=N ...` and `millrace-fault PID calls CLASS=N ...`. Counts are those of one process.
 */
#include "interpose.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { fault_error, fault_late, fault_dropped, fault_short, fault_end };

struct fault {
  const char *text;
  uint32_t functions; /* bit set of `function` */
  bool files, directories; /* for syncs */
  uint64_t n;
  bool on; /* from the n-th on */
  enum kind kind;
  int code;
  bool signal, after;
  long bytes; /* -1: half */
  atomic_uint_fast64_t count;
};

enum { fault_limit = 8 };
static struct fault faults[fault_limit];
static int fault_count;
static bool keeps_changes;
static atomic_uint_fast64_t calls[class_count];
static int report_file;
static const char *until;

static void report(const char *format, ...) {
  char line[PATH_MAX + 512];
  int length = snprintf(line, sizeof line, "millrace-fault %d ", (int)getpid());
  va_list arguments;
  va_start(arguments, format);
  length += vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
  va_end(arguments);
  if ((size_t)length >= sizeof line) abort();
  if (report_file >= 0) append_all(report_file, &(struct iovec){line, (size_t)length}, 1);
}

/* What a program wrote since the last sync of each file, and what was there before: for EIO-dropped. */
struct change {
  struct change *older;
  dev_t device;
  ino_t inode;
  uint64_t order;
  off_t offset, size; /* of the file, before */
  size_t length;
  char before[];
};
static pthread_mutex_t changes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct change *changes;
static uint64_t change_order;

/* Another descriptor of the same file: neither O_DIRECT nor O_APPEND, readable and writable. */
static int reopened(int fd) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int other = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
  if (other < 0) refuse("cannot reopen a file to keep its bytes", strerror(errno));
  return other;
}

static long change_file(const call *c) {
  pthread_mutex_lock(&changes_lock);
  struct stat before;
  int fd = c->path ? (int)syscall(SYS_openat, c->fd, c->path, O_RDWR | O_CLOEXEC, 0) : reopened(c->fd);
  if (fd < 0 || fstat(fd, &before) != 0) refuse("cannot keep the bytes of", c->path);
  off_t offset = c->offset, end;
  if (c->class == c_write) {
    if (!has_position(c)) offset = fcntl(c->fd, F_GETFL) & O_APPEND ? before.st_size : lseek(c->fd, 0, SEEK_CUR);
    end = offset + (off_t)call_bytes(c);
  } else {
    if (c->function == f_ftruncate || c->function == f_truncate) offset = c->length;
    end = before.st_size;
  }
  if (end > before.st_size) end = before.st_size;
  size_t length = end > offset ? (size_t)(end - offset) : 0;
  struct change *change = malloc(sizeof *change + length);
  if (!change) abort();
  *change = (struct change){changes, before.st_dev, before.st_ino, ++change_order, offset, before.st_size, length};
  for (size_t done = 0; done < length;) {
    long count = syscall(SYS_pread64, fd, change->before + done, length - done, offset + (off_t)done);
    if (count <= 0) abort();
    done += (size_t)count;
  }
  syscall(SYS_close, fd);
  long result = perform(c);
  int kept = errno;
  if (result < 0) free(change);
  else changes = change;
  pthread_mutex_unlock(&changes_lock);
  errno = kept;
  return result;
}

/* Forgets the changes of a file up to `order`; with a descriptor, takes them back, the youngest first. */
static void end_changes(const struct stat *file, uint64_t order, int fd) {
  for (struct change **link = &changes; *link;) {
    struct change *change = *link;
    if (change->device != file->st_dev || change->inode != file->st_ino || change->order > order) {
      link = &change->older;
      continue;
    }
    if (fd >= 0) {
      for (size_t done = 0; done < change->length;) {
        long count = syscall(SYS_pwrite64, fd, change->before + done, change->length - done, change->offset + (off_t)done);
        if (count <= 0) abort();
        done += (size_t)count;
      }
      if (syscall(SYS_ftruncate, fd, change->size) != 0) abort();
    }
    *link = change->older;
    free(change);
  }
}

static long sync_file(const call *c) {
  struct stat file;
  pthread_mutex_lock(&changes_lock);
  uint64_t order = change_order;
  pthread_mutex_unlock(&changes_lock);
  long result = perform(c);
  if (result != 0 || c->function == f_sync_file_range) return result;
  if (fstat(c->fd, &file) != 0) abort();
  pthread_mutex_lock(&changes_lock);
  end_changes(&file, order, -1);
  pthread_mutex_unlock(&changes_lock);
  return result;
}

static void drop_changes(const call *c) {
  struct stat file;
  if (fstat(c->fd, &file) != 0) abort();
  int fd = reopened(c->fd);
  pthread_mutex_lock(&changes_lock);
  end_changes(&file, UINT64_MAX, fd);
  pthread_mutex_unlock(&changes_lock);
  syscall(SYS_close, fd);
}

static long done(const call *c) {
  if (!keeps_changes) return perform(c);
  if (c->class == c_write || c->class == c_allocate) return change_file(c);
  if (c->class == c_sync && c->fd >= 0 && c->function != f_syncfs) return sync_file(c);
  return perform(c);
}

/* How much of a transfer is done when it is cut: 0 when it cannot be. */
static size_t cut_length(const struct fault *f, const call *c) {
  size_t whole = call_bytes(c);
  size_t cut = f->bytes >= 0 ? (size_t)f->bytes : whole / 2;
  if (fcntl(c->fd, F_GETFL) & O_DIRECT) cut -= cut % 512;
  return cut < whole ? cut : 0;
}

static long done_in_part(const call *c, size_t length) {
  if (length == 0) return 0;
  struct iovec parts[IOV_MAX];
  call part = *c;
  part.vector = parts;
  part.vectors = 0;
  for (size_t left = length; left > 0; part.vectors++) {
    parts[part.vectors] = c->vector[part.vectors];
    if (parts[part.vectors].iov_len > left) parts[part.vectors].iov_len = left;
    left -= parts[part.vectors].iov_len;
  }
  return done(&part);
}

static bool may_need_room(const call *c, bool creates) {
  switch (c->class) {
    case c_open: return creates;
    case c_write: case c_sync: case c_rename: case c_link: case c_mkdir: return c->function != f_sync_file_range;
    case c_allocate: return c->function == f_fallocate || c->function == f_posix_fallocate;
    default: return false;
  }
}

static bool fits(const struct fault *f, const call *c, bool creates) {
  if (!(f->functions & (1u << c->function))) return false;
  if ((c->class == c_sync && !f->files) || (c->class == c_dirsync && !f->directories)) return false;
  switch (f->kind) {
    case fault_error:
      if (f->code == ENOSPC || f->code == EDQUOT) return may_need_room(c, creates);
      if (f->code == EINTR) return c->class <= c_sync || c->class == c_allocate;
      return true;
    case fault_late: return c->class != c_open && c->class != c_read;
    case fault_dropped: return c->function == f_fsync || c->function == f_fdatasync;
    case fault_short: return (c->class == c_read || c->class == c_write) && cut_length(f, c) > 0;
    case fault_end: return true;
  }
  abort();
}

static void counts(void) {
  char line[2048] = "";
  int length = 0;
  for (int i = 0; i < fault_count; i++)
    length += snprintf(line + length, sizeof line - (size_t)length, " %s=%llu", faults[i].text, (unsigned long long)atomic_load(&faults[i].count));
  report("counts%s\n", line);
  length = 0;
  for (int i = 0; i < class_count; i++)
    length += snprintf(line + length, sizeof line - (size_t)length, " %s=%llu", class_names[i], (unsigned long long)atomic_load(&calls[i]));
  report("calls%s\n", line);
}

static long injected(const struct fault *f, const call *c, const char *path) {
  long result = -1;
  switch (f->kind) {
    case fault_error: break;
    case fault_late: done(c); break;
    case fault_dropped: drop_changes(c); break;
    case fault_short: result = done_in_part(c, cut_length(f, c)); break;
    case fault_end:
      result = 0;
      if (f->after) result = done(c);
      else if (c->class == c_write) result = done_in_part(c, cut_length(f, c));
      break;
  }
  int code = f->kind == fault_short ? errno : f->code;
  report(
      "injected %s %s offset=%lld length=%lld result=%ld %s\n", f->text, function_names[c->function], (long long)c->offset,
      c->vectors > 0 ? (long long)call_bytes(c) : (long long)c->length, result, path);
  if (f->kind == fault_end) {
    if (!f->signal) _exit(137); /* says the counts */
    counts();
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  errno = code;
  return result;
}

long handle(call *c) {
  char path[PATH_MAX];
  bool links = c->function == f_rename || c->function == f_link;
  bool below = c->function == f_symlink ? inside_path(c->target_fd, c->target, path)
               : c->path            ? inside_path(c->fd, c->path, path) || (links && inside_path(c->target_fd, c->target, path))
               : c->function == f_sync ? true : inside_descriptor(c->fd, path);
  if (!below) return perform(c);
  if (c->function == f_sync) path[0] = 0;

  int kept = errno;
  struct stat file;
  if (c->class == c_sync && c->fd >= 0 && fstat(c->fd, &file) == 0 && S_ISDIR(file.st_mode)) c->class = c_dirsync;
  bool creates = c->class == c_open && (c->flags & O_CREAT) && fstatat(c->fd, c->path, &file, 0) != 0;
  atomic_fetch_add(&calls[c->class], 1);
  struct fault *met = NULL;
  for (int i = 0; i < fault_count; i++) {
    struct fault *f = &faults[i];
    if (!fits(f, c, creates)) continue;
    uint64_t n = atomic_fetch_add(&f->count, 1) + 1;
    if (!met && (n == f->n || (f->on && n > f->n && !(until && access(until, F_OK) == 0)))) met = f;
  }
  errno = kept;
  return met ? injected(met, c, path) : done(c);
}

static const struct {
  const char *name;
  int code;
} codes[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR}, {"EDQUOT", EDQUOT}, {"EACCES", EACCES}, {"EAGAIN", EAGAIN},
             {"EROFS", EROFS}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"ENOMEM", ENOMEM}, {"EINVAL", EINVAL}, {"EOPNOTSUPP", EOPNOTSUPP}};

static void parse_what(struct fault *f, char *what) {
  static const enum class of[] = {
#define X(name, class) c_##class,
      FUNCTIONS(X)
#undef X
  };
  char *rest;
  for (char *word = strtok_r(what, "+", &rest); word; word = strtok_r(NULL, "+", &rest)) {
    uint32_t set = 0;
    for (int i = 0; i < function_count; i++) {
      bool is_class = strcmp(word, class_names[of[i]]) == 0 || strcmp(word, "any") == 0 || (strcmp(word, "dirsync") == 0 && of[i] == c_sync);
      /* `sync` is the class. */
      if (is_class || strcmp(word, function_names[i]) == 0) set |= 1u << i;
    }
    if (!set) refuse("no class and no function", word);
    f->functions |= set;
    if (strcmp(word, "dirsync") == 0 || strcmp(word, "any") == 0) f->directories = true;
    if (strcmp(word, "dirsync") != 0) f->files = true;
  }
}

static void parse_fault(struct fault *f, char *word) {
  char *dash = strchr(word, '-');
  if (dash) *dash++ = 0;
  f->signal = strcmp(word, "kill") == 0;
  if (f->signal || strcmp(word, "exit") == 0) {
    f->kind = fault_end;
    f->after = dash && strcmp(dash, "after") == 0;
    if (dash && !f->after) refuse("no such fault", dash);
    return;
  }
  if (strcmp(word, "short") == 0 && !dash) {
    f->kind = fault_short;
    return;
  }
  f->kind = !dash ? fault_error : strcmp(dash, "late") == 0 ? fault_late : fault_dropped;
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (strcmp(word, codes[i].name) == 0) f->code = codes[i].code;
  if (f->code == 0) refuse("no such fault", word);
  if (f->kind == fault_dropped && (strcmp(dash, "dropped") != 0 || f->code != EIO)) refuse("no such fault", dash);
  if (f->kind == fault_dropped) keeps_changes = true;
}

static void parse(const char *text) {
  char *copy = strdup(text), *rest;
  for (char *one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
    if (fault_count == fault_limit) refuse("too many faults", text);
    struct fault *f = &faults[fault_count++];
    f->text = strdup(one);
    f->bytes = -1;
    char *parts, *what = strtok_r(one, ":", &parts), *n = strtok_r(NULL, ":", &parts), *word = strtok_r(NULL, ":", &parts);
    char *bytes = strtok_r(NULL, ":", &parts), *end;
    if (!what || !n || !word) refuse("MILLRACE_FAULT is WHAT:N:FAULT", f->text);
    f->n = strtoull(n, &end, 10);
    f->on = *end == '+';
    if (f->n == 0 || end == n || end[f->on] != 0) refuse("N is a number from 1", f->text);
    parse_fault(f, word);
    if (bytes) {
      f->bytes = strtol(bytes, &end, 10);
      if (*end || f->bytes < 0) refuse("the bytes that are done are a number", f->text);
    }
    parse_what(f, what);
  }
  free(copy);
}

void tool_start(void) {
  const char *text = getenv("MILLRACE_FAULT");
  if (text && strlen(text) > 1024) refuse("more text than 1,024 bytes", text);
  if (text && *text) parse(text);
  until = getenv("MILLRACE_FAULT_UNTIL");
  report_file = open_report(getenv("MILLRACE_FAULT_REPORT"));
}

void tool_end(void) { counts(); }
