/* The event that every program keeps: 256 bytes, of which 96 are what an event store knows of it and the rest is the payload. Its check is a CRC32C, since not
   every store checks what it reads. */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE4_2__)
#include <nmmintrin.h>
#define CRC_WORD(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define CRC_WORD(crc, word) __crc32cd((crc), (word))
#else
#error "needs the processor's CRC32C: -msse4.2 or -march=armv8-a+crc"
#endif

#define RECORD_BYTES 256
#define RECORD_HEADER 96
#define RECORD_PAYLOAD (RECORD_BYTES - RECORD_HEADER)
/* Payloads are cut out of so many bytes, at places that differ from position to position. */
#define SOURCE_BYTES (64 << 10)

typedef struct {
  uint32_t crc;   /* of all that follows, seeded with `bytes` */
  uint32_t bytes; /* of the whole record: never 0 */
  uint64_t position;
  uint64_t event[2], correlation[2], causation[2];
  uint64_t stream;
  int64_t time; /* ns */
  uint64_t trace[2];
  unsigned char payload[RECORD_PAYLOAD];
} Record;
#ifdef __cplusplus
static_assert(sizeof(Record) == RECORD_BYTES && offsetof(Record, payload) == RECORD_HEADER, "no padding");
#else
_Static_assert(sizeof(Record) == RECORD_BYTES && offsetof(Record, payload) == RECORD_HEADER, "no padding");
#endif

static inline uint32_t record_crc(const Record *record) {
  const unsigned char *bytes = (const unsigned char *)record;
  uint32_t crc = ~record->bytes;
  for (size_t i = 8; i < RECORD_BYTES; i += 8) {
    uint64_t word;
    memcpy(&word, bytes + i, 8);
    crc = CRC_WORD(crc, word);
  }
  return ~crc;
}

/* What the callers' payloads are copied from. */
static inline const unsigned char *record_source(void) {
  static unsigned char source[SOURCE_BYTES + RECORD_PAYLOAD];
  if (source[0] == 0) {
    uint64_t state = 88172645463325252u;
    for (size_t i = sizeof source; i-- > 0;) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      source[i] = (unsigned char)(state | 1);
    }
  }
  return source;
}

static inline const unsigned char *record_payload(const unsigned char *source, uint64_t position) {
  return source + position * 8 % SOURCE_BYTES;
}

/* What a caller and the store do for an event: fields, payload, check. */
static inline void record_fill(Record *record, const unsigned char *source, uint64_t position, int64_t time) {
  record->bytes = RECORD_BYTES;
  record->position = position;
  record->event[0] = (uint64_t)time;
  record->event[1] = position;
  record->correlation[0] = record->correlation[1] = 7;
  record->causation[0] = record->causation[1] = position - 1;
  record->stream = position % 1024;
  record->time = time;
  record->trace[0] = record->trace[1] = position + 1;
  memcpy(record->payload, record_payload(source, position), RECORD_PAYLOAD);
  record->crc = record_crc(record);
}

/* What every reader does. */
static inline bool record_holds(const Record *record, uint64_t position) {
  return record->bytes == RECORD_BYTES && record->position == position && record->crc == record_crc(record);
}

/* What a test does as well. */
static inline bool record_is(const Record *record, const unsigned char *source, uint64_t position) {
  return record_holds(record, position) && memcmp(record->payload, record_payload(source, position), RECORD_PAYLOAD) == 0;
}
#endif
