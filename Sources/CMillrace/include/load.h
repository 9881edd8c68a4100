/* What a load generator needs from Linux and Swift cannot say: where threads may run, and how late a sleep may end. */
#ifndef MILLRACE_LOAD_H
#define MILLRACE_LOAD_H

#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Lets thread `id` (0: the calling one) run on the processors in `mask` only. 0, or an errno value. */
static inline int millrace_set_affinity(int32_t id, const void *mask, uint64_t bytes) {
  return syscall(SYS_sched_setaffinity, id, bytes, mask) == 0 ? 0 : errno;
}

/* Sleeps of the calling thread end at most so late by intention of the kernel; 50,000 is its default. */
static inline void millrace_set_timer_slack(uint64_t nanoseconds) { prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0); }

/* Sleeps until `at` nanoseconds of CLOCK_MONOTONIC, or until a signal. */
static inline void millrace_sleep_until(uint64_t at) {
  struct timespec t = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, (struct timespec *)0);
}

/* CPU time of all threads of the process, nanoseconds. */
static inline uint64_t millrace_process_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time of the calling thread, nanoseconds. */
static inline uint64_t millrace_thread_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time of thread `id` of this process, nanoseconds; -1 if there is none. */
static inline int64_t millrace_time_of_thread(int32_t id) {
  struct timespec t;
  /* The kernel's form of a clock of one thread: its id inverted, and CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED. */
  const clockid_t clock = (clockid_t)((~(uint32_t)id << 3) | 6u);
  if (clock_gettime(clock, &t) != 0) return -1;
  return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_nsec;
}

#endif
