/* Uses what the host offers besides, and offers a table of its own. */
#include <string.h>
static const void *offer(const char *id);
#define EXTENSION offer
#define STARTS
#include "plugin.h"

static const millrace_environment *environment;
static const millrace_trace *trace;
static const millrace_random *source;
static const millrace_broker *broker;
static const millrace_deliveries *deliveries;
static const int table = 1;

static int32_t start(const millrace_host *host, char *message, size_t capacity) {
  (void)message, (void)capacity;
  environment = host->extension(host, MILLRACE_ENVIRONMENT);
  trace = host->extension(host, MILLRACE_TRACE);
  source = host->extension(host, MILLRACE_RANDOM);
  broker = host->extension(host, MILLRACE_BROKER);
  deliveries = host->extension(host, MILLRACE_DELIVERY);
  host->log(host, MILLRACE_LOG_NOTICE, host->setting(host, "checked.word") ? "with a word" : "without");
  return 0;
}
static const void *offer(const char *id) { return strcmp(id, "checked.table/1") == 0 ? &table : NULL; }

static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  unsigned char bytes[32] = {0};
  char parent[MILLRACE_TRACEPARENT_BYTES] = "none";
  if (source && source->fill(call->host, bytes, sizeof bytes) != 0) return outcome->status = MILLRACE_FAILED;
  if (trace) trace->traceparent(call->attempt, parent);
  for (uint32_t i = 0; environment && i < environment->count(call->attempt); i++) {
    const char *name, *value;
    if (environment->at(call->attempt, i, &name, &value) != 0 || environment->get(call->attempt, name) != value) return outcome->status = MILLRACE_FAILED;
  }
  millrace_delivery delivery = {.size = sizeof delivery};
  const char *header;
  if (deliveries && deliveries->read(call->attempt, &delivery) == 0) deliveries->header(call->attempt, 0, &header, NULL);
  millrace_publication message = {.size = sizeof message, .key = "orders"};
  for (int i = 0; broker && i < 2; i++) {
    millrace_draft draft;
    void *room;
    if (broker->claim(call->host, call->attempt, sizeof bytes, &message, &draft, &room) != MILLRACE_PUBLISH_DONE) return outcome->status = MILLRACE_RETRY;
    memcpy(room, bytes, sizeof bytes);
    if (i == 0) broker->publish(call->host, draft, NULL);
    else broker->drop(call->host, draft);
  }
  return answer(call, outcome, parent);
}
DESCRIBE()
