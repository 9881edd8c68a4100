// oneTBB: task_arena::enqueue for jobs from outside, task_group for those that jobs spawn, with counters for the shapes.
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <memory>

#include "../shared/shapes.hpp"

using namespace peer;
namespace tbb = oneapi::tbb;

// Workers alone: the submitting thread is none of them.
struct Pool {
  tbb::global_control control;
  tbb::task_arena arena;
  tbb::task_group group;
  explicit Pool(int workers) : control(tbb::global_control::max_allowed_parallelism, size_t(workers) + 1), arena(workers, 0) { arena.initialize(); }
};

// A batch is one task from outside, which spawns its jobs: they can be stolen one by one.
static Loose loose(int workers) {
  auto pool = std::make_shared<Pool>(workers);
  return [pool](long count, uint64_t rounds) {
    const long batches = std::max(count / 64, 1L);
    const uint64_t target = Done::expect(uint64_t(batches) * 64);
    for (long i = 0; i < batches; i++)
      pool->arena.enqueue([pool = pool.get(), rounds] {
        for (int k = 0; k < 64; k++)
          pool->group.run([rounds] {
            rounds ? body_spin(rounds) : body_empty();
            Done::one();
          });
      });
    Done::wait(target);
  };
}

// The thread that waits works as well, so that `workers` threads there are.
struct Crew {
  tbb::global_control control;
  tbb::task_arena arena;
  tbb::task_group group;
  explicit Crew(int workers) : control(tbb::global_control::max_allowed_parallelism, size_t(workers)), arena(workers, 1) { arena.initialize(); }
};

static void visit(Crew &crew, Graph &graph, uint32_t node) {
  body_empty();
  for (uint32_t k = graph.start[node]; k < graph.start[node + 1]; k++) {
    const uint32_t next = graph.next[k];
    if (graph.arrive(next)) crew.group.run([&crew, &graph, next] { visit(crew, graph, next); });
  }
}

static Prepare shaped(const std::string &shape) {
  return [shape](int workers, long count) -> Repetition {
    auto crew = std::make_shared<Crew>(workers);
    auto graph = std::make_shared<Graph>(shape, count);
    return [crew, graph] {
      return Figures{each(graph->nodes, [&] {
        graph->reset();
        crew->arena.execute([&] {
          crew->group.run([&] { visit(*crew, *graph, 0); });
          crew->group.wait();
        });
      })};
    };
  };
}

static void grow(Crew &crew, int depth) {
  body_empty();
  if (depth == 0) return;
  crew.group.run([&crew, depth] { grow(crew, depth - 1); });
  crew.group.run([&crew, depth] { grow(crew, depth - 1); });
}

int main(int argc, char **argv) {
  std::map<std::string, Prepare> works;
  add_loose(works, loose);
  for (const char *shape : {"chain", "fan", "grid"}) works[shape] = shaped(shape);
  works["tree"] = [](int workers, long count) -> Repetition {
    auto crew = std::make_shared<Crew>(workers);
    const int depth = int(std::log2(double(count)));
    return [crew, depth] {
      return Figures{each((1L << depth) - 1, [&] {
        crew->arena.execute([&] {
          crew->group.run([&] { grow(*crew, depth - 1); });
          crew->group.wait();
        });
      })};
    };
  };
  for (auto [name, interval] : {std::pair{"idle-park", 1000000u}, {"rate-100k", 10000u}})
    works[name] = [interval = interval](int workers, long count) -> Repetition {
      auto pool = std::make_shared<Pool>(workers);
      return [=] { return open_loop(count, interval, [&](auto job) { pool->arena.enqueue(job); }); };
    };
  return run(argc, argv, works);
}
