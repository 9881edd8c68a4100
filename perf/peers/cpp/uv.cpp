// libuv: timers on a loop's thread. No tasks.
#include <uv.h>

#include <memory>

#include "../shared/peer.hpp"

using namespace peer;

// A stream of numbers, the same for every peer: xorshift64.
struct Numbers {
  uint64_t state = 88172645463325252u;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};

static std::vector<uint64_t> lateness;

struct Timer {
  uv_timer_t handle;
  uint64_t due;
};

int main(int argc, char **argv) {
  std::map<std::string, Prepare> works;
  works["timers-cancel"] = [](int, long count) -> Repetition {
    auto timers = std::make_shared<std::vector<uv_timer_t>>(count);
    for (auto &timer : *timers) uv_timer_init(uv_default_loop(), &timer);
    return [timers, count] {
      Numbers numbers;
      return Figures{each(count, [&] {
        for (auto &timer : *timers) uv_timer_start(&timer, [](uv_timer_t *) {}, 10000 + numbers.next() % 60000, 0);
        for (auto &timer : *timers) uv_timer_stop(&timer);
      })};
    };
  };
  works["timers-fire"] = [](int, long count) -> Repetition {
    auto timers = std::make_shared<std::vector<Timer>>(count);
    for (auto &timer : *timers) uv_timer_init(uv_default_loop(), &timer.handle);
    return [timers, count] {
      Numbers numbers;
      lateness.clear();
      lateness.reserve(size_t(count));
      const uint64_t begin = now() + uint64_t(count) * 3000;
      for (auto &timer : *timers) {
        timer.due = begin + numbers.next() % (uint64_t(count) * 1000);
        uv_update_time(uv_default_loop());
        // Whole milliseconds, rounded up and one more for those that the loop's clock has lost: never early.
        const uint64_t wait = (timer.due - now()) / 1000000 + 2;
        uv_timer_start(&timer.handle, [](uv_timer_t *timer) { lateness.push_back(now() - reinterpret_cast<Timer *>(timer)->due); }, wait, 0);
      }
      uv_run(uv_default_loop(), UV_RUN_DEFAULT);
      std::sort(lateness.begin(), lateness.end());
      if (lateness.back() > 1ull << 62) std::fprintf(stderr, "uv: a timer was early\n"), std::exit(1);
      return Figures{percentile(lateness, 0.99)};
    };
  };
  return run(argc, argv, works);
}
