#include "isolation.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int millrace_landlock_version(void) {
  const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u); /* LANDLOCK_CREATE_RULESET_VERSION */
  return version < 0 ? 0 : (int)version;
}

int millrace_shared_wait(const void *word, uint32_t expected) {
  return syscall(SYS_futex, word, FUTEX_WAIT, expected, NULL, NULL, 0) == 0 ? 0 : errno;
}

void millrace_shared_wake(const void *word) { (void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }

void millrace_shared_copy(void *to, const void *from, size_t bytes) {
  memcpy(to, from, bytes);
  __asm__ volatile("" : : "r"(to) : "memory");
}

int millrace_shared_memory(const char *name, uint64_t bytes) {
  const int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return -1;
  /* Whoever shrank it would end the other side by SIGBUS. */
  if (ftruncate(descriptor, (off_t)bytes) == 0 && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) return descriptor;
  const int reason = errno;
  close(descriptor);
  errno = reason;
  return -1;
}

int millrace_shared_reader(int descriptor) {
  char path[32];
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  return open(path, O_RDONLY | O_CLOEXEC);
}

void *millrace_shared_map(int descriptor, uint64_t bytes, int writable) {
  void *memory = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (memory == MAP_FAILED) return NULL;
  (void)madvise(memory, bytes, MADV_DONTDUMP); /* inputs may be secrets */
  return memory;
}

void millrace_shared_unmap(void *memory, uint64_t bytes) { (void)munmap(memory, bytes); }

int millrace_spawn_child(const char *program, int is_untrusted, const int *descriptors, int32_t *child) {
  /* Swift's runtime, where a plugin brings it, would spend seconds on a backtrace before anybody hears of a crash. */
  static const char name[] = "SWIFT_BACKTRACE=", off[] = "SWIFT_BACKTRACE=enable=no";
  size_t count = 0;
  while (!is_untrusted && environ[count]) count++;
  char **environment = calloc(count + 2, sizeof *environment);
  if (!environment) return ENOMEM;
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (strncmp(environ[i], name, sizeof name - 1) != 0) environment[kept++] = environ[i];
  environment[kept] = (char *)off;
  char *const arguments[] = {(char *)program, NULL};
  pid_t started = 0;
  const int failed =
      millrace_spawn_with(program, arguments, environment, is_untrusted ? "/" : ".", descriptors, MILLRACE_ISOLATION_DESCRIPTORS, &started);
  *child = started;
  free(environment);
  return failed;
}

int millrace_shared_drop(int descriptor, uint64_t offset, uint64_t bytes) {
  return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) == 0 ? 0 : errno;
}
