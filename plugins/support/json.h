/*
 * What a handler asks of a JSON document once json_read.h has laid it out.
 */
#ifndef MILLRACE_PLUGIN_JSON_H
#define MILLRACE_PLUGIN_JSON_H

#include "json_read.h"

/* The first value inside an array or object (in an object: a name), or 0. */
static inline uint32_t json_first(const json_document *d, uint32_t node) {
  return d->nodes[node].type >= JSON_ARRAY && d->nodes[node].next > node + 1 ? node + 1 : 0;
}

/* The value after `node` within `parent`, or 0. */
static inline uint32_t json_next(const json_document *d, uint32_t parent, uint32_t node) {
  return d->nodes[node].next < d->nodes[parent].next ? d->nodes[node].next : 0;
}

/* How many values an array holds (an object: names and values). O(values). */
static inline uint32_t json_count(const json_document *d, uint32_t node) {
  uint32_t count = 0;
  for (uint32_t i = json_first(d, node); i; i = json_next(d, node, i)) count++;
  return count;
}

/* The text of a value as it stands; of a string without its quotes, escapes as they stand. */
static inline const char *json_raw(const json_document *d, uint32_t node, size_t *length) {
  *length = d->nodes[node].end - d->nodes[node].begin;
  return d->text + d->nodes[node].begin;
}

static inline int json_raw_is(const json_document *d, uint32_t node, const char *text) {
  size_t length;
  const char *raw = json_raw(d, node, &length);
  return strlen(text) == length && memcmp(raw, text, length) == 0;
}

/* The value of the first member of that name, or 0. Names written with escapes are not found. O(members). */
static inline uint32_t json_find(const json_document *d, uint32_t object, const char *name) {
  if (d->nodes[object].type != JSON_OBJECT) return 0;
  for (uint32_t i = json_first(d, object); i;) {
    const uint32_t value = d->nodes[i].next;
    if (json_raw_is(d, i, name)) return value;
    i = json_next(d, object, value);
  }
  return 0;
}

/* The first name in `object` that is none of `names` (ended by NULL) or stands there twice, or 0. */
static inline uint32_t json_stray(const json_document *d, uint32_t object, const char *const *names) {
  for (uint32_t i = json_first(d, object); i;) {
    const uint32_t value = d->nodes[i].next;
    int known = 0;
    for (const char *const *name = names; *name && !known; name++) known = json_raw_is(d, i, *name) && json_find(d, object, *name) == value;
    if (!known) return i;
    i = json_next(d, object, value);
  }
  return 0;
}

/* An integer of 64 bits. 0, or -1 if the value is no such thing. */
static inline int json_integer(const json_document *d, uint32_t node, int64_t *value) {
  size_t length;
  const char *raw = json_raw(d, node, &length);
  if (d->nodes[node].type != JSON_NUMBER) return -1;
  const int negative = raw[0] == '-';
  uint64_t sum = 0;
  const uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
  for (size_t i = (size_t)negative; i < length; i++) {
    const unsigned digit = (unsigned)(raw[i] - '0');
    if (digit > 9 || sum > (most - digit) / 10) return -1;
    sum = sum * 10 + digit;
  }
  *value = negative ? (int64_t)(0 - sum) : (int64_t)sum;
  return 0;
}

/* `text` (not ended by NUL) as a number, whatever the process's locale says. 0, or -1 if it is none or not finite. */
static inline int json_parse_number(const char *text, size_t length, double *value) {
  char copy[JSON_NUMBER_BYTES];
  char *end;
  if (length == 0 || length >= sizeof copy) return -1;
  memcpy(copy, text, length);
  copy[length] = 0;
  const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (plain == (locale_t)0) return -1;
  *value = strtod_l(copy, &end, plain);
  freelocale(plain);
  return end == copy + length && *value - *value == 0 ? 0 : -1;
}

static inline int json_number(const json_document *d, uint32_t node, double *value) {
  size_t length;
  const char *raw = json_raw(d, node, &length);
  return d->nodes[node].type == JSON_NUMBER ? json_parse_number(raw, length, value) : -1;
}

static inline char *json_put_scalar(char *to, uint32_t scalar) {
  if (scalar < 0x80) {
    *to++ = (char)scalar;
  } else if (scalar < 0x800) {
    *to++ = (char)(0xC0 | scalar >> 6);
    *to++ = (char)(0x80 | (scalar & 0x3F));
  } else if (scalar < 0x10000) {
    *to++ = (char)(0xE0 | scalar >> 12);
    *to++ = (char)(0x80 | (scalar >> 6 & 0x3F));
    *to++ = (char)(0x80 | (scalar & 0x3F));
  } else {
    *to++ = (char)(0xF0 | scalar >> 18);
    *to++ = (char)(0x80 | (scalar >> 12 & 0x3F));
    *to++ = (char)(0x80 | (scalar >> 6 & 0x3F));
    *to++ = (char)(0x80 | (scalar & 0x3F));
  }
  return to;
}

/*
 * A string's text with its escapes resolved, in memory of the caller (`free`), NUL at the end; `length` without it. NULL if the value is
 * no string or memory is exhausted. The text may hold NUL bytes: compare `length` with strlen where that matters.
 */
static inline char *json_string(const json_document *d, uint32_t node, size_t *length) {
  size_t raw_length;
  const char *raw = json_raw(d, node, &raw_length);
  if (d->nodes[node].type != JSON_STRING) return NULL;
  char *text = (char *)malloc(raw_length + 1), *to = text; /* no escape is shorter than what it stands for */
  if (text == NULL) return NULL;
  for (size_t i = 0; i < raw_length;) {
    if (raw[i] != '\\') {
      *to++ = raw[i++];
      continue;
    }
    const char c = raw[i + 1];
    i += 2;
    if (c == 'u') {
      uint32_t scalar = 0, low = 0;
      (void)json_hex4(raw + i, &scalar);
      i += 4;
      if (scalar >= 0xD800 && scalar <= 0xDBFF) {
        (void)json_hex4(raw + i + 2, &low);
        i += 6;
        scalar = 0x10000 + ((scalar - 0xD800) << 10) + (low - 0xDC00);
      }
      to = json_put_scalar(to, scalar);
    } else {
      *to++ = c == 'b' ? '\b' : c == 'f' ? '\f' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
    }
  }
  *to = 0;
  *length = (size_t)(to - text);
  return text;
}

/* As json_string, refusing text with a NUL inside: what paths, names and arguments need. */
static inline char *json_text(const json_document *d, uint32_t node) {
  size_t length;
  char *text = json_string(d, node, &length);
  if (text && strlen(text) != length) {
    free(text);
    return NULL;
  }
  return text;
}

#endif
