/*
 * The compact form in which packages go from task to task (MILLRACE_BYTES), version 0.
 *
 *   number   LEB128: seven bits a byte, lowest first, the eighth says that more follow; at most 10 bytes
 *   string   number (bytes), the bytes
 *   chunk    "MCC0", chunk, chunks, bytes of the status file, packages, then each package:
 *            1 if installed else 0, name, architecture; if installed: section, KiB, names, each name it depends on (once, in order)
 *   merged   "MCM0", packages, KiB, sections, each: section, packages; packages, each: name, architecture, KiB;
 *            names depended upon, each: name, dependents. Each table is in byte order.
 *
 * A reader never trusts a length: reading beyond the end sets `failed`, and every value read after that is 0 or empty.
 */
#ifndef MILLRACE_CENSUS_WIRE_H
#define MILLRACE_CENSUS_WIRE_H

#include "census.h"

#define WIRE_CHUNK "MCC0"
#define WIRE_MERGED "MCM0"

/* Written by the JSON writer's buffer: it grows up to the inline limit, and its failure sticks. */
static inline void wire_put_number(json_writer *w, uint64_t value) {
  unsigned char bytes[10];
  size_t length = 0;
  do {
    bytes[length++] = (unsigned char)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
    value >>= 7;
  } while (value);
  json_bytes(w, bytes, length);
}

static inline void wire_put_text(json_writer *w, text t) {
  wire_put_number(w, t.length);
  json_bytes(w, t.bytes, t.length);
}

typedef struct wire_reader {
  const unsigned char *at, *end;
  int failed;
} wire_reader;

static inline wire_reader wire_begin(const void *bytes, uint64_t length, const char *magic) {
  wire_reader r = {bytes, (const unsigned char *)bytes + length, 0};
  if (length < 4 || memcmp(bytes, magic, 4) != 0) r.failed = 1;
  else r.at += 4;
  return r;
}

static inline uint64_t wire_number(wire_reader *r) {
  uint64_t value = 0;
  for (unsigned shift = 0; !r->failed && shift < 64; shift += 7) {
    if (r->at == r->end || (shift == 63 && *r->at > 1)) break;
    value |= (uint64_t)(*r->at & 0x7F) << shift;
    if ((*r->at++ & 0x80) == 0) return value;
  }
  r->failed = 1;
  return 0;
}

/* As many as can follow: each of them takes at least `bytes` bytes. */
static inline size_t wire_count(wire_reader *r, size_t bytes) {
  const uint64_t count = wire_number(r);
  if (count > (uint64_t)(r->end - r->at) / bytes) r->failed = 1;
  return r->failed ? 0 : (size_t)count;
}

/* Bytes inside the reader's. */
static inline text wire_text(wire_reader *r) {
  const size_t length = wire_count(r, 1);
  const text t = {(const char *)r->at, length};
  r->at += length;
  return t;
}

/* A KiB count, never negative and never so large that sums overflow. */
static inline int64_t wire_kib(wire_reader *r) {
  const uint64_t kib = wire_number(r);
  if (kib > (uint64_t)CENSUS_PACKAGE_KIB) r->failed = 1;
  return r->failed ? 0 : (int64_t)kib;
}

/* Begins reading input `index`. 0, or -1 if there is no such input. `length` may be 0. */
static inline int wire_input(const millrace_call *call, uint32_t index, millrace_input *input) {
  memset(input, 0, sizeof *input);
  input->size = sizeof *input;
  if (call->host->input(call->attempt, index, input) != 0) return -1;
  if (input->bytes == NULL) input->bytes = "";
  return 0;
}

#endif
