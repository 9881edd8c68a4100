/* What the disk and one thread give: no queue, no callers, no callbacks.

     sync          writes of one block, each synced: what a sync takes
     append-N      N records filled and checked, then one write that is durable when it returns, into a segment written ahead
     prefilled-N   the same, of a buffer filled once
     append-open-N N records a second, each at its time; whatever is due goes into the next write
     replay-N      N records read in pieces of 256 KiB and checked
     verify        what is there: read after the program that wrote it has ended

   LIMIT_WAY=direct|dsync|fdatasync forces how it writes: otherwise the quickest of a probe. */
#include <sys/mman.h>

#include "../shared/bench.h"

enum { BLOCK = 4096, HUGE_PAGE = 2 << 20, PIECE = 256 << 10, AHEAD = 4 << 20, MOST = 16 << 20, PROBES = 64 };
static const uint64_t usual_bytes = 256 << 20;

typedef struct {
  const char *name;
  int flags;
} Way;
static const Way ways[] = {{"direct", O_DIRECT | O_DSYNC}, {"dsync", O_DSYNC}, {"fdatasync", 0}};

typedef struct {
  int file;
  const Way *way;
  uint64_t size, offset, syncs;
  unsigned char *buffer;
  const unsigned char *source;
} Segment;

static unsigned char *aligned(size_t bytes) {
  void *memory;
  if (posix_memalign(&memory, HUGE_PAGE, bytes) != 0) quit(1, "no memory");
  /* The kernel pins one page for a write instead of sixty: a tenth of the time of a large one. Without such pages the advice is refused, and nothing is lost. */
  (void)madvise(memory, bytes, MADV_HUGEPAGE);
  memset(memory, 0, bytes);
  return memory;
}

static int open_segment(const char *path, int flags) {
  const int file = open(path, flags | O_CLOEXEC, 0600);
  if (file < 0) quit(1, "%s: %s", path, strerror(errno));
  return file;
}

static void write_durable(Segment *segment, const void *bytes, uint64_t count) {
  count = (count + BLOCK - 1) / BLOCK * BLOCK;
  if (segment->offset + count > segment->size) segment->offset = 0;
  for (uint64_t done = 0; done < count;) {
    const ssize_t wrote = pwrite(segment->file, (const char *)bytes + done, count - done, (off_t)(segment->offset + done));
    if (wrote <= 0) quit(1, "write: %s", strerror(errno));
    done += (uint64_t)wrote;
  }
  if (segment->way->flags == 0 && fdatasync(segment->file) != 0) quit(1, "fdatasync: %s", strerror(errno));
  segment->offset += count;
  segment->syncs++;
}

static int ascending(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The quickest of those that the file system takes, tried in turns; an earlier one unless a later one is a tenth quicker. */
static void open_probed(Segment *segment, const char *path) {
  enum { WAYS = sizeof ways / sizeof *ways };
  const char *forced = getenv("LIMIT_WAY");
  static uint64_t times[WAYS][PROBES];
  int files[WAYS], best = -1;
  for (int way = 0; way < WAYS; way++) {
    const bool wanted = !forced || strcmp(forced, ways[way].name) == 0;
    files[way] = wanted ? open(path, O_RDWR | O_CLOEXEC | ways[way].flags) : -1;
    if (wanted && files[way] < 0 && errno != EINVAL) quit(1, "%s: %s", path, strerror(errno));
  }
  for (int i = 0; i < PROBES; i++)
    for (int way = 0; way < WAYS; way++) {
      if (files[way] < 0) continue;
      segment->file = files[way], segment->way = &ways[way];
      const uint64_t begin = now();
      write_durable(segment, segment->buffer, BLOCK);
      times[way][i] = now() - begin;
    }
  for (int way = 0; way < WAYS; way++) {
    if (files[way] < 0) continue;
    qsort(times[way], PROBES, sizeof **times, ascending);
    if (best < 0 || (double)times[way][PROBES / 2] < 0.9 * (double)times[best][PROBES / 2]) best = way;
    close(files[way]);
  }
  if (best < 0) quit(64, "LIMIT_WAY=%s: not known, or not to be had here", forced ? forced : "");
  segment->file = open_segment(path, O_RDWR | ways[best].flags), segment->way = &ways[best];
  segment->offset = segment->syncs = 0;
}

static Segment make_segment(const Call *call) {
  char path[PATH_MAX];
  path_in(path, call->directory, "segment");
  Segment segment = {-1, NULL, ahead_bytes(usual_bytes), 0, 0, aligned(MOST), record_source()};
  const int file = open_segment(path, O_RDWR | O_CREAT);
  write_ahead(file, segment.size);
  close(file);
  open_probed(&segment, path);
  return segment;
}

static void fill(Segment *segment, uint64_t position, uint64_t count) {
  const int64_t time = (int64_t)now();
  Record *records = (Record *)segment->buffer;
  for (uint64_t i = 0; i < count; i++) record_fill(records + i, segment->source, position + i, time);
  /* The rest of the block has no records of earlier writes. */
  const uint64_t bytes = count * RECORD_BYTES, padded = (bytes + BLOCK - 1) / BLOCK * BLOCK;
  memset(segment->buffer + bytes, 0, padded - bytes);
}

static void append_filled(void *store, uint64_t position, uint64_t count) {
  fill(store, position, count);
  write_durable(store, ((Segment *)store)->buffer, count * RECORD_BYTES);
}

static void append_prefilled(void *store, uint64_t position, uint64_t count) {
  (void)position;
  write_durable(store, ((Segment *)store)->buffer, count * RECORD_BYTES);
}

static void append_block(void *store, uint64_t position, uint64_t count) {
  (void)position, (void)count;
  write_durable(store, ((Segment *)store)->buffer, BLOCK);
}

static void append_open(Segment *segment, Figures *figures, uint64_t rate, double seconds) {
  const uint64_t total = (uint64_t)(seconds * (double)rate), most = MOST / RECORD_BYTES;
  const double interval = 1e9 / (double)rate;
  const uint64_t begin = now() + 1000000;
  uint64_t done = begin;
  while (figures->records < total) {
    const uint64_t at = now();
    uint64_t due = at < begin ? 0 : (uint64_t)((double)(at - begin) / interval) + 1;
    if (due > total) due = total;
    if (due == figures->records) continue;
    uint64_t count = due - figures->records;
    if (count > most) count = most;
    append_filled(segment, figures->records, count);
    done = now();
    for (uint64_t i = 0; i < count; i++)
      latency_add(&figures->latencies, done - begin - (uint64_t)((double)(figures->records + i) * interval), 1);
    figures->records += count;
  }
  figures->seconds = (double)(done - begin) / 1e9;
}

typedef struct {
  int file;
  unsigned char *piece;
  uint64_t count;
} Reader;

static Reader open_reader(const Call *call, uint64_t count) {
  char path[PATH_MAX];
  path_in(path, call->directory, "replay");
  Reader reader = {-1, aligned(PIECE), count};
  struct stat status;
  if (stat(path, &status) != 0 || (uint64_t)status.st_size != reader.count * RECORD_BYTES) {
    const int file = open_segment(path, O_WRONLY | O_CREAT | O_TRUNC);
    const unsigned char *source = record_source();
    for (uint64_t position = 0; position < reader.count;) {
      uint64_t some = 0;
      for (; some < PIECE / RECORD_BYTES && position < reader.count; some++, position++)
        record_fill((Record *)reader.piece + some, source, position, (int64_t)position);
      if (write(file, reader.piece, some * RECORD_BYTES) != (ssize_t)(some * RECORD_BYTES)) quit(1, "%s: %s", path, strerror(errno));
    }
    if (fsync(file) != 0) quit(1, "%s: %s", path, strerror(errno));
    close(file);
  }
  reader.file = open_segment(path, O_RDONLY);
  return reader;
}

static uint64_t replay(void *store) {
  const Reader *reader = store;
  uint64_t position = 0;
  for (ssize_t got; (got = pread(reader->file, reader->piece, PIECE, (off_t)(position * RECORD_BYTES))) >= RECORD_BYTES;) {
    if (position * RECORD_BYTES % AHEAD == 0) posix_fadvise(reader->file, (off_t)(position * RECORD_BYTES + AHEAD), AHEAD, POSIX_FADV_WILLNEED);
    for (const Record *record = (const Record *)reader->piece; record < (const Record *)reader->piece + got / RECORD_BYTES; record++)
      if (!record_holds(record, position++)) quit(1, "record %llu is damaged", (unsigned long long)position - 1);
  }
  return position;
}

/* The records in their order, until one is missing: blocks begin with a record and end with zeros. */
static uint64_t verify(const Call *call) {
  char path[PATH_MAX];
  path_in(path, call->directory, "segment");
  const int file = open_segment(path, O_RDONLY);
  const unsigned char *source = record_source();
  Record records[BLOCK / RECORD_BYTES];
  uint64_t position = 0;
  for (off_t at = 0; pread(file, records, BLOCK, at) == BLOCK; at += BLOCK)
    for (int i = 0; i < BLOCK / RECORD_BYTES && records[i].bytes != 0; i++)
      if (!record_is(&records[i], source, position++)) return position - 1;
  return position;
}

int main(int argc, char **argv) {
  const Call call = bench_call(argc, argv);
  static Figures figures;
  const uint64_t filled = work_number(&call, "append", MOST_IN_FLIGHT), prefilled = work_number(&call, "prefilled", MOST_IN_FLIGHT);
  const uint64_t rate = work_number(&call, "append-open", MOST_NUMBER), replayed = work_number(&call, "replay", MOST_NUMBER);
  if (work_is(&call, "verify")) {
    figures.records = verify(&call);
  } else if (replayed) {
    Reader reader = open_reader(&call, replayed);
    replay_all(&figures, &reader, replay, reader.count, call.seconds);
  } else if (filled || prefilled || rate || work_is(&call, "sync")) {
    Segment segment = make_segment(&call);
    if (filled) {
      append_batches(&figures, &segment, append_filled, filled, &call);
    } else if (prefilled) {
      fill(&segment, 0, prefilled);
      append_batches(&figures, &segment, append_prefilled, prefilled, &call);
    } else if (work_is(&call, "sync")) {
      append_batches(&figures, &segment, append_block, 1, &call);
    } else {
      append_open(&segment, &figures, rate, call.seconds);
    }
    figures.syncs = segment.syncs;
    figures.way = segment.way->name;
  } else {
    no_such_work(&call);
  }
  tell(&call, &figures);
  return 0;
}
