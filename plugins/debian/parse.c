/* `debian/parse`: the packages of one chunk of the status file, in the compact form. Input 0 {"chunk": n}, input 1 split's plan. */
#include <errno.h>

#include "wire.h"

/* Names one package depends on. */
typedef struct names {
  text *rows;
  size_t count, capacity;
  int too_many, no_memory;
} names;

static void take_names(names *n, text list) {
  text name;
  while (dependency_next(&list, &name)) {
    if (name.length > CENSUS_NAME_BYTES) name.length = CENSUS_NAME_BYTES;
    if (n->count == CENSUS_DEPENDENCIES) {
      n->too_many = 1;
      return;
    }
    if (n->count == n->capacity) {
      const size_t capacity = n->capacity ? n->capacity * 2 : 64;
      text *grown = realloc(n->rows, capacity * sizeof *grown);
      if (grown == NULL) {
        n->no_memory = 1;
        return;
      }
      n->rows = grown;
      n->capacity = capacity;
    }
    n->rows[n->count++] = name;
  }
}

static int order_names(const void *left, const void *right) { return text_order(*(const text *)left, *(const text *)right); }

static void keep_once(names *n) {
  size_t kept = 0;
  if (n->count) qsort(n->rows, n->count, sizeof *n->rows, order_names);
  for (size_t i = 0; i < n->count; i++)
    if (kept == 0 || text_order(n->rows[kept - 1], n->rows[i]) != 0) n->rows[kept++] = n->rows[i];
  n->count = kept;
}

static void put_package(json_writer *w, const stanza *s, names *n) {
  char section[CENSUS_SECTION_BYTES];
  const int installed = stanza_is_installed(s);
  wire_put_number(w, (uint64_t)installed);
  wire_put_text(w, stanza_name(s->package));
  wire_put_text(w, stanza_name(s->architecture));
  if (!installed) return;
  n->count = 0;
  take_names(n, s->depends);
  take_names(n, s->pre_depends);
  keep_once(n);
  wire_put_text(w, stanza_section(s, section));
  wire_put_number(w, (uint64_t)stanza_kib(s));
  wire_put_number(w, n->count);
  for (size_t i = 0; i < n->count; i++) wire_put_text(w, n->rows[i]);
}

/* All packages of `bytes`; the caller looks at w->failed and at the names' flags. */
static uint64_t put_packages(const millrace_call *call, json_writer *w, const char *bytes, size_t length, names *n, int *cancelled) {
  stanza s;
  uint64_t packages = 0;
  for (size_t at = 0; (at = stanza_read(bytes, length, at, &s)) != 0 && !w->failed && !n->too_many && !n->no_memory;) {
    if (s.package.length == 0) continue; /* no package without a name */
    put_package(w, &s, n);
    if (++packages % 256 == 0 && call->host->cancelled(call->attempt)) {
      *cancelled = 1;
      break;
    }
  }
  return packages;
}

static uint32_t finish(const millrace_call *call, millrace_outcome *outcome, const plan *p, int64_t chunk, json_writer *body,
                       uint64_t packages) {
  json_writer w = outcome_writer();
  json_bytes(&w, WIRE_CHUNK, 4);
  wire_put_number(&w, (uint64_t)chunk);
  wire_put_number(&w, json_count(&p->d, p->chunks));
  wire_put_number(&w, (uint64_t)p->id.bytes);
  wire_put_number(&w, packages);
  json_bytes(&w, body->bytes, body->length);
  if (body->failed && !w.failed) w.failed = body->failed;
  uint32_t status;
  if (w.failed == JSON_WRITE_TOO_LONG) status = outcome_too_large(outcome, "give debian/split more `chunks`");
  else if (w.failed) status = outcome_no_memory(outcome);
  else status = outcome_done(call, outcome, w.bytes, w.length, MILLRACE_BYTES);
  free(w.bytes);
  return status;
}

/* The bytes of a chunk: [begin, end] in the plan. */
static int chunk_range(const plan *p, int64_t chunk, int64_t *begin, int64_t *end) {
  const uint32_t item = plan_item(p, p->chunks, chunk);
  if (item == 0 || p->d.nodes[item].type != JSON_ARRAY || json_count(&p->d, item) != 2) return -1;
  const uint32_t first = json_first(&p->d, item);
  if (json_integer(&p->d, first, begin) || json_integer(&p->d, json_next(&p->d, item, first), end)) return -1;
  return *begin >= 0 && *begin <= *end && *end <= p->id.bytes ? 0 : -1;
}

uint32_t census_parse(void *context, const millrace_call *call, millrace_outcome *outcome) {
  plan p;
  identity id;
  names n = {0};
  int64_t chunk = 0, begin = 0, end = 0;
  char *bytes = NULL;
  size_t length = 0;
  int cancelled = 0;
  (void)context;
  uint32_t status = plan_chunk(call, outcome, &chunk);
  if (status == MILLRACE_DONE) status = plan_read(call, outcome, 1, &p);
  if (status != MILLRACE_DONE) return status;
  json_writer body = outcome_writer();
  if (chunk_range(&p, chunk, &begin, &end)) {
    status = outcome_end(outcome, MILLRACE_FAILED, "bad-input", "chunk %lld is not in the plan: debian/split made %u chunks",
                         (long long)chunk, json_count(&p.d, p.chunks));
  } else if (load_file(p.status, (uint64_t)begin, (size_t)(end - begin), CENSUS_STATUS_BYTES, &bytes, &length, &id)) {
    status = plan_unreadable(outcome, p.status, errno, CENSUS_STATUS_BYTES);
  } else if (id.bytes != p.id.bytes || id.modified != p.id.modified || id.inode != p.id.inode) {
    status = plan_changed(outcome, p.status);
  } else {
    const uint64_t packages = put_packages(call, &body, bytes, length, &n, &cancelled);
    if (cancelled) status = outcome_cancelled(outcome);
    else if (n.no_memory) status = outcome_no_memory(outcome);
    else if (n.too_many)
      status = outcome_end(outcome, MILLRACE_FAILED, "too-large",
                           "a package in chunk %lld names more than %d dependencies: is %.1024s a dpkg status file?", (long long)chunk,
                           CENSUS_DEPENDENCIES, p.status);
    else status = finish(call, outcome, &p, chunk, &body, packages);
  }
  free(body.bytes);
  free(bytes);
  free(n.rows);
  plan_free(&p);
  return status;
}
