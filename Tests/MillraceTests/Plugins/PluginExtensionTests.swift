import Foundation
import MillraceBroker
import Testing

@testable import Millrace

/// What a plugin in C finds in the host beside its table: messages, randomness, and structs of any size that is large enough.
@Suite(.timeLimit(.minutes(5))) struct PluginExtensionTests {
  private static let source = #"""
    #define _GNU_SOURCE
    #include <millrace/plugin.h>
    #include <stdio.h>
    #include <string.h>

    static const millrace_host *host;
    static const millrace_broker *broker;
    static const millrace_random *random_;
    static char *kept;

    static uint32_t text(const millrace_call *call, millrace_outcome *outcome, const char *words) {
      const size_t length = strlen(words);
      char *bytes = call->host->claim(call->attempt, length, MILLRACE_TEXT, &outcome->output);
      if (!bytes) return MILLRACE_FAILED;
      memcpy(bytes, words, length);
      return MILLRACE_DONE;
    }

    /* Publishes once to an exchange, again with the same id, then what is refused, and tells the codes. */
    static uint32_t send(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      static const char *const headers[] = {"kind", "x", "colour", "blue"};
      millrace_publication message = {.size = sizeof message, .flags = MILLRACE_PUBLICATION_PRIORITY, .exchange = "shop", .key = "order.new", .id = call->task_key,
                                  .content_type = "text/plain", .correlation_id = "c", .reply_to = "answers", .headers = headers, .header_count = 2,
                                  .time_to_live = 3600000000000u, .priority = 2};
      char words[256];
      void *bytes = NULL;
      millrace_draft draft = 0;
      uint32_t queues = 9, codes[14], n = 0;
      codes[n++] = broker->claim(call->host, call->attempt, 5, &message, &draft, &bytes);
      if (!bytes) return MILLRACE_FAILED;
      memcpy(bytes, "hello", 5);
      codes[n++] = broker->publish(call->host, draft, &queues);
      snprintf(words, sizeof words, "%zu %u:", (size_t)bytes, queues);
      codes[n++] = broker->publish(call->host, draft, &queues); /* over: malformed */
      codes[n++] = broker->claim(call->host, NULL, 5, &message, &draft, &bytes);
      codes[n++] = broker->publish(call->host, draft, NULL); /* a duplicate */
      message.id = NULL;
      message.exchange = "nowhere";
      codes[n++] = broker->claim(call->host, NULL, 5, &message, &draft, &bytes); /* nowhere */
      message.exchange = "no such name";
      codes[n++] = broker->claim(call->host, NULL, 5, &message, &draft, &bytes); /* malformed */
      message.exchange = "shop";
      message.key = "nobody";
      codes[n++] = broker->claim(call->host, NULL, 0, &message, &draft, &bytes);
      codes[n++] = broker->publish(call->host, draft, &queues); /* unroutable, and still there */
      codes[n++] = broker->publish(call->host, draft, &queues);
      broker->drop(call->host, draft);
      codes[n++] = broker->publish(call->host, draft, NULL); /* over */
      message.priority = 256;
      codes[n++] = broker->claim(call->host, NULL, 0, &message, &draft, &bytes); /* malformed */
      message.priority = 1;
      message.header_count = MILLRACE_HEADERS + 1;
      codes[n++] = broker->claim(call->host, NULL, 0, &message, &draft, &bytes); /* malformed */
      message.header_count = 0;
      codes[n++] = broker->claim(call->host, NULL, (uint64_t)1 << 40, &message, &draft, &bytes); /* too large */
      for (uint32_t i = 0; i < n; i++) snprintf(words + strlen(words), sizeof words - strlen(words), " %u", codes[i]);
      return text(call, outcome, words);
    }

    /* To a queue that has room for one. */
    static uint32_t fill(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      millrace_publication message = {.size = sizeof message, .key = "small", .flags = MILLRACE_PUBLICATION_TRANSIENT};
      char words[64] = "";
      for (int i = 0; i < 2; i++) {
        void *bytes;
        millrace_draft draft;
        if (broker->claim(call->host, call->attempt, 1, &message, &draft, &bytes) != MILLRACE_PUBLISH_DONE) return MILLRACE_FAILED;
        *(char *)bytes = (char)('0' + i);
        const uint32_t code = broker->publish(call->host, draft, NULL);
        if (code != MILLRACE_PUBLISH_DONE) broker->drop(call->host, draft);
        snprintf(words + strlen(words), sizeof words - strlen(words), "%u ", code);
      }
      return text(call, outcome, words);
    }

    static uint32_t draw(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      unsigned char bytes[20] = {0}, large[MILLRACE_RANDOM_BYTES + 1];
      char words[64] = "";
      if (random_->fill(call->host, bytes, sizeof bytes) != 0 || random_->fill(call->host, NULL, 0) != 0) return MILLRACE_FAILED;
      if (random_->fill(call->host, large, sizeof large) != -1 || random_->fill(call->host, large, sizeof large - 1) != 0) return MILLRACE_FAILED;
      for (size_t i = 0; i < sizeof bytes; i++) snprintf(words + strlen(words), sizeof words - strlen(words), "%02x", bytes[i]);
      return text(call, outcome, words);
    }

    /* An input that this plugin knows less or more of than the host does. */
    static uint32_t sizes(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      struct { millrace_input input; uint64_t more[4]; } grown;
      memset(&grown, 0xA5, sizeof grown);
      grown.input.size = sizeof(millrace_input) - 1;
      if (call->host->input(call->attempt, 0, &grown.input) != -1 || grown.input.payload.length != 0xA5A5A5A5A5A5A5A5u) return MILLRACE_FAILED;
      grown.input.size = sizeof grown;
      if (call->host->input(call->attempt, 0, &grown.input) != 0 || grown.input.size != sizeof grown) return MILLRACE_FAILED;
      for (int i = 0; i < 4; i++) if (grown.more[i] != 0xA5A5A5A5A5A5A5A5u) return MILLRACE_FAILED;
      return text(call, outcome, grown.input.name);
    }

    /* A message that is never published; `deinit` writes it. */
    static uint32_t keep(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      millrace_publication message = {.size = sizeof message, .key = "small"};
      millrace_draft draft;
      void *bytes;
      if (broker->claim(call->host, call->attempt, 100000, &message, &draft, &bytes) != MILLRACE_PUBLISH_DONE) return MILLRACE_FAILED;
      kept = bytes;
      return text(call, outcome, "kept");
    }

    /* What the message says that is handled, the second time that it comes. */
    static uint32_t letter(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      const millrace_deliveries *deliveries = call->host->extension(call->host, MILLRACE_DELIVERY);
      millrace_delivery got = {.size = sizeof got};
      const char *name, *value;
      char words[512];
      if (!deliveries || deliveries->size < sizeof *deliveries) return MILLRACE_FAILED;
      if (deliveries->read(call->attempt, &got) != 0) return text(call, outcome, "no message");
      if (got.acquired == 0) return MILLRACE_RETRY;
      snprintf(words, sizeof words, "%s|%s|%s|%s|%s|%s|%s|%s|%s|%lld|%u|%u|%u", got.queue, got.exchange, got.key, got.id, got.content_type, got.correlation_id,
               got.reply_to, got.type, got.tenant ? got.tenant : "-", (long long)got.timestamp, got.priority, got.acquired, got.failed);
      for (uint32_t i = 0; deliveries->header(call->attempt, i, &name, &value) == 0; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), "|%s=%s", name, value ? value : "-");
      return text(call, outcome, words);
    }

    #define HANDLER(word, schema) {.size = sizeof(millrace_handler), .name = #word, .summary = "for tests", .output_schema = schema, .run = word}
    static const millrace_handler all[] = {HANDLER(send, "{}"), HANDLER(fill, "[]"), HANDLER(draw, "{"), HANDLER(sizes, NULL), HANDLER(keep, NULL), HANDLER(letter, NULL)};
    static const millrace_handler *const handlers[] = {&all[0], &all[1], &all[2], &all[3], &all[4], &all[5]};

    static int32_t init(const millrace_host *given, char *message, size_t capacity) {
      host = given;
      broker = host->extension(host, MILLRACE_BROKER);
      random_ = host->extension(host, MILLRACE_RANDOM);
      if (broker && broker->size >= sizeof *broker && random_ && random_->size >= sizeof *random_) return 0;
      snprintf(message, capacity, "the host has no broker or no randomness");
      return 1;
    }

    static void deinit(void) {
      void *bytes;
      millrace_draft draft;
      const millrace_publication message = {.size = sizeof message, .key = "small"};
      char line[32];
      if (!kept) return;
      memset(kept, 1, 100000);
      snprintf(line, sizeof line, "closed %u", broker->claim(host, NULL, 1, &message, &draft, &bytes));
      host->log(host, MILLRACE_LOG_NOTICE, line);
    }

    static const millrace_plugin plugin = {
        .size = sizeof plugin, .abi_version = MILLRACE_ABI_VERSION, .name = "mail", .version = "1", .summary = "sends", .init = init, .deinit = deinit,
        .configuration_schema = "3", .handlers = handlers, .handler_count = 6};
    MILLRACE_MANIFEST();
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
    """#

  private func run(_ handler: String, on engine: Engine, tenant: String? = nil, trace: TraceContext? = nil) async throws -> String {
    var definition = Definition("w", result: "a")
    definition.task("a", handler: "mail/" + handler, input: ["x": 1])
    return try #require(await engine.run(definition, tenant: tenant, trace: trace).payload(of: "a")?.text)
  }

  @Test("a message is read where the plugin wrote it, with all that it said, the run's tenant and its trace; each refusal has its code")
  func publishes() async throws {
    let built = try BuiltPlugin(Self.source) {
      $0.tenants = ["blue": 1]
      $0.broker.duplicateWindow = 3_600_000_000_000
    }
    let engine = built.engine
    try queue("orders", on: engine)
    try engine.broker.declare(exchange: BrokerName("shop"), .topic)
    try engine.broker.bind(Binding(BrokerName("shop"), to: .queue(BrokerName("orders")), key: "order.#"))
    let trace = try #require(TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    let told = try await run("send", on: engine, tenant: "blue", trace: trace)
    let parts = told.split(separator: ":")
    #expect(parts[1] == " 0 0 5 0 1 6 5 0 2 2 5 5 5 7", "claimed, published, over, and so on: see the plugin")
    var count = 0
    var receiver = try engine.broker.makeReceiver(BrokerName("orders"))
    try receiver.receive { message in
      count += 1
      let address = unsafe UInt(bitPattern: message.payload.baseAddress)
      #expect(parts[0] == "\(address) 1", "no byte was copied, and one queue has it")
      #expect(message.copy() == Array("hello".utf8) && message.key == "order.new" && message.priority == 2)
      #expect(message.contentType == "text/plain" && message.correlationID == "c" && message.replyTo == "answers")
      #expect(message.tenant == "blue" && message.messageID?.hasSuffix("/a") == true)
      #expect(message.headers["kind"] == .text("x") && message.headers["colour"] == .text("blue"))
      let carried = message.trace.flatMap { TraceContext($0) }
      #expect(carried.map { $0.traceID == trace.traceID } == true)
      return .acknowledge
    }
    #expect(count == 1)
    engine.shutdown()
  }

  @Test("a full queue refuses the second message, whose memory is given back") func full() async throws {
    let built = try BuiltPlugin(Self.source)
    try queue("small", on: built.engine) { ($0.maxSize, $0.overflow) = (1, .rejectPublish) }
    #expect(try await run("fill", on: built.engine) == "0 3 ")
    #expect(try drain("small", of: built.engine) == ["0"])
    built.engine.shutdown()
  }

  @Test("with a seed plugins draw the same bytes each time, without one others") func draws() async throws {
    var drawn: [[String]] = []
    for seed: UInt64? in [7, 7, 8, nil, nil] {
      let built = try BuiltPlugin(Self.source) { $0.seed = seed }
      drawn.append([try await run("draw", on: built.engine), try await run("draw", on: built.engine)])
      built.engine.shutdown()
    }
    #expect(drawn[0] == drawn[1] && Set(drawn.dropFirst().joined()).count == 8)
    #expect(drawn.joined().allSatisfy { $0.count == 40 })
  }

  @Test("an input is filled as far as its plugin knows it, and not at all where that is less than version 1") func sizes() async throws {
    let built = try BuiltPlugin(Self.source)
    #expect(try await run("sizes", on: built.engine) == "input")
    built.engine.shutdown()
  }

  @Test("a message that a plugin holds stays its own until it is unloaded; claims are refused once the engine has stopped") func keeps()
    async throws
  {
    let built = try BuiltPlugin(Self.source)
    try queue("small", on: built.engine)
    #expect(try await run("keep", on: built.engine) == "kept")
    built.engine.shutdown()
    #expect(built.notes.all == ["closed 9"])
  }

  @Test("a handler that consumes a queue is told what its message says, and how often it came; one of a task, that there is none")
  func letters()
    async throws
  {
    let built = try BuiltPlugin(Self.source)
    let engine = built.engine
    try queue("orders", on: engine)
    try queue("answers", on: engine)
    try engine.broker.declare(exchange: BrokerName("shop"), .direct)
    try engine.broker.bind(Binding(BrokerName("shop"), to: .queue(BrokerName("orders")), key: "new"))
    let answers = Notes()
    try engine.consume("answers") { message, _ in answers.add(message.text) }
    try engine.consume("orders", handler: "mail/letter")
    let values: [(String, HeaderValue)] = [
      ("text", .text("blau wie Öl")), ("no", .boolean(false)), ("less", .integer(-5)), ("more", .unsigned(.max)), ("half", .real(0.5)),
      ("cents", .decimal(scale: 2, value: 5)), ("whole", .decimal(scale: 0, value: 7)), ("raw", .bytes([0xFF])), ("void", .void),
    ]
    var envelope = Envelope(to: try engine.exchange("shop"), key: "new")
    envelope.messageID = "first"
    envelope.contentType = "text/plain"
    envelope.correlationID = "c"
    envelope.replyTo = "answers"
    envelope.type = "order"
    envelope.timestamp = 12_345
    envelope.priority = 7
    envelope.headers = try Headers(values)
    _ = try await engine.publish(Payload([1]), envelope)
    let told =
      "orders|shop|new|first|text/plain|c|answers|order|-|12345|7|1|1"
      + "|cents=0.05|half=0.5|less=-5|more=18446744073709551615|no=false|raw=-|text=blau wie Öl|void=-|whole=7"
    #expect(await answers.reach(1))
    #expect(answers.all == [told])
    #expect(try await run("letter", on: engine) == "no message")
    engine.shutdown()
  }

  @Test("schemas that are no JSON objects are told by their owner's name") func schemas() throws {
    let built = try BuiltPlugin(Self.source)
    let problems = built.engine.schemaProblems.map { "\($0.handler): \($0.reason)" }
    #expect(problems.count == 3)
    #expect(problems.contains("mail: its configuration_schema is no JSON object"))
    #expect(problems.contains("mail/fill: its output_schema is no JSON object"))
    #expect(problems.contains { $0.hasPrefix("mail/draw: its output_schema is no JSON: ") })
    built.engine.shutdown()
  }
}
