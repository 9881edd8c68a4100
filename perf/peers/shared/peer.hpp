// What the peers in C and C++ share: the command line, the clock, the count of what is done.
#pragma once
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

extern "C" {
#include "body.h"
}

namespace peer {

using Figures = std::vector<double>;
using Repetition = std::function<Figures()>;
// Prepares what is not measured; what it returns measures one repetition.
using Prepare = std::function<Repetition(int workers, long count)>;

inline uint64_t now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

// Sleeps until it is opened.
class Gate {
  std::atomic<uint32_t> word{0};

 public:
  void close() { word.store(0, std::memory_order_relaxed); }
  void open() {
    word.store(1, std::memory_order_release);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  void wait() {
    while (word.load(std::memory_order_acquire) == 0) syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  }
};

struct alignas(128) Slot {
  std::atomic<uint64_t> count{0};
};

// Counts jobs on the threads that run them: no locked instruction for a job. The measuring thread sleeps until less than a lot for each thread is left.
class Done {
  static constexpr uint64_t lot = 64, most = 64;
  static inline Slot slots[most];
  static inline std::atomic<uint64_t> used{0};
  alignas(128) static inline std::atomic<uint64_t> lots{0};
  alignas(128) static inline std::atomic<uint64_t> threshold{0};
  static inline Gate gate;
  static Slot &own() {
    static thread_local Slot *slot = &slots[used.fetch_add(1) % most];
    return *slot;
  }
  static uint64_t total() {
    uint64_t sum = 0;
    for (auto &slot : slots) sum += slot.count.load(std::memory_order_acquire);
    return sum;
  }

 public:
  // Before anything is submitted. What is to be given to `wait`.
  static uint64_t expect(uint64_t count) {
    const uint64_t before = total(), slack = 8 * lot;
    gate.close();
    // Crossed for certain, and later than now, or not at all.
    threshold.store(count > slack ? before + count - slack : 0);
    return before + count;
  }
  static void one() {
    Slot &slot = own();
    const uint64_t next = slot.count.load(std::memory_order_relaxed) + 1;
    slot.count.store(next, std::memory_order_release);
    if (next % lot != 0) return;
    const uint64_t before = lots.fetch_add(lot), line = threshold.load(std::memory_order_relaxed);
    if (before < line && before + lot >= line) gate.open();
  }
  static void wait(uint64_t target) {
    if (threshold.load() != 0) gate.wait();  // even if it is crossed by now: it must be opened before it is shut again
    for (int looks = 1; total() < target; looks++) {
      if (looks % 64 == 0) sched_yield();
      else __builtin_ia32_pause();
    }
  }
};

// Nanoseconds that `work` takes, for each of `count`.
template <class Work>
double each(long count, Work work) {
  const uint64_t begin = now();
  work();
  return double(now() - begin) / double(count);
}

inline double percentile(std::vector<uint64_t> &sorted, double p) {
  return double(sorted[std::min(sorted.size() - 1, size_t(std::ceil(p * double(sorted.size()))) - (p > 0 ? 1 : 0))]);
}

// p50 and p99 of samples.
inline Figures percentiles(std::vector<uint64_t> samples) {
  std::sort(samples.begin(), samples.end());
  return {percentile(samples, 0.5), percentile(samples, 0.99)};
}

// One job every `interval` nanoseconds, by a thread that spins for the time: the latency counts from the intended moment.
template <class Submit>
Figures open_loop(long count, uint64_t interval, Submit submit) {
  std::vector<uint64_t> samples(static_cast<size_t>(count));
  const uint64_t target = Done::expect(uint64_t(count)), begin = now() + 1000000;
  for (long i = 0; i < count; i++) {
    const uint64_t due = begin + uint64_t(i) * interval;
    while (now() < due) __builtin_ia32_pause();
    uint64_t *sample = &samples[size_t(i)];
    submit([sample, due] {
      *sample = now() - due;
      body_empty();
      Done::one();
    });
  }
  Done::wait(target);
  return percentiles(std::move(samples));
}

// Rounds of `body_spin` in a nanosecond.
inline double calibrate() {
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < 20; i++) {
    const uint64_t begin = now();
    body_spin(1 << 14);
    best = std::min(best, now() - begin);
  }
  return double(1 << 14) / double(best);
}

// The rows that differ only in how a job is submitted: `start(workers)` gives a function that runs `count` jobs of `body`.
using Loose = std::function<void(long count, uint64_t rounds)>;

inline double efficiency(const Loose &run, int workers, long count, uint64_t rounds) {
  const double serial = each(count, [&] { for (long i = 0; i < count; i++) body_spin(rounds); });
  return serial / (each(count, [&] { run(count, rounds); }) * workers);
}

inline void add_loose(std::map<std::string, Prepare> &works, std::function<Loose(int workers)> start) {
  works["independent"] = [=](int workers, long count) -> Repetition {
    const Loose run = start(workers);
    if (!run) return nullptr;
    return [=] { return Figures{each(count, [&] { run(count, 0); })}; };
  };
  for (long nanoseconds : {100, 1000, 10000, 100000})
    works["granularity-" + std::to_string(nanoseconds) + "ns"] = [=](int workers, long count) -> Repetition {
      const auto rounds = uint64_t(double(nanoseconds) * calibrate());
      const Loose run = start(workers);
      if (!run) return nullptr;
      return [=] { return Figures{efficiency(run, workers, count, rounds)}; };
    };
  // The smallest body, nanoseconds, with 50 % efficiency: ten halvings between 2^2 and 2^16.
  works["granularity-half"] = [=](int workers, long count) -> Repetition {
    const double rate = calibrate();
    const Loose run = start(workers);
    if (!run) return nullptr;
    return [=] {
      double low = 2, high = 16;
      for (int i = 0; i < 10; i++) {
        const double middle = (low + high) / 2, body = std::exp2(middle);
        const long jobs = std::max(1000L, std::min(count, long(2e7 / body)));
        (efficiency(run, workers, jobs, uint64_t(body * rate)) >= 0.5 ? high : low) = middle;
      }
      return Figures{std::exp2(high)};
    };
  };
}

inline int run(int argc, char **argv, const std::map<std::string, Prepare> &works) {
  const long count = argc > 3 ? std::atol(argv[3]) : 0, repetitions = argc > 4 ? std::atol(argv[4]) : 1;
  const int workers = argc > 2 ? std::atoi(argv[2]) : 0;
  if (argc < 4 || argc > 5 || workers < 1 || workers > 32 || count < 1 || repetitions < 1) {
    std::fprintf(stderr, "usage: %s WORK WORKERS COUNT [REPETITIONS]\n", argv[0]);
    return 64;
  }
  const auto work = works.find(argv[1]);
  if (work == works.end()) {
    std::fprintf(stderr, "%s: has no %s\n", argv[0], argv[1]);
    return 69;
  }
  const Repetition repetition = work->second(workers, count);
  if (!repetition) {
    std::fprintf(stderr, "%s: %s is not for %d workers\n", argv[0], argv[1], workers);
    return 69;
  }
  repetition();
  for (long i = 0; i < repetitions; i++) {
    const Figures figures = repetition();
    for (size_t k = 0; k < figures.size(); k++) std::printf("%s%.6g", k ? " " : "", figures[k]);
    std::printf("\n");
    std::fflush(stdout);
  }
  std::fflush(stdout);
  _exit(0);  // idle workers of a library need not be torn down
}

}  // namespace peer
