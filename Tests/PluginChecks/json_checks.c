/* The JSON reader and writer of plugins/support: what is taken, what is refused, and a great many damaged texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/support/json.h"
#include "../../plugins/support/json_write.h"

static int failures;

#define CHECK(condition) ((condition) ? (void)0 : (failures++, (void)fprintf(stderr, "json_checks.c:%d: %s\n", __LINE__, #condition)))

/* Reads a copy of exactly that size, so that a sanitizer sees a read beyond it. */
static int takes_bytes(const char *text, size_t length) {
  json_document d;
  char *copy = malloc(length ? length : 1);
  memcpy(copy, text, length);
  const int taken = json_read(&d, copy, length) == 0;
  if (taken) {
    size_t written;
    int64_t integer;
    double number;
    for (uint32_t i = 0; i < d.count; i++) {
      CHECK(d.nodes[i].begin <= d.nodes[i].end && d.nodes[i].end <= length);
      CHECK(d.nodes[i].next > i && d.nodes[i].next <= d.count);
      char *string = json_string(&d, i, &written);
      CHECK(string == NULL || utf8_is_valid(string, written));
      free(string);
      (void)json_integer(&d, i, &integer);
      if (d.nodes[i].type == JSON_NUMBER) (void)json_number(&d, i, &number);
      (void)json_count(&d, i);
    }
    CHECK(d.nodes[0].next == d.count);
    json_free(&d);
  } else {
    CHECK(d.fault != NULL && d.fault_at <= length && d.nodes == NULL);
  }
  free(copy);
  return taken;
}

static int takes(const char *text) { return takes_bytes(text, strlen(text)); }

static void check_grammar(void) {
  static const char *const good[] = {"null",
                                     " true ",
                                     "[]",
                                     "{}",
                                     "[1,2]",
                                     "-0",
                                     "0",
                                     "1.5e-3",
                                     "1E+9",
                                     "\"\"",
                                     "\"\\u00e9\\ud83d\\ude00\"",
                                     "{\"a\":[{\"b\":null}],\"c\":\"d\"}",
                                     "\"\xC3\xA9\xF0\x9F\x98\x80\"",
                                     "[[[]],{}]",
                                     "\"\\u0000\"",
                                     "\t\r\n[\n]\n"};
  static const char *const bad[] = {"",
                                    " ",
                                    "nul",
                                    "truefalse",
                                    "[",
                                    "]",
                                    "[1,]",
                                    "[,1]",
                                    "{,}",
                                    "{\"a\"}",
                                    "{\"a\":}",
                                    "{\"a\":1,}",
                                    "{a:1}",
                                    "01",
                                    "-",
                                    "1.",
                                    ".5",
                                    "1e",
                                    "+1",
                                    "0x1",
                                    "\"",
                                    "\"\\\"",
                                    "\"\\x\"",
                                    "\"\\u12\"",
                                    "\"\\ud800\"",
                                    "\"\\ud800\\u0041\"",
                                    "\"\\udc00\"",
                                    "\"\n\"",
                                    "\"\xFF\"",
                                    "\"\xC0\x80\"",
                                    "\"\xED\xA0\x80\"",
                                    "\"\xF4\x90\x80\x80\"",
                                    "[1 2]",
                                    "1 2",
                                    "[1}",
                                    "{\"a\":1]",
                                    "NaN",
                                    "Infinity",
                                    "\xEF\xBB\xBF{}",
                                    "[\"a\"",
                                    "{\"a\":1"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (!takes(good[i])) failures++, fprintf(stderr, "refused: %s\n", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (takes(bad[i])) failures++, fprintf(stderr, "taken: %s\n", bad[i]);
  char nest[2 * JSON_DEPTH + 3];
  for (unsigned depth = JSON_DEPTH; depth <= JSON_DEPTH + 1; depth++) {
    memset(nest, '[', depth);
    memset(nest + depth, ']', depth);
    CHECK(takes_bytes(nest, 2 * (size_t)depth) == (depth <= JSON_DEPTH));
  }
  char digits[80];
  memset(digits, '1', sizeof digits);
  CHECK(takes_bytes(digits, 63) && !takes_bytes(digits, 64));
  CHECK(!takes_bytes("\"a\0b\"", 5));
}

static void check_access(void) {
  json_document d;
  int64_t i;
  double x;
  size_t length;
  const char *text =
      "{\"min\":-9223372036854775808,\"max\":9223372036854775807,\"over\":9223372036854775808,\"x\":0.1,\"huge\":1e999,\"s\":"
      "\"a\\n\\u0000\\\"\\ud83d\\ude00\",\"list\":[1,[2,3],{\"k\":4}]}";
  CHECK(json_read(&d, text, strlen(text)) == 0);
  CHECK(json_integer(&d, json_find(&d, 0, "min"), &i) == 0 && i == INT64_MIN);
  CHECK(json_integer(&d, json_find(&d, 0, "max"), &i) == 0 && i == INT64_MAX);
  CHECK(json_integer(&d, json_find(&d, 0, "over"), &i) != 0);
  CHECK(json_number(&d, json_find(&d, 0, "x"), &x) == 0 && x == 0.1);
  CHECK(json_number(&d, json_find(&d, 0, "huge"), &x) != 0);
  char *string = json_string(&d, json_find(&d, 0, "s"), &length);
  CHECK(string && length == 8 && memcmp(string, "a\n\0\"\xF0\x9F\x98\x80", 8) == 0);
  free(string);
  CHECK(json_text(&d, json_find(&d, 0, "s")) == NULL);
  const uint32_t list = json_find(&d, 0, "list");
  CHECK(json_count(&d, list) == 3 && json_find(&d, 0, "k") == 0 && json_find(&d, list, "k") == 0);
  const char *const some[] = {"min", "max", NULL};
  CHECK(json_raw_is(&d, json_stray(&d, 0, some), "over"));
  json_free(&d);
  CHECK(json_read(&d, "{\"a\":1,\"a\":2}", 13) == 0);
  const char *const a[] = {"a", NULL};
  CHECK(json_stray(&d, 0, a) == 3);
  json_free(&d);
  CHECK(json_parse_number("1e-2", 4, &x) == 0 && x == 0.01 && json_parse_number("nan", 3, &x) != 0 && json_parse_number("1x", 2, &x) != 0);
}

/* What is written can be read, whatever bytes went in; a limit is never passed. */
static void check_writer(uint64_t *state) {
  for (int round = 0; round < 20000; round++) {
    char bytes[64];
    json_document d;
    size_t length = (size_t)(*state % sizeof bytes), taken;
    for (size_t i = 0; i < length; i++) {
      *state = *state * 6364136223846793005u + 1442695040888963407u;
      bytes[i] = (char)(*state >> (*state >> 60 & 1 ? 56 : 33));
    }
    json_writer w = {.limit = 4096};
    json_open(&w, "{");
    json_member_text(&w, "text", bytes, length);
    json_name_text(&w, bytes, length);
    json_put_integer(&w, INT64_MIN);
    json_close(&w, "}");
    CHECK(!w.failed && json_read(&d, w.bytes, w.length) == 0);
    json_free(&d);
    CHECK(json_fitting(bytes, length, 20, &taken) <= length && taken <= 20);
    free(w.bytes);
    json_writer small = {.limit = 10};
    json_put_text(&small, bytes, length);
    CHECK(small.length <= 10);
    free(small.bytes);
  }
}

static void check_damage(uint64_t *state, long rounds) {
  static const char *const seeds[] = {
      "{\"program\":\"x\",\"arguments\":[\"a\",\"\\u00e9\\ud83d\\ude00\"],\"environment\":{\"A\":\"b\"},\"outputLimit\":12}",
      "[[1,2.5e-3],[true,false,null],{\"a\":{\"b\":[{}]}}]", "{\"chunks\":[[0,10],[10,20]],\"files\":[[\"a\",\"b\"],[]]}"};
  for (long round = 0; round < rounds; round++) {
    char text[256];
    const char *seed = seeds[round % 3];
    size_t length = strlen(seed);
    memcpy(text, seed, length);
    for (int n = 0; n < 1 + round % 5; n++) {
      *state = *state * 6364136223846793005u + 1442695040888963407u;
      const size_t at = (size_t)(*state >> 40) % length;
      switch (*state >> 33 & 3) {
        case 0: text[at] = (char)(*state >> 16); break;
        case 1: text[at] = "{}[]\",:\\u0e-"[(*state >> 20) % 12]; break;
        case 2:
          if (length > 2) memmove(text + at, text + at + 1, --length - at);
          break;
        default:
          if (length > 2) length = at ? at : 1;
      }
    }
    (void)takes_bytes(text, length);
  }
}

int main(int argc, char **argv) {
  uint64_t state = 20260101;
  check_grammar();
  check_access();
  check_writer(&state);
  check_damage(&state, argc > 1 ? atol(argv[1]) : 300000);
  if (failures == 0) printf("json: well\n");
  return failures != 0;
}
