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
#include <immintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t state, const uint8_t *at, size_t count) {
  uint64_t wide = state;
  uint64_t word;
  for (; count >= 8; at += 8, count -= 8) {
    memcpy(&word, at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  state = (uint32_t)wide;
  while (count--) state = _mm_crc32_u8(state, *at++);
  return state;
}

/* The instruction waits three cycles for the one before, and could begin one in each: so three parts of equal length go at the same time. What the first two have
   come to is moved over the zeros that follow it by a multiplication without carries, and added to the last word of the third.
   Source: V. Gopal et al., Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction, Intel 2011; the constants as in Peter Cawley's fast-crc32. */
enum { FEWEST = 96, MOST_WORDS = 42 };
/* x to the power of 64 i + 31, modulo the polynomial, reflected. */
static uint32_t powers[2 * MOST_WORDS + 1];
static int has_both;

__attribute__((constructor)) static void make_powers(void) {
  uint32_t power = 1;
  for (int i = 0; i <= 2 * MOST_WORDS; i++) {
    powers[i] = power;
    for (int bit = 0; bit < 64; bit++) power = power >> 1 ^ (power & 1 ? 0x82f63b78u : 0);
  }
  has_both = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t moved(uint64_t state, int words) {
  return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state), _mm_cvtsi64_si128(powers[words]), 0));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t by_three(uint32_t state, const uint8_t *at, size_t count) {
  while (count >= FEWEST) {
    size_t words = (count - 8) / 24;
    if (words > MOST_WORDS) words = MOST_WORDS;
    const uint8_t *second = at + 8 * words, *third = second + 8 * words;
    uint64_t a = state, b = 0, c = 0, x, y, z;
    for (size_t i = 0; i < 8 * words; i += 8) {
      memcpy(&x, at + i, 8), memcpy(&y, second + i, 8), memcpy(&z, third + i, 8);
      a = _mm_crc32_u64(a, x), b = _mm_crc32_u64(b, y), c = _mm_crc32_u64(c, z);
    }
    memcpy(&x, third + 8 * words, 8);
    state = (uint32_t)_mm_crc32_u64(c, x ^ moved(a, 2 * (int)words) ^ moved(b, (int)words));
    at += 24 * words + 8, count -= 24 * words + 8;
  }
  return by_instruction(state, at, count);
}

uint32_t millrace_crc32c(uint32_t state, const void *bytes, size_t count) {
  if (count >= FEWEST && has_both) return by_three(state, bytes, count);
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
