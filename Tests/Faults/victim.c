/* A small log that is right, and wrong in every way that a word asks for: the tools must tell one from the other.
 *
 *   victim DIRECTORY COUNT [WORD...]
 *
 * Recovers the log in DIRECTORY, appends records up to number COUNT, and says `acknowledged N` on standard output when N is durable. Records
 * lie in segments log.1, log.2, ... of 4. When one is full, `head` is replaced by one that says so, then `sealed N` is said.
 *
 * How: nothing (write, fdatasync), dsync (O_DSYNC), direct (O_DIRECT | O_DSYNC into a preallocated segment, records padded to 4 KiB),
 *      threads (3 producers and a committer, one sync for all that wait), patient (on ENOSPC says `full` and tries again after a line of input)
 * Wrong: no-sync, early (acknowledged before the sync), hint (sync_file_range for a sync), no-directory-sync, no-head-sync,
 *      ignores-short, ignores-errors (of writes), retries-sync, ignores-eintr, stdout (printf instead of write: not wrong)
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { per_segment = 4, block = 4096, magic = 0x4d524c47 };

struct head {
  uint32_t magic, number, length, sum;
};

static int directory = AT_FDCWD, segment = -1;
static off_t offset;
static bool dsync, direct, threads, patient, no_sync, early, hint, no_directory_sync, no_head_sync, ignores_short, ignores_errors, retries_sync,
    ignores_eintr, by_stdout;

static void check(bool holds, const char *words) {
  if (holds) return;
  dprintf(2, "victim: %s: %s\n", words, strerror(errno));
  exit(1);
}

static void say(const char *format, ...) {
  char line[64];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (by_stdout) {
    check(fputs(line, stdout) >= 0 && fflush(stdout) == 0, "stdout");
    return;
  }
  check(write(1, line, (size_t)length) == length, "standard output");
}

static size_t record_length(uint32_t number) { return sizeof(struct head) + 20 + number * 379 % 1400; }
static size_t padded(size_t length) { return direct ? (length + block - 1) / block * block : length; }

static void fill(uint8_t *record, uint32_t number) {
  struct head head = {magic, number, (uint32_t)record_length(number), 2166136261u};
  for (size_t i = sizeof head; i < head.length; i++) {
    record[i] = (uint8_t)(number * 31 + i * 7);
    head.sum = (head.sum ^ record[i]) * 16777619u;
  }
  memcpy(record, &head, sizeof head);
}

static void sync_directory(void) {
  int result;
  if (no_directory_sync) return;
  while ((result = fsync(directory)) != 0 && errno == EINTR) {}
  check(result == 0, "sync of the directory");
}

static void sync_file(int fd) {
  if (no_sync) return;
  if (hint) {
    check(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0, "sync_file_range");
    return;
  }
  int result;
  while ((result = fdatasync(fd)) != 0 && (errno == EINTR || retries_sync)) {}
  check(result == 0, "sync");
}

static void write_all(int fd, const uint8_t *bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    ssize_t written = pwrite(fd, bytes + done, count - done, offset + (off_t)done);
    if (written < 0 && errno == EINTR) {
      if (ignores_eintr) break;
      continue;
    }
    if (written < 0 && errno == ENOSPC && patient) {
      char line[16];
      say("full\n");
      check(read(0, line, sizeof line) > 0, "standard input");
      continue;
    }
    if (written < 0 && ignores_errors) break;
    check(written > 0, "write");
    if (ignores_short) break;
    /* Whole blocks, so that the rest is aligned too. */
    done += direct && fd == segment ? (size_t)written / 512 * 512 : (size_t)written;
  }
  offset += (off_t)count;
}

static int open_again(const char *name, int flags) {
  int fd;
  while ((fd = openat(directory, name, flags, 0644)) < 0 && errno == EINTR) {}
  return fd;
}

static void open_segment(uint32_t number, bool creates) {
  char name[32];
  snprintf(name, sizeof name, "log.%u", number);
  if (segment >= 0) check(close(segment) == 0, "close");
  int flags = O_RDWR | (creates ? O_CREAT : 0) | (dsync || direct ? O_DSYNC : 0) | (direct ? O_DIRECT : 0);
  segment = open_again(name, flags);
  if (segment < 0 && !creates && errno == ENOENT) return;
  check(segment >= 0, name);
  offset = 0;
  if (!creates) return;
  if (direct) {
    int result;
    while ((result = fallocate(segment, 0, 0, per_segment * block)) != 0 && errno == EINTR) {}
    check(result == 0, "fallocate");
    sync_file(segment);
  }
  sync_directory();
}

static void seal(uint32_t segments) {
  char text[32];
  int length = snprintf(text, sizeof text, "sealed %u.\n", segments);
  int fd = open_again("head.new", O_WRONLY | O_CREAT | O_TRUNC);
  check(fd >= 0, "head.new");
  off_t kept = offset;
  offset = 0;
  write_all(fd, (uint8_t *)text, (size_t)length);
  offset = kept;
  if (!no_head_sync) sync_file(fd);
  check(close(fd) == 0, "close");
  check(renameat(directory, "head.new", directory, "head") == 0, "rename");
  sync_directory();
  say("sealed %u\n", segments);
}

/* The number of records that are whole; `segment` is open behind the last. */
static uint32_t recover(void) {
  static uint8_t expected[block], found[block];
  uint32_t number = 0;
  for (;;) {
    off_t end = offset;
    if (number % per_segment == 0) {
      int last = segment;
      segment = -1;
      open_segment(number / per_segment + 1, false);
      if (segment < 0) {
        segment = last;
        break;
      }
      if (last >= 0) close(last);
      end = 0;
    }
    offset = end;
    size_t length = record_length(number + 1), have = 0;
    /* Not by O_DIRECT, whose buffers must be aligned. */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", segment);
    int reader = open_again(link, O_RDONLY);
    check(reader >= 0, "open to read");
    while (have < length) {
      ssize_t count = pread(reader, found + have, length - have, offset + (off_t)have);
      if (count < 0 && errno == EINTR) continue;
      check(count >= 0, "read");
      if (count == 0) break;
      have += (size_t)count;
    }
    close(reader);
    fill(expected, number + 1);
    if (have < length || memcmp(expected, found, length) != 0) break;
    number++;
    offset += (off_t)padded(length);
  }
  if (segment < 0) return number;
  /* What was found, and that it is there, must be durable before anything is built on it. */
  if (!direct && number % per_segment != 0) {
    int result;
    while ((result = ftruncate(segment, offset)) != 0 && errno == EINTR) {}
    check(result == 0, "ftruncate");
  }
  sync_file(segment);
  sync_directory();
  return number;
}

static void append(uint32_t first, uint32_t count) {
  uint8_t *bytes = NULL;
  check(posix_memalign((void **)&bytes, block, (size_t)count * block) == 0, "memory");
  memset(bytes, 0, (size_t)count * block);
  size_t length = 0;
  for (uint32_t i = 0; i < count; i++) {
    fill(bytes + length, first + i);
    length += padded(record_length(first + i));
  }
  write_all(segment, bytes, length);
  free(bytes);
  if (!dsync && !direct && !early) sync_file(segment);
}

/* One sync for all that wait. Producers share one line of numbers. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint32_t asked, durable, last;

static void *produce(void *unused) {
  (void)unused;
  for (;;) {
    pthread_mutex_lock(&lock);
    if (asked >= last) break;
    uint32_t number = ++asked;
    pthread_cond_broadcast(&changed);
    while (durable < number) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    say("acknowledged %u\n", number);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void commit(void) {
  pthread_t producers[3];
  asked = durable;
  for (int i = 0; i < 3; i++) check(pthread_create(&producers[i], NULL, produce, NULL) == 0, "thread");
  pthread_mutex_lock(&lock);
  while (durable < last) {
    while (asked == durable) pthread_cond_wait(&changed, &lock);
    uint32_t first = durable + 1, count = asked - durable, room = per_segment - durable % per_segment;
    if (count > room) count = room;
    pthread_mutex_unlock(&lock);
    if (first % per_segment == 1) open_segment(first / per_segment + 1, true);
    append(first, count);
    pthread_mutex_lock(&lock);
    durable += count;
    pthread_cond_broadcast(&changed);
    if (!early) continue;
    pthread_mutex_unlock(&lock);
    sync_file(segment);
    pthread_mutex_lock(&lock);
  }
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < 3; i++) pthread_join(producers[i], NULL);
}

static void take(const char *word) {
  static const struct {
    const char *word;
    bool *switched;
  } words[] = {{"dsync", &dsync}, {"direct", &direct}, {"threads", &threads}, {"patient", &patient}, {"no-sync", &no_sync}, {"early", &early},
               {"hint", &hint}, {"no-directory-sync", &no_directory_sync}, {"no-head-sync", &no_head_sync}, {"ignores-short", &ignores_short},
               {"ignores-errors", &ignores_errors}, {"retries-sync", &retries_sync}, {"ignores-eintr", &ignores_eintr}, {"stdout", &by_stdout}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (strcmp(word, words[i].word) != 0) continue;
    *words[i].switched = true;
    return;
  }
  check(false, word);
}

int main(int argc, char **argv) {
  if (argc < 3) return 64;
  last = (uint32_t)atoi(argv[2]);
  for (int i = 3; i < argc; i++) take(argv[i]);
  directory = open_again(argv[1], O_RDONLY | O_DIRECTORY);
  check(directory >= 0, argv[1]);
  durable = recover();
  say("recovered %u\n", durable);
  if (threads) {
    commit();
    return 0;
  }
  while (durable < last) {
    if (durable % per_segment == 0) open_segment(durable / per_segment + 1, true);
    append(++durable, 1);
    say("acknowledged %u\n", durable);
    if (early) sync_file(segment);
    if (durable % per_segment == 0) seal(durable / per_segment);
  }
  return 0;
}
