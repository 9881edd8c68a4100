/* Takes memory as it goes, and stops at a bound: a cache is no leak. */
#include <stdatomic.h>
#include <stdlib.h>
static void stop(void);
#define DEINIT stop
#include "plugin.h"

enum { KEPT = 256 };
static atomic_int next;
static void *_Atomic kept[KEPT];

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  void *old = atomic_exchange(&kept[(unsigned)atomic_fetch_add(&next, 1) % KEPT], malloc(512));
  free(old);
  return answer(call, outcome, "ok");
}
static void stop(void) {
  for (int i = 0; i < KEPT; i++) free(atomic_exchange(&kept[i], NULL));
}
DESCRIBE()
