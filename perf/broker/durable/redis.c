/* Redis: XADD to a stream, in a pipeline over each connection. The server answers when what it was told is on the disk (appendfsync always). */
#include "durable.h"

static Shape shape;
static Input *inputs;
static struct pollfd files[MOST_CONNECTIONS];
static uint64_t sent;

static const char HEAD[] = "*5\r\n$4\r\nXADD\r\n$8\r\nmessages\r\n$1\r\n*\r\n$1\r\nd\r\n$256\r\n";
enum { HEAD_BYTES = sizeof HEAD - 1, COMMAND_BYTES = HEAD_BYTES + BYTES + 2 };

static void send_some(int connection, int count) {
  static char commands[MOST_IN_FLIGHT * (size_t)COMMAND_BYTES];
  char *at = commands;
  for (int i = 0; i < count; i++) {
    uint64_t words[WORDS];
    fill(words, WORDS, sent++);
    at = mempcpy(at, HEAD, HEAD_BYTES);
    at = mempcpy(at, words, BYTES);
    at = mempcpy(at, "\r\n", 2);
  }
  write_all(files[connection].fd, commands, (size_t)(at - commands));
}

/* Answers that are all there: each `$15`, then the identifier. */
static int answered(Input *input) {
  for (int count = 0;; count++) {
    const char *begin = input->bytes + input->from, *end = input->bytes + input->to;
    const char *line = memchr(begin, '\n', (size_t)(end - begin));
    if (line && *begin != '$') quit(1, "redis: %.*s", (int)(line - begin), begin);
    if (!line || !(line = memchr(line + 1, '\n', (size_t)(end - line - 1)))) return count;
    take(input, (size_t)(line + 1 - begin));
  }
}

static uint64_t publish(uint64_t length) {
  const uint64_t end = now() + length;
  uint64_t confirmed = 0;
  sent = 0;
  for (int i = 0; i < shape.connections; i++) send_some(i, shape.in_flight / shape.connections);
  while (confirmed < sent) {
    if (poll(files, (nfds_t)shape.connections, STUCK) < 1) quit(1, "the server does not answer");
    const int goes_on = now() < end;
    for (int i = 0; i < shape.connections; i++) {
      if (!files[i].revents) continue;
      read_more(&inputs[i]);
      const int count = answered(&inputs[i]);
      confirmed += (uint64_t)count;
      if (goes_on && count) send_some(i, count);
    }
  }
  return confirmed;
}

static void command(const char *text) { write_all(inputs[0].file, text, strlen(text)); }

static void forget(void) {
  command("DEL messages\r\n");
  const char *answer = wait_for_line(&inputs[0]);
  if (strcmp(answer, ":1")) quit(1, "redis: DEL: %s", answer);
}

static long number(char kind) {
  const char *line = wait_for_line(&inputs[0]);
  if (*line != kind) quit(1, "redis: %s instead of %c", line, kind);
  return atol(line + 1);
}

/* In pages: an entry is its identifier and a list of a name and a value. */
static uint64_t read_back(uint64_t messages, uint64_t *total) {
  (void)messages;
  char identifier[64] = "-", text[128];
  for (uint64_t received = 0;;) {
    snprintf(text, sizeof text, "XRANGE messages %s%s + COUNT 1000\r\n", received ? "(" : "", identifier);
    command(text);
    const long entries = number('*');
    if (entries == 0) return received;
    for (long i = 0; i < entries; i++) {
      number('*');
      const long length = number('$');
      if (length <= 0 || length >= (long)sizeof identifier) quit(1, "redis: an identifier of %ld bytes", length);
      memcpy(identifier, wait_for(&inputs[0], (size_t)length + 2), (size_t)length);
      identifier[length] = 0;
      number('*');
      wait_for(&inputs[0], (size_t)number('$') + 2);
      if (number('$') != BYTES) quit(1, "redis: a message has another length");
      *total += sum_of(wait_for(&inputs[0], BYTES + 2));
      received++;
    }
  }
}

int main(int argc, char **argv) {
  const Call call = called(argc, argv);
  shape = shaped(call, MOST_CONNECTIONS);
  inputs = calloc((size_t)shape.connections, sizeof *inputs);
  for (int i = 0; i < shape.connections; i++) files[i] = (struct pollfd){inputs[i].file = connected(), POLLIN, 0};
  measure(call, publish, forget, read_back);
}
