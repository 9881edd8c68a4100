/* RabbitMQ by librabbitmq: persistent messages to a durable queue through the default exchange, confirmed; durable-N is a classic queue, durable-N/quorum a quorum queue of one node. */
#include <amqp.h>
#include <amqp_tcp_socket.h>

#include "durable.h"

static amqp_connection_state_t connection;
static int in_flight;
static uint64_t tag; /* of the last message that was published, over the connection's life */

static void must(int status, const char *what) {
  if (status != AMQP_STATUS_OK) quit(1, "rabbitmq: %s: %s", what, amqp_error_string2(status));
}

static void answered(const char *what) {
  const amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) quit(1, "rabbitmq: %s: %s", what, amqp_error_string2(reply.library_error));
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) quit(1, "rabbitmq: %s is refused", what);
}

static void send_one(uint64_t i) {
  uint64_t words[WORDS];
  fill(words, WORDS, i);
  const amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = AMQP_DELIVERY_PERSISTENT};
  must(amqp_basic_publish(connection, 1, amqp_empty_bytes, amqp_cstring_bytes("messages"), 0, 0, &properties, (amqp_bytes_t){BYTES, words}), "publish");
  tag++;
}

/* Which of the last messages are confirmed, and the first that is not. */
enum { REMEMBERED = 1 << 20 };
static char is_confirmed[REMEMBERED];
static uint64_t first_open = 1;

static uint64_t pass(uint64_t to, uint64_t through) {
  uint64_t more = 0;
  for (; first_open < to || (first_open <= through && is_confirmed[first_open % REMEMBERED]); first_open++) {
    more += !is_confirmed[first_open % REMEMBERED];
    is_confirmed[first_open % REMEMBERED] = 0;
  }
  return more;
}

/* How many messages are confirmed by the next frame. */
static uint64_t confirmed_by(const amqp_frame_t *frame) {
  if (frame->frame_type != AMQP_FRAME_METHOD) quit(1, "rabbitmq: a frame that was not expected");
  if (frame->payload.method.id != AMQP_BASIC_ACK_METHOD) quit(1, "rabbitmq: no confirmation but %s", amqp_method_name(frame->payload.method.id));
  const amqp_basic_ack_t *ack = frame->payload.method.decoded;
  if (ack->delivery_tag > tag || tag - first_open >= REMEMBERED) quit(1, "rabbitmq: confirmation of %" PRIu64, ack->delivery_tag);
  if (ack->multiple) return pass(ack->delivery_tag + 1, tag);
  if (ack->delivery_tag < first_open || is_confirmed[ack->delivery_tag % REMEMBERED]) quit(1, "rabbitmq: %" PRIu64 " is confirmed twice", ack->delivery_tag);
  is_confirmed[ack->delivery_tag % REMEMBERED] = 1;
  pass(0, tag);
  return 1;
}

static uint64_t publish(uint64_t length) {
  const uint64_t end = now() + length;
  uint64_t sent = 0, confirmed = 0;
  while (sent < (uint64_t)in_flight) send_one(sent++);
  while (confirmed < sent) {
    amqp_frame_t frame;
    amqp_maybe_release_buffers(connection);
    must(amqp_simple_wait_frame_noblock(connection, &frame, &(struct timeval){STUCK / 1000, 0}), "a confirmation");
    const uint64_t more = confirmed_by(&frame);
    confirmed += more;
    if (now() < end)
      for (uint64_t i = 0; i < more; i++) send_one(sent++);
  }
  return confirmed;
}

static void forget(void) {
  amqp_queue_purge(connection, 1, amqp_cstring_bytes("messages"));
  answered("purge");
}

static uint64_t read_back(uint64_t messages, uint64_t *total) {
  amqp_basic_consume(connection, 1, amqp_cstring_bytes("messages"), amqp_cstring_bytes("reader"), 0, 1, 0, amqp_empty_table);
  answered("consume");
  uint64_t received = 0;
  for (; received < messages; received++) {
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(connection);
    const amqp_rpc_reply_t reply = amqp_consume_message(connection, &envelope, &(struct timeval){STUCK / 1000, 0}, 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL || envelope.message.body.len != BYTES) quit(1, "rabbitmq: %" PRIu64 " messages were there", received);
    *total += sum_of(envelope.message.body.bytes);
    amqp_destroy_envelope(&envelope);
  }
  amqp_basic_cancel(connection, 1, amqp_cstring_bytes("reader"));
  answered("cancel");
  return received;
}

static void declare(const char *kind) {
  amqp_table_entry_t entry = {amqp_cstring_bytes("x-queue-type"), {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(kind)}};
  amqp_queue_declare(connection, 1, amqp_cstring_bytes("messages"), 0, 1, 0, 0, (amqp_table_t){1, &entry});
  answered("declare");
  amqp_confirm_select(connection, 1);
  answered("confirm.select");
}

int main(int argc, char **argv) {
  const Call call = called(argc, argv);
  int read = 0;
  if (sscanf(call.work, "durable-%d%n", &in_flight, &read) != 1 || in_flight < 1 || in_flight > MOST_IN_FLIGHT || (call.work[read] && strcmp(call.work + read, "/quorum")))
    quit(64, "there is no %s", call.work);
  const int port = atoi(address());
  connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  if (!socket) quit(1, "rabbitmq: no memory");
  must(amqp_socket_open(socket, "127.0.0.1", port), "connection");
  const amqp_rpc_reply_t login = amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  if (login.reply_type != AMQP_RESPONSE_NORMAL) quit(1, "rabbitmq: login is refused");
  amqp_channel_open(connection, 1);
  answered("channel");
  declare(call.work[read] ? "quorum" : "classic");
  measure(call, publish, forget, read_back);
  amqp_queue_delete(connection, 1, amqp_cstring_bytes("messages"), 0, 0);
  answered("delete");
  must(amqp_destroy_connection(connection), "the end");
}
