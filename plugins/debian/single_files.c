/* The single-threaded pass over an info directory: as it lists itself, name by name. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "single.h"

typedef struct walk {
  const millrace_call *call;
  const plan *plan;
  md5 *md5;
  diversions diversions;
  file_counts counts;
  text *altered; /* owned paths */
  size_t altered_count, altered_capacity;
  int ended;
} walk;

static int by_text(const void *left, const void *right) { return text_order(*(const text *)left, *(const text *)right); }

static void note_altered(walk *k, const char *path) {
  if (k->altered_count == k->altered_capacity) {
    const size_t wanted = k->altered_capacity ? k->altered_capacity * 2 : 64;
    text *grown = realloc(k->altered, wanted * sizeof *grown);
    if (grown == NULL) {
      k->ended = SINGLE_NO_MEMORY;
      return;
    }
    k->altered = grown;
    k->altered_capacity = wanted;
  }
  char *copy = strdup(path);
  if (copy) k->altered[k->altered_count++] = (text){copy, strlen(copy)};
  else k->ended = SINGLE_NO_MEMORY;
}

/* Follows the diversions and puts the root before; NULL if no file can have that path. `where` has CENSUS_PATH_BYTES. */
static char *real_path(const walk *k, const char *path, const char *package, char *where) {
  const text found = diversions_find(&k->diversions, (text){path, strlen(path)}, (text){package, strcspn(package, ":")});
  const int length = snprintf(where, CENSUS_PATH_BYTES, "%s%.*s", k->plan->root, (int)found.length, found.bytes);
  return found.bytes[0] == '/' && !memchr(found.bytes, 0, found.length) && length < CENSUS_PATH_BYTES ? where : NULL;
}

static void see(walk *k, const char *line, const char *package) {
  char where[CENSUS_PATH_BYTES];
  struct stat s;
  char *path = real_path(k, line, package, where);
  if (path == NULL) {
    k->counts.malformed++;
    return;
  }
  k->counts.paths++;
  if (lstat(path, &s) != 0) k->counts.paths_missing++;
  else if (S_ISREG(s.st_mode)) k->counts.bytes_on_disk += s.st_size;
}

static void sum(walk *k, char *line, const char *package) {
  char where[CENSUS_PATH_BYTES];
  const size_t digits = strspn(line, "0123456789abcdefABCDEF");
  uint64_t bytes = 0;
  char *path = NULL, *name = line + 34;
  if (digits == 32 && (strncmp(line + 32, "  ", 2) == 0 || strncmp(line + 32, " *", 2) == 0) && *name) {
    if (strncmp(name, "./", 2) == 0) name += 2;
    if (*name == '/') name++;
    *--name = '/'; /* what stood there has been read: a space, or the slash */
    if (name[1] && strlen(name) < CENSUS_PATH_BYTES) path = real_path(k, name, package, where);
  }
  if (path == NULL) {
    k->counts.malformed++;
    return;
  }
  k->counts.listed++;
  if (!md5_in_sample((text){name, strlen(name)}, k->plan->sample)) return;
  const int found = md5_check(k->md5, path, line, k->call, &bytes);
  k->counts.bytes_checked += (int64_t)bytes;
  k->counts.checked += found == MD5_SAME || found == MD5_ALTERED;
  k->counts.altered += found == MD5_ALTERED;
  k->counts.missing += found == MD5_MISSING;
  k->counts.unreadable += found == MD5_UNREADABLE;
  if (found == MD5_ALTERED) note_altered(k, path + strlen(k->plan->root));
  if (found == MD5_CANCELLED) k->ended = SINGLE_CANCELLED;
  if (found == MD5_REFUSED) k->ended = SINGLE_NO_MD5;
}

/* Reads a file of the info directory with getline: other than the plan's tasks, which read it whole. */
static void read_lines(walk *k, const char *path, const char *package, int sums) {
  char *line = NULL;
  size_t capacity = 0, lines = 0;
  FILE *file = fopen(path, "re");
  if (file == NULL) {
    if (errno != ENOENT) k->ended = SINGLE_UNREADABLE;
    return;
  }
  for (ssize_t length; k->ended == SINGLE_WELL && (errno = 0, length = getline(&line, &capacity, file)) >= 0; lines++) {
    if (length && line[length - 1] == '\n') line[--length] = 0;
    if (length == 0) continue;
    if (strlen(line) != (size_t)length) k->counts.malformed++;
    else if (sums) sum(k, line, package);
    else see(k, line, package);
    if (lines % 64 == 63 && k->call->host->cancelled(k->call->attempt)) k->ended = SINGLE_CANCELLED;
  }
  const int reason = errno;
  if (k->ended == SINGLE_WELL && ferror(file)) k->ended = reason == ENOMEM ? SINGLE_NO_MEMORY : SINGLE_UNREADABLE;
  free(line);
  fclose(file);
  errno = reason;
}

static void walk_directory(walk *k, DIR *directory, char *path) {
  struct stat s;
  for (struct dirent *e; k->ended == SINGLE_WELL && (errno = 0, e = readdir(directory)) != NULL;) {
    char package[256];
    const char *dot = strrchr(e->d_name, '.');
    const int sums = dot && strcmp(dot, ".md5sums") == 0;
    if (dot == NULL || dot == e->d_name || (!sums && strcmp(dot, ".list") != 0) || (sums && k->plan->sample == 0)) continue;
    (void)snprintf(package, sizeof package, "%.*s", (int)(dot - e->d_name), e->d_name);
    if (package[strspn(package, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.:~_")]) continue;
    if (snprintf(path, CENSUS_PATH_BYTES, "%s/%s", k->plan->info, e->d_name) >= CENSUS_PATH_BYTES) continue;
    if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) continue;
    if ((uint64_t)s.st_size > CENSUS_LIST_BYTES) {
      errno = EFBIG;
      k->ended = SINGLE_UNREADABLE;
      return;
    }
    read_lines(k, path, package, sums);
    k->call->host->heartbeat(k->call->attempt, 0);
  }
}

int single_files(const millrace_call *call, const plan *p, json_writer *w, char *path) {
  walk k = {.call = call, .plan = p};
  (void)snprintf(path, CENSUS_PATH_BYTES, "%s", p->info);
  DIR *directory = p->info[0] ? opendir(p->info) : NULL;
  if (p->info[0] && directory == NULL) k.ended = SINGLE_UNREADABLE;
  else if (p->sample > 0 && (k.md5 = md5_new()) == NULL) k.ended = SINGLE_NO_MD5;
  else if (p->info[0] && diversions_load(p->info, &k.diversions)) k.ended = SINGLE_UNREADABLE;
  else if (directory) walk_directory(&k, directory, path);
  const int reason = errno;
  if (k.ended == SINGLE_WELL) {
    if (k.altered_count) qsort(k.altered, k.altered_count, sizeof *k.altered, by_text);
    file_counts_write(w, &k.counts, k.altered, k.altered_count);
  }
  if (directory) closedir(directory);
  for (size_t i = 0; i < k.altered_count; i++) free((char *)k.altered[i].bytes);
  free(k.altered);
  diversions_free(&k.diversions);
  md5_free(k.md5);
  errno = reason;
  return k.ended;
}
