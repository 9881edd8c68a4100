/* The single-threaded pass over a status file: line by line into trees. */
#include <ctype.h>
#include <search.h>
#include <strings.h>

#include "single.h"

/* One name and architecture; the fields are those of its last stanza. Text lies in the file's bytes. */
typedef struct package {
  text name, architecture, section, depends, pre_depends;
  int64_t kib;
  int installed;
} package;

/* A name that is counted. `last` is the package that named it last. */
typedef struct counter {
  text name;
  int64_t count;
  const package *last;
} counter;

/* A section's text once it was made UTF-8. */
typedef struct cleaned {
  struct cleaned *next;
  char bytes[];
} cleaned;

typedef struct pass {
  void *packages, *sections, *names; /* trees: red and black, so no content makes them slow */
  const package **list;              /* the installed ones, in the tree's order */
  counter **counters;
  cleaned *cleaned;
  size_t list_count, counter_count;
  int64_t kib;
  int ended;
} pass;

static int by_package(const void *left, const void *right) {
  const package *l = left, *r = right;
  const int order = text_order(l->name, r->name);
  return order ? order : text_order(l->architecture, r->architecture);
}

static int by_name(const void *left, const void *right) {
  return text_order(((const counter *)left)->name, ((const counter *)right)->name);
}

/* Finds or adds a copy of `key`, `size` bytes long. NULL: out of memory. */
static void *find_or_add(void **tree, const void *key, size_t size, int (*order)(const void *, const void *), int *added) {
  void **found = tfind(key, tree, order);
  *added = found == NULL;
  if (found) return *found;
  void *copy = malloc(size);
  if (copy == NULL) return NULL;
  memcpy(copy, key, size);
  if (tsearch(copy, tree, order) == NULL) {
    free(copy);
    return NULL;
  }
  return copy;
}

static int blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static text bare(text t) {
  for (; t.length && blank(t.bytes[t.length - 1]); t.length--) {}
  for (; t.length && blank(t.bytes[0]); t.bytes++) t.length--;
  return t;
}

static text shortened(text t) { return (text){t.bytes, t.length < CENSUS_NAME_BYTES ? t.length : CENSUS_NAME_BYTES}; }

/* Whether a Status value is three words and the third `installed`. Folded lines do not belong to it. */
static int says_installed(text value) {
  size_t words = 0, last = 0;
  for (size_t i = 0; i < value.length; i++)
    if (!blank(value.bytes[i]) && (i == 0 || blank(value.bytes[i - 1]))) {
      words++;
      last = i;
    }
  return words == 3 && text_is((text){value.bytes + last, value.length - last}, "installed");
}

static int64_t number(text value) {
  int64_t made = 0;
  for (size_t i = 0; i < value.length; i++) {
    if (!isdigit((unsigned char)value.bytes[i])) return 0;
    made = made * 10 + value.bytes[i] - '0';
    if (made > CENSUS_PACKAGE_KIB) return 0;
  }
  return made;
}

/* Sets the field a line begins; returns where a folded line may lengthen it, or NULL. */
static text *set_field(package *p, text name, text value) {
  const struct {
    const char *name;
    text *value;
    int folds;
  } fields[] = {{"package", &p->name, 0},
                {"architecture", &p->architecture, 0},
                {"section", &p->section, 0},
                {"depends", &p->depends, 1},
                {"pre-depends", &p->pre_depends, 1}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (name.length != strlen(fields[i].name) || strncasecmp(name.bytes, fields[i].name, name.length) != 0) continue;
    *fields[i].value = fields[i].folds ? value : shortened(value);
    return fields[i].folds ? fields[i].value : NULL;
  }
  if (name.length == 6 && strncasecmp(name.bytes, "status", 6) == 0) p->installed = says_installed(value);
  if (name.length == 14 && strncasecmp(name.bytes, "installed-size", 14) == 0) p->kib = number(value);
  return NULL;
}

static void end_stanza(pass *s, package *p) {
  int added;
  if (p->name.length) {
    package *kept = find_or_add(&s->packages, p, sizeof *p, by_package, &added);
    if (kept == NULL) s->ended = SINGLE_NO_MEMORY;
    else *kept = *p; /* the last stanza stands */
  }
  memset(p, 0, sizeof *p);
}

static void read_lines(pass *s, const millrace_call *call, const char *bytes, size_t length) {
  package p = {0};
  text *open = NULL;
  size_t lines = 0;
  for (size_t at = 0; at < length && s->ended == SINGLE_WELL; lines++) {
    const char *newline = memchr(bytes + at, '\n', length - at);
    const text line = {bytes + at, newline ? (size_t)(newline - bytes) - at : length - at};
    at += line.length + 1;
    const text content = bare(line);
    if (content.length == 0) {
      end_stanza(s, &p);
      open = NULL;
    } else if (line.bytes[0] == ' ' || line.bytes[0] == '\t') {
      if (open) *open = open->length ? (text){open->bytes, (size_t)(content.bytes + content.length - open->bytes)} : content;
    } else {
      const char *colon = memchr(line.bytes, ':', line.length);
      const size_t name = colon ? (size_t)(colon - line.bytes) : 0;
      open = colon ? set_field(&p, bare((text){line.bytes, name}), bare((text){colon + 1, line.length - name - 1})) : NULL;
    }
    if (lines % 4096 == 4095 && call->host->cancelled(call->attempt)) s->ended = SINGLE_CANCELLED;
  }
  if (s->ended == SINGLE_WELL) end_stanza(s, &p);
}

/* Counts each name of a list once for the package. */
static void count_names(pass *s, const package *p, text list, size_t *seen) {
  size_t i = 0;
  int added;
  while (i < list.length && s->ended == SINGLE_WELL) {
    size_t begin = i, end, name_end;
    while (i < list.length && list.bytes[i] != ',' && list.bytes[i] != '|') i++;
    end = i++;
    while (begin < end && blank(list.bytes[begin])) begin++;
    for (name_end = begin; name_end < end && !blank(list.bytes[name_end]) && !memchr("(:[<", list.bytes[name_end], 4);) name_end++;
    if (name_end == begin) continue;
    if (++*seen > CENSUS_DEPENDENCIES) s->ended = SINGLE_TOO_MANY;
    const counter key = {shortened((text){list.bytes + begin, name_end - begin}), 0, NULL};
    counter *c = find_or_add(&s->names, &key, sizeof key, by_name, &added);
    if (c == NULL) s->ended = SINGLE_NO_MEMORY;
    else if (c->last != p) {
      c->last = p;
      c->count++;
    }
  }
}

/* A section as UTF-8, in the file's bytes or in memory that the pass keeps. Both passes must replace bytes alike. */
static text section_name(pass *s, const package *p) {
  if (p->section.length == 0) return (text){CENSUS_UNKNOWN, strlen(CENSUS_UNKNOWN)};
  if (utf8_is_valid(p->section.bytes, p->section.length)) return p->section;
  const stanza as_read = {.section = p->section};
  cleaned *made = malloc(sizeof *made + 3 * p->section.length);
  if (made == NULL) {
    s->ended = SINGLE_NO_MEMORY;
    return p->section;
  }
  made->next = s->cleaned;
  s->cleaned = made;
  return stanza_section(&as_read, made->bytes);
}

static void count_package(pass *s, const package *p) {
  size_t seen = 0;
  int added = 0;
  const counter key = {section_name(s, p), 0, NULL};
  counter *c = find_or_add(&s->sections, &key, sizeof key, by_name, &added);
  if (c == NULL) s->ended = SINGLE_NO_MEMORY;
  else c->count++;
  s->kib += p->kib;
  count_names(s, p, p->depends, &seen);
  count_names(s, p, p->pre_depends, &seen);
}

/* What twalk_r collects into. */
static void collect_package(const void *node, VISIT when, void *context) {
  pass *s = context;
  const package *p = *(package *const *)node;
  if ((when != postorder && when != leaf) || s->ended != SINGLE_WELL || !p->installed) return;
  if ((s->list_count & (s->list_count + 1)) == 0) { /* full at 0, 1, 3, 7, ...: room doubles */
    const package **grown = realloc(s->list, (2 * s->list_count + 2) * sizeof *grown);
    if (grown == NULL) {
      s->ended = SINGLE_NO_MEMORY;
      return;
    }
    s->list = grown;
  }
  s->list[s->list_count++] = p;
  count_package(s, p);
}

static void collect_counter(const void *node, VISIT when, void *context) {
  pass *s = context;
  if ((when != postorder && when != leaf) || s->ended != SINGLE_WELL) return;
  if ((s->counter_count & (s->counter_count + 1)) == 0) {
    counter **grown = realloc(s->counters, (2 * s->counter_count + 2) * sizeof *grown);
    if (grown == NULL) {
      s->ended = SINGLE_NO_MEMORY;
      return;
    }
    s->counters = grown;
  }
  s->counters[s->counter_count++] = *(counter *const *)node;
}

/* The larger first; equal ones in the tree's order, which is by name and architecture. */
static int by_size(const void *left, const void *right) {
  const package *l = *(const package *const *)left, *r = *(const package *const *)right;
  if (l->kib != r->kib) return l->kib > r->kib ? -1 : 1;
  return by_package(l, r);
}

static int by_count(const void *left, const void *right) {
  const counter *l = *(counter *const *)left, *r = *(counter *const *)right;
  if (l->count != r->count) return l->count > r->count ? -1 : 1;
  return by_name(l, r);
}

static void write_packages(pass *s, json_writer *w) {
  json_member_integer(w, "packages", (int64_t)s->list_count);
  json_member_integer(w, "installedSizeKiB", s->kib);
  json_name(w, "sections");
  json_open(w, "{");
  twalk_r(s->sections, collect_counter, s);
  for (size_t i = 0; i < s->counter_count; i++) {
    json_name_text(w, s->counters[i]->name.bytes, s->counters[i]->name.length);
    json_put_integer(w, s->counters[i]->count);
  }
  json_close(w, "}");
  json_name(w, "largest");
  json_open(w, "[");
  if (s->list_count) qsort(s->list, s->list_count, sizeof *s->list, by_size);
  for (size_t i = 0; i < s->list_count && i < CENSUS_TOP; i++) {
    json_open(w, "{");
    json_member_text(w, "package", s->list[i]->name.bytes, s->list[i]->name.length);
    json_member_integer(w, "installedSizeKiB", s->list[i]->kib);
    json_close(w, "}");
  }
  json_close(w, "]");
  s->counter_count = 0;
  twalk_r(s->names, collect_counter, s);
  json_name(w, "mostDependedUpon");
  json_open(w, "[");
  if (s->counter_count) qsort(s->counters, s->counter_count, sizeof *s->counters, by_count);
  for (size_t i = 0; i < s->counter_count && i < CENSUS_TOP; i++) {
    json_open(w, "{");
    json_member_text(w, "package", s->counters[i]->name.bytes, s->counters[i]->name.length);
    json_member_integer(w, "dependents", s->counters[i]->count);
    json_close(w, "}");
  }
  json_close(w, "]");
}

int single_packages(const millrace_call *call, const char *bytes, size_t length, json_writer *w) {
  pass s = {0};
  read_lines(&s, call, bytes, length);
  if (s.ended == SINGLE_WELL) twalk_r(s.packages, collect_package, &s);
  if (s.ended == SINGLE_WELL) write_packages(&s, w);
  tdestroy(s.packages, free);
  tdestroy(s.sections, free);
  tdestroy(s.names, free);
  while (s.cleaned) {
    cleaned *next = s.cleaned->next;
    free(s.cleaned);
    s.cleaned = next;
  }
  free(s.list);
  free(s.counters);
  return s.ended;
}
