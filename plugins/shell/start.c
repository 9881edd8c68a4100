/* Starts a program: its own process group, three descriptors and no more, signals as a new program expects them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/outcome.h"
#include "shell.h"

enum { STDIN_END, OUT_READ, OUT_WRITE, ERR_READ, ERR_WRITE, DIRECTORY, DESCRIPTORS };

/* Moves a descriptor above 2, so that laying others onto 0, 1 and 2 cannot hit it. -1 stays -1. */
static int lift(int descriptor) {
  if (descriptor < 0 || descriptor > 2) return descriptor;
  const int lifted = fcntl(descriptor, F_DUPFD_CLOEXEC, 3), reason = errno;
  close(descriptor);
  errno = reason;
  return lifted;
}

/* Bytes for stdin in an anonymous file: a program that does not read them blocks nobody and raises no SIGPIPE. */
static int open_stdin(const shell_request *r) {
  if (r->input == NULL) return lift(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int descriptor = lift(memfd_create("millrace-stdin", MFD_CLOEXEC));
  for (size_t at = 0; descriptor >= 0 && at < r->input_length;) {
    const ssize_t wrote = write(descriptor, r->input + at, r->input_length - at);
    if (wrote > 0) at += (size_t)wrote;
    else if (wrote < 0 && errno != EINTR) {
      const int reason = errno;
      close(descriptor);
      errno = reason;
      return -1;
    }
  }
  if (descriptor >= 0) (void)lseek(descriptor, 0, SEEK_SET);
  return descriptor;
}

static int open_pipe(int *read_end, int *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  *read_end = lift(ends[0]);
  *write_end = lift(ends[1]);
  return *read_end < 0 || *write_end < 0 || fcntl(*read_end, F_SETFL, O_NONBLOCK) != 0 ? -1 : 0;
}

/*
 * The file that `program` names: itself if it has a slash, else the first executable file of that name in the absolute directories of
 * the program's own PATH. 0, or -1.
 */
static int find_program(const shell_request *r, char *path, size_t capacity) {
  if (strchr(r->program, '/')) return snprintf(path, capacity, "%s", r->program) < (int)capacity ? 0 : -1;
  const char *at = shell_environment_find(r->environment, "PATH");
  for (at = at ? at : "/usr/local/bin:/usr/bin:/bin"; *at; at += *at == ':') {
    const size_t length = strcspn(at, ":");
    struct stat s;
    if (*at == '/' && length < PATH_MAX && snprintf(path, capacity, "%.*s/%s", (int)length, at, r->program) < (int)capacity &&
        stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, X_OK) == 0)
      return 0;
    at += length;
  }
  return -1;
}

static int spawn(const shell_request *r, const char *path, const int *fd, pid_t *child) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  int failed = posix_spawn_file_actions_init(&actions);
  if (failed) return failed;
  failed = posix_spawnattr_init(&attributes);
  if (failed) {
    posix_spawn_file_actions_destroy(&actions);
    return failed;
  }
  sigemptyset(&none);
  sigfillset(&all);
  /* A host may block or ignore signals (SIGPIPE above all); a program expects none of that. */
  if (!failed) failed = posix_spawnattr_setsigmask(&attributes, &none);
  if (!failed) failed = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!failed) failed = posix_spawnattr_setpgroup(&attributes, 0);
  if (!failed) failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (!failed && fd[DIRECTORY] >= 0) failed = posix_spawn_file_actions_addfchdir_np(&actions, fd[DIRECTORY]);
  if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, fd[STDIN_END], 0);
  if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, fd[OUT_WRITE], 1);
  if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, fd[ERR_WRITE], 2);
  if (!failed) failed = posix_spawn_file_actions_addclosefrom_np(&actions, 3); /* also what the host opened without O_CLOEXEC */
  if (!failed) failed = posix_spawn(child, path, &actions, &attributes, r->arguments, r->environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

static uint32_t refuse_start(millrace_outcome *outcome, const shell_request *r, int reason) {
  switch (reason) {
    case ENOENT:
    case ENOTDIR:
      return outcome_end(outcome, MILLRACE_FAILED, "not-found",
                         "`%.512s`, or the interpreter its first line names, does not exist: install it, or give its path", r->program);
    case EACCES:
    case EPERM:
      return outcome_end(outcome, MILLRACE_FAILED, "not-executable", "`%.512s` may not be executed by this user: %s", r->program,
                         strerrordesc_np(reason));
    case ENOEXEC:
      return outcome_end(outcome, MILLRACE_FAILED, "not-executable", "`%.512s` is no program: a script needs a first line as `#!/bin/sh`",
                         r->program);
    case E2BIG:
      return outcome_end(outcome, MILLRACE_FAILED, "too-large",
                         "the arguments and the environment of `%.512s` exceed what the kernel takes; use `stdin`", r->program);
    default:
      return outcome_end(outcome, MILLRACE_RETRY, "not-started", "`%.512s` could not be started: %s", r->program, strerrordesc_np(reason));
  }
}

uint32_t shell_start(millrace_outcome *outcome, const shell_request *r, pid_t *child, shell_stream *out, shell_stream *err) {
  int fd[DESCRIPTORS] = {-1, -1, -1, -1, -1, -1};
  char path[PATH_MAX];
  uint32_t status = MILLRACE_DONE;
  if (r->directory && ((fd[DIRECTORY] = lift(open(r->directory, O_PATH | O_DIRECTORY | O_CLOEXEC))) < 0 ||
                       faccessat(fd[DIRECTORY], ".", X_OK, AT_EACCESS) != 0))
    status = outcome_end(outcome, MILLRACE_FAILED, "bad-directory", "`directory` %.512s: %s", r->directory, strerrordesc_np(errno));
  else if (find_program(r, path, sizeof path))
    status = outcome_end(outcome, MILLRACE_FAILED, "not-found",
                         "`%.512s` is in no directory of PATH (%.1024s): install it, or give its path", r->program,
                         shell_environment_find(r->environment, "PATH") ? shell_environment_find(r->environment, "PATH") : "not set");
  else if ((fd[STDIN_END] = open_stdin(r)) < 0 || open_pipe(&fd[OUT_READ], &fd[OUT_WRITE]) || open_pipe(&fd[ERR_READ], &fd[ERR_WRITE]))
    status = outcome_end(outcome, MILLRACE_RETRY, "not-started", "no descriptors for the program's input and output: %s",
                         strerrordesc_np(errno));
  else {
    const int failed = spawn(r, path, fd, child);
    if (failed) status = refuse_start(outcome, r, failed);
  }
  if (status == MILLRACE_DONE) {
    out->descriptor = fd[OUT_READ];
    err->descriptor = fd[ERR_READ];
    fd[OUT_READ] = fd[ERR_READ] = -1;
  }
  for (int i = 0; i < DESCRIPTORS; i++)
    if (fd[i] >= 0) close(fd[i]);
  return status;
}
