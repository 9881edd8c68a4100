/* What the peer in Swift needs of C. */
#pragma once
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../shared/body.h"

/* The processors that this thread, and those it starts, may use; at most 64. 0: unknown. */
static inline uint64_t processors(void) {
  uint64_t mask = 0;
  return syscall(SYS_sched_getaffinity, 0, sizeof mask, &mask) > 0 ? mask : 0;
}

static inline void use_processors(uint64_t mask) { syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask); }
