// What a row costs at least: bare arrays and threads that spin, no features. Also `ping-pong`, the machine's own figure.
#include <atomic>
#include <memory>
#include <thread>

#include "../peers/shared/shapes.hpp"

using namespace peer;

// One producer, one consumer: a ring of arguments with cached indices.
struct Ring {
  static constexpr uint64_t size = 1 << 16;
  struct Job {
    void (*run)(uint64_t, uint64_t *);
    uint64_t first;
    uint64_t *second;
  };
  std::vector<Job> jobs{size};
  alignas(128) std::atomic<uint64_t> head{0};
  alignas(128) std::atomic<uint64_t> tail{0};
  alignas(128) uint64_t seen = 0;  // the producer's view of head

  void push(const Job *batch, uint64_t count) {
    const uint64_t at = tail.load(std::memory_order_relaxed);
    while (at + count - seen > size) {
      seen = head.load(std::memory_order_acquire);
      if (at + count - seen > size) sched_yield();
    }
    for (uint64_t i = 0; i < count; i++) jobs[(at + i) % size] = batch[i];
    tail.store(at + count, std::memory_order_release);
  }
  bool drain() {
    const uint64_t begin = head.load(std::memory_order_relaxed), end = std::min(tail.load(std::memory_order_acquire), begin + 64);
    for (uint64_t i = begin; i < end; i++) jobs[i % size].run(jobs[i % size].first, jobs[i % size].second);
    head.store(end, std::memory_order_release);
    return end > begin;
  }
};

struct Pool {
  std::vector<std::unique_ptr<Ring>> rings;
  explicit Pool(int workers) {
    for (int i = 0; i < workers; i++) {
      rings.push_back(std::make_unique<Ring>());
      std::thread([ring = rings.back().get()] {
        for (int looks = 0;; looks++) {
          if (ring->drain()) looks = 0;
          else if (looks % 1024 == 1023) sched_yield();
          else __builtin_ia32_pause();
        }
      }).detach();
    }
  }
};

static Loose loose(int workers) {
  auto pool = std::make_shared<Pool>(workers);
  return [pool](long count, uint64_t rounds) {
    const std::vector<Ring::Job> batch(64, Ring::Job{[](uint64_t rounds, uint64_t *) {
                                                       rounds ? body_spin(rounds) : body_empty();
                                                       Done::one();
                                                     },
                                                     rounds, nullptr});
    const long batches = std::max(count / 64, 1L);
    const uint64_t target = Done::expect(uint64_t(batches) * 64);
    for (long i = 0; i < batches; i++) pool->rings[size_t(i) % pool->rings.size()]->push(batch.data(), 64);
    Done::wait(target);
  };
}

// A stack for each worker, half of which a worker without work takes: under one spin lock each, held for some nanoseconds.
struct Stacks {
  struct alignas(128) Stack {
    std::atomic<bool> locked{false};
    std::atomic<long> size{0};
    std::vector<uint32_t> items;
    bool try_lock() { return !locked.load(std::memory_order_relaxed) && !locked.exchange(true, std::memory_order_acquire); }
    void unlock() { locked.store(false, std::memory_order_release); }
  };
  std::vector<Stack> stacks;
  Stacks(int workers, size_t capacity) : stacks(size_t(workers)) {
    for (auto &stack : stacks) stack.items.resize(capacity);
  }

  // Runs `visit(item, push)` until `finished()`.
  template <class Visit, class Finished>
  void work(size_t own, Visit visit, Finished finished) {
    std::vector<uint32_t> local;
    local.reserve(1 << 16);
    const bool alone = stacks.size() == 1;
    Stack &mine = stacks[own];
    for (uint32_t idle = 0;;) {
      if (local.empty() && !take(mine, local)) {
        bool got = false;
        for (size_t k = 1; k < stacks.size() && !got; k++) got = take(stacks[(own + k) % stacks.size()], local);
        if (!got) {
          if (finished()) return;
          if (++idle % 1024 == 0) sched_yield();
          else __builtin_ia32_pause();
          continue;
        }
      }
      idle = 0;
      const uint32_t item = local.back();
      local.pop_back();
      visit(item, [&](uint32_t next) { local.push_back(next); });
      // Something to offer, and nothing on offer.
      if (!alone && local.size() > 1 && mine.size.load(std::memory_order_relaxed) == 0) offer(mine, local);
    }
  }

  void offer(Stack &stack, std::vector<uint32_t> &local) {
    if (!stack.try_lock()) return;
    const size_t half = std::min(local.size() / 2, stack.items.size());
    std::copy(local.begin(), local.begin() + long(half), stack.items.begin());
    local.erase(local.begin(), local.begin() + long(half));
    stack.size.store(long(half), std::memory_order_relaxed);
    stack.unlock();
  }

  bool take(Stack &stack, std::vector<uint32_t> &local) {
    if (stack.size.load(std::memory_order_relaxed) == 0 || !stack.try_lock()) return false;
    const long size = stack.size.load(std::memory_order_relaxed);
    local.insert(local.end(), stack.items.begin(), stack.items.begin() + size);
    stack.size.store(0, std::memory_order_relaxed);
    stack.unlock();
    return size > 0;
  }
};

// `workers` threads, this one among them, work from one first item until `finished`.
template <class Visit, class Finished>
static double crew(int workers, long count, Visit visit, Finished finished) {
  Stacks stacks(workers, 1 << 20);
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (int i = 1; i < workers; i++)
    others.emplace_back([&, i] {
      while (!go.load(std::memory_order_acquire)) __builtin_ia32_pause();
      stacks.work(size_t(i), visit, finished);
    });
  stacks.stacks[0].items[0] = 0;
  stacks.stacks[0].size = 1;
  const double result = each(count, [&] {
    go.store(true, std::memory_order_release);
    stacks.work(0, visit, finished);
  });
  for (auto &other : others) other.join();
  return result;
}

static Prepare shaped(const std::string &shape) {
  return [shape](int workers, long count) -> Repetition {
    auto graph = std::make_shared<Graph>(shape, count);
    return [=] {
      graph->reset();
      std::atomic<bool> ended{false};
      return Figures{crew(
          workers, graph->nodes,
          [&](uint32_t node, auto push) {
            body_empty();
            // The nearest in memory is pushed last, and runs next.
            for (uint32_t k = graph->start[node + 1]; k-- > graph->start[node];)
              if (graph->arrive(graph->next[k])) push(graph->next[k]);
            if (graph->is_last(node)) ended.store(true, std::memory_order_release);
          },
          [&] { return ended.load(std::memory_order_acquire); })};
    };
  };
}

// Nanoseconds of a cache line's way from one thread to another and back.
static Repetition ping_pong(int, long count) {
  return [count] {
    alignas(128) static std::atomic<uint64_t> ping, pong;
    ping = pong = 0;
    std::thread other([count] {
      for (uint64_t i = 1; i <= uint64_t(count); i++) {
        while (ping.load(std::memory_order_acquire) < i) __builtin_ia32_pause();
        pong.store(i, std::memory_order_release);
      }
    });
    const double result = each(count, [&] {
      for (uint64_t i = 1; i <= uint64_t(count); i++) {
        ping.store(i, std::memory_order_release);
        while (pong.load(std::memory_order_acquire) < i) __builtin_ia32_pause();
      }
    });
    other.join();
    return Figures{result};
  };
}

int main(int argc, char **argv) {
  std::map<std::string, Prepare> works;
  add_loose(works, loose);
  works["ping-pong"] = ping_pong;
  for (const char *shape : {"chain", "fan", "grid"}) works[shape] = shaped(shape);
  works["tree"] = [](int workers, long count) -> Repetition {
    const auto depth = uint32_t(std::log2(double(count)));
    return [=] {
      const long jobs = (1L << depth) - 1;
      const uint64_t target = Done::expect(uint64_t(jobs));
      std::atomic<bool> ended{false};
      std::thread watch([&] { Done::wait(target), ended = true; });
      // An item is the depth that is used up.
      const double result = crew(
          workers, jobs,
          [&](uint32_t used, auto push) {
            body_empty();
            if (used + 1 < depth) push(used + 1), push(used + 1);
            Done::one();
          },
          [&] { return ended.load(std::memory_order_acquire); });
      watch.join();
      return Figures{result};
    };
  };
  works["plan-build"] = [](int, long count) -> Repetition {
    return [count] { return Figures{each(shape_nodes("grid", count), [&] { Graph graph("grid", count); })}; };
  };
  for (auto [name, interval] : {std::pair{"idle-spin", 1000000u}, {"rate-100k", 10000u}})
    works[name] = [interval = interval](int workers, long count) -> Repetition {
      auto pool = std::make_shared<Pool>(workers);
      return [=] {
        std::vector<uint64_t> samples(static_cast<size_t>(count));
        const uint64_t target = Done::expect(uint64_t(count)), begin = now() + 1000000;
        for (long i = 0; i < count; i++) {
          const uint64_t due = begin + uint64_t(i) * interval;
          while (now() < due) __builtin_ia32_pause();
          const Ring::Job job{[](uint64_t due, uint64_t *sample) {
                                *sample = now() - due;
                                body_empty();
                                Done::one();
                              },
                              due, &samples[size_t(i)]};
          pool->rings[size_t(i) % pool->rings.size()]->push(&job, 1);
        }
        Done::wait(target);
        return percentiles(std::move(samples));
      };
    };
  return run(argc, argv, works);
}
