/* LMDB: one writer, durable at each commit (no MDB_NOSYNC, no MDB_NOMETASYNC), integer keys appended at the end, the file written ahead.

     append-1   a caller with an event at a time
     batch-N    a caller that puts N events into a transaction
     replay, verify */
#include <lmdb.h>

#include "../shared/bench.h"

enum { AHEAD = 512 << 20 };
static const size_t map_bytes = (size_t)16 << 30;

typedef struct {
  MDB_env *environment;
  MDB_dbi events;
  uint64_t commits;
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
  Store store = {.source = record_source()};
  if (access(path, F_OK) != 0) {
    mdb_env_close(open_environment(path));
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) quit(1, "%s: %s", path, strerror(errno));
    write_ahead(file, AHEAD);
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

static uint64_t replay(void *context) {
  Store *store = context;
  MDB_txn *transaction;
  MDB_cursor *cursor;
  MDB_val key, value;
  uint64_t position = 0, found;
  check(mdb_txn_begin(store->environment, NULL, MDB_RDONLY, &transaction), "begin");
  check(mdb_cursor_open(transaction, store->events, &cursor), "cursor");
  for (int code; (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) != MDB_NOTFOUND; position++) {
    check(code, "next");
    memcpy(&found, key.mv_data, sizeof found);
    if (found != position || value.mv_size != RECORD_BYTES ||
        !(store->whole ? record_is(value.mv_data, store->source, position) : record_holds(value.mv_data, position)))
      break;
  }
  mdb_cursor_close(cursor);
  mdb_txn_abort(transaction);
  return position;
}

int main(int argc, char **argv) {
  const Call call = bench_call(argc, argv);
  static Figures figures;
  const uint64_t count = work_is(&call, "append-1") ? 1 : work_number(&call, "batch");
  if (count) {
    Store store = open_store(&call, "events.lmdb");
    const uint64_t syncs = syncs_called(), commits = store.commits;
    append_batches(&figures, &store, append, count, call.seconds);
    /* A commit syncs its pages by a call, and its meta page by a write through O_DSYNC. */
    figures.syncs = syncs_called() - syncs + store.commits - commits;
  } else if (work_is(&call, "replay")) {
    Store store = open_store(&call, "replay.lmdb");
    const uint64_t records = replay_count(&call), there = replay(&store);
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
