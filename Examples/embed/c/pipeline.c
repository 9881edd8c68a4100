/*
 * Millrace in a program in C: a workflow with handlers of its own, and a queue.
 *
 *     cc -o pipeline pipeline.c $(pkg-config --cflags --libs millrace) && ./pipeline
 */
#include <millrace/millrace.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

static millrace_error error = {.size = sizeof error};

#define CHECK(call) \
  do { \
    if ((call) != MILLRACE_OK) { \
      fprintf(stderr, "%s: %s: %s\n", #call, millrace_code_name(error.code), error.message); \
      return 1; \
    } \
  } while (0)

static const char workflow_text[] =
    "format: 1\n"
    "workflow: words\n"
    "parameters:\n"
    "  text: { description: What is counted }\n"
    "result: total\n"
    "tasks:\n"
    "  - id: letters\n"
    "    handler: letters\n"
    "    input: \"${params.text}\"\n"
    "  - id: words\n"
    "    handler: words\n"
    "    input: \"${params.text}\"\n"
    "  - id: total\n"
    "    handler: total\n"
    "    dependencies: [letters, words]\n";

/* Writes a text into the run's own memory: the output of an attempt. */
static uint32_t answer(const millrace_call *call, millrace_outcome *outcome, const char *text) {
  size_t length = strlen(text);
  void *room = call->host->claim(call->attempt, length, MILLRACE_JSON, &outcome->output);
  if (room == NULL) return MILLRACE_RETRY;
  memcpy(room, text, length);
  return MILLRACE_DONE;
}

static millrace_input input(const millrace_call *call, uint32_t index) {
  millrace_input input = {.size = sizeof input};
  if (call->host->input(call->attempt, index, &input) != 0) input.payload.length = 0;
  return input;
}

static uint32_t letters(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  millrace_input text = input(call, 0);
  char number[32];
  snprintf(number, sizeof number, "%llu", (unsigned long long)text.payload.length - 2); /* without the quotes of JSON */
  return answer(call, outcome, number);
}

static uint32_t words(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  millrace_input text = input(call, 0);
  const char *bytes = (const char *)text.bytes;
  unsigned count = 1;
  for (uint64_t i = 0; i < text.payload.length; i++) count += bytes[i] == ' ';
  char number[32];
  snprintf(number, sizeof number, "%u", count);
  return answer(call, outcome, number);
}

static uint32_t total(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  millrace_input letters = input(call, 1), words = input(call, 2);
  char text[96];
  snprintf(
      text, sizeof text, "{\"letters\":%.*s,\"words\":%.*s}", (int)letters.payload.length, (const char *)letters.bytes, (int)words.payload.length,
      (const char *)words.bytes);
  return answer(call, outcome, text);
}

/* Handles a message: what this returns is the answer to it. */
static uint32_t reply(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)context;
  millrace_input message = input(call, 0);
  char text[128];
  snprintf(text, sizeof text, "[%.*s]", (int)message.payload.length, (const char *)message.bytes);
  return answer(call, outcome, text);
}

/* Handles the answer. */
static uint32_t receive(void *context, const millrace_call *call, millrace_outcome *outcome) {
  (void)outcome;
  millrace_input message = input(call, 0);
  printf("answer: %.*s\n", (int)message.payload.length, (const char *)message.bytes);
  sem_post((sem_t *)context);
  return MILLRACE_DONE;
}

static int use(millrace_engine engine) {
  millrace_handler handlers[] = {
      {.size = sizeof(millrace_handler), .name = "letters", .run = letters},
      {.size = sizeof(millrace_handler), .name = "words", .run = words},
      {.size = sizeof(millrace_handler), .name = "total", .run = total},
  };
  for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) CHECK(millrace_engine_register(engine, &handlers[i], &error));

  millrace_workflow workflow;
  CHECK(millrace_workflow_prepare(engine, "words.yaml", workflow_text, strlen(workflow_text), &workflow, &error));
  static const char parameters[] = "{\"text\": \"one loop to run them all\"}";
  millrace_start start = {.size = sizeof start, .parameters = parameters, .parameters_length = strlen(parameters)};
  millrace_run run;
  CHECK(millrace_run_start(workflow, &start, &run, &error));
  uint32_t status;
  CHECK(millrace_run_wait(run, MILLRACE_FOREVER, &status, &error));
  millrace_bytes output = {.size = sizeof output};
  CHECK(millrace_run_output(run, NULL, &output, &error));
  printf("run %s: %s\n", status == MILLRACE_RUN_COMPLETED ? "completed" : "did not complete", (const char *)output.data);

  CHECK(millrace_queue_declare(engine, "results", NULL, &error));
  CHECK(millrace_queue_declare(engine, "answers", NULL, &error));
  millrace_message message = {
      .size = sizeof message, .content_type = MILLRACE_JSON, .key = "results", .payload = output.data, .length = output.length,
      .reply_to = "answers"};
  uint32_t queues;
  CHECK(millrace_publish(engine, &message, &queues, &error));
  millrace_bytes_free(&output);
  sem_t received;
  sem_init(&received, 0, 0);
  millrace_handler replier = {.size = sizeof replier, .name = "reply", .run = reply};
  millrace_handler receiver = {.size = sizeof receiver, .name = "receive", .run = receive, .context = &received};
  millrace_subscription subscriptions[2];
  CHECK(millrace_subscribe(engine, "results", &replier, NULL, &subscriptions[0], &error));
  CHECK(millrace_subscribe(engine, "answers", &receiver, NULL, &subscriptions[1], &error));
  sem_wait(&received);
  /* Handlers that run end as well: `received` goes after this. */
  CHECK(millrace_engine_drain(engine, MILLRACE_FOREVER, &error));
  sem_destroy(&received);
  CHECK(millrace_run_release(run, &error));
  CHECK(millrace_workflow_release(workflow, &error));
  return 0;
}

int main(void) {
  if (millrace_embedding_version() != MILLRACE_EMBEDDING_VERSION) {
    fprintf(stderr, "libmillrace.so %s has another interface than the header\n", millrace_version());
    return 1;
  }
  millrace_engine engine;
  CHECK(millrace_engine_create(NULL, &engine, &error));
  int code = use(engine);
  CHECK(millrace_engine_destroy(engine, &error));
  return code;
}
