#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 4, PROCESS_GROUP = 1 << 2 }; /* PIDFD_SIGNAL_PROCESS_GROUP */

static int add_actions(posix_spawn_file_actions_t *actions, const char *directory, const int *descriptors, int count) {
  int failed = posix_spawn_file_actions_addchdir_np(actions, directory);
  for (int i = 0; !failed && i < count; i++) failed = posix_spawn_file_actions_adddup2(actions, descriptors[i], i);
  return failed ? failed : posix_spawn_file_actions_addclosefrom_np(actions, count);
}

static int set_attributes(posix_spawnattr_t *attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int failed = posix_spawnattr_setsigmask(attributes, &none);
  if (!failed) failed = posix_spawnattr_setsigdefault(attributes, &all);
  if (!failed) failed = posix_spawnattr_setpgroup(attributes, 0);
  return failed ? failed : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

int millrace_spawn(
    const char *path, char *const *arguments, char *const *environment, const char *directory, const int *descriptors, pid_t *child) {
  return millrace_spawn_with(path, arguments, environment, directory, descriptors, DESCRIPTORS, child);
}

int millrace_spawn_with(
    const char *path, char *const *arguments, char *const *environment, const char *directory, const int *descriptors, int count, pid_t *child) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int failed = posix_spawn_file_actions_init(&actions);
  if (failed) return failed;
  failed = posix_spawnattr_init(&attributes);
  if (!failed) {
    failed = add_actions(&actions, directory, descriptors, count);
    if (!failed) failed = set_attributes(&attributes);
    if (!failed) failed = posix_spawn(child, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

int millrace_process_open(pid_t process) {
  const long descriptor = syscall(SYS_pidfd_open, process, 0);
  return descriptor < 0 ? -errno : (int)descriptor;
}

int millrace_process_signal_group(int process, int signal) {
  return syscall(SYS_pidfd_send_signal, process, signal, NULL, PROCESS_GROUP) == 0 ? 0 : -errno;
}

int millrace_lift(int descriptor) { return millrace_lift_to(descriptor, DESCRIPTORS); }

int millrace_lift_to(int descriptor, int least) {
  if (descriptor < 0) return -errno;
  if (descriptor >= least) return descriptor;
  const int lifted = fcntl(descriptor, F_DUPFD_CLOEXEC, least), reason = errno;
  close(descriptor);
  return lifted < 0 ? -reason : lifted;
}

int millrace_gate(int *ends) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  for (int i = 0; i < 2; i++) {
    const int lifted = millrace_lift(ends[i]);
    if (lifted < 0) {
      close(ends[1 - i]);
      return -lifted;
    }
    ends[i] = lifted;
  }
  return 0;
}

int millrace_open_gate(int end) { return send(end, "\n", 1, MSG_NOSIGNAL) == 1 ? 0 : errno; }

int millrace_process_kill(int process) { return syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) == 0 ? 0 : -errno; }

int millrace_process_reap(int process, int waits, int *code, int *signal) {
  siginfo_t ended = {0};
  int got;
  do got = waitid(P_PIDFD, (id_t)process, &ended, WEXITED | (waits ? 0 : WNOHANG));
  while (got != 0 && errno == EINTR);
  if (got != 0) return -errno;
  if (ended.si_pid == 0) return 0;
  *code = ended.si_code == CLD_EXITED ? ended.si_status : -1;
  *signal = ended.si_code == CLD_EXITED ? 0 : ended.si_status;
  return 1;
}

int millrace_wait_for(struct pollfd *descriptors, uint32_t count, int64_t nanoseconds) {
  const struct timespec t = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  const int ready = ppoll(descriptors, count, nanoseconds < 0 ? NULL : &t, NULL);
  return ready < 0 ? (errno == EINTR ? 0 : -errno) : ready;
}

int millrace_hush(int alarm) {
  uint64_t rings;
  return read(alarm, &rings, sizeof rings) == sizeof rings ? 0 : errno;
}

int millrace_alarm(void) {
  const int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

int millrace_ring(int alarm) { return eventfd_write(alarm, 1) == 0 ? 0 : errno; }
