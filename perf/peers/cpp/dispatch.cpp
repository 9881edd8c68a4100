// libdispatch: functions on the global queue, counters for the shapes. Its pool is as wide as the processors that the process may use when it
// starts; SERIAL=1 takes a serial queue instead, which one thread drains: no pool.
#include <dispatch/dispatch.h>
#include <sched.h>

#include <memory>

#include "../shared/shapes.hpp"

using namespace peer;

static dispatch_queue_t queue_of(int workers) {
  if (std::getenv("SERIAL")) return workers == 1 ? dispatch_queue_create("peer", DISPATCH_QUEUE_SERIAL) : nullptr;
  cpu_set_t granted, narrow;
  CPU_ZERO(&narrow);
  if (sched_getaffinity(0, sizeof granted, &granted) != 0 || CPU_COUNT(&granted) < workers) return nullptr;
  for (int cpu = 0, left = workers; left > 0; cpu++)
    if (CPU_ISSET(cpu, &granted)) CPU_SET(cpu, &narrow), left--;
  sched_setaffinity(0, sizeof narrow, &narrow);
  dispatch_queue_t queue = dispatch_get_global_queue(DISPATCH_QUEUE_PRIORITY_DEFAULT, 0);
  Gate started;
  dispatch_async_f(queue, &started, [](void *gate) { static_cast<Gate *>(gate)->open(); });
  started.wait();
  sched_setaffinity(0, sizeof granted, &granted);
  return queue;
}

static uint64_t loose_rounds;

static Loose loose(int workers) {
  dispatch_queue_t queue = queue_of(workers);
  if (!queue) return nullptr;
  return [queue](long count, uint64_t rounds) {
    loose_rounds = rounds;
    const uint64_t target = Done::expect(uint64_t(count));
    for (long i = 0; i < count; i++)
      dispatch_async_f(queue, nullptr, [](void *) {
        loose_rounds ? body_spin(loose_rounds) : body_empty();
        Done::one();
      });
    Done::wait(target);
  };
}

// One shape at a time: a job's context is its node.
static struct {
  dispatch_queue_t queue;
  std::unique_ptr<Graph> graph;
  Gate gate;
} shaped;

static void visit(void *context) {
  const auto node = uint32_t(uintptr_t(context));
  Graph &graph = *shaped.graph;
  body_empty();
  for (uint32_t k = graph.start[node]; k < graph.start[node + 1]; k++)
    if (graph.arrive(graph.next[k])) dispatch_async_f(shaped.queue, reinterpret_cast<void *>(uintptr_t(graph.next[k])), visit);
  if (graph.is_last(node)) shaped.gate.open();
}

static void grow(void *context) {
  const auto depth = uintptr_t(context);
  body_empty();
  if (depth > 0)
    for (int k = 0; k < 2; k++) dispatch_async_f(shaped.queue, reinterpret_cast<void *>(depth - 1), grow);
  Done::one();
}

int main(int argc, char **argv) {
  std::map<std::string, Prepare> works;
  add_loose(works, loose);
  for (const std::string shape : {"chain", "fan", "grid"})
    works[shape] = [shape](int workers, long count) -> Repetition {
      if (!(shaped.queue = queue_of(workers))) return nullptr;
      shaped.graph = std::make_unique<Graph>(shape, count);
      return [] {
        return Figures{each(shaped.graph->nodes, [] {
          shaped.graph->reset();
          shaped.gate.close();
          dispatch_async_f(shaped.queue, nullptr, visit);
          shaped.gate.wait();
        })};
      };
    };
  works["tree"] = [](int workers, long count) -> Repetition {
    if (!(shaped.queue = queue_of(workers))) return nullptr;
    const auto depth = uintptr_t(std::log2(double(count)));
    return [depth] {
      return Figures{each((1L << depth) - 1, [&] {
        const uint64_t target = Done::expect((1u << depth) - 1);
        dispatch_async_f(shaped.queue, reinterpret_cast<void *>(depth - 1), grow);
        Done::wait(target);
      })};
    };
  };
  for (auto [name, interval] : {std::pair{"idle-park", 1000000u}, {"rate-100k", 10000u}})
    works[name] = [interval = interval](int workers, long count) -> Repetition {
      dispatch_queue_t queue = queue_of(workers);
      if (!queue) return nullptr;
      return [=] {
        return open_loop(count, interval, [&](auto job) {
          dispatch_async_f(queue, new decltype(job)(job), [](void *context) {
            std::unique_ptr<decltype(job)> own(static_cast<decltype(job) *>(context));
            (*own)();
          });
        });
      };
    };
  return run(argc, argv, works);
}
