/* What the programs share that publish to a server: ADDRESS from the environment, a port of this machine or the path of a socket; lines of its answers.

   Works: durable-N publishes messages of 256 bytes with N in flight, each confirmed by itself, over one connection; durable-N/C over C of them, which divide N. When all is confirmed
   everything is read back. */
#ifndef BROKER_DURABLE_H
#define BROKER_DURABLE_H
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../shared/bench.h"

enum { WORDS = 32, BYTES = WORDS * 8, MOST_CONNECTIONS = 256, MOST_IN_FLIGHT = 100000 };
#define STUCK 60000 /* ms without an answer */

typedef struct {
  int in_flight, connections;
} Shape;

static inline const char *address(void) {
  const char *text = getenv("ADDRESS");
  if (!text) quit(69, "ADDRESS is missing: the port or the socket of the server");
  return text;
}

static inline Shape shaped(Call call, int most_connections) {
  Shape shape = {0, 1};
  int read = 0;
  if (sscanf(call.work, "durable-%d%n/%d%n", &shape.in_flight, &read, &shape.connections, &read) < 1 || call.work[read] || shape.in_flight < 1 ||
      shape.in_flight > MOST_IN_FLIGHT || shape.connections < 1 || shape.connections > most_connections || shape.in_flight % shape.connections)
    quit(64, "there is no %s", call.work);
  return shape;
}

static inline int connected(void) {
  const char *text = address();
  const int is_path = strchr(text, '/') != NULL;
  const int file = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  struct sockaddr_in port = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(text)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (is_path) snprintf(path.sun_path, sizeof path.sun_path, "%s", text);
  const int one = 1;
  if (file < 0 || connect(file, is_path ? (void *)&path : (void *)&port, is_path ? sizeof path : sizeof port) < 0 ||
      (!is_path && setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0))
    quit(1, "%s: %s", text, strerror(errno));
  return file;
}

static inline void write_all(int file, const void *bytes, size_t count) {
  for (const char *at = bytes; count;) {
    const ssize_t written = write(file, at, count);
    if (written < 0 && errno != EINTR) quit(1, "write: %s", strerror(errno));
    if (written > 0) at += written, count -= (size_t)written;
  }
}

/* What was read and not yet taken. */
typedef struct {
  int file;
  size_t from, to;
  char bytes[1 << 16];
} Input;

/* Waits for more. */
static inline void read_more(Input *input) {
  memmove(input->bytes, input->bytes + input->from, input->to - input->from);
  input->to -= input->from;
  input->from = 0;
  if (input->to == sizeof input->bytes) quit(1, "an answer is too long");
  struct pollfd readable = {input->file, POLLIN, 0};
  if (poll(&readable, 1, STUCK) < 1) quit(1, "the server does not answer");
  const ssize_t got = read(input->file, input->bytes + input->to, sizeof input->bytes - input->to);
  if (got <= 0) quit(1, "the server has closed the connection");
  input->to += (size_t)got;
}

/* The next `count` bytes, if they are there. */
static inline char *take(Input *input, size_t count) {
  if (input->to - input->from < count) return NULL;
  input->from += count;
  return input->bytes + input->from - count;
}

/* The next line, without its end, if it is there: a string. */
static inline char *take_line(Input *input) {
  char *begin = input->bytes + input->from, *end = memchr(begin, '\n', input->to - input->from);
  if (!end) return NULL;
  input->from += (size_t)(end - begin) + 1;
  *(end > begin && end[-1] == '\r' ? end - 1 : end) = 0;
  return begin;
}

static inline char *wait_for(Input *input, size_t count) {
  for (char *found;;) {
    if ((found = take(input, count))) return found;
    read_more(input);
  }
}

static inline char *wait_for_line(Input *input) {
  for (char *found;;) {
    if ((found = take_line(input))) return found;
    read_more(input);
  }
}

/* The sum of the words of a message that may lie anywhere. */
static inline uint64_t sum_of(const void *bytes) {
  uint64_t words[WORDS];
  memcpy(words, bytes, BYTES);
  return sum(words, WORDS);
}

/* Publishes for a quarter of the time unmeasured, forgets that, then publishes, checks what there is, and tells. */
static inline void measure(Call call, uint64_t (*publish)(uint64_t length), void (*forget)(void), uint64_t (*read_back)(uint64_t messages, uint64_t *total)) {
  publish((uint64_t)(call.seconds * 1e9 / 4));
  forget();
  const uint64_t begin = now(), messages = publish((uint64_t)(call.seconds * 1e9));
  const double seconds = (double)(now() - begin) / 1e9;
  uint64_t total = 0;
  const uint64_t received = read_back(messages, &total);
  check(messages, received, total, expected(WORDS, messages));
  forget();
  tell(call.work, messages, received, BYTES, 1, seconds);
}
#endif
