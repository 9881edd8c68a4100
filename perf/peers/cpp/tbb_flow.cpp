// oneTBB's flow graph: nodes built once, run again and again.
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <deque>
#include <memory>
#include <optional>

#include "../shared/shapes.hpp"

using namespace peer;
namespace tbb = oneapi::tbb;
using Node = tbb::flow::continue_node<tbb::flow::continue_msg>;

struct Flow {
  std::optional<tbb::flow::graph> graph;
  std::deque<Node> nodes;

  // In an arena, which is from then on the graph's.
  Flow(const std::string &shape, long count) {
    graph.emplace();
    const long total = shape_nodes(shape, count);
    for (long i = 0; i < total; i++) {
      nodes.emplace_back(*graph, [](const tbb::flow::continue_msg &) { body_empty(); });
      predecessors(shape, total, i, [&](long p) { tbb::flow::make_edge(nodes[size_t(p)], nodes[size_t(i)]); });
    }
  }

  void run() {
    nodes.front().try_put(tbb::flow::continue_msg());
    graph->wait_for_all();
  }
};

struct Crew {
  tbb::global_control control;
  tbb::task_arena arena;
  std::unique_ptr<Flow> flow;
  explicit Crew(int workers) : control(tbb::global_control::max_allowed_parallelism, size_t(workers)), arena(workers, 1) { arena.initialize(); }
  void build(const std::string &shape, long count) {
    arena.execute([&] { flow = std::make_unique<Flow>(shape, count); });
  }
  void run() {
    arena.execute([&] { flow->run(); });
  }
};

static double resident() {
  long total = 0, pages = 0;
  std::FILE *file = std::fopen("/proc/self/statm", "r");
  if (!file || std::fscanf(file, "%ld %ld", &total, &pages) != 2) std::abort();
  std::fclose(file);
  return double(pages) * double(sysconf(_SC_PAGESIZE));
}

int main(int argc, char **argv) {
  std::map<std::string, Prepare> works;
  for (const std::string shape : {"chain", "fan", "grid"})
    works[shape] = [shape](int workers, long count) -> Repetition {
      auto crew = std::make_shared<Crew>(workers);
      crew->build(shape, count);
      return [crew] { return Figures{each(long(crew->flow->nodes.size()), [&] { crew->run(); })}; };
    };
  works["plan-build"] = [](int workers, long count) -> Repetition {
    auto crew = std::make_shared<Crew>(workers);
    return [crew, count] {
      crew->flow.reset();
      return Figures{each(shape_nodes("grid", count), [&] { crew->build("grid", count); })};
    };
  };
  // Each repetition keeps its graph, so that no memory of an earlier one is used again.
  works["plan-bytes"] = [](int workers, long count) -> Repetition {
    auto crew = std::make_shared<Crew>(workers);
    auto kept = std::make_shared<std::vector<std::unique_ptr<Flow>>>();
    return [crew, kept, count] {
      const double before = resident();
      crew->build("grid", count);
      crew->run();
      const double after = resident();
      kept->push_back(std::move(crew->flow));
      return Figures{(after - before) / double(shape_nodes("grid", count))};
    };
  };
  return run(argc, argv, works);
}
