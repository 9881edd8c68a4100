/* The replay plugin inside: its settings and its one handler. */
#ifndef MILLRACE_REPLAY_H
#define MILLRACE_REPLAY_H

#include <millrace/plugin.h>

#pragma GCC visibility push(hidden)

#define REPLAY_MOST_SECONDS 31536000.0 /* a year: the longest task that is replayed, before and after scaling */
#define REPLAY_MOST_SCALE 1000000.0

/* Read once by init, constant until deinit. */
typedef struct replay_settings {
  int wait;          /* replay.mode: 0 `burn`, 1 `wait` */
  double time_scale; /* replay.time-scale: replayed seconds for each recorded second */
} replay_settings;

/* `replay/task`. `context` is the settings. */
uint32_t replay_task(void *context, const millrace_call *call, millrace_outcome *outcome);

#pragma GCC visibility pop
#endif
