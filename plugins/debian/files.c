/*
 * `debian/files`: the files of one chunk of the info directory. Input 0 {"chunk": n}, input 1 split's plan.
 *
 * Each path of a .list file is asked for (lstat); of each .md5sums file the lines in the sample are read and summed. Conffiles are in
 * no .md5sums file: a changed configuration is not an altered file.
 */
#include <errno.h>
#include <sys/stat.h>

#include "census.h"

typedef struct survey {
  const millrace_call *call;
  const plan *plan;
  md5 *md5;
  diversions diversions;
  file_counts counts;
  text altered[CENSUS_ALTERED]; /* the first in byte order; owned */
  size_t altered_count;
  int ended; /* 0, or how a check ended all: MD5_CANCELLED, MD5_REFUSED */
  int no_memory;
} survey;

static void keep_altered(survey *s, const char *path) {
  const text candidate = {path, strlen(path)};
  size_t at = s->altered_count;
  while (at > 0 && text_order(candidate, s->altered[at - 1]) < 0) at--;
  if (at == CENSUS_ALTERED) return;
  char *copy = strdup(path);
  if (copy == NULL) {
    s->no_memory = 1;
    return;
  }
  if (s->altered_count == CENSUS_ALTERED) free((char *)s->altered[--s->altered_count].bytes);
  memmove(&s->altered[at + 1], &s->altered[at], (s->altered_count - at) * sizeof(text));
  s->altered[at] = (text){copy, candidate.length};
  s->altered_count++;
}

/* Where a package's path lies, below the root. `to` has CENSUS_PATH_BYTES; -1 if it is no path that can be. */
static int locate(const survey *s, text path, text package, char *to) {
  const text real = diversions_find(&s->diversions, path, package);
  const size_t root = strlen(s->plan->root);
  if (real.length == 0 || real.bytes[0] != '/' || root + real.length >= CENSUS_PATH_BYTES || memchr(real.bytes, 0, real.length)) return -1;
  memcpy(to, s->plan->root, root);
  memcpy(to + root, real.bytes, real.length);
  to[root + real.length] = 0;
  return 0;
}

static void take_path(survey *s, text line, text package) {
  char path[CENSUS_PATH_BYTES];
  struct stat found;
  if (line.length == 0) return;
  if (locate(s, line, package, path)) {
    s->counts.malformed++;
    return;
  }
  s->counts.paths++;
  if (lstat(path, &found) != 0) s->counts.paths_missing++;
  else if (S_ISREG(found.st_mode)) s->counts.bytes_on_disk += found.st_size;
}

/* Whether a line begins as `sum  path` and has a path. */
static int begins_with_sum(text line) {
  if (line.length < 35 || line.bytes[32] != ' ' || (line.bytes[33] != ' ' && line.bytes[33] != '*')) return 0;
  for (size_t i = 0; i < 32; i++)
    if (line.bytes[i] == 0 || strchr("0123456789abcdefABCDEF", line.bytes[i]) == NULL) return 0;
  return 1;
}

/* `sum  path`, the path without its slash, or with `./`. */
static void take_sum(survey *s, text line, text package) {
  char path[CENSUS_PATH_BYTES], listed[CENSUS_PATH_BYTES];
  uint64_t bytes = 0;
  if (line.length == 0) return;
  int sound = begins_with_sum(line);
  text name = sound ? (text){line.bytes + 34, line.length - 34} : line;
  if (sound && name.length > 1 && memcmp(name.bytes, "./", 2) == 0) name = (text){name.bytes + 2, name.length - 2};
  if (sound && name.length && name.bytes[0] == '/') name = (text){name.bytes + 1, name.length - 1};
  sound = sound && name.length > 0 && name.length < CENSUS_PATH_BYTES - 1;
  if (sound) {
    listed[0] = '/';
    memcpy(listed + 1, name.bytes, name.length);
    sound = locate(s, (text){listed, name.length + 1}, package, path) == 0;
  }
  if (!sound) {
    s->counts.malformed++;
    return;
  }
  s->counts.listed++;
  if (!md5_in_sample((text){listed, name.length + 1}, s->plan->sample)) return;
  const int found = md5_check(s->md5, path, line.bytes, s->call, &bytes);
  s->counts.bytes_checked += (int64_t)bytes;
  switch (found) {
    case MD5_ALTERED:
      s->counts.altered++;
      keep_altered(s, path + strlen(s->plan->root));
      s->counts.checked++;
      break;
    case MD5_SAME: s->counts.checked++; break;
    case MD5_MISSING: s->counts.missing++; break;
    case MD5_UNREADABLE: s->counts.unreadable++; break;
    default: s->ended = found;
  }
}

/* Hands each line of info/stem.extension to `take`. 0, or -1 with errno and the path in `path`. A package without that file has none. */
static int take_lines(survey *s, const char *stem, const char *extension, char *path, void (*take)(survey *, text, text)) {
  char *bytes;
  size_t length;
  const text package = {stem, strcspn(stem, ":")};
  if (snprintf(path, CENSUS_PATH_BYTES, "%s/%s.%s", s->plan->info, stem, extension) >= CENSUS_PATH_BYTES) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (load_file(path, 0, SIZE_MAX, CENSUS_LIST_BYTES, &bytes, &length, NULL)) return errno == ENOENT ? 0 : -1;
  size_t lines = 0;
  for (size_t at = 0; at < length && !s->ended && !s->no_memory;) {
    const char *line = bytes + at, *end = memchr(line, '\n', length - at);
    const size_t line_length = end ? (size_t)(end - line) : length - at;
    take(s, (text){line, line_length}, package);
    at += line_length + 1;
    if (++lines % 64 == 0 && s->call->host->cancelled(s->call->attempt)) s->ended = MD5_CANCELLED;
  }
  free(bytes);
  return 0;
}

static uint32_t take_packages(survey *s, millrace_outcome *outcome, uint32_t stems) {
  const json_document *d = &s->plan->d;
  char path[CENSUS_PATH_BYTES] = "";
  uint32_t done = 0;
  const uint32_t count = json_count(d, stems);
  for (uint32_t i = json_first(d, stems); i; i = json_next(d, stems, i), done++) {
    char *stem = json_text(d, i);
    if (stem == NULL)
      return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "the plan's `files` hold something that is no package's name");
    const int failed =
        take_lines(s, stem, "list", path, take_path) || (s->plan->sample > 0 && take_lines(s, stem, "md5sums", path, take_sum));
    const int reason = errno;
    free(stem);
    if (failed) return plan_unreadable(outcome, path, reason, CENSUS_LIST_BYTES);
    if (s->no_memory) return outcome_no_memory(outcome);
    if (s->ended == MD5_REFUSED) return md5_refused(outcome);
    if (s->ended) return outcome_cancelled(outcome);
    s->call->host->heartbeat(s->call->attempt, done * 1000 / count);
  }
  return MILLRACE_DONE;
}

uint32_t census_files(void *context, const millrace_call *call, millrace_outcome *outcome) {
  plan p;
  int64_t chunk = 0;
  (void)context;
  uint32_t status = plan_chunk(call, outcome, &chunk);
  if (status == MILLRACE_DONE) status = plan_read(call, outcome, 1, &p);
  if (status != MILLRACE_DONE) return status;
  survey s = {.call = call, .plan = &p};
  const uint32_t stems = plan_item(&p, p.file_chunks, chunk);
  if (stems == 0 || p.d.nodes[stems].type != JSON_ARRAY)
    status = outcome_end(outcome, MILLRACE_FAILED, "bad-input", "file chunk %lld is not in the plan: debian/split made %u (`fileChunks`)",
                         (long long)chunk, json_count(&p.d, p.file_chunks));
  else if (p.sample > 0 && (s.md5 = md5_new()) == NULL) status = md5_refused(outcome);
  else if (p.info[0] && diversions_load(p.info, &s.diversions))
    status = plan_unreadable(outcome, "dpkg's diversions file", errno, CENSUS_LIST_BYTES);
  else if (p.info[0]) status = take_packages(&s, outcome, stems);
  if (status == MILLRACE_DONE) {
    json_writer w = outcome_writer();
    json_open(&w, "{");
    json_member_integer(&w, "chunk", chunk);
    json_member_integer(&w, "chunks", json_count(&p.d, p.file_chunks));
    file_counts_write(&w, &s.counts, s.altered, s.altered_count);
    json_close(&w, "}");
    status = outcome_done_json(call, outcome, &w, "give debian/split more `fileChunks`");
  }
  for (size_t i = 0; i < s.altered_count; i++) free((char *)s.altered[i].bytes);
  diversions_free(&s.diversions);
  md5_free(s.md5);
  plan_free(&p);
  return status;
}
