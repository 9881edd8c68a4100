/* Where the chunks of a status file begin: always at a stanza. */
#include "split.h"

static int order_weights(const void *left, const void *right) {
  const weight *l = left, *r = right;
  const int order = text_order(l->name, r->name);
  return order ? order : text_order(l->architecture, r->architecture);
}

static int push(ranges *r, size_t *capacity, const stanza *s) {
  if (r->weight_count == *capacity) {
    const size_t wanted = *capacity ? *capacity * 2 : 1024;
    weight *grown = realloc(r->weights, wanted * sizeof *grown);
    if (grown == NULL) return -1;
    r->weights = grown;
    *capacity = wanted;
  }
  r->weights[r->weight_count++] = (weight){stanza_name(s->package), stanza_name(s->architecture), stanza_kib(s)};
  r->installed_kib += stanza_kib(s);
  return 0;
}

int ranges_find(const char *bytes, size_t length, uint32_t chunks, ranges *r) {
  stanza s;
  size_t capacity = 0;
  uint32_t chunk = 1; /* the next one that has no beginning */
  memset(r, 0, sizeof *r);
  r->begins = calloc(chunks, sizeof *r->begins);
  if (r->begins == NULL) return -1;
  for (size_t at = 0, begin = 0; (at = stanza_read(bytes, length, begin, &s)) != 0; begin = at) {
    /* A stanza belongs to the chunk in which it begins; chunks without one are empty. */
    while (chunk < chunks && begin >= (uint64_t)length * chunk / chunks) r->begins[chunk++] = begin;
    if (s.package.length && stanza_is_installed(&s) && push(r, &capacity, &s)) {
      ranges_free(r);
      return -1;
    }
  }
  while (chunk < chunks) r->begins[chunk++] = length;
  if (r->weight_count) qsort(r->weights, r->weight_count, sizeof *r->weights, order_weights);
  return 0;
}

void ranges_free(ranges *r) {
  free(r->begins);
  free(r->weights);
  memset(r, 0, sizeof *r);
}

int64_t ranges_kib(const ranges *r, const char *stem) {
  const char *colon = strchr(stem, ':');
  const text name = {stem, colon ? (size_t)(colon - stem) : strlen(stem)};
  const text architecture = {colon ? colon + 1 : "", colon ? strlen(colon + 1) : 0};
  const weight wanted = {name, architecture, 0};
  size_t low = 0, high = r->weight_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (order_weights(&r->weights[middle], &wanted) < 0) low = middle + 1;
    else high = middle;
  }
  return low < r->weight_count && text_order(r->weights[low].name, name) == 0 ? r->weights[low].kib : 0;
}
