/*
 * UTF-8 as the shipped plugins read it: any bytes are taken, what is not UTF-8 becomes U+FFFD.
 */
#ifndef MILLRACE_PLUGIN_UTF8_H
#define MILLRACE_PLUGIN_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/*
 * How many bytes the next character of `bytes` takes (1 to 4), or, where it is not well formed, how many bytes one U+FFFD stands for:
 * the longest beginning of a character (Unicode 15, table 3-7 and section 3.9, "maximal subparts"). `valid` says which. length > 0.
 */
static inline size_t utf8_step(const unsigned char *bytes, size_t length, int *valid) {
  const unsigned char lead = bytes[0];
  unsigned char low = 0x80, high = 0xBF; /* of the second byte */
  size_t wanted = 0;
  *valid = 0;
  if (lead < 0x80) {
    *valid = 1;
    return 1;
  } else if (lead >= 0xC2 && lead <= 0xDF) {
    wanted = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    wanted = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    wanted = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 1;
  }
  for (size_t i = 1; i < wanted; i++) {
    if (i >= length || bytes[i] < low || bytes[i] > high) return i;
    low = 0x80;
    high = 0xBF;
  }
  *valid = 1;
  return wanted;
}

/* Whether all of `bytes` is UTF-8. O(length). */
static inline int utf8_is_valid(const char *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    int valid;
    at += utf8_step((const unsigned char *)bytes + at, length - at, &valid);
    if (!valid) return 0;
  }
  return 1;
}

#endif
