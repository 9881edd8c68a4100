#include "body.h"

void body_empty(void) {}

void body_spin(uint64_t rounds) {
  uint64_t state = 88172645463325252u;
  for (; rounds > 0; rounds--) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
  }
  __asm__ volatile("" : "+r"(state));
}
