/*
 * What a handler is told of the message that it gets, and requests that wait for their answers: that they come, and each way in which they do not.
 */
#include <millrace/millrace.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static millrace_error error = {.size = sizeof error};
static millrace_engine engine;
static int wrong;
static sem_t came, go;

static void is(int32_t got, int32_t wanted, const char *what) {
  if (got == wanted) return;
  fprintf(stderr, "%s: %s instead of %s: %s\n", what, millrace_code_name(got), millrace_code_name(wanted), error.message);
  wrong++;
}

static void says(const char *got, const char *wanted) {
  if (strcmp(got, wanted) == 0) return;
  fprintf(stderr, "told: %s\nnot:  %s\n", got, wanted);
  wrong++;
}

static uint32_t answer(const millrace_call *call, millrace_outcome *outcome, const char *text) {
  void *room = call->host->claim(call->attempt, strlen(text), MILLRACE_TEXT, &outcome->output);
  if (room == NULL) return MILLRACE_FAILED;
  memcpy(room, text, strlen(text));
  return MILLRACE_DONE;
}

static const millrace_deliveries *deliveries(const millrace_call *call) { return call->host->extension(call->host, MILLRACE_DELIVERY); }
static const char *or_none(const char *text) { return text == NULL ? "none" : text; }

/* All that its message says; only when it comes again. */
static uint32_t tell(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  const millrace_deliveries *table = deliveries(call);
  millrace_delivery got = {.size = sizeof got};
  if (table == NULL || table->size < sizeof *table || table->read(call->attempt, &got) != 0) return MILLRACE_FAILED;
  if (got.acquired == 0) return MILLRACE_RETRY;
  char text[1024];
  int at = snprintf(
      text, sizeof text, "queue %s exchange %s key %s id %s type %s tenant %s content %s priority %u acquired %u failed %u asks %d", got.queue, got.exchange,
      got.key, or_none(got.id), or_none(got.type), or_none(got.tenant), or_none(got.content_type), got.priority, got.acquired, got.failed,
      got.correlation_id != NULL && got.reply_to != NULL);
  const char *name, *value;
  for (uint32_t i = 0; i < got.header_count && table->header(call->attempt, i, &name, &value) == 0; i++)
    at += snprintf(text + at, sizeof text - (size_t)at, " %s=%s", name, or_none(value));
  /* One less than there is, one more than there is, nothing wanted, and no such header. */
  struct { millrace_delivery known; uint64_t more; } grown = {.known.size = sizeof grown, .more = 7};
  millrace_delivery small = {.size = sizeof small - 1};
  snprintf(
      text + at, sizeof text - (size_t)at, " %d %d %d %d %d", table->read(call->attempt, &small) == -1 && small.queue == NULL,
      table->read(call->attempt, &grown.known) == 0 && grown.known.size == sizeof grown && grown.more == 7, table->read(call->attempt, NULL),
      table->header(call->attempt, 0, NULL, NULL), table->header(call->attempt, got.header_count, &name, &value));
  return answer(call, outcome, text);
}

/* A task handles no message. */
static uint32_t alone(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)outcome;
  millrace_delivery got = {.size = sizeof got};
  const char *name;
  return deliveries(call)->read(call->attempt, &got) == -1 && deliveries(call)->header(call->attempt, 0, &name, NULL) == -1 ? MILLRACE_DONE : MILLRACE_FAILED;
}

static uint32_t refuse(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call;
  outcome->message_length = (uint32_t)snprintf(outcome->message, outcome->message_capacity, "nothing of that kind");
  snprintf(outcome->error_type, sizeof outcome->error_type, "no-such-thing");
  return MILLRACE_FAILED;
}

static int32_t request(const char *queue, uint64_t timeout, millrace_bytes *bytes) {
  const millrace_message message = {.size = sizeof message, .key = queue, .payload = "?", .length = 1};
  return millrace_engine_request(engine, &message, timeout, bytes, &error);
}

/* From a handler nothing is waited for. */
static uint32_t wait_here(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  millrace_bytes bytes = {.size = sizeof bytes};
  return answer(call, outcome, request("words", MILLRACE_FOREVER, &bytes) == MILLRACE_WRONG_THREAD ? "refused" : "waited");
}

/* Until its requester has been told that the engine is being destroyed. */
static uint32_t hold(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context, (void)call, (void)outcome;
  sem_post(&came);
  sem_wait(&go);
  return MILLRACE_DONE;
}

static void *ask_for_ever(void *code) {
  millrace_bytes bytes = {.size = sizeof bytes};
  *(int32_t *)code = request("held", MILLRACE_FOREVER, &bytes);
  sem_post(&go);
  return NULL;
}

static void consume(const char *queue, const char *name, uint32_t (*run)(void *, const millrace_call *, millrace_outcome *)) {
  const millrace_handler handler = {.size = sizeof handler, .name = name, .run = run};
  millrace_subscription subscription;
  is(millrace_queue_declare(engine, queue, NULL, &error), MILLRACE_OK, "declare");
  is(millrace_subscribe(engine, queue, &handler, NULL, &subscription, &error), MILLRACE_OK, "subscribe");
}

int main(void) {
  sem_init(&came, 0, 0);
  sem_init(&go, 0, 0);
  const millrace_configuration configuration = {.size = sizeof configuration, .threads = 2, .tenants = "{\"blue\": 1}"};
  is(millrace_engine_create(&configuration, &engine, &error), MILLRACE_OK, "create");
  consume("words", "tell", tell);
  consume("nothing", "refuse", refuse);
  consume("here", "wait", wait_here);
  consume("held", "hold", hold);
  is(millrace_exchange_declare(engine, "shop", MILLRACE_EXCHANGE_TOPIC, &error), MILLRACE_OK, "exchange");
  is(millrace_bind(engine, "shop", "order.#", "words", &error), MILLRACE_OK, "bind");

  const char *headers[] = {"kind", "x", "colour", "blau wie Öl"};
  millrace_message message = {
      .size = sizeof message, .content_type = MILLRACE_JSON, .exchange = "shop", .key = "order.new", .payload = "{}", .length = 2, .priority = 3,
      .id = "first", .tenant = "blue", .headers = headers, .header_count = 2};
  millrace_bytes bytes = {.size = sizeof bytes};
  is(millrace_engine_request(engine, &message, MILLRACE_FOREVER, &bytes, &error), MILLRACE_OK, "request");
  says(
      bytes.data, "queue words exchange shop key order.new id first type none tenant blue content application/json priority 2 acquired 1 failed 1 asks 1"
                  " colour=blau wie Öl kind=x 1 1 -1 0 -1");
  if (bytes.content_type != MILLRACE_TEXT || bytes.length != strlen(bytes.data)) wrong++;
  millrace_bytes_free(&bytes);
  is(request("words", MILLRACE_FOREVER, &bytes), MILLRACE_OK, "a plain request");
  says(bytes.data, "queue words exchange  key words id none type none tenant none content none priority 1 acquired 1 failed 1 asks 1 1 1 -1 -1 -1");
  millrace_bytes_free(&bytes);

  /* What is no message. */
  message.reply_to = "words";
  is(millrace_engine_request(engine, &message, 1, &bytes, &error), MILLRACE_BAD_ARGUMENT, "with a queue for the answer");
  message.reply_to = NULL;
  message.header_count = MILLRACE_HEADERS + 1;
  is(millrace_publish(engine, &message, NULL, &error), MILLRACE_TOO_LARGE, "too many headers");
  message.header_count = 2;
  headers[3] = NULL;
  is(millrace_publish(engine, &message, NULL, &error), MILLRACE_BAD_ARGUMENT, "a header of nothing");
  headers[3] = "\xff";
  is(millrace_publish(engine, &message, NULL, &error), MILLRACE_BAD_ARGUMENT, "a header that is no UTF-8");
  headers[3] = "y", headers[2] = "kind";
  is(millrace_publish(engine, &message, NULL, &error), MILLRACE_BAD_ARGUMENT, "a header twice");
  message.headers = NULL;
  is(millrace_publish(engine, &message, NULL, &error), MILLRACE_BAD_ARGUMENT, "no headers");
  message.size -= 16; /* as a program has it that was built before there were headers */
  is(millrace_publish(engine, &message, NULL, &error), MILLRACE_OK, "a shorter struct");
  is(millrace_engine_request(engine, NULL, 1, &bytes, &error), MILLRACE_BAD_ARGUMENT, "no message");
  is(request("words", 1, NULL), MILLRACE_BAD_ARGUMENT, "no place for the answer");
  is(request("words", 0, &bytes), MILLRACE_BAD_ARGUMENT, "no time");

  /* What is not answered. */
  const millrace_queue one = {.size = sizeof one, .flags = MILLRACE_QUEUE_REJECTS, .max_messages = 1};
  is(millrace_queue_declare(engine, "silent", NULL, &error), MILLRACE_OK, "declare");
  is(request("silent", 1000000, &bytes), MILLRACE_TIMED_OUT, "a queue that nobody consumes");
  is(millrace_queue_declare(engine, "full", &one, &error), MILLRACE_OK, "declare");
  const millrace_message plain = {.size = sizeof plain, .key = "full"};
  is(millrace_publish(engine, &plain, NULL, &error), MILLRACE_OK, "publish");
  is(request("full", MILLRACE_FOREVER, &bytes), MILLRACE_FULL, "a full queue");
  is(request("nowhere", MILLRACE_FOREVER, &bytes), MILLRACE_NOT_FOUND, "no queue");
  is(request("nothing", MILLRACE_FOREVER, &bytes), MILLRACE_REFUSED, "one that is refused");
  if (strstr(error.message, "no-such-thing: nothing of that kind") == NULL) says(error.message, "no-such-thing: nothing of that kind");
  is(request("here", MILLRACE_FOREVER, &bytes), MILLRACE_OK, "one from a handler");
  says(bytes.data, "refused");
  millrace_bytes_free(&bytes);

  static const char text[] = "format: 1\nworkflow: w\ntasks: [{ id: a, handler: alone }]\n";
  const millrace_handler handler = {.size = sizeof handler, .name = "alone", .run = alone};
  millrace_workflow workflow;
  millrace_run run;
  uint32_t status = 0;
  is(millrace_engine_register(engine, &handler, &error), MILLRACE_OK, "register");
  is(millrace_workflow_prepare(engine, NULL, text, strlen(text), &workflow, &error), MILLRACE_OK, "prepare");
  is(millrace_run_start(workflow, NULL, &run, &error), MILLRACE_OK, "start");
  is(millrace_run_wait(run, MILLRACE_FOREVER, &status, &error), MILLRACE_OK, "wait");
  if (status != MILLRACE_RUN_COMPLETED) says("a task was told of a message", "");

  pthread_t thread;
  int32_t code = MILLRACE_OK;
  pthread_create(&thread, NULL, ask_for_ever, &code);
  sem_wait(&came);
  is(millrace_engine_destroy(engine, &error), MILLRACE_OK, "destroy");
  pthread_join(thread, NULL);
  is(code, MILLRACE_CLOSED, "a request while the engine is destroyed");
  is(request("words", 1, &bytes), MILLRACE_BAD_HANDLE, "a request after that");
  return wrong != 0;
}
