/* PostgreSQL through libpq, over the server's Unix socket: a table with the position as its key, synchronous_commit on. One thread serves all connections,
   so that no wake-up of a client's threads stands between the server and the figure.

     append-N   N connections, each with an INSERT at a time, prepared, its own transaction; of more than 64, 64 connections with N / 64 of them in a pipeline
     batch-N    a caller that copies N events in a transaction (COPY, binary)
     replay-N, verify

   DIRECTORY is where the server keeps its data; the server is found as libpq finds it: PGHOST, PGPORT, PGUSER. */
#include <endian.h>
#include <libpq-fe.h>
#include <sys/epoll.h>

#include "../shared/bench.h"

#define MOST_CONNECTIONS 64
#define MOST_PIPELINED 1024
#define TUPLE_BYTES (2 + 4 + 8 + 4 + RECORD_BYTES)

typedef struct {
  PGconn *connection;
  uint64_t first, count; /* ring of the times when what is in the pipeline was sent */
  uint64_t sent[MOST_PIPELINED];
} Caller;

__attribute__((noreturn)) static void failed(PGconn *connection, const char *what) { quit(1, "postgres: %s: %s", what, PQerrorMessage(connection)); }

static PGconn *connected(void) {
  PGconn *connection = PQconnectdb("dbname=postgres");
  if (PQstatus(connection) != CONNECTION_OK) failed(connection, "connect");
  return connection;
}

static PGresult *query(PGconn *connection, const char *text) {
  PGresult *result = PQexec(connection, text);
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_OUT && status != PGRES_COPY_IN) failed(connection, text);
  return result;
}

static void execute(PGconn *connection, const char *text) { PQclear(query(connection, text)); }

static uint64_t number(PGconn *connection, const char *text) {
  PGresult *result = query(connection, text);
  const uint64_t value = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
  PQclear(result);
  return value;
}

static void make_table(PGconn *connection, const char *name) {
  char text[512];
  snprintf(text, sizeof text,
           "SET client_min_messages = warning; DROP TABLE IF EXISTS %s; CREATE TABLE %s (position bigint PRIMARY KEY, body bytea NOT NULL);"
           "ALTER TABLE %s ALTER body SET STORAGE PLAIN; CHECKPOINT",
           name, name, name);
  execute(connection, text);
}

/* Syncs of the write-ahead log so far, when all other connections have ended: a server process counts for everybody when it ends. Written through O_DSYNC, each
   write is a sync. */
static uint64_t log_syncs(PGconn *connection) {
  while (number(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()") > 0) usleep(1000);
  return number(connection, "SELECT CASE WHEN current_setting('wal_sync_method') LIKE 'open%' THEN wal_write ELSE wal_sync END FROM pg_stat_wal");
}

/* What is bound for an event. */
typedef struct {
  uint64_t key;
  Record record;
} Row;
static const int row_lengths[] = {sizeof(uint64_t), sizeof(Record)}, row_formats[] = {1, 1};

static Row row_of(const unsigned char *source, uint64_t position, uint64_t time) {
  Row row = {.key = htobe64(position)};
  record_fill(&row.record, source, position, (int64_t)time);
  return row;
}

/* Prepared, and its process has seen the table: by an event that is taken back. */
static void prepare(PGconn *connection, const unsigned char *source) {
  PGresult *result = PQprepare(connection, "put", "INSERT INTO events VALUES ($1::bigint, $2::bytea)", 2, NULL);
  if (PQresultStatus(result) != PGRES_COMMAND_OK) failed(connection, "prepare");
  PQclear(result);
  execute(connection, "BEGIN");
  const Row row = row_of(source, (uint64_t)1 << 62, now());
  const char *values[] = {(const char *)&row.key, (const char *)&row.record};
  result = PQexecPrepared(connection, "put", 2, values, row_lengths, row_formats, 1);
  if (PQresultStatus(result) != PGRES_COMMAND_OK) failed(connection, "insert");
  PQclear(result);
  execute(connection, "ROLLBACK");
}

/* Sends the next event, without waiting. */
static void send_event(Caller *caller, const unsigned char *source, uint64_t position) {
  const uint64_t time = now();
  const Row row = row_of(source, position, time);
  const char *values[] = {(const char *)&row.key, (const char *)&row.record};
  if (!PQsendQueryPrepared(caller->connection, "put", 2, values, row_lengths, row_formats, 1) || !PQpipelineSync(caller->connection))
    failed(caller->connection, "send");
  caller->sent[(caller->first + caller->count++) % MOST_PIPELINED] = time;
}

/* Takes in what has come; how many events are acknowledged by it. */
static uint64_t receive(Caller *caller, Latencies *latencies) {
  uint64_t done = 0;
  if (!PQconsumeInput(caller->connection)) failed(caller->connection, "receive");
  while (caller->count > 0 && !PQisBusy(caller->connection)) {
    PGresult *result = PQgetResult(caller->connection);
    if (!result) continue; /* the end of one statement's results */
    const ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    /* The transaction is over when its pipeline's sync is answered. */
    if (status == PGRES_PIPELINE_SYNC) {
      latency_add(latencies, now() - caller->sent[caller->first % MOST_PIPELINED], 1);
      caller->first++, caller->count--, done++;
    } else if (status != PGRES_COMMAND_OK) {
      failed(caller->connection, "insert");
    }
  }
  return done;
}

static void append_by_connections(Figures *figures, uint64_t callers, double seconds) {
  const uint64_t connections = callers < MOST_CONNECTIONS ? callers : MOST_CONNECTIONS, depth = callers / connections;
  if (depth > MOST_PIPELINED) quit(69, "%llu in flight are too many", (unsigned long long)callers);
  const unsigned char *source = record_source();
  static Caller all[MOST_CONNECTIONS];
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  for (uint64_t i = 0; i < connections; i++) {
    all[i].connection = connected();
    prepare(all[i].connection, source);
    if (!PQenterPipelineMode(all[i].connection) || PQsetnonblocking(all[i].connection, 1) != 0) failed(all[i].connection, "pipeline");
    struct epoll_event event = {EPOLLIN, {.ptr = &all[i]}};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, PQsocket(all[i].connection), &event) != 0) quit(1, "epoll: %s", strerror(errno));
  }
  const uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);
  uint64_t next = 0;
  for (uint64_t i = 0; i < connections; i++) {
    for (uint64_t k = 0; k < depth; k++) send_event(&all[i], source, next++);
    if (PQflush(all[i].connection) < 0) failed(all[i].connection, "flush");
  }
  uint64_t at = begin;
  while (figures->records < next) {
    struct epoll_event events[MOST_CONNECTIONS];
    const int ready = epoll_wait(poll, events, MOST_CONNECTIONS, -1);
    at = now();
    for (int i = 0; i < ready; i++) {
      Caller *caller = events[i].data.ptr;
      const uint64_t done = receive(caller, &figures->latencies);
      figures->records += done;
      for (uint64_t k = 0; k < done && at < end; k++) send_event(caller, source, next++);
      if (PQflush(caller->connection) < 0) failed(caller->connection, "flush");
    }
  }
  figures->seconds = (double)(now() - begin) / 1e9;
  for (uint64_t i = 0; i < connections; i++) PQfinish(all[i].connection);
}

typedef struct {
  PGconn *connection;
  const char *table;
  const unsigned char *source;
  bool whole; /* compare payloads too */
} Store;

static void copy(Store *store, const void *bytes, int count) {
  if (PQputCopyData(store->connection, bytes, count) != 1) failed(store->connection, "copy");
}

static void append_copied(void *context, uint64_t position, uint64_t count) {
  Store *store = context;
  char text[128];
  snprintf(text, sizeof text, "COPY %s FROM STDIN (FORMAT binary)", store->table);
  execute(store->connection, text);
  copy(store, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
  const int64_t time = (int64_t)now();
  for (uint64_t i = position; i < position + count; i++) {
    unsigned char tuple[TUPLE_BYTES] = {0, 2, 0, 0, 0, 8, [14] = 0, 0, RECORD_BYTES >> 8, RECORD_BYTES & 255};
    const uint64_t key = htobe64(i);
    Record record;
    record_fill(&record, store->source, i, time);
    memcpy(tuple + 6, &key, sizeof key);
    memcpy(tuple + 18, &record, sizeof record);
    copy(store, tuple, sizeof tuple);
  }
  copy(store, "\377\377", 2);
  if (PQputCopyEnd(store->connection, NULL) != 1) failed(store->connection, "end of copy");
  for (PGresult *result; (result = PQgetResult(store->connection)); PQclear(result))
    if (PQresultStatus(result) != PGRES_COMMAND_OK) failed(store->connection, "copy");
}

static bool tuple_holds(const Store *store, const unsigned char *tuple, uint64_t position) {
  uint64_t key;
  Record record;
  memcpy(&key, tuple + 6, sizeof key);
  memcpy(&record, tuple + 18, sizeof record);
  return be64toh(key) == position && (store->whole ? record_is(&record, store->source, position) : record_holds(&record, position));
}

static uint64_t replay(void *context) {
  const Store *store = context;
  char text[128], *row;
  snprintf(text, sizeof text, "COPY (SELECT position, body FROM %s ORDER BY position) TO STDOUT (FORMAT binary)", store->table);
  execute(store->connection, text);
  uint64_t position = 0;
  bool holds = true;
  for (int bytes; (bytes = PQgetCopyData(store->connection, &row, 0)) > 0; PQfreemem(row)) {
    /* The header stands before the first row, in the same message or in one of its own. */
    const int skip = position == 0 && bytes >= 19 && memcmp(row, "PGCOPY\n", 7) == 0 ? 19 : 0;
    if (bytes - skip != TUPLE_BYTES) continue;
    holds = holds && tuple_holds(store, (const unsigned char *)row + skip, position);
    position += holds;
  }
  for (PGresult *result; (result = PQgetResult(store->connection)); PQclear(result))
    if (PQresultStatus(result) != PGRES_COMMAND_OK) failed(store->connection, "replay");
  return position;
}

int main(int argc, char **argv) {
  const Call call = bench_call(argc, argv);
  static Figures figures;
  const uint64_t callers = work_number(&call, "append", MOST_IN_FLIGHT), count = work_number(&call, "batch", MOST_IN_FLIGHT);
  const uint64_t replayed = work_number(&call, "replay", MOST_NUMBER);
  Store store = {connected(), "events", record_source(), false};
  if (callers || count) {
    make_table(store.connection, store.table);
    const uint64_t before = log_syncs(store.connection);
    if (callers) {
      append_by_connections(&figures, callers, call.seconds);
    } else {
      append_batches(&figures, &store, append_copied, count, &call);
      PQreset(store.connection);
    }
    figures.syncs = log_syncs(store.connection) - before;
  } else if (replayed) {
    store.table = "replayed";
    execute(store.connection, "SET client_min_messages = warning; CREATE TABLE IF NOT EXISTS replayed (position bigint, body bytea)");
    if (number(store.connection, "SELECT count(*) FROM replayed") != replayed) {
      make_table(store.connection, store.table);
      append_copied(&store, 0, replayed);
      execute(store.connection, "VACUUM (FREEZE, ANALYZE) replayed");
    }
    replay_all(&figures, &store, replay, replayed, call.seconds);
  } else if (work_is(&call, "verify")) {
    store.whole = true;
    figures.records = replay(&store);
  } else {
    no_such_work(&call);
  }
  PQfinish(store.connection);
  tell(&call, &figures);
  return 0;
}
