#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

/* Swift does not import functions with variable arguments. */
static inline amqp_rpc_reply_t millrace_amqp_login(amqp_connection_state_t connection, const char *host, const char *user, const char *password) {
  return amqp_login(connection, host, 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, user, password);
}
