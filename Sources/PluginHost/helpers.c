/* Threads for handlers that block: made before the plugin is loaded, for an untrusted one may make none. */
#include "child.h"

#include <stdlib.h>

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t work, idle;
  uint32_t *queue; /* slots, as many as there are: each is in it once */
  uint32_t first, count, running, threads;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

/* Never returns. */
static void *help(void *unused) {
  (void)unused;
  pthread_mutex_lock(&pool.mutex);
  for (;;) {
    while (pool.count == 0) pthread_cond_wait(&pool.work, &pool.mutex);
    const uint32_t slot = pool.queue[pool.first];
    pool.first = (pool.first + 1) % self.page->slots;
    pool.count--;
    pool.running++;
    pthread_mutex_unlock(&pool.mutex);
    calls_run(slot);
    pthread_mutex_lock(&pool.mutex);
    if (--pool.running == 0 && pool.count == 0) pthread_cond_broadcast(&pool.idle);
  }
  return NULL;
}

int helpers_start(uint32_t count) {
  pool.queue = calloc(self.page->slots, sizeof *pool.queue);
  if (!pool.queue) return -1;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes)) return -1;
  int failed = pthread_attr_setstacksize(&attributes, HELPER_STACK_BYTES);
  for (uint32_t i = 0; !failed && i < count; i++) {
    pthread_t thread;
    failed = pthread_create(&thread, &attributes, help, NULL);
    if (failed) break;
    (void)pthread_detach(thread);
    pool.threads++;
  }
  (void)pthread_attr_destroy(&attributes);
  return failed;
}

int helpers_run(uint32_t slot) {
  if (pool.threads == 0) return 0;
  pthread_mutex_lock(&pool.mutex);
  pool.queue[(pool.first + pool.count) % self.page->slots] = slot;
  pool.count++;
  pthread_cond_signal(&pool.work);
  pthread_mutex_unlock(&pool.mutex);
  return 1;
}

void helpers_finish(void) {
  pthread_mutex_lock(&pool.mutex);
  while (pool.running > 0 || pool.count > 0) pthread_cond_wait(&pool.idle, &pool.mutex);
  pthread_mutex_unlock(&pool.mutex);
}
