/*
 * A JSON writer for the shipped plugins: a buffer that grows up to a limit, commas by itself, text of any bytes.
 *
 * A failure (memory, limit, depth) sticks: write on and look at `failed` at the end.
 */
#ifndef MILLRACE_PLUGIN_JSON_WRITE_H
#define MILLRACE_PLUGIN_JSON_WRITE_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#define JSON_WRITE_DEPTH 16u

enum { JSON_WRITE_FITS = 0, JSON_WRITE_TOO_LONG, JSON_WRITE_NO_MEMORY };

typedef struct json_writer {
  char *bytes; /* owned: free */
  size_t length;
  size_t capacity;
  size_t limit; /* most bytes of the whole text */
  int failed;   /* JSON_WRITE_... */
  uint32_t depth;
  unsigned char filled[JSON_WRITE_DEPTH]; /* whether a value stands before at that depth */
} json_writer;

static inline void json_bytes(json_writer *w, const void *bytes, size_t length) {
  if (w->failed || length == 0) return;
  if (length > w->limit - w->length) {
    w->failed = JSON_WRITE_TOO_LONG;
    return;
  }
  if (length > w->capacity - w->length) {
    size_t capacity = w->capacity ? w->capacity : 512;
    while (capacity - w->length < length) capacity *= 2;
    char *grown = (char *)realloc(w->bytes, capacity);
    if (grown == NULL) {
      w->failed = JSON_WRITE_NO_MEMORY;
      return;
    }
    w->bytes = grown;
    w->capacity = capacity;
  }
  memcpy(w->bytes + w->length, bytes, length);
  w->length += length;
}

static inline void json_literal(json_writer *w, const char *text) { json_bytes(w, text, strlen(text)); }

/* The comma before a value or a name. */
static inline void json_separate(json_writer *w) {
  if (w->filled[w->depth]) json_literal(w, ",");
  w->filled[w->depth] = 1;
}

static inline void json_open(json_writer *w, const char *bracket) {
  json_separate(w);
  json_literal(w, bracket);
  if (w->depth + 1 < JSON_WRITE_DEPTH) w->depth++;
  else w->failed = JSON_WRITE_TOO_LONG;
  w->filled[w->depth] = 0;
}

static inline void json_close(json_writer *w, const char *bracket) {
  if (w->depth > 0) w->depth--;
  json_literal(w, bracket);
}

/* One character of text as it stands between quotes: its bytes and how many it takes from `text`. `scratch` has 8 bytes. */
static inline size_t json_escape(const char *text, size_t length, char *scratch, const char **written, size_t *written_length) {
  int valid;
  const size_t step = utf8_step((const unsigned char *)text, length, &valid);
  const unsigned char c = (unsigned char)text[0];
  *written = scratch;
  if (!valid) {
    *written = UTF8_REPLACEMENT;
    *written_length = 3;
  } else if (c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r') {
    scratch[0] = '\\';
    scratch[1] = c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : (char)c;
    *written_length = 2;
  } else if (c < 0x20 || c == 0x7F) {
    *written_length = (size_t)snprintf(scratch, 8, "\\u%04x", c);
  } else {
    *written = text;
    *written_length = step;
  }
  return step;
}

/* How much of `text` takes at most `most` bytes between quotes; `taken` is what it takes. O(length). */
static inline size_t json_fitting(const char *text, size_t length, size_t most, size_t *taken) {
  char scratch[8];
  const char *written;
  size_t at = 0, written_length;
  *taken = 0;
  while (at < length) {
    const size_t step = json_escape(text + at, length - at, scratch, &written, &written_length);
    if (written_length > most - *taken) break;
    *taken += written_length;
    at += step;
  }
  return at;
}

static inline void json_quoted(json_writer *w, const char *text, size_t length) {
  char scratch[8];
  const char *written;
  size_t written_length;
  json_literal(w, "\"");
  for (size_t at = 0; at < length;) {
    at += json_escape(text + at, length - at, scratch, &written, &written_length);
    json_bytes(w, written, written_length);
  }
  json_literal(w, "\"");
}

/* Text of any bytes; what is not UTF-8 becomes U+FFFD. */
static inline void json_put_text(json_writer *w, const char *text, size_t length) {
  json_separate(w);
  json_quoted(w, text, length);
}

static inline void json_name_text(json_writer *w, const char *name, size_t length) {
  json_put_text(w, name, length);
  json_literal(w, ":");
  w->filled[w->depth] = 0; /* the value follows without a comma */
}

static inline void json_name(json_writer *w, const char *name) { json_name_text(w, name, strlen(name)); }

/* A value that is JSON already. */
static inline void json_put_raw(json_writer *w, const char *text, size_t length) {
  json_separate(w);
  json_bytes(w, text, length);
}

static inline void json_put_literal(json_writer *w, const char *text) { json_put_raw(w, text, strlen(text)); }

static inline void json_put_integer(json_writer *w, int64_t value) {
  char digits[24];
  const int length = snprintf(digits, sizeof digits, "%" PRId64, value);
  json_put_raw(w, digits, (size_t)length);
}

/* Nanoseconds as seconds, exact. */
static inline void json_put_seconds(json_writer *w, uint64_t nanoseconds) {
  char digits[40];
  const int length = snprintf(digits, sizeof digits, "%" PRIu64 ".%09" PRIu64, nanoseconds / 1000000000u, nanoseconds % 1000000000u);
  json_put_raw(w, digits, (size_t)length);
}

static inline void json_member_integer(json_writer *w, const char *name, int64_t value) {
  json_name(w, name);
  json_put_integer(w, value);
}

static inline void json_member_text(json_writer *w, const char *name, const char *text, size_t length) {
  json_name(w, name);
  json_put_text(w, text, length);
}

#endif
