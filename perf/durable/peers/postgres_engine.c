/* An engine of a page on PostgreSQL: durable workflows of ten empty steps. Tables `runs` and `steps`; a run's row is committed before its first step, and a step's
   before the next one begins. One thread serves all connections, by libpq's pipeline mode, so that nothing waits that need not.

     durable-N-pipeline   a transaction for each step; of more than 64 runs, 64 connections with N / 64 of their runs' transactions in a pipeline each
     durable-N-group      what has come to an end meanwhile is one transaction of as many rows, by arrays: N / 2 runs for each of two connections

   DIRECTORY is where the server keeps its data; the server is found as libpq finds it: PGHOST, PGPORT, PGUSER. */
#include <endian.h>
#include <libpq-fe.h>
#include <stddef.h>
#include <sys/epoll.h>

#include "../../log/shared/bench.h"

enum { STEPS = 10, MOST_RUNS = 4096, MOST_LANES = 64, CREATION = -1 };

typedef struct {
  uint64_t id, began;
  int step; /* which has been done and is being recorded; CREATION: the run itself is */
} Run;

/* Binary array of int8. */
typedef struct {
  uint32_t dimensions, flags, type, count, first;
  struct __attribute__((packed)) {
    uint32_t bytes;
    uint64_t value;
  } elements[MOST_RUNS];
} Array;

typedef struct {
  PGconn *connection;
  Run *waiting[MOST_RUNS]; /* a ring: what is under way, in its order */
  unsigned first, count;
} Lane;

static Lane lanes[MOST_LANES];
static Run runs[MOST_RUNS];
static Latencies latencies;
static uint64_t next_id, completed, called, end;
static bool groups;

__attribute__((noreturn)) static void failed(PGconn *connection, const char *what) { quit(1, "postgres: %s: %s", what, PQerrorMessage(connection)); }

static uint64_t query(PGconn *connection, const char *text) {
  PGresult *result = PQexec(connection, text);
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) failed(connection, text);
  const uint64_t value = PQntuples(result) ? strtoull(PQgetvalue(result, 0, 0), NULL, 10) : 0;
  PQclear(result);
  return value;
}

static void prepare(PGconn *connection, const char *name, const char *text) {
  PGresult *result = PQprepare(connection, name, text, 0, NULL);
  if (PQresultStatus(result) != PGRES_COMMAND_OK) failed(connection, text);
  PQclear(result);
}

static void send(Lane *lane, const char *statement, int count, const char *const values[], const int lengths[]) {
  static const int binary[] = {1, 1};
  if (!PQsendQueryPrepared(lane->connection, statement, count, values, lengths, binary, 0)) failed(lane->connection, statement);
}

static void commit(Lane *lane) {
  if (!PQpipelineSync(lane->connection)) failed(lane->connection, "sync");
}

static void wait_for(Lane *lane, Run *run) { lane->waiting[(lane->first + lane->count++) % MOST_RUNS] = run; }

/* What a run has to record, its own transaction. */
static void send_one(Lane *lane, Run *run) {
  const uint64_t id = htobe64(run->id), step = htobe64((uint64_t)run->step);
  const char *values[] = {(const char *)&id, (const char *)&step};
  const int lengths[] = {8, 8};
  if (run->step == CREATION) {
    send(lane, "create", 1, values, lengths);
  } else {
    send(lane, "complete", 2, values, lengths);
    if (run->step == STEPS - 1) send(lane, "end", 1, values, lengths);
  }
  commit(lane);
  wait_for(lane, run);
}

static void add(Array *array, uint64_t value) {
  array->elements[array->count].bytes = htobe32(8);
  array->elements[array->count++].value = htobe64(value);
}

static int sealed(Array *array) {
  const uint32_t count = array->count;
  array->dimensions = htobe32(1), array->type = htobe32(20), array->count = htobe32(count), array->first = htobe32(1);
  return (int)(offsetof(Array, elements) + count * sizeof array->elements[0]);
}

/* What so many runs have to record, in one transaction. */
static void send_all(Lane *lane, Run **some, unsigned count) {
  static Array created, stepped, steps, ended;
  created.count = stepped.count = steps.count = ended.count = 0;
  for (unsigned i = 0; i < count; i++) {
    const Run *run = some[i];
    wait_for(lane, some[i]);
    if (run->step == CREATION) {
      add(&created, run->id);
      continue;
    }
    add(&stepped, run->id), add(&steps, (uint64_t)run->step);
    if (run->step == STEPS - 1) add(&ended, run->id);
  }
  if (created.count) send(lane, "create-all", 1, (const char *[]){(const char *)&created}, (int[]){sealed(&created)});
  if (stepped.count)
    send(lane, "complete-all", 2, (const char *[]){(const char *)&stepped, (const char *)&steps}, (int[]){sealed(&stepped), sealed(&steps)});
  if (ended.count) send(lane, "end-all", 1, (const char *[]){(const char *)&ended}, (int[]){sealed(&ended)});
  commit(lane);
}

/* The work of a step. */
static void nothing(uint64_t id, int step) { (void)id, (void)step, called++; }
static void (*volatile const handler)(uint64_t, int) = nothing;

static void begin_run(Run *run, uint64_t at) { *run = (Run){next_id++, at, CREATION}; }

/* What a run had to record is committed: does its next step. False: there is nothing left to do for it. */
static bool advance(Run *run, uint64_t at) {
  if (++run->step < STEPS) return handler(run->id, run->step), true;
  completed++;
  latency_add(&latencies, at - run->began, 1);
  if (at >= end) return false;
  begin_run(run, at);
  return true;
}

static Run *answered(Lane *lane) {
  Run *run = lane->waiting[lane->first % MOST_RUNS];
  lane->first++, lane->count--;
  return run;
}

/* Takes in what has come, and goes on with the runs whose records are committed. */
static void receive(Lane *lane) {
  static Run *more[MOST_RUNS];
  if (!PQconsumeInput(lane->connection)) failed(lane->connection, "receive");
  while (lane->count > 0 && !PQisBusy(lane->connection)) {
    PGresult *result = PQgetResult(lane->connection);
    if (!result) continue; /* the end of one statement's results */
    const ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status == PGRES_COMMAND_OK) continue;
    if (status != PGRES_PIPELINE_SYNC) failed(lane->connection, "a statement");
    const uint64_t at = now();
    unsigned count = 0;
    for (unsigned of = groups ? lane->count : 1; of > 0; of--) {
      Run *run = answered(lane);
      if (advance(run, at)) more[count++] = run;
    }
    if (groups && count) send_all(lane, more, count);
    else if (count) send_one(lane, more[0]);
  }
  if (PQflush(lane->connection) < 0) failed(lane->connection, "flush");
}

static PGconn *connected(void) {
  PGconn *connection = PQconnectdb("dbname=postgres");
  if (PQstatus(connection) != CONNECTION_OK) failed(connection, "connect");
  return connection;
}

static void open_lane(Lane *lane, int poll) {
  PGconn *connection = lane->connection = connected();
  prepare(connection, "create", "INSERT INTO runs VALUES ($1::bigint)");
  prepare(connection, "complete", "INSERT INTO steps VALUES ($1::bigint, $2::bigint)");
  prepare(connection, "end", "UPDATE runs SET ended = now() WHERE id = $1::bigint");
  prepare(connection, "create-all", "INSERT INTO runs SELECT unnest($1::bigint[])");
  prepare(connection, "complete-all", "INSERT INTO steps SELECT * FROM unnest($1::bigint[], $2::bigint[])");
  prepare(connection, "end-all", "UPDATE runs SET ended = now() WHERE id = ANY ($1::bigint[])");
  if (!PQenterPipelineMode(connection) || PQsetnonblocking(connection, 1) != 0) failed(connection, "pipeline");
  struct epoll_event event = {EPOLLIN, {.ptr = lane}};
  if (epoll_ctl(poll, EPOLL_CTL_ADD, PQsocket(connection), &event) != 0) quit(1, "epoll: %s", strerror(errno));
}

static bool is_busy(unsigned count) {
  for (unsigned i = 0; i < count; i++) if (lanes[i].count > 0) return true;
  return false;
}

/* `of` runs at a time until the time is over; waits for all. Seconds that it took. */
static double work(unsigned of, unsigned count, double seconds) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  for (unsigned i = 0; i < count; i++) open_lane(&lanes[i], poll);
  const uint64_t begin = now();
  end = begin + (uint64_t)(seconds * 1e9);
  for (unsigned i = 0; i < count; i++) {
    static Run *first[MOST_RUNS];
    unsigned some = 0;
    for (unsigned k = i; k < of; k += count) begin_run(&runs[k], begin), first[some++] = &runs[k];
    if (groups) send_all(&lanes[i], first, some);
    else for (unsigned k = 0; k < some; k++) send_one(&lanes[i], first[k]);
    if (PQflush(lanes[i].connection) < 0) failed(lanes[i].connection, "flush");
  }
  while (is_busy(count)) {
    struct epoll_event events[MOST_LANES];
    const int ready = epoll_wait(poll, events, MOST_LANES, -1);
    for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
  }
  const double took = (double)(now() - begin) / 1e9;
  for (unsigned i = 0; i < count; i++) PQfinish(lanes[i].connection);
  return took;
}

/* Syncs of the write-ahead log so far, when all other connections have ended: a server process counts for everybody when it ends. */
static uint64_t log_syncs(PGconn *connection) {
  while (query(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()") > 0) usleep(1000);
  return query(connection, "SELECT wal_sync FROM pg_stat_wal");
}

int main(int argc, char **argv) {
  const Call call = bench_call(argc, argv);
  unsigned count;
  int length = 0;
  if (sscanf(call.work, "durable-%u%n", &count, &length) != 1 || count < 1 || count > MOST_RUNS) no_such_work(&call);
  groups = strcmp(call.work + length, "-group") == 0;
  if (!groups && strcmp(call.work + length, "-pipeline") != 0) no_such_work(&call);
  const unsigned most = groups ? 2 : MOST_LANES;
  PGconn *connection = connected();
  query(connection, "SET client_min_messages = warning; DROP TABLE IF EXISTS runs, steps; CREATE TABLE runs (id bigint PRIMARY KEY, ended timestamptz);"
                    "CREATE TABLE steps (run bigint, step bigint, output bytea, ended timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, step))");
  query(connection, "CHECKPOINT");
  const uint64_t before = log_syncs(connection);
  const double seconds = work(count, count < most ? count : most, call.seconds);
  const uint64_t syncs = log_syncs(connection) - before;
  const uint64_t steps = query(connection, "SELECT count(*) FROM steps"), ended = query(connection, "SELECT count(*) FROM runs WHERE ended IS NOT NULL");
  if (steps != completed * STEPS || called != steps || ended != completed)
    quit(1, "of %llu workflows the tables have %llu, and %llu steps", (unsigned long long)completed, (unsigned long long)ended, (unsigned long long)steps);
  PQfinish(connection);
  printf("{\"program\": \"postgres\", \"work\": \"%s\", \"workflows\": %llu, \"steps\": %llu, \"seconds\": %.6f, \"syncs\": %llu", call.work,
         (unsigned long long)completed, (unsigned long long)steps, seconds, (unsigned long long)syncs);
  tell_percentile(&latencies, "p50_ns", 0.5);
  tell_percentile(&latencies, "p99_ns", 0.99);
  printf("}\n");
  return 0;
}
