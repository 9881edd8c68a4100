#include "millrace/plugin.h"
#include "shims.h"

static _Thread_local const void *running;

const void *millrace_running_attempt(void) { return running; }

const void *millrace_thread_attempt(const void *attempt) {
  const void *before = running;
  running = attempt;
  return before;
}
