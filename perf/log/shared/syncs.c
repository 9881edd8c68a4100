/* Stands in for the calls that wait for the disk, for the libraries too, and counts them: what a program says of its syncs is not its own guess. */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_uint_fast64_t called;

uint64_t syncs_called(void) { return atomic_load(&called); }

int fdatasync(int file) {
  atomic_fetch_add(&called, 1);
  return (int)syscall(SYS_fdatasync, file);
}

int fsync(int file) {
  atomic_fetch_add(&called, 1);
  return (int)syscall(SYS_fsync, file);
}

int msync(void *address, size_t length, int flags) {
  if (flags & MS_SYNC) atomic_fetch_add(&called, 1);
  return (int)syscall(SYS_msync, address, length, flags);
}
