/* What Swift cannot say of processes: a start in a group of its own, descriptors of processes. Linux. */
#ifndef MILLRACE_PROCESS_H
#define MILLRACE_PROCESS_H

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Starts `path` in a process group of its own, with default signals, in `directory`; `descriptors`: what becomes 0, 1, 2 and 3, each above 3, and it
 * has no others. 0, or an errno value.
 */
int millrace_spawn(
    const char *path, char *const *arguments, char *const *environment, const char *directory, const int *descriptors, pid_t *child);

/* As `millrace_spawn`, with descriptors 0 to `count` - 1; each of `descriptors` is `count` or more. */
int millrace_spawn_with(
    const char *path, char *const *arguments, char *const *environment, const char *directory, const int *descriptors, int count, pid_t *child);

/* A descriptor of the process, which can be read once it has ended; or a negated errno value. */
int millrace_process_open(pid_t process);

/* Sends a signal to the group that the process leads, 0 or a negated errno value; -EINVAL: the kernel (before 6.9) cannot. */
int millrace_process_signal_group(int process, int signal);

/* Kills the process of a descriptor. 0, or a negated errno value. */
int millrace_process_kill(int process);

/* How the process ended: 1 and its exit code (-1: by `signal`); 0 it has not; or a negated errno value: there is none, somebody else has it. */
int millrace_process_reap(int process, int waits, int *code, int *signal);

/* Waits until one of the descriptors has what it is asked for, or so many nanoseconds (negative: for ever). How many have it, or a negated errno value. */
int millrace_wait_for(struct pollfd *descriptors, uint32_t count, int64_t nanoseconds);

/* `least` or above, closed on exec, or a negated errno value. Takes `descriptor`. */
int millrace_lift_to(int descriptor, int least);

/* Above 3, closed on exec, or a negated errno value. Takes `descriptor`. */
int millrace_lift(int descriptor);

/* Two ends above 3: a program that reads a line from the one waits until the gate is opened at the other, and finds the end of file if that is closed. 0, or an
   errno value. */
int millrace_gate(int *ends);

/* 0, or an errno value: the program has gone. */
int millrace_open_gate(int end);

/* A descriptor that can be read once it has been rung, or a negated errno value. */
int millrace_alarm(void);

/* 0, or an errno value. */
int millrace_ring(int alarm);

/* It has been heard. 0, or an errno value: EAGAIN, it has not been rung. */
int millrace_hush(int alarm);

#endif
