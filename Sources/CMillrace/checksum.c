#include "checksum.h"

#include <string.h>

static const uint32_t *table(void) {
  static uint32_t made[256];
  static int is_made;
  /* Whoever comes first makes it, others may make the same beside it. */
  if (!__atomic_load_n(&is_made, __ATOMIC_ACQUIRE)) {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
      __atomic_store_n(&made[i], crc, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&is_made, 1, __ATOMIC_RELEASE);
  }
  return made;
}

uint32_t millrace_crc32c_table(uint32_t state, const void *bytes, size_t count) {
  const uint32_t *of = table();
  const uint8_t *at = bytes;
  while (count--) state = of[(state ^ *at++) & 0xff] ^ state >> 8;
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t state, const uint8_t *at, size_t count) {
  uint64_t wide = state;
  uint64_t word;
  for (; count >= 8; at += 8, count -= 8) {
    memcpy(&word, at, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  state = (uint32_t)wide;
  while (count--) state = __builtin_ia32_crc32qi(state, *at++);
  return state;
}
uint32_t millrace_crc32c(uint32_t state, const void *bytes, size_t count) {
  return __builtin_cpu_supports("sse4.2") ? by_instruction(state, bytes, count) : millrace_crc32c_table(state, bytes, count);
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
uint32_t millrace_crc32c(uint32_t state, const void *bytes, size_t count) {
  const uint8_t *at = bytes;
  uint64_t word;
  for (; count >= 8; at += 8, count -= 8) {
    memcpy(&word, at, 8);
    state = __crc32cd(state, word);
  }
  while (count--) state = __crc32cb(state, *at++);
  return state;
}
#else
uint32_t millrace_crc32c(uint32_t state, const void *bytes, size_t count) { return millrace_crc32c_table(state, bytes, count); }
#endif
