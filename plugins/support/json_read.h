/*
 * A strict, bounded JSON reader (RFC 8259) for the shipped plugins.
 *
 * One pass checks the text and lays its values into a flat array of nodes in document order; nothing is copied and nothing recurses.
 * Refused: text that is not UTF-8, a depth above 64, lone surrogates, trailing commas, numbers that JSON does not know, more than
 * JSON_NODES values. Node 0 is the document; 0 is also "none" wherever a node inside it is looked for.
 */
#ifndef MILLRACE_PLUGIN_JSON_READ_H
#define MILLRACE_PLUGIN_JSON_READ_H

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#define JSON_DEPTH 64u
#define JSON_TEXT_BYTES (64u << 20)
#define JSON_NODES (8u << 20)
#define JSON_NUMBER_BYTES 64u /* digits of a number, sign, point and exponent included */

enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

typedef struct json_node {
  uint32_t type;
  uint32_t begin; /* offset of the value's first byte; of a string: after the quote */
  uint32_t end;   /* offset after its last byte; of a string: of the closing quote */
  uint32_t next;  /* index of the node after this value and all within it; in an object names and values alternate */
} json_node;

typedef struct json_document {
  const char *text; /* the caller's, for as long as the document is read */
  uint32_t length;
  uint32_t count;
  uint32_t capacity;
  json_node *nodes;  /* owned: json_free */
  const char *fault; /* why json_read refused, or NULL */
  uint32_t fault_at; /* byte offset of it */
} json_document;

static inline int json_refuse(json_document *d, uint32_t at, const char *why) {
  d->fault = why;
  d->fault_at = at;
  return -1;
}

static inline int json_push(json_document *d, uint32_t type, uint32_t begin) {
  if (d->count == d->capacity) {
    if (d->capacity >= JSON_NODES) return json_refuse(d, begin, "too many values");
    const uint32_t capacity = d->capacity ? d->capacity * 2 : 64;
    json_node *nodes = (json_node *)realloc(d->nodes, (size_t)capacity * sizeof(json_node));
    if (nodes == NULL) return json_refuse(d, begin, "out of memory");
    d->nodes = nodes;
    d->capacity = capacity;
  }
  d->nodes[d->count] = (json_node){type, begin, begin, d->count + 1};
  d->count++;
  return 0;
}

static inline int json_hex4(const char *text, uint32_t *value) {
  *value = 0;
  for (int i = 0; i < 4; i++) {
    const char c = text[i];
    uint32_t digit;
    if (c >= '0' && c <= '9') digit = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f') digit = (uint32_t)(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F') digit = (uint32_t)(c - 'A') + 10;
    else return -1;
    *value = *value * 16 + digit;
  }
  return 0;
}

/* Reads a string whose opening quote is at *at. */
static inline int json_scan_string(json_document *d, uint32_t *at) {
  const char *text = d->text;
  uint32_t i = *at + 1;
  if (json_push(d, JSON_STRING, i)) return -1;
  while (i < d->length) {
    const unsigned char c = (unsigned char)text[i];
    if (c == '"') {
      d->nodes[d->count - 1].end = i;
      *at = i + 1;
      return 0;
    }
    if (c < 0x20) return json_refuse(d, i, "a control character inside a string");
    if (c == '\\') {
      uint32_t unit, low;
      if (d->length - i < 2) break;
      if (text[i + 1] != 'u') {
        if (text[i + 1] == 0 || strchr("\"\\/bfnrt", text[i + 1]) == NULL) return json_refuse(d, i, "an unknown escape");
        i += 2;
        continue;
      }
      if (d->length - i < 6 || json_hex4(text + i + 2, &unit)) return json_refuse(d, i, "an escape without four hexadecimal digits");
      if (unit >= 0xDC00 && unit <= 0xDFFF) return json_refuse(d, i, "half a surrogate pair");
      if (unit >= 0xD800 && unit <= 0xDBFF) {
        if (d->length - i < 12 || text[i + 6] != '\\' || text[i + 7] != 'u' || json_hex4(text + i + 8, &low) || low < 0xDC00 ||
            low > 0xDFFF)
          return json_refuse(d, i, "half a surrogate pair");
        i += 6;
      }
      i += 6;
      continue;
    }
    int valid;
    const size_t step = utf8_step((const unsigned char *)text + i, d->length - i, &valid);
    if (!valid) return json_refuse(d, i, "bytes that are not UTF-8");
    i += (uint32_t)step;
  }
  return json_refuse(d, d->length, "a string without its closing quote");
}

static inline uint32_t json_digits(const json_document *d, uint32_t at) {
  while (at < d->length && d->text[at] >= '0' && d->text[at] <= '9') at++;
  return at;
}

static inline int json_scan_number(json_document *d, uint32_t *at) {
  const uint32_t begin = *at;
  uint32_t i = begin, from;
  if (json_push(d, JSON_NUMBER, begin)) return -1;
  if (i < d->length && d->text[i] == '-') i++;
  from = i;
  i = json_digits(d, i);
  if (i == from || (d->text[from] == '0' && i - from > 1)) return json_refuse(d, from, "a number that JSON does not know");
  if (i < d->length && d->text[i] == '.') {
    from = ++i;
    i = json_digits(d, i);
    if (i == from) return json_refuse(d, from, "a number without digits after its point");
  }
  if (i < d->length && (d->text[i] == 'e' || d->text[i] == 'E')) {
    i++;
    if (i < d->length && (d->text[i] == '+' || d->text[i] == '-')) i++;
    from = i;
    i = json_digits(d, i);
    if (i == from) return json_refuse(d, from, "a number without digits in its exponent");
  }
  if (i - begin >= JSON_NUMBER_BYTES) return json_refuse(d, begin, "a number of more than 63 characters");
  d->nodes[d->count - 1].end = *at = i;
  return 0;
}

static inline int json_scan_word(json_document *d, uint32_t *at, const char *word, uint32_t type) {
  const uint32_t length = (uint32_t)strlen(word);
  if (d->length - *at < length || memcmp(d->text + *at, word, length) != 0) return json_refuse(d, *at, "a value that JSON does not know");
  if (json_push(d, type, *at)) return -1;
  d->nodes[d->count - 1].end = *at += length;
  return 0;
}

static inline uint32_t json_skip_space(const json_document *d, uint32_t at) {
  while (at < d->length && (d->text[at] == ' ' || d->text[at] == '\t' || d->text[at] == '\n' || d->text[at] == '\r')) at++;
  return at;
}

/* Reads what stands before the value or the end of the container on top of the stack: comma, name, colon. Sets *closed at its end. */
static inline int json_scan_between(json_document *d, uint32_t *at, uint32_t open, int first, int *closed) {
  const int object = d->nodes[open].type == JSON_OBJECT;
  uint32_t i = json_skip_space(d, *at);
  *closed = 0;
  if (i >= d->length) return json_refuse(d, i, "the text ends inside an array or object");
  if (d->text[i] == (object ? '}' : ']')) {
    d->nodes[open].end = *at = i + 1;
    d->nodes[open].next = d->count;
    *closed = 1;
    return 0;
  }
  if (!first) {
    if (d->text[i] != ',') return json_refuse(d, i, "a comma is missing");
    i = json_skip_space(d, i + 1);
  }
  if (object) {
    if (i >= d->length || d->text[i] != '"') return json_refuse(d, i, "a member without a name in quotes");
    if (json_scan_string(d, &i)) return -1;
    i = json_skip_space(d, i);
    if (i >= d->length || d->text[i] != ':') return json_refuse(d, i, "a colon is missing");
    i++;
  }
  *at = i;
  return 0;
}

static inline int json_scan_value(json_document *d, uint32_t *at) {
  *at = json_skip_space(d, *at);
  if (*at >= d->length) return json_refuse(d, *at, "a value is missing");
  switch (d->text[*at]) {
    case '{': return json_push(d, JSON_OBJECT, (*at)++);
    case '[': return json_push(d, JSON_ARRAY, (*at)++);
    case '"': return json_scan_string(d, at);
    case 'n': return json_scan_word(d, at, "null", JSON_NULL);
    case 't': return json_scan_word(d, at, "true", JSON_TRUE);
    case 'f': return json_scan_word(d, at, "false", JSON_FALSE);
    default: return json_scan_number(d, at);
  }
}

static inline void json_free(json_document *d) {
  free(d->nodes);
  d->nodes = NULL;
  d->count = d->capacity = 0;
}

/* Checks and lays out `text`. 0, or -1 with `fault` and `fault_at` set and nothing to free. O(length). */
static inline int json_read(json_document *d, const char *text, size_t length) {
  uint32_t stack[JSON_DEPTH], depth = 0, at = 0;
  int first = 0;
  memset(d, 0, sizeof *d);
  d->text = text;
  if (length > JSON_TEXT_BYTES) return json_refuse(d, 0, "more than 64 MiB");
  d->length = (uint32_t)length;
  for (;;) {
    if (json_scan_value(d, &at)) goto refused;
    const uint32_t made = d->count - 1;
    first = d->nodes[made].type >= JSON_ARRAY;
    if (first) {
      if (depth == JSON_DEPTH) {
        json_refuse(d, at - 1, "more than 64 levels");
        goto refused;
      }
      stack[depth++] = made;
    }
    for (int closed = 1; depth > 0 && closed; first = closed ? 0 : first) {
      if (json_scan_between(d, &at, stack[depth - 1], first, &closed)) goto refused;
      if (closed) depth--;
    }
    if (depth == 0) break;
  }
  at = json_skip_space(d, at);
  if (at == d->length) return 0;
  json_refuse(d, at, "more text after the value");
refused:
  json_free(d);
  return -1;
}

#endif
