/* Stanzas of a dpkg status file. */
#include <strings.h>

#include "census.h"

int text_order(text left, text right) {
  const size_t shorter = left.length < right.length ? left.length : right.length;
  const int order = shorter ? memcmp(left.bytes, right.bytes, shorter) : 0;
  if (order) return order < 0 ? -1 : 1;
  return (left.length > right.length) - (left.length < right.length);
}

int text_is(text t, const char *word) { return strlen(word) == t.length && (t.length == 0 || memcmp(t.bytes, word, t.length) == 0); }

static int is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static text trimmed(const char *from, const char *end) {
  while (from < end && is_space(*from)) from++;
  while (end > from && is_space(end[-1])) end--;
  return (text){from, (size_t)(end - from)};
}

/* Where the field of that name is kept, or NULL. Names are compared without case, as dpkg does. */
static text *field_of(stanza *s, text name) {
  const struct {
    const char *name;
    text *value;
  } fields[] = {{"Package", &s->package},
                {"Status", &s->status},
                {"Architecture", &s->architecture},
                {"Section", &s->section},
                {"Installed-Size", &s->installed_size},
                {"Depends", &s->depends},
                {"Pre-Depends", &s->pre_depends}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (strlen(fields[i].name) == name.length && strncasecmp(fields[i].name, name.bytes, name.length) == 0) return fields[i].value;
  return NULL;
}

size_t stanza_read(const char *bytes, size_t length, size_t at, stanza *s) {
  text *open = NULL; /* the field that a line beginning with a space continues */
  int begun = 0;
  memset(s, 0, sizeof *s);
  while (at < length) {
    const char *line = bytes + at, *end = memchr(line, '\n', length - at);
    if (end == NULL) end = bytes + length;
    at = (size_t)(end - bytes) + (end < bytes + length);
    if (trimmed(line, end).length == 0) {
      if (begun) return at;
      continue;
    }
    begun = 1;
    if (*line == ' ' || *line == '\t') {
      if (open) *open = trimmed(open->bytes ? open->bytes : line, end);
      continue;
    }
    const char *colon = memchr(line, ':', (size_t)(end - line));
    open = colon ? field_of(s, trimmed(line, colon)) : NULL;
    if (open) *open = trimmed(colon + 1, end); /* a repeated field: the last one stands */
    if (open != &s->depends && open != &s->pre_depends) open = NULL;
  }
  return begun ? length : 0;
}

text stanza_name(text t) {
  if (t.length > CENSUS_NAME_BYTES) t.length = CENSUS_NAME_BYTES;
  return t;
}

text stanza_section(const stanza *s, char *buffer) {
  const text t = stanza_name(s->section);
  size_t length = 0;
  if (t.length == 0) return (text){CENSUS_UNKNOWN, sizeof CENSUS_UNKNOWN - 1};
  for (size_t at = 0; at < t.length;) {
    int valid;
    const size_t step = utf8_step((const unsigned char *)t.bytes + at, t.length - at, &valid);
    memcpy(buffer + length, valid ? t.bytes + at : UTF8_REPLACEMENT, valid ? step : 3);
    length += valid ? step : 3;
    at += step;
  }
  return (text){buffer, length};
}

/* `want flag state`: the state must be `installed`, whatever is wanted. */
int stanza_is_installed(const stanza *s) {
  const text t = s->status;
  const char *from = t.bytes, *end = t.bytes + t.length;
  for (int word = 1; t.length && word <= 3; word++) {
    const char *stop = from;
    while (stop < end && !is_space(*stop)) stop++;
    if (word == 3) return stop == end && text_is((text){from, (size_t)(stop - from)}, "installed");
    from = stop;
    while (from < end && is_space(*from)) from++;
  }
  return 0;
}

int64_t stanza_kib(const stanza *s) {
  const text t = s->installed_size;
  int64_t kib = 0;
  for (size_t i = 0; i < t.length; i++) {
    if (t.bytes[i] < '0' || t.bytes[i] > '9') return 0;
    kib = kib * 10 + (t.bytes[i] - '0');
    if (kib > CENSUS_PACKAGE_KIB) return 0;
  }
  return kib;
}

int dependency_next(text *list, text *name) {
  const char *from = list->bytes, *end = list->bytes + list->length;
  while (list->length && from < end) {
    while (from < end && (is_space(*from) || *from == ',' || *from == '|')) from++;
    const char *stop = from;
    while (stop < end && !is_space(*stop) && !memchr(",|(:[<", *stop, 6)) stop++;
    *name = (text){from, (size_t)(stop - from)};
    while (stop < end && *stop != ',' && *stop != '|') stop++;
    from = stop;
    if (name->length) {
      *list = (text){from, (size_t)(end - from)};
      return 1;
    }
  }
  list->length = 0;
  return 0;
}
