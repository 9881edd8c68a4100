/*
 * From a started program to an ended one.
 *
 * The leader is reaped last: until then its process id, and so its group's, cannot name anybody else, and signals reach only this group.
 * Nothing waits for the end of a pipe alone: a grandchild that keeps it open is ended with the group, and one that left the group is
 * not waited for.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shell.h"

#define READ_BYTES 65536u
#define DRAIN_READS 64u /* of what lies in a pipe at the very end: 4 MiB, more than a pipe holds */

static void shut(shell_stream *s) {
  if (s->descriptor >= 0) close(s->descriptor);
  s->descriptor = -1;
}

static void keep(shell_stream *s, const char *bytes, size_t length) {
  const size_t room = s->limit - s->length, take = length < room ? length : room;
  if (take > s->capacity - s->length) {
    size_t capacity = s->capacity ? s->capacity : 4096;
    while (capacity - s->length < take) capacity *= 2;
    char *grown = realloc(s->bytes, capacity);
    if (grown == NULL) {
      s->dropped += length;
      return;
    }
    s->bytes = grown;
    s->capacity = capacity;
  }
  if (take) memcpy(s->bytes + s->length, bytes, take);
  s->length += take;
  s->dropped += length - take;
}

/* Reads what is there, at most `reads` times; shuts the stream at its end. */
static void drain(shell_stream *s, unsigned reads) {
  char buffer[READ_BYTES];
  while (s->descriptor >= 0 && reads-- > 0) {
    const ssize_t got = read(s->descriptor, buffer, sizeof buffer);
    if (got > 0) keep(s, buffer, (size_t)got);
    else if (got < 0 && errno == EINTR) continue;
    else if (got < 0 && errno == EAGAIN) return;
    else shut(s);
  }
}

/* Waits for output, for the program's end or for `milliseconds`, and reads. */
static void glance(shell_result *r, int program, int milliseconds) {
  struct pollfd watched[3] = {
      {.fd = r->out.descriptor, .events = POLLIN}, {.fd = r->err.descriptor, .events = POLLIN}, {.fd = program, .events = POLLIN}};
  if (poll(watched, 3, milliseconds) <= 0) return;
  if (watched[0].revents) drain(&r->out, 1);
  if (watched[1].revents) drain(&r->err, 1);
}

/* 1 once the program has ended (it stays to be reaped), 0 before; -1 if somebody else reaped it. */
static int has_ended(pid_t child) {
  siginfo_t ended = {0};
  if (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) != 0) return errno == EINTR ? 0 : -1;
  return ended.si_pid == child;
}

static uint64_t real_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Whether the program has to stop; notes why. */
static int must_stop(const millrace_call *call, shell_result *r) {
  if (call->deadline && call->host->now(call->host) >= call->deadline) r->timed_out = 1;
  else if (call->host->cancelled(call->attempt)) r->cancelled = 1;
  return r->timed_out || r->cancelled;
}

static void note_end(shell_result *r, int status) {
  if (WIFEXITED(status)) r->exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) r->signal = WTERMSIG(status);
}

/* Takes the exit status. A killed program ends at once unless the kernel holds it, as on a dead network file system. */
static void reap(pid_t child, shell_result *r) {
  for (const uint64_t begin = real_now(); real_now() - begin < SHELL_REAP_NANOSECONDS;) {
    int status = 0;
    const pid_t got = waitpid(child, &status, WNOHANG);
    if (got == child) {
      note_end(r, status);
      return;
    }
    if (got < 0 && errno != EINTR) {
      r->lost = 1;
      return;
    }
    (void)poll(NULL, 0, 1);
  }
  r->left = 1;
}

void shell_collect(const millrace_call *call, pid_t child, shell_result *r) {
  /* Wakes the poll when the program ends; without it (-1, old kernels) the glances find out. */
  const int program = pidfd_open(child, 0);
  int ended = 0;
  r->exit_code = -1;
  for (uint64_t beat = real_now(); (ended = has_ended(child)) == 0 && !must_stop(call, r);) {
    glance(r, program, SHELL_GLANCE_MILLISECONDS);
    if (real_now() - beat < SHELL_HEARTBEAT_NANOSECONDS) continue;
    call->host->heartbeat(call->attempt, 0);
    beat = real_now();
  }
  if (ended < 0) r->lost = 1; /* reaped elsewhere: its id may already be another's, so no signal is sent */
  drain(&r->out, DRAIN_READS);
  drain(&r->err, DRAIN_READS);
  if (!r->lost) {
    (void)kill(-child, SIGTERM);
    /* Real time: a virtual clock of the host stands still here. */
    for (const uint64_t begin = real_now(); real_now() - begin < SHELL_GRACE_NANOSECONDS;) {
      ended = has_ended(child);
      if (ended != 0 && r->out.descriptor < 0 && r->err.descriptor < 0) break;
      glance(r, ended ? -1 : program, SHELL_GLANCE_MILLISECONDS);
    }
    (void)kill(-child, SIGKILL);
    reap(child, r);
    drain(&r->out, DRAIN_READS);
    drain(&r->err, DRAIN_READS);
  }
  if (program >= 0) close(program);
  shut(&r->out);
  shut(&r->err);
}
