// The shapes of a plan as flat arrays, for peers that have no graph of their own: a counter for each node, and who follows.
#pragma once
#include "peer.hpp"

namespace peer {

constexpr long fan_wave = 101;

inline long shape_nodes(const std::string &shape, long count) {
  const long side = long(std::sqrt(double(count)));
  if (shape == "fan") return std::max(count / fan_wave, 1L) * fan_wave + 1;
  if (shape == "grid") return side * side;
  return count;
}

template <class Visit>
void predecessors(const std::string &shape, long nodes, long i, Visit visit) {
  if (shape == "chain") {
    if (i > 0) visit(i - 1);
  } else if (shape == "fan") {
    if (i % fan_wave != 0) visit(i - i % fan_wave);
    else if (i > 0)
      for (long k = 1; k < fan_wave; k++) visit(i - k);
  } else {
    const long side = long(std::sqrt(double(nodes)));
    if (i % side > 0) visit(i - 1);
    if (i >= side) visit(i - side);
  }
}

// Compressed rows, built once; `reset` before each run.
struct Graph {
  long nodes;
  std::vector<uint32_t> start, next, before;
  std::vector<std::atomic<uint32_t>> left;

  Graph(const std::string &shape, long count) : nodes(shape_nodes(shape, count)), start(size_t(nodes) + 2), before(size_t(nodes)), left(size_t(nodes)) {
    for (long i = 0; i < nodes; i++) predecessors(shape, nodes, i, [&](long p) { start[size_t(p) + 2]++, before[size_t(i)]++; });
    for (size_t i = 2; i < start.size(); i++) start[i] += start[i - 1];
    next.resize(start.back());
    for (long i = 0; i < nodes; i++) predecessors(shape, nodes, i, [&](long p) { next[start[size_t(p) + 1]++] = uint32_t(i); });
    start.pop_back();
  }

  void reset() {
    for (size_t i = 0; i < size_t(nodes); i++) left[i].store(before[i], std::memory_order_relaxed);
  }

  // The last of a node's predecessors is done. One predecessor alone needs no locked instruction.
  bool arrive(uint32_t node) { return before[node] == 1 || left[node].fetch_sub(1, std::memory_order_acq_rel) == 1; }
  bool is_last(uint32_t node) const { return long(node) == nodes - 1; }  // the only sink of every shape here
};

}  // namespace peer
