/* NATS JetStream, by its text protocol: each message goes with a subject for its answer, which the server gives when it has stored it; with sync_interval always that is on the disk. */
#include "durable.h"

static Shape shape;
static Input input;

static void command(const char *text) { write_all(input.file, text, strlen(text)); }

/* The next message's bytes, and how many; what else the server says is dealt with. Null: it is not all there. */
static char *message(size_t *length) {
  for (;;) {
    const size_t before = input.from;
    char *end = memchr(input.bytes + before, '\n', input.to - before);
    if (!end) return NULL;
    const char *line = input.bytes + before;
    if (!strncmp(line, "MSG ", 4)) {
      const char *last = memrchr(line, ' ', (size_t)(end - line));
      *length = strtoul(last + 1, NULL, 10);
      input.from += (size_t)(end - line) + 1;
      char *bytes = take(&input, *length + 2);
      if (!bytes) input.from = before;
      return bytes;
    }
    line = take_line(&input);
    if (!strncmp(line, "-ERR", 4)) quit(1, "nats: %s", line);
    if (!strcmp(line, "PING")) command("PONG\r\n");
  }
}

static char *wait_for_message(size_t *length) {
  for (char *found;;) {
    if ((found = message(length))) return found;
    read_more(&input);
  }
}

static void send_some(uint64_t from, uint64_t count) {
  static const char head[] = "PUB messages answers 256\r\n";
  static char commands[MOST_IN_FLIGHT * (sizeof head + BYTES + 2)];
  char *at = commands;
  for (uint64_t i = from; i < from + count; i++) {
    uint64_t words[WORDS];
    fill(words, WORDS, i);
    at = mempcpy(at, head, sizeof head - 1);
    at = mempcpy(at, words, BYTES);
    at = mempcpy(at, "\r\n", 2);
  }
  write_all(input.file, commands, (size_t)(at - commands));
}

static uint64_t publish(uint64_t length) {
  const uint64_t end = now() + length;
  uint64_t sent = (uint64_t)shape.in_flight, confirmed = 0;
  send_some(0, sent);
  while (confirmed < sent) {
    size_t bytes;
    uint64_t more = 0;
    for (const char *answer; (answer = message(&bytes)); more++)
      if (!memmem(answer, bytes, "\"seq\":", 6) || memmem(answer, bytes, "\"error\"", 7)) quit(1, "jetstream: %.*s", (int)bytes, answer);
    confirmed += more;
    if (more && now() < end) send_some(sent, more), sent += more;
    if (confirmed < sent) read_more(&input);
  }
  return confirmed;
}

/* A call of the server's interface, whose answer must not be an error. */
static void ask(const char *subject, const char *request) {
  char text[1024];
  snprintf(text, sizeof text, "PUB $JS.API.%s answers %zu\r\n%s\r\n", subject, strlen(request), request);
  command(text);
  size_t length;
  const char *answer = wait_for_message(&length);
  if (memmem(answer, length, "\"error\"", 7)) quit(1, "jetstream: %s: %.*s", subject, (int)length, answer);
}

static void forget(void) { ask("STREAM.PURGE.MESSAGES", "{}"); }

static uint64_t read_back(uint64_t messages, uint64_t *total) {
  command("SUB back 2\r\n");
  ask("CONSUMER.CREATE.MESSAGES",
      "{\"stream_name\":\"MESSAGES\",\"config\":{\"deliver_subject\":\"reading\",\"deliver_policy\":\"all\",\"ack_policy\":\"none\",\"replay_policy\":\"instant\"}}");
  command("SUB reading 3\r\n");
  uint64_t received = 0;
  for (; received < messages; received++) {
    size_t length;
    const char *bytes = wait_for_message(&length);
    if (length != BYTES) quit(1, "jetstream: a message of %zu bytes", length);
    *total += sum_of(bytes);
  }
  command("UNSUB 3\r\n");
  return received;
}

int main(int argc, char **argv) {
  const Call call = called(argc, argv);
  shape = shaped(call, 1);
  input.file = connected();
  command("CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"0\"}\r\nSUB answers 1\r\n");
  ask("STREAM.CREATE.MESSAGES", "{\"name\":\"MESSAGES\",\"subjects\":[\"messages\"],\"storage\":\"file\",\"retention\":\"limits\",\"num_replicas\":1}");
  measure(call, publish, forget, read_back);
  ask("STREAM.DELETE.MESSAGES", "");
}
