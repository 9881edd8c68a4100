/* LMDB: one writer, durable at each commit (no MDB_NOSYNC, no MDB_NOMETASYNC), integer keys appended at the end, the file written ahead.

     append-1      a caller with an event at a time
     batch-N       a caller that puts N events into a transaction
     replay-ahead-N a replay with lines fetched by hand, some records ahead of the check
     replay-N, verify */
#include <lmdb.h>

#include "../shared/bench.h"

enum { MOST_BEHIND = 8 };
static const uint64_t usual_bytes = 512 << 20;
static const size_t map_bytes = (size_t)16 << 30;

typedef struct {
  MDB_env *environment;
  MDB_dbi events;
  uint64_t commits, behind;
  const unsigned char *source;
  bool whole; /* compare payloads too */
} Store;

static void check(int code, const char *what) {
  if (code != MDB_SUCCESS) quit(1, "lmdb: %s: %s", what, mdb_strerror(code));
}

static MDB_env *open_environment(const char *path) {
  MDB_env *environment;
  check(mdb_env_create(&environment), "create");
  check(mdb_env_set_mapsize(environment, map_bytes), "map size");
  check(mdb_env_open(environment, path, MDB_NOSUBDIR, 0600), path);
  return environment;
}

static Store open_store(const Call *call, const char *name) {
  char path[PATH_MAX];
  path_in(path, call->directory, name);
  Store store = {.behind = 1, .source = record_source()};
  if (access(path, F_OK) != 0) {
    mdb_env_close(open_environment(path));
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) quit(1, "%s: %s", path, strerror(errno));
    write_ahead(file, ahead_bytes(usual_bytes));
    close(file);
  }
  store.environment = open_environment(path);
  MDB_txn *transaction;
  check(mdb_txn_begin(store.environment, NULL, 0, &transaction), "begin");
  check(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &store.events), "open");
  check(mdb_txn_commit(transaction), "commit");
  return store;
}

static void append(void *context, uint64_t position, uint64_t count) {
  Store *store = context;
  MDB_txn *transaction;
  check(mdb_txn_begin(store->environment, NULL, 0, &transaction), "begin");
  const int64_t time = (int64_t)now();
  for (uint64_t i = position; i < position + count; i++) {
    MDB_val key = {sizeof i, &i}, value = {RECORD_BYTES, NULL};
    check(mdb_put(transaction, store->events, &key, &value, MDB_APPEND | MDB_RESERVE), "put");
    record_fill(value.mv_data, store->source, i, time);
  }
  check(mdb_txn_commit(transaction), "commit");
  store->commits++;
}

/* A value is checked where it lies in the map, as many records behind the cursor as `behind` says: its lines are on their way from memory meanwhile. */
static uint64_t replay(void *context) {
  Store *store = context;
  MDB_txn *transaction;
  MDB_cursor *cursor;
  MDB_val key, values[MOST_BEHIND];
  uint64_t seen = 0, checked = 0, found;
  int code = MDB_SUCCESS;
  check(mdb_txn_begin(store->environment, NULL, MDB_RDONLY, &transaction), "begin");
  check(mdb_cursor_open(transaction, store->events, &cursor), "cursor");
  for (bool holds = true; holds;) {
    if (code == MDB_SUCCESS && (code = mdb_cursor_get(cursor, &key, &values[seen % MOST_BEHIND], MDB_NEXT)) == MDB_SUCCESS) {
      const MDB_val *value = &values[seen % MOST_BEHIND];
      memcpy(&found, key.mv_data, sizeof found);
      if (found != seen || value->mv_size != RECORD_BYTES) break;
      for (int line = 0; line <= RECORD_BYTES; line += 64) __builtin_prefetch((const char *)value->mv_data + line);
      if (++seen - checked < store->behind) continue;
    } else if (code != MDB_NOTFOUND) {
      check(code, "next");
    } else if (checked == seen) {
      break;
    }
    const void *record = values[checked % MOST_BEHIND].mv_data;
    holds = store->whole ? record_is(record, store->source, checked) : record_holds(record, checked);
    checked += holds;
  }
  mdb_cursor_close(cursor);
  mdb_txn_abort(transaction);
  return checked;
}

static uint64_t count_entries(const Store *store) {
  MDB_stat status;
  MDB_txn *transaction;
  check(mdb_txn_begin(store->environment, NULL, MDB_RDONLY, &transaction), "begin");
  check(mdb_stat(transaction, store->events, &status), "stat");
  mdb_txn_abort(transaction);
  return status.ms_entries;
}

int main(int argc, char **argv) {
  const Call call = bench_call(argc, argv);
  static Figures figures;
  const uint64_t replayed = work_number(&call, "replay", MOST_NUMBER), ahead = work_number(&call, "replay-ahead", MOST_NUMBER);
  const uint64_t count = work_is(&call, "append-1") ? 1 : work_number(&call, "batch", MOST_IN_FLIGHT);
  if (count) {
    Store store = open_store(&call, "events.lmdb");
    const uint64_t syncs = syncs_called(), commits = store.commits;
    append_batches(&figures, &store, append, count, &call);
    /* A commit syncs its pages by a call, and its meta page by a write through O_DSYNC. */
    figures.syncs = syncs_called() - syncs + store.commits - commits;
  } else if (replayed || ahead) {
    Store store = open_store(&call, "replay.lmdb");
    if (ahead) store.behind = MOST_BEHIND;
    const uint64_t records = replayed + ahead, there = count_entries(&store);
    if (there == 0) append(&store, 0, records);
    else if (there != records) quit(64, "%s holds %llu records", call.directory, (unsigned long long)there);
    replay_all(&figures, &store, replay, records, call.seconds);
  } else if (work_is(&call, "verify")) {
    Store store = open_store(&call, "events.lmdb");
    store.whole = true;
    figures.records = replay(&store);
  } else {
    no_such_work(&call);
  }
  tell(&call, &figures);
  return 0; /* not closed: what is acknowledged is there without it */
}
