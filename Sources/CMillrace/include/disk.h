/* What a log needs from Linux and Swift cannot say: variadic calls, flags behind _GNU_SOURCE, what kind of file system it is. */
#ifndef MILLRACE_DISK_H
#define MILLRACE_DISK_H

#include <stdint.h>

/* How `millrace_open_at` opens: closed on exec always. */
enum { MILLRACE_READ = 0, MILLRACE_WRITE = 1, MILLRACE_CREATE = 2, MILLRACE_DIRECTORY = 4, MILLRACE_OR_CREATE = 8, MILLRACE_DATA_SYNC = 16, MILLRACE_DIRECT = 32 };

/* A descriptor, or a negated errno value. `folder`: a descriptor of a directory, or -1 for the current one. CREATE: reading and writing, and there is no such file
   yet; OR_CREATE: there may be. DATA_SYNC: each write is on stable storage when it returns; DIRECT: it goes past the page cache. */
int millrace_open_at(int folder, const char *name, int how);

/* 1 locked, 0 somebody else holds it, or a negated errno value. */
int millrace_lock_file(int fd);

/* 1 if the file lives in memory only: tmpfs or ramfs. */
int millrace_is_memory(int fd);

unsigned millrace_major(uint64_t device);
unsigned millrace_minor(uint64_t device);

#endif
