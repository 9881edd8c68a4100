/* SQLite: a write-ahead log that is synced at each commit (synchronous=FULL), one connection in exclusive mode, prepared statements.

     append-1   a caller with an event at a time
     batch-N    a caller that puts N events into a transaction
     replay-N, verify */
#include <sqlite3.h>

#include "../shared/bench.h"

typedef struct {
  sqlite3 *base;
  sqlite3_stmt *insert, *select, *begin, *commit;
  const unsigned char *source;
  bool whole; /* compare payloads too */
} Store;

static void check(Store *store, int code, const char *what) {
  if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW) quit(1, "sqlite: %s: %s", what, sqlite3_errmsg(store->base));
}

static void execute(Store *store, const char *statement) { check(store, sqlite3_exec(store->base, statement, NULL, NULL, NULL), statement); }

static sqlite3_stmt *prepared(Store *store, const char *text) {
  sqlite3_stmt *statement;
  check(store, sqlite3_prepare_v3(store->base, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL), text);
  return statement;
}

static void step(Store *store, sqlite3_stmt *statement) {
  check(store, sqlite3_step(statement), sqlite3_sql(statement));
  check(store, sqlite3_reset(statement), sqlite3_sql(statement));
}

static Store open_store(const Call *call, const char *name) {
  char path[PATH_MAX];
  path_in(path, call->directory, name);
  Store store = {.source = record_source()};
  check(&store, sqlite3_open_v2(path, &store.base, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL), path);
  /* Exclusive before the log is first used: then its index is in the heap, not in a shared file. */
  execute(&store, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                  "PRAGMA wal_autocheckpoint=8192; PRAGMA cache_size=-262144; PRAGMA mmap_size=2147483648;"
                  "CREATE TABLE IF NOT EXISTS events(position INTEGER PRIMARY KEY, body BLOB NOT NULL)");
  store.insert = prepared(&store, "INSERT INTO events VALUES(?, ?)");
  store.select = prepared(&store, "SELECT position, body FROM events ORDER BY position");
  store.begin = prepared(&store, "BEGIN IMMEDIATE");
  store.commit = prepared(&store, "COMMIT");
  return store;
}

static void insert(Store *store, uint64_t position, int64_t time) {
  Record record;
  record_fill(&record, store->source, position, time);
  sqlite3_bind_int64(store->insert, 1, (int64_t)position);
  sqlite3_bind_blob(store->insert, 2, &record, sizeof record, SQLITE_STATIC);
  step(store, store->insert);
}

static void append(void *context, uint64_t position, uint64_t count) {
  Store *store = context;
  const int64_t time = (int64_t)now();
  if (count > 1) step(store, store->begin);
  for (uint64_t i = 0; i < count; i++) insert(store, position + i, time);
  if (count > 1) step(store, store->commit);
}

/* As after an hour of work: the log has had its size once and is written over from its beginning. */
static void warm(Store *store) {
  append(store, 0, ahead_bytes(32 << 20) / RECORD_BYTES);
  execute(store, "PRAGMA wal_checkpoint(RESTART); DELETE FROM events; PRAGMA wal_checkpoint(RESTART)");
}

static uint64_t replay(void *context) {
  Store *store = context;
  uint64_t position = 0;
  for (int code; (code = sqlite3_step(store->select)) != SQLITE_DONE; position++) {
    check(store, code, "select");
    const Record *found = sqlite3_column_blob(store->select, 1);
    if (sqlite3_column_int64(store->select, 0) != (int64_t)position || sqlite3_column_bytes(store->select, 1) != RECORD_BYTES ||
        !(store->whole ? record_is(found, store->source, position) : record_holds(found, position)))
      break;
  }
  sqlite3_reset(store->select);
  return position;
}

static uint64_t count_rows(Store *store) {
  sqlite3_stmt *last = prepared(store, "SELECT coalesce(max(position) + 1, 0) FROM events");
  check(store, sqlite3_step(last), "max");
  const uint64_t count = (uint64_t)sqlite3_column_int64(last, 0);
  sqlite3_finalize(last);
  return count;
}

int main(int argc, char **argv) {
  const Call call = bench_call(argc, argv);
  static Figures figures;
  const uint64_t replayed = work_number(&call, "replay", MOST_NUMBER);
  const uint64_t count = work_is(&call, "append-1") ? 1 : work_number(&call, "batch", MOST_IN_FLIGHT);
  if (count) {
    Store store = open_store(&call, "events.sqlite");
    warm(&store);
    const uint64_t before = syncs_called();
    append_batches(&figures, &store, append, count, &call);
    figures.syncs = syncs_called() - before;
  } else if (replayed) {
    Store store = open_store(&call, "replay.sqlite");
    const uint64_t there = count_rows(&store);
    if (there != 0 && there != replayed) quit(64, "%s holds %llu records", call.directory, (unsigned long long)there);
    if (there == 0) {
      append(&store, 0, replayed);
      execute(&store, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
    replay_all(&figures, &store, replay, replayed, call.seconds);
  } else if (work_is(&call, "verify")) {
    Store store = open_store(&call, "events.sqlite");
    store.whole = true;
    figures.records = replay(&store);
  } else {
    no_such_work(&call);
  }
  tell(&call, &figures);
  fflush(stdout);
  _exit(0); /* not closed: what is acknowledged is there without it */
}
