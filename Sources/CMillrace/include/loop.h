/* What the loop needs from Linux and Swift cannot say: timerfd, thread names, affinity. */
#ifndef MILLRACE_LOOP_H
#define MILLRACE_LOOP_H

#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A timer of CLOCK_MONOTONIC as a descriptor, not blocking, closed by exec. -1 and errno if there is none to be had. */
static inline int millrace_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

/* Makes the descriptor readable at `at` nanoseconds, at once if that is past. 0, or an errno value. */
static inline int millrace_timerfd_set(int descriptor, uint64_t at) {
  if (at == 0) at = 1; /* zero would disarm */
  struct itimerspec t = {{0, 0}, {(time_t)(at / 1000000000u), (long)(at % 1000000000u)}};
  return timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &t, (struct itimerspec *)0) == 0 ? 0 : errno;
}

/* How often the timer expired since the last look; 0: not at all. */
static inline uint64_t millrace_timerfd_take(int descriptor) {
  uint64_t count = 0;
  return read(descriptor, &count, sizeof count) == (ssize_t)sizeof count ? count : 0;
}

/* Names the calling thread; the kernel keeps 15 bytes. */
static inline void millrace_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/* Fills `mask` with the processors that the calling thread may use. The bytes filled, or -1. */
static inline long millrace_affinity(void *mask, uint64_t bytes) { return syscall(SYS_sched_getaffinity, 0, bytes, mask); }

#endif
