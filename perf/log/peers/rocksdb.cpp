// RocksDB: every write waits for a sync of the write-ahead log; concurrent writers are joined by RocksDB itself, one sync for a group.
//
//   append-N   N threads, each a caller with an event at a time; of more than 64, 64 threads with N / 64 events in a WriteBatch
//   batch-N    a caller that puts N events into a WriteBatch
//   replay-N, verify
//
// Its defaults but for a larger memtable and no compression. Recycled logs go only with a recovery that skips damage; pipelined writes gained nothing.
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

extern "C" {
#include "../shared/bench.h"
}

namespace {

constexpr uint64_t most_threads = 64;

void check(const rocksdb::Status &status, const char *what) {
  if (!status.ok()) quit(1, "rocksdb: %s: %s", what, status.ToString().c_str());
}

// Keys in the order of positions.
struct Key {
  uint64_t bytes;
  explicit Key(uint64_t position) : bytes(__builtin_bswap64(position)) {}
  rocksdb::Slice slice() const { return {reinterpret_cast<const char *>(&bytes), sizeof bytes}; }
};

rocksdb::Slice slice(const Record &record) { return {reinterpret_cast<const char *>(&record), sizeof record}; }

class Store {
  std::unique_ptr<rocksdb::DB> base;
  const unsigned char *source = record_source();
  rocksdb::WriteOptions durable, lazy;

 public:
  Store(const Call &call, const char *name) {
    char path[PATH_MAX];
    path_in(path, call.directory, name);
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;  // payloads are random
    options.write_buffer_size = 64 << 20;
    options.max_write_buffer_number = 6;
    options.allow_mmap_reads = true;
    rocksdb::BlockBasedTableOptions table;
    table.block_size = 32 << 10;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB *opened;
    check(rocksdb::DB::Open(options, path, &opened), path);
    base.reset(opened);
    durable.sync = true;
  }

  void put(uint64_t position) {
    Record record;
    record_fill(&record, source, position, int64_t(now()));
    check(base->Put(durable, Key(position).slice(), slice(record)), "put");
  }

  void batch(uint64_t position, uint64_t count, bool sync) {
    rocksdb::WriteBatch batch(count * (RECORD_BYTES + 16) + 64);
    const auto time = int64_t(now());
    for (uint64_t i = position; i < position + count; i++) {
      Record record;
      record_fill(&record, source, i, time);
      check(batch.Put(Key(i).slice(), slice(record)), "batch");
    }
    check(base->Write(sync ? durable : lazy, &batch), "write");
  }

  void fill(uint64_t count) {
    for (uint64_t at = 0; at < count; at += 1000) batch(at, std::min<uint64_t>(1000, count - at), false);
    check(base->Flush({}), "flush");
    check(base->CompactRange({}, nullptr, nullptr), "compact");
  }

  bool empty() {
    const std::unique_ptr<rocksdb::Iterator> iterator(base->NewIterator({}));
    iterator->SeekToFirst();
    check(iterator->status(), "seek");
    return !iterator->Valid();
  }

  uint64_t replay(bool whole) {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    options.readahead_size = 2 << 20;
    uint64_t position = 0;
    const std::unique_ptr<rocksdb::Iterator> iterator(base->NewIterator(options));
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), position++) {
      const auto *found = reinterpret_cast<const Record *>(iterator->value().data());
      if (iterator->key() != Key(position).slice() || iterator->value().size() != RECORD_BYTES) break;
      if (!(whole ? record_is(found, source, position) : record_holds(found, position))) break;
    }
    check(iterator->status(), "iterate");
    return position;
  }
};

void append_by_threads(Store &store, Figures &figures, uint64_t callers, double seconds) {
  const uint64_t threads = std::min(callers, most_threads), each = callers / threads;
  std::atomic<uint64_t> next{0}, ready{0}, begin{0};
  std::vector<std::unique_ptr<Latencies>> latencies;
  std::vector<std::thread> running;
  for (uint64_t i = 0; i < threads; i++) {
    latencies.push_back(std::make_unique<Latencies>());
    running.emplace_back([&, own = latencies.back().get()] {
      ready++;
      begin.wait(0);
      const uint64_t end = begin + uint64_t(seconds * 1e9);
      uint64_t at = now();
      do {
        if (each == 1) store.put(next++);
        else store.batch(next.fetch_add(each), each, true);
        const uint64_t done = now();
        latency_add(own, done - at, each);
        at = done;
      } while (at < end);
    });
  }
  while (ready < threads) std::this_thread::yield();
  begin = now();
  begin.notify_all();
  for (auto &thread : running) thread.join();
  figures.seconds = double(now() - begin) / 1e9;
  figures.records = next;
  for (const auto &some : latencies) latency_join(&figures.latencies, some.get());
}

}  // namespace

int main(int argc, char **argv) {
  const Call call = bench_call(argc, argv);
  static Figures figures;
  const uint64_t callers = work_number(&call, "append", MOST_IN_FLIGHT), count = work_number(&call, "batch", MOST_IN_FLIGHT);
  const uint64_t replayed = work_number(&call, "replay", MOST_NUMBER);
  if (callers || count) {
    Store store(call, "rocksdb");
    const uint64_t before = syncs_called();
    if (callers) {
      append_by_threads(store, figures, callers, call.seconds);
    } else {
      append_batches(
          &figures, &store, [](void *to, uint64_t position, uint64_t many) { static_cast<Store *>(to)->batch(position, many, true); }, count, &call);
    }
    figures.syncs = syncs_called() - before;
    tell(&call, &figures);
    fflush(stdout);
    _exit(0);  // not closed: what is acknowledged is there without it
  }
  if (replayed) {
    Store store(call, "replay.rocksdb");
    if (store.empty()) store.fill(replayed);
    replay_all(&figures, &store, [](void *from) { return static_cast<Store *>(from)->replay(false); }, replayed, call.seconds);
  } else if (work_is(&call, "verify")) {
    figures.records = Store(call, "rocksdb").replay(true);
  } else {
    no_such_work(&call);
  }
  tell(&call, &figures);
}
