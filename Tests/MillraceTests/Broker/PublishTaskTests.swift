import Millrace
import MillraceBroker
import Testing

/// `broker/publish`: a task publishes a message.
@Suite(.timeLimit(.minutes(5))) struct PublishTaskTests {
  private func workflow(_ input: JSON, retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts()) -> Definition {
    var workflow = Definition("w", result: "send")
    workflow.task("send", handler: "broker/publish", input: input, retry: retry, timeouts: timeouts)
    return workflow
  }

  private func receive(_ queue: String, of engine: Engine) async throws -> ReceivedMessage {
    var iterator = try engine.messages(queue, prefetch: 1).makeAsyncIterator()
    let message = try #require(await iterator.next())
    try message.acknowledge()
    return message
  }

  @Test("a task publishes what its input says, with the run's tenant and trace, and its key as the message's id")
  func publishes() async throws {
    let engine = try engine { $0.tenants = ["blue": 1] }
    try queue("orders", on: engine)
    try engine.broker.declare(exchange: BrokerName("shop"), .topic)
    try engine.broker.bind(Binding(BrokerName("shop"), to: .queue(BrokerName("orders")), key: "order.#"))
    let trace = try #require(TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    var definition = Definition("w", parameters: [.init("number")], result: "send")
    definition.task(
      "send", handler: "broker/publish",
      input: [
        "exchange": "shop", "key": "order.new", "body": ["number": "${params.number}"], "priority": "high", "correlation": "c",
        "headers": ["count": 3, "kind": "x"], "time_to_live": "1h",
      ])
    let result = try await engine.run(definition, parameters: ["number": 7], tenant: "blue", trace: trace)
    #expect(
      result.payload(of: "send")?.json == ["status": "accepted", "queues": 1, "message_id": .string("\(result.id)/send")])
    let message = try await receive("orders", of: engine)
    #expect(message.text == #"{"number":7}"# && message.contentType == "application/json")
    #expect(message.key == "order.new" && message.priority == 2 && message.correlationID == "c")
    #expect(message.messageID == "\(result.id)/send" && message.tenant == "blue")
    #expect(message.headers["count"] == .integer(3) && message.headers["kind"] == .text("x"))
    let carried = try #require(message.trace.flatMap { TraceContext($0) })
    #expect(carried.traceID == trace.traceID)
    engine.shutdown()
  }

  @Test("without a body the output of the first task before it goes as it is")
  func bytes() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    try engine.register("bytes") { call in Payload([0, 255, 1]) }
    var definition = Definition("w")
    let first = definition.task("first", handler: "bytes")
    definition.task("send", handler: "broker/publish", dependencies: [first], input: ["queue": "orders", "message_id": "m"])
    #expect(try await engine.run(definition).payload(of: "send")?.json?["status"] == "accepted")
    let message = try await receive("orders", of: engine)
    #expect(message.copy() == [0, 255, 1] && message.contentType == nil && message.messageID == "m")
    engine.shutdown()
  }

  @Test("a second message of an id within the broker's window is a duplicate, and its task is done")
  func duplicate() async throws {
    let engine = try engine { $0.broker.duplicateWindow = 3_600_000_000_000 }
    try queue("orders", on: engine)
    let definition = workflow(["queue": "orders", "body": 1, "message_id": "m"])
    #expect(try await engine.run(definition).payload(of: "send")?.json?["status"] == "accepted")
    #expect(try await engine.run(definition).payload(of: "send")?.json == ["status": "duplicate", "message_id": "m"])
    #expect(try drain("orders", of: engine) == ["1"])
    engine.shutdown()
  }

  @Test(
    "what cannot be published fails at once, and says what is there",
    arguments: [
      (["queue": "ordrs"], "no-queue", "there is no queue 'ordrs': did you mean 'orders'?"),
      (["exchange": "shpo", "key": "a"], "no-exchange", "there is no exchange 'shpo': did you mean 'shop'?"),
      (["exchange": "shop", "key": "a"], "unroutable", "exchange 'shop', key 'a': no queue is bound"),
      (["queue": "millrace.x"], "bad-input", "names that begin with 'millrace.' are the system's"),
      (["queue": "orders", "delay": "${params.delay}"], "bad-input", "'delay'"),
      (["queue": "orders", "priority": "${params.delay}"], "bad-input", "'priority'"),
    ] as [(JSON, String, String)])
  func refused(input: JSON, type: String, message: String) async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    try engine.broker.declare(exchange: BrokerName("shop"), .direct)
    var definition = workflow(input, retry: RetryPolicy(attempts: 3))
    definition.parameters = [.init("delay", fallback: "soon")]
    let handle = try engine.start(definition)
    #expect(await handle.finished() == .failed)
    let attempts = handle.record().tasks[0].attempts
    #expect(attempts.map(\.errorType) == [type])
    #expect(attempts[0].message.contains(message), "\(attempts[0].message)")
    engine.shutdown()
  }

  @Test("what no queue wants is said, where that is allowed")
  func unwanted() async throws {
    let engine = try engine()
    try engine.broker.declare(exchange: BrokerName("shop"), .fanout)
    let result = try await engine.run(workflow(["exchange": "shop", "mandatory": false, "message_id": "m"]))
    #expect(result.payload(of: "send")?.json == ["status": "unroutable", "queues": 0, "message_id": "m"])
    engine.shutdown()
  }

  @Test("an input that is none is found before anything runs")
  func checked() throws {
    let engine = try engine()
    for input: JSON in [["queue": "a", "exchange": "b"], ["body": 1], ["queue": "a", "priorty": 1], ["queue": "a", "priority": 256]] {
      #expect(throws: DefinitionError.self, "\(input)") { try engine.start(workflow(input)) }
    }
    engine.shutdown()
  }

  @Test("in a full queue a hundred tasks wait for room, and one thread goes on with other work")
  func room() async throws {
    let engine = try engine(slots: 200, threads: 1)
    try queue("orders", on: engine) {
      $0.maxSize = 10
      $0.overflow = .rejectPublish
    }
    try engine.register("nothing") { call in .empty }
    var definition = Definition("w")
    for i in 0..<100 { definition.task("t\(i)", handler: "broker/publish", input: ["queue": "orders", "body": .integer(Int64(i))]) }
    let handle = try engine.start(definition)
    #expect(try await eventually { try engine.broker.waitingPublishers == 90 })
    var other = Definition("other")
    other.task("t", handler: "nothing")
    #expect(try await engine.run(other).status == .completed)
    var taken: Set<String> = []
    for await message in try engine.messages("orders", prefetch: 3) {
      taken.insert(message.text)
      try message.acknowledge()
      if taken.count == 100 { break }
    }
    #expect(await handle.finished() == .completed)
    engine.shutdown()
  }

  @Test("the wait for room ends with the task's time, and nothing is published then")
  func noRoom() async throws {
    let engine = try engine()
    try queue("orders", on: engine) {
      $0.maxSize = 1
      $0.overflow = .rejectPublish
    }
    try await engine.publish(.text("first"), to: "orders")
    let handle = try engine.start(workflow(["queue": "orders", "body": 2], timeouts: Timeouts(startToClose: 2_000_000)))
    #expect(await handle.finished() == .failed)
    #expect(handle.record().tasks[0].status == .timedOut)
    #expect(await eventually { (try? engine.broker.waitingPublishers) == 0 })
    #expect(try drain("orders", of: engine) == ["first"])
    engine.shutdown()
  }

  @Test("the task is done when the message is on the disk; an attempt that is repeated meanwhile waits for that, too")
  func confirmed() async throws {
    let journal = try HeldJournal()
    let engine = try engine {
      $0.journal = { journal }
      $0.broker.duplicateWindow = 3_600_000_000_000
    }
    try queue("orders", on: engine) { $0.isDurable = true }
    journal.hold()
    let input: JSON = ["queue": "orders", "body": 1, "message_id": "m"]
    let first = try engine.start(workflow(input))
    #expect(await eventually { journal.heldCount == 1 })
    let second = try engine.start(workflow(input))
    // Its consumers have it already.
    #expect(try await eventually { try drain("orders", of: engine) == ["1"] })
    #expect(await eventually { second.runningTasks == ["send"] })
    #expect(first.status == .running && second.status == .running)
    journal.release()
    #expect(await first.finished() == .completed)
    #expect(await second.finished() == .completed)
    #expect(second.payload(of: "send")?.json?["status"] == "duplicate")
    engine.shutdown()
  }

  @Test("what the disk did not take is published again by the next attempt")
  func unconfirmed() async throws {
    let journal = try HeldJournal()
    let engine = try engine {
      $0.journal = { journal }
      $0.broker.duplicateWindow = 3_600_000_000_000
    }
    try queue("orders", on: engine) { $0.isDurable = true }
    journal.hold()
    let retry = RetryPolicy(attempts: 2, initial: 1_000_000)
    let handle = try engine.start(workflow(["queue": "orders", "body": 1, "message_id": "m"], retry: retry))
    #expect(await eventually { journal.heldCount == 1 })
    journal.release(as: .noSpace)
    #expect(await handle.finished() == .completed)
    #expect(handle.record().tasks[0].attempts.map(\.errorType) == ["not-confirmed", ""])
    #expect(try drain("orders", of: engine) == ["1", "1"])
    engine.shutdown()
  }
}
