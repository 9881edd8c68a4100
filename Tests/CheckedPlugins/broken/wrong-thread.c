/* A helper thread claims the output, while the worker waits and no token is out. */
#include <pthread.h>
#include "plugin.h"

typedef struct both {
  const millrace_call *call;
  millrace_outcome *outcome;
} both;
static void *help(void *context) {
  both *own = context;
  answer(own->call, own->outcome, "from elsewhere");
  return NULL;
}
static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  both own = {call, outcome};
  pthread_t thread;
  if (pthread_create(&thread, NULL, help, &own) != 0) return outcome->status = MILLRACE_FAILED;
  pthread_join(thread, NULL);
  return outcome->status;
}
DESCRIBE()
