/* The shell plugin inside: a request is read, a program started in its own process group, its output collected, its group ended. */
#ifndef MILLRACE_SHELL_H
#define MILLRACE_SHELL_H

#include <millrace/plugin.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

#define SHELL_OUTPUT_BYTES (1u << 20)           /* kept of stdout and of stderr, each, unless `outputLimit` says otherwise */
#define SHELL_MOST_OUTPUT_BYTES (16u << 20)     /* the most `outputLimit` may say */
#define SHELL_MOST_ARGUMENTS 4096u              /* arguments, and variables of the environment */
#define SHELL_GRACE_NANOSECONDS 2000000000u     /* between SIGTERM and SIGKILL */
#define SHELL_REAP_NANOSECONDS 5000000000u      /* a killed program that the kernel does not end within this time is left behind */
#define SHELL_GLANCE_MILLISECONDS 20            /* how often a silent program's attempt looks whether it was cancelled */
#define SHELL_HEARTBEAT_NANOSECONDS 1000000000u /* a running program is a living attempt */
#define SHELL_TAIL_BYTES 1024u                  /* of stderr, in the message of a failure */

/* What to run. Strings end in NUL and are owned. */
typedef struct shell_request {
  char *program;
  char **arguments;   /* with the program's name first, NULL last */
  char **environment; /* NAME=value, NULL last */
  char *directory;    /* or NULL: the host's */
  char *input;        /* stdin's bytes, or NULL: empty */
  size_t input_length;
  size_t output_limit;
  int with_result; /* what the program says is given as a value too */
} shell_request;

/* Bytes a program wrote. `dropped` counts those beyond the limit. */
typedef struct shell_stream {
  int descriptor; /* -1: closed */
  char *bytes;    /* owned */
  size_t length;
  size_t capacity;
  size_t limit;
  uint64_t dropped;
} shell_stream;

/* How a program ended. */
typedef struct shell_result {
  shell_stream out;
  shell_stream err;
  int exit_code; /* -1: ended by a signal, or not known */
  int signal;    /* 0: none */
  int cancelled;
  int timed_out;
  int lost; /* the exit status could not be had: somebody else reaps this process's children */
  int left; /* the kernel did not end the program within SHELL_REAP_NANOSECONDS after SIGKILL */
} shell_result;

/* environment.c: the process's environment as it was when the plugin was loaded (`environ` may not be read while others write it). */
int32_t shell_environment_keep(void);
void shell_environment_drop(void);
/* The kept environment (or none) with `count` NAME=value strings laid over it; takes those over. NULL: out of memory. */
char **shell_environment_with(int inherit, char **variables, size_t count);
int shell_same_name(const char *left, const char *right); /* whether both are NAME=value of the same name */
const char *shell_environment_find(char *const *environment, const char *name);
void shell_strings_free(char **strings);

/* The variables of the task's `env`, or NULL: the host has no such thing. */
static inline const millrace_environment *shell_task_environment(const millrace_call *call) {
  return call->host->extension ? (const millrace_environment *)call->host->extension(call->host, MILLRACE_ENVIRONMENT) : NULL;
}

/* request.c: MILLRACE_DONE, or the ended outcome's status. Free the request in both cases. */
uint32_t shell_request_read(const millrace_call *call, millrace_outcome *outcome, shell_request *request);
void shell_request_free(shell_request *request);

/* start.c: starts the program as leader of its own process group; `out` and `err` read its pipes and do not block. */
uint32_t shell_start(millrace_outcome *outcome, const shell_request *request, pid_t *child, shell_stream *out, shell_stream *err);

/* collect.c: collects output until the program has ended, the attempt is cancelled or its deadline passes; then ends the group. */
void shell_collect(const millrace_call *call, pid_t child, shell_result *result);

/* run.c: `shell/run`. */
uint32_t shell_run(void *context, const millrace_call *call, millrace_outcome *outcome);

#pragma GCC visibility pop
#endif
