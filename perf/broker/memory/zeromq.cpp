// ZeroMQ over inproc: PUSH to PULL one to one, XPUB to SUB one to four; XPUB waits for the slowest (XPUB_NODROP) instead of dropping.
#include <zmq.h>

#include <algorithm>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "../shared/bench.h"

enum class Way { copied, in_place, by_reference, timed };

struct Work {
  const char *name;
  size_t words;
  int consumers;
  Way way;
};

constexpr Work works[] = {
    {"msg-1-1", 8, 1, Way::copied},           {"msg-1-1/in-place", 8, 1, Way::in_place}, {"msg-1-1-1k", 128, 1, Way::copied},
    {"msg-1-1-1k/in-place", 128, 1, Way::in_place}, {"msg-1-4", 8, 4, Way::copied},      {"msg-1-4/in-place", 8, 4, Way::in_place},
    {"msg-64k", 8, 4, Way::by_reference},     {"latency-park", 8, 1, Way::timed},
};
constexpr int bound = 1000;                // half of it on each side
constexpr size_t block = 64 * 1024, stride = block + 64, blocks = 2048;
constexpr uint64_t interval = 100'000;     // ns: 10,000 a second
constexpr uint64_t looks = 256;            // messages from one look at the clock to the next

static void *context;

static void must(int result, const char *what) {
  if (result < 0) quit(1, "%s: %s", what, zmq_strerror(zmq_errno()));
}

static void *open(int kind, bool first, const char *name) {
  void *socket = zmq_socket(context, kind);
  if (!socket) quit(1, "zmq_socket: %s", zmq_strerror(zmq_errno()));
  const int half = bound / 2, one = 1, at_once = 0;
  must(zmq_setsockopt(socket, ZMQ_SNDHWM, &half, sizeof half), "ZMQ_SNDHWM");
  must(zmq_setsockopt(socket, ZMQ_RCVHWM, &half, sizeof half), "ZMQ_RCVHWM");
  must(zmq_setsockopt(socket, ZMQ_LINGER, &at_once, sizeof at_once), "ZMQ_LINGER");
  if (kind == ZMQ_XPUB) {
    must(zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &one, sizeof one), "ZMQ_XPUB_NODROP");
    must(zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &one, sizeof one), "ZMQ_XPUB_VERBOSE");  // each subscription is told, equal ones too
  }
  if (kind == ZMQ_SUB) must(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0), "ZMQ_SUBSCRIBE");
  must(first ? zmq_bind(socket, name) : zmq_connect(socket, name), name);
  return socket;
}

struct Consumer {
  const Work &work;
  uint64_t received = 0, total = 0;
  std::vector<uint64_t> latencies{};

  // An empty message is the last one.
  void copies(void *socket) {
    uint64_t words[128];
    for (int size; (size = zmq_recv(socket, words, sizeof words, 0)) != 0;) {
      must(size, "zmq_recv");
      if (work.way == Way::timed) latencies.push_back(now() - words[0]);
      take(words, size_t(size), work.words * 8);
    }
  }

  void messages(void *socket) {
    zmq_msg_t message;
    must(zmq_msg_init(&message), "zmq_msg_init");
    for (;;) {
      must(zmq_msg_recv(&message, socket, 0), "zmq_msg_recv");
      if (zmq_msg_size(&message) == 0) break;
      take(static_cast<uint64_t *>(zmq_msg_data(&message)), zmq_msg_size(&message), work.way == Way::by_reference ? block : work.words * 8);
    }
    must(zmq_msg_close(&message), "zmq_msg_close");
  }

  void take(const uint64_t *words, size_t size, size_t right) {
    if (size != right) quit(1, "a message has %zu bytes", size);
    total += sum(words, work.words);
    received++;
  }
};

static void send(void *socket, const Work &work, uint64_t i, char *memory) {
  uint64_t words[128];
  zmq_msg_t message;
  if (work.way == Way::copied) {
    fill(words, work.words, i);
    return must(zmq_send(socket, words, work.words * 8, 0), "zmq_send");
  }
  // A block comes again after 2,048 messages, of which 1,000 can be under way.
  if (work.way == Way::in_place) must(zmq_msg_init_size(&message, work.words * 8), "zmq_msg_init_size");
  else must(zmq_msg_init_data(&message, memory + i % blocks * stride, block, nullptr, nullptr), "zmq_msg_init_data");
  fill(static_cast<uint64_t *>(zmq_msg_data(&message)), work.words, i);
  must(zmq_msg_send(&message, socket, 0), "zmq_msg_send");
}

static uint64_t publish(void *socket, const Work &work, uint64_t begin, uint64_t length, char *memory) {
  uint64_t i = 0;
  do {
    for (uint64_t k = 0; k < looks; k++) send(socket, work, i++, memory);
  } while (now() - begin < length);
  return i;
}

// From the moment that each was due, whatever kept the publisher.
static uint64_t on_time(void *socket, uint64_t begin, uint64_t length) {
  uint64_t i = 0, words[8];
  for (; i * interval < length; i++) {
    while (now() < begin + i * interval) __builtin_ia32_pause();
    fill(words, 8, 0);
    words[0] = begin + i * interval;
    must(zmq_send(socket, words, sizeof words, 0), "zmq_send");
  }
  return i;
}

static void tell_percentile(const std::vector<uint64_t> &sorted, const char *name, double p, const char *end) {
  if (double(sorted.size()) * (1 - p) < 10) printf("\"%s\":null%s", name, end);
  else printf("\"%s\":%" PRIu64 "%s", name, sorted[size_t(p * double(sorted.size()))], end);
}

static void run(const Work &work, double seconds, bool told, char *memory) {
  const auto length = uint64_t(seconds * 1e9);
  const char *name = told ? "inproc://messages" : "inproc://first";  // one that was closed is not free at once
  void *socket = open(work.consumers == 1 ? ZMQ_PUSH : ZMQ_XPUB, true, name);
  std::vector<Consumer> consumers(size_t(work.consumers), Consumer{work});
  std::vector<std::thread> threads;
  std::latch ready(work.consumers);
  for (auto &consumer : consumers)
    threads.emplace_back([&] {
      void *own = open(work.consumers == 1 ? ZMQ_PULL : ZMQ_SUB, false, name);
      if (work.way == Way::timed) consumer.latencies.reserve(size_t(length / interval) + 1);
      ready.count_down();
      if (work.way == Way::copied || work.way == Way::timed) consumer.copies(own);
      else consumer.messages(own);
      must(zmq_close(own), "zmq_close");
    });
  ready.wait();
  char subscription[8];
  for (int i = 0; work.consumers > 1 && i < work.consumers; i++) must(zmq_recv(socket, subscription, sizeof subscription, 0), "a subscription");
  const uint64_t begin = now() + (work.way == Way::timed ? 1'000'000 : 0);
  const uint64_t messages = work.way == Way::timed ? on_time(socket, begin, length) : publish(socket, work, begin, length, memory);
  must(zmq_send(socket, "", 0, 0), "zmq_send");
  for (auto &thread : threads) thread.join();
  const double took = double(now() - begin) / 1e9;
  must(zmq_close(socket), "zmq_close");
  uint64_t received = 0;
  const uint64_t right = work.way == Way::timed ? messages * (begin + triangle(8)) + interval * triangle(messages) : expected(work.words, messages);
  for (auto &consumer : consumers) {
    check(messages, consumer.received, consumer.total, right);
    received += consumer.received;
  }
  if (!told) return;
  if (work.way != Way::timed) return tell(work.name, messages, received, work.way == Way::by_reference ? int(block) : int(work.words * 8), work.consumers, took);
  auto &sorted = consumers[0].latencies;
  std::sort(sorted.begin(), sorted.end());
  printf("{\"work\":\"%s\",\"messages\":%" PRIu64 ",\"received\":%" PRIu64 ",\"lost\":0,\"bytes\":64,\"consumers\":1,\"seconds\":%.9f,", work.name, messages, received, took);
  tell_percentile(sorted, "p50_ns", 0.5, ",");
  tell_percentile(sorted, "p99_ns", 0.99, "}\n");
}

int main(int argc, char **argv) {
  const Call call = called(argc, argv);
  const auto work = std::find_if(std::begin(works), std::end(works), [&](const Work &some) { return std::string(some.name) == call.work; });
  if (work == std::end(works)) quit(64, "there is no %s", call.work);
  context = zmq_ctx_new();
  std::vector<char> memory(work->way == Way::by_reference ? blocks * stride + 64 : 0, 1);
  char *first = memory.data() + (64 - uintptr_t(memory.data()) % 64) % 64;
  run(*work, call.seconds / 4, false, first);
  run(*work, call.seconds, true, first);
  zmq_ctx_term(context);
}
