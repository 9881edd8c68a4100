/* What Swift cannot say by itself: the pause instruction, futex, membarrier. Linux, glibc. */
#ifndef MILLRACE_SHIMS_H
#define MILLRACE_SHIMS_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Fetches the line at `address` for writing, so that it is near when it is needed. No effect but on time. */
static inline void millrace_prefetch(const void *address) {
#if defined(__x86_64__)
  /* Without -mprfchw the builtin fetches for reading, and the store then asks for the line once more. Processors that do not know it do nothing. */
  __asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));
#else
  __builtin_prefetch(address, 1, 3);
#endif
}

/* Fetches the line at `address` for reading. No effect but on time. */
static inline void millrace_prefetch_read(const void *address) { __builtin_prefetch(address, 0, 3); }

/* How many bits are set. By the processor's instruction where it has one, which compilers may not take for granted. */
static inline int millrace_bits(uint64_t word) {
#if defined(__x86_64__)
  if (__builtin_expect(__builtin_cpu_supports("popcnt") != 0, 1)) {
    uint64_t count;
    __asm__("popcnt %1, %0" : "=r"(count) : "r"(word) : "cc");
    return (int)count;
  }
#endif
  return __builtin_popcountll(word);
}

/* Tells the core that this thread spins. */
static inline void millrace_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

/* Gives the rest of the time slice away. */
static inline void millrace_yield(void) { sched_yield(); }

/* Keeps the compiler, not the processor, from moving memory accesses across. */
static inline void millrace_compiler_barrier(void) { __asm__ volatile("" ::: "memory"); }

/* Nanoseconds of CLOCK_MONOTONIC. 24 ns. */
static inline uint64_t millrace_monotonic(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds of CLOCK_BOOTTIME: since the boot, while the machine slept too. */
static inline uint64_t millrace_boottime(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds of CLOCK_REALTIME since 1970. */
static inline int64_t millrace_wall(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_nsec;
}

/* Sleeps while *word == expected, until woken; `nanoseconds` < 0: without limit. 0 woken, or an errno value. */
static inline int millrace_futex_wait(const void *word, uint32_t expected, int64_t nanoseconds) {
  struct timespec t = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nanoseconds < 0 ? (struct timespec *)0 : &t, (void *)0, 0);
  return r == 0 ? 0 : errno;
}

/* Wakes up to `count` sleepers of *word. */
static inline int millrace_futex_wake(const void *word, int count) {
  return (int)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, (void *)0, (void *)0, 0);
}

/* 1 if this process may use the expedited barrier (and from then on it is registered), 0 if not. */
static inline int millrace_membarrier_register(void) {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* A full memory barrier on every running thread of this process. */
static inline int millrace_membarrier(void) {
  return (int)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/* A new file that lives in memory only, closed on exec, which may be sealed and mapped executable; or -1 and errno. */
static inline int millrace_memory_file(const char *name) {
  /* MFD_CLOEXEC | MFD_ALLOW_SEALING, and MFD_EXEC where the kernel (6.3) knows it; <linux/memfd.h> may be older than the kernel. */
  long fd = syscall(SYS_memfd_create, name, 0x3u | 0x10u);
  if (fd < 0 && errno == EINVAL) fd = syscall(SYS_memfd_create, name, 0x3u);
  return (int)fd;
}

/* Nobody writes, grows or shrinks the memory file any more. 0, or -1 and errno. */
static inline int millrace_seal(int fd) {
  /* F_ADD_SEALS, F_SEAL_SEAL | SHRINK | GROW | WRITE: named only under _GNU_SOURCE. */
  return (int)syscall(SYS_fcntl, fd, 1033, 0xf);
}

static inline int32_t millrace_process_id(void) { return (int32_t)getpid(); }

static inline int32_t millrace_thread_id(void) { return (int32_t)syscall(SYS_gettid); }

/* The attempt that this thread runs, where threads are checked; NULL: none. The second sets it, and gives what was there before. */
const void *millrace_running_attempt(void);
const void *millrace_thread_attempt(const void *attempt);

#endif
