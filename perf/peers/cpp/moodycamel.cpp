// moodycamel's concurrent queue with threads of one's own: a queue, no runtime. Jobs are functions with an argument; workers sleep in its semaphore, or spin.
#include <concurrentqueue/blockingconcurrentqueue.h>

#include <memory>
#include <thread>

#include "../shared/peer.hpp"

using namespace peer;

struct Job {
  void (*run)(const Job &);
  uint64_t first;
  uint64_t *second;
};

struct Pool {
  moodycamel::BlockingConcurrentQueue<Job> queue;
  moodycamel::ProducerToken token{queue};

  Pool(int workers, bool spins) {
    for (int i = 0; i < workers; i++)
      std::thread([this, spins] {
        moodycamel::ConsumerToken own(queue);
        Job jobs[64];
        for (;;) {
          size_t count = spins ? queue.try_dequeue_bulk(own, jobs, 64) : queue.wait_dequeue_bulk(own, jobs, 64);
          for (size_t k = 0; k < count; k++) jobs[k].run(jobs[k]);
          if (count == 0) __builtin_ia32_pause();
        }
      }).detach();
  }
};

static Loose loose(int workers) {
  auto pool = std::make_shared<Pool>(workers, false);
  return [pool](long count, uint64_t rounds) {
    const long batches = std::max(count / 64, 1L);
    const Job job{[](const Job &job) {
                    job.first ? body_spin(job.first) : body_empty();
                    Done::one();
                  },
                  rounds, nullptr};
    const std::vector<Job> batch(64, job);
    const uint64_t target = Done::expect(uint64_t(batches) * 64);
    for (long i = 0; i < batches; i++) pool->queue.enqueue_bulk(pool->token, batch.begin(), 64);
    Done::wait(target);
  };
}

int main(int argc, char **argv) {
  std::map<std::string, Prepare> works;
  add_loose(works, loose);
  struct Open {
    const char *name;
    uint64_t interval;
    bool spins;
  };
  for (const Open open : {Open{"idle-spin", 1000000, true}, {"idle-park", 1000000, false}, {"rate-100k", 10000, true}})
    works[open.name] = [open](int workers, long count) -> Repetition {
      auto pool = std::make_shared<Pool>(workers, open.spins);
      return [=] {
        std::vector<uint64_t> samples(static_cast<size_t>(count));
        const uint64_t target = Done::expect(uint64_t(count)), begin = now() + 1000000;
        for (long i = 0; i < count; i++) {
          const uint64_t due = begin + uint64_t(i) * open.interval;
          while (now() < due) __builtin_ia32_pause();
          pool->queue.enqueue(pool->token, Job{[](const Job &job) {
                                                 *job.second = now() - job.first;
                                                 body_empty();
                                                 Done::one();
                                               },
                                               due, &samples[size_t(i)]});
        }
        Done::wait(target);
        return percentiles(std::move(samples));
      };
    };
  return run(argc, argv, works);
}
