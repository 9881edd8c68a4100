/* What the host is told: states, entries of the ring, lines of the log. */
#include "child.h"

#include <string.h>
#include <unistd.h>

static void ring_bell(void) {
  static const uint64_t one = 1;
  /* Pairs with the host's fence between `sleeps` and its last look: either it sees what was said, or it is woken. */
  millrace_shared_fence();
  if (millrace_shared_load(&self.page->sleeps)) (void)!write(MILLRACE_ISOLATION_BELL, &one, sizeof one);
}

void say_state(uint32_t state, const char *words) {
  static const uint64_t one = 1;
  if (words) {
    size_t bytes = strnlen(words, MILLRACE_ISOLATION_DESCRIPTION_BYTES - 1);
    memcpy((char *)self.arena + self.layout.description, words, bytes);
    self.arena->description_bytes = (uint32_t)bytes;
  }
  millrace_shared_store(&self.arena->state, state);
  (void)!write(MILLRACE_ISOLATION_BELL, &one, sizeof one);
}

/* The caller has `self.says`. */
static int push(uint32_t what, uint32_t slot, int may_drop) {
  const uint32_t tail = self.arena->tail, waiting = tail - millrace_shared_load(&self.page->response_head);
  if (may_drop && waiting >= self.layout.response_capacity / 2) return 0;
  uint64_t *ring = (uint64_t *)((char *)self.arena + self.layout.response_ring);
  self.arena->tail = tail + 1;
  /* Pairs with the host's load of the entry: what is told is written before. */
  millrace_shared_store_long(&ring[tail & (self.layout.response_capacity - 1)], (uint64_t)(tail + 1) << 32 | what << 16 | slot);
  return 1;
}

void say(uint32_t what, uint32_t slot, int may_drop) {
  pthread_mutex_lock(&self.says);
  const int said = push(what, slot, may_drop);
  pthread_mutex_unlock(&self.says);
  if (said) ring_bell();
}

/* A line is its level, its length, and its bytes, each part to the next multiple of 8; it may go around the end. */
static void put(uint32_t at, const void *bytes, size_t count) {
  char *log = (char *)self.arena + self.layout.log;
  const size_t place = at % MILLRACE_ISOLATION_LOG_BYTES, first = MILLRACE_ISOLATION_LOG_BYTES - place < count ? MILLRACE_ISOLATION_LOG_BYTES - place : count;
  memcpy(log + place, bytes, first);
  memcpy(log, (const char *)bytes + first, count - first);
}

void say_line(uint32_t level, const char *line) {
  const uint32_t head[2] = {level, (uint32_t)strnlen(line, MILLRACE_ISOLATION_LINE_BYTES)}, bytes = (8 + head[1] + 7) / 8 * 8;
  pthread_mutex_lock(&self.says);
  const uint32_t tail = self.arena->log_tail;
  int said = 0;
  if (tail - millrace_shared_load(&self.page->log_head) + bytes > MILLRACE_ISOLATION_LOG_BYTES) {
    self.arena->lost_lines++;
  } else {
    put(tail, head, sizeof head);
    put(tail + 8, line, head[1]);
    millrace_shared_store(&self.arena->log_tail, tail + bytes);
    said = push(MILLRACE_SAYS_LOG, 0, 1);
  }
  pthread_mutex_unlock(&self.says);
  if (said) ring_bell();
}
