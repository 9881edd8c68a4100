/*
 * What a plugin may not. Bounds on memory hold for every isolated plugin; the rest for an untrusted one, in two steps: while it is loaded the dynamic linker may
 * read libraries, and nothing of the plugin runs but its constructors; after that no file, socket, process or thread can be had any more.
 *
 * A system call that is not allowed fails with EPERM, so that a library that only asks goes on; one of another processor's numbers kills the process.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLACK_BYTES (1ull << 30) /* of address space: libraries, and what malloc reserves for threads */

static int refuse(const char *what) {
  char words[256];
  (void)snprintf(words, sizeof words, "%s: %s", what, strerror(errno));
  say_state(MILLRACE_CHILD_SANDBOX, words);
  return -1;
}

static int limit(__rlimit_resource_t resource, uint64_t most) {
  struct rlimit now;
  if (getrlimit(resource, &now) != 0) return -1;
  if (most > now.rlim_max) most = now.rlim_max;
  return setrlimit(resource, &(struct rlimit){most, most});
}

int sandbox_limit(void) {
  const uint64_t memory = self.page->memory_bytes;
  if (memory != 0) {
    const uint64_t own = memory + self.page->helpers * (uint64_t)HELPER_STACK_BYTES, shared = self.layout.page_bytes + self.layout.arena_bytes;
    if (limit(RLIMIT_DATA, own) != 0 || limit(RLIMIT_AS, own + shared + SLACK_BYTES) != 0) return refuse("its memory cannot be bounded");
  }
  if (!self.page->untrusted) return 0;
  /* Files cannot be written, and memory is not dumped: it may hold secrets. */
  if (limit(RLIMIT_NOFILE, self.page->descriptors) != 0 || limit(RLIMIT_CORE, 0) != 0 || limit(RLIMIT_FSIZE, 0) != 0)
    return refuse("its files cannot be bounded");
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : refuse("it could get rights of other programs");
}

/* Landlock: <linux/landlock.h> may be older than the kernel. */
struct ruleset {
  uint64_t files, network, scopes;
};
struct __attribute__((packed)) rule {
  uint64_t allowed;
  int32_t parent;
};
enum { READ_FILE = 1 << 2, READ_DIRECTORY = 1 << 3, RULE_PATH_BENEATH = 1 };

static int allow_reading(int ruleset, const char *directory) {
  const int parent = open(directory, O_PATH | O_CLOEXEC);
  if (parent < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  struct stat status;
  const int is_directory = fstat(parent, &status) == 0 && S_ISDIR(status.st_mode);
  const struct rule rule = {is_directory ? READ_FILE | READ_DIRECTORY : READ_FILE, parent};
  const long added = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
  close(parent);
  return (int)added;
}

/* `with_libraries`: what the dynamic linker reads may be read. */
static int landlock(int with_libraries) {
  const int version = millrace_landlock_version();
  if (version == 0) return self.page->may_lack_landlock ? 0 : refuse("this kernel has no landlock, which keeps it from files");
  self.arena->landlock = (uint32_t)version;
  /* All of files that the version knows; of networks TCP; signals and abstract sockets to others. */
  const struct ruleset handled = {
      (1ull << (version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13)) - 1, version >= 4 ? 3 : 0, version >= 6 ? 3 : 0};
  const size_t bytes = version >= 6 ? sizeof handled : version >= 4 ? 16 : 8;
  const int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, bytes, 0u);
  if (ruleset < 0) return refuse("landlock has no rule set");
  int failed = 0;
  if (with_libraries) {
    static const char *const usual[] = {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"};
    for (size_t i = 0; !failed && i < sizeof usual / sizeof usual[0]; i++) failed = allow_reading(ruleset, usual[i]);
    const char *at = (const char *)self.page + self.layout.settings + self.page->setting_bytes;
    for (const char *end = at + self.page->library_bytes; !failed && at < end; at += strlen(at) + 1) failed = allow_reading(ruleset, at);
  }
  if (!failed) failed = (int)syscall(SYS_landlock_restrict_self, ruleset, 0u);
  const int reason = errno;
  close(ruleset);
  errno = reason;
  return failed ? refuse("landlock does not take its rules") : 0;
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "seccomp: name this processor's AUDIT_ARCH_"
#endif

/* What a plugin may call: memory, time, its own threads' locks and signals, and reading and writing what is open. */
static const int allowed[] = {
    SYS_read,           SYS_write,         SYS_readv,        SYS_writev,      SYS_pread64,         SYS_pwrite64,       SYS_close,
    SYS_lseek,          SYS_fstat,         SYS_newfstatat,   SYS_mmap,        SYS_munmap,          SYS_mprotect,       SYS_mremap,
    SYS_madvise,        SYS_brk,           SYS_futex,        SYS_sched_yield, SYS_clock_gettime,   SYS_clock_getres,   SYS_clock_nanosleep,
    SYS_nanosleep,      SYS_gettimeofday,  SYS_getrandom,    SYS_getpid,      SYS_gettid,          SYS_getppid,        SYS_rt_sigaction,
    SYS_rt_sigprocmask, SYS_rt_sigreturn,  SYS_sigaltstack,  SYS_ppoll,       SYS_restart_syscall, SYS_exit,           SYS_exit_group,
    SYS_getrusage,      SYS_sched_getaffinity, SYS_set_robust_list, SYS_membarrier, SYS_rseq,
#if defined(__x86_64__)
    SYS_poll, SYS_time,
#endif
};

/* And while it is loaded. Constructors of the plugin run then: what they open, landlock has to allow. */
static const int loading[] = {
    SYS_openat, SYS_readlinkat, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_seccomp, SYS_landlock_create_ruleset, SYS_landlock_add_rule,
    SYS_landlock_restrict_self,
#if defined(__x86_64__)
    SYS_open, SYS_access, SYS_stat, SYS_readlink, SYS_arch_prctl,
#endif
};

enum { MOST_STEPS = 160 };
static struct sock_filter steps[MOST_STEPS];
static unsigned step_count;

static void step(uint16_t code, uint8_t yes, uint8_t no, uint32_t value) { steps[step_count++] = (struct sock_filter){code, yes, no, value}; }
static void give(uint32_t verdict) { step(BPF_RET | BPF_K, 0, 0, verdict); }
static void allow(int number) {
  step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)number);
  give(SECCOMP_RET_ALLOW);
}

/* For all threads. */
static int filter(int is_loading) {
  step_count = 0;
  step(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
  step(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
  give(SECCOMP_RET_KILL_PROCESS);
  step(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) allow(allowed[i]);
  for (size_t i = 0; is_loading && i < sizeof loading / sizeof loading[0]; i++) allow(loading[i]);
  /* glibc goes back to clone, which is refused as well, where this is not there. */
  step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_clone3);
  give(SECCOMP_RET_ERRNO | ENOSYS);
  /* `abort` and `raise`: a signal to a thread of this process. */
  step(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_tgkill);
  step(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[0]));
  step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)getpid());
  give(SECCOMP_RET_ALLOW);
  give(SECCOMP_RET_ERRNO | EPERM);
  const struct sock_fprog program = {(unsigned short)step_count, steps};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0 ? 0 : refuse("seccomp does not take its filter");
}

int sandbox_before_loading(void) {
  if (landlock(1) != 0) return -1;
  /* Before the filter, after landlock, which holds for the threads that are made later. */
  if (helpers_start(self.page->helpers) != 0) return refuse("no thread is to be had");
  return filter(1);
}

int sandbox_after_loading(void) { return landlock(0) == 0 && filter(0) == 0 ? 0 : -1; }
