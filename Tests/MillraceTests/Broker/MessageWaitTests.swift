import Millrace
import MillraceBroker
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

/// `wait: message`: a task takes a message of a queue.
@Suite(.timeLimit(.minutes(5))) struct MessageWaitTests {
  private func workflow(_ queue: String = "orders", timeouts: Timeouts = Timeouts(), durability: Durability = .none) -> Definition {
    var workflow = Definition("w", result: "order", durability: durability)
    workflow.wait("order", for: .message(queue: queue), timeouts: timeouts)
    return workflow
  }

  private func counts(_ queue: String = "orders", of engine: Engine) throws -> [Int] {
    let statistics = try engine.broker.statistics(of: BrokerName(queue))
    return [statistics.ready, statistics.unacknowledged, statistics.consumers]
  }

  @Test("a task gets a message that is there, and all that it says, and acknowledges it")
  func takes() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    try engine.broker.declare(exchange: BrokerName("shop"), .direct)
    try engine.broker.bind(Binding(BrokerName("shop"), to: .queue(BrokerName("orders")), key: "new"))
    let headers = try Headers([("n", .integer(3)), ("t", .text("x")), ("b", .boolean(true))])
    try await engine.publish(json: ["id": 7], exchange: "shop", key: "new") {
      ($0.messageID, $0.correlationID, $0.priority, $0.headers) = ("m", "c", 2, headers)
    }
    let result = try await engine.run(workflow())
    #expect(
      result.payload(of: "order")?.json == [
        "body": ["id": 7], "key": "new", "exchange": "shop", "priority": 2, "message_id": "m", "correlation": "c",
        "headers": ["b": true, "n": 3, "t": "x"], "redelivered": false,
      ])
    #expect(try await eventually { try counts(of: engine) == [0, 0, 0] })
    engine.shutdown()
  }

  @Test("the body is JSON where it is, else text, else base64")
  func bodies() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    func body(_ payload: Payload) async throws -> JSON? {
      try await engine.publish(payload, to: "orders")
      let output = try await engine.run(workflow()).payload(of: "order")?.json
      return output?["body_base64"].map { ["base64": $0, "body": output?["body"] ?? "none"] } ?? output?["body"]
    }
    #expect(try await body(.json([1, 2])) == [1, 2])
    #expect(try await body(Payload(Array("[1]".utf8))) == [1])
    #expect(try await body(.text("[1]")) == "[1]")
    #expect(try await body(Payload(Array("{".utf8))) == "{")
    #expect(try await body(.empty) == "")
    #expect(try await body(Payload([255, 0])) == ["base64": "/wA=", "body": nil])
    engine.shutdown()
  }

  @Test("with one slot and one thread a thousand waits hold up nothing, and each takes one message of many publishers")
  func many() async throws {
    let engine = try engine(slots: 1, threads: 1)
    try queue("even", on: engine)
    try queue("odd", on: engine)
    var definition = Definition("w")
    let count = 1_000
    for i in 0..<count { definition.wait("t\(i)", for: .message(queue: i % 2 == 0 ? "even" : "odd")) }
    let handle = try engine.start(definition)
    var other = Definition("other")
    other.wait("t", for: .lasting(.nanoseconds(1)))
    #expect(try await engine.run(other).status == .completed)
    #expect(await eventually { handle.waits.count == count })
    #expect(handle.waits[0].wait == .message(queue: "even"))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for publisher in 0..<4 {
        group.addTask {
          for i in 0..<count where i % 4 == publisher { try await engine.publish(json: i, to: i % 2 == 0 ? "even" : "odd") }
        }
      }
      try await group.waitForAll()
    }
    #expect(await handle.finished() == .completed)
    var taken: Set<Int64> = []
    for i in 0..<count {
      let body = try #require(handle.payload(of: "t\(i)")?.json?["body"]?.integer)
      #expect(body % 2 == Int64(i % 2))
      taken.insert(body)
    }
    #expect(taken.count == count)
    for name in ["even", "odd"] { #expect(try await eventually { try counts(name, of: engine) == [0, 0, 0] }) }
    engine.shutdown()
  }

  @Test("tasks that wait get messages in the order in which they came to wait, also those that are delayed")
  func order() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    var handles: [WorkflowHandle] = []
    for i in 0..<5 {
      handles.append(try engine.start(workflow()))
      #expect(await eventually { handles[i].waits.count == 1 })
    }
    for i in 0..<5 {
      try await engine.publish(json: i, to: "orders") { $0.delay = 1_000_000 }
      #expect(await handles[i].finished() == .completed)
      #expect(handles[i].result?["body"] == .integer(Int64(i)))
    }
    engine.shutdown()
  }

  @Test("a queue that is not there fails the task at once, with the nearest; one that goes fails it then")
  func missing() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let none = try engine.start(workflow("ordrs"))
    #expect(await none.finished() == .failed)
    #expect(none.record().tasks[0].attempts.map(\.message) == ["there is no queue 'ordrs': did you mean 'orders'?"])
    let waiting = try engine.start(workflow())
    #expect(try await eventually { try counts(of: engine)[2] == 1 })
    #expect(waiting.explain("order")?.summary.hasSuffix("for a message of the queue orders") == true)
    try engine.broker.delete(queue: BrokerName("orders"))
    #expect(await waiting.finished() == .failed)
    #expect(waiting.record().tasks[0].attempts.map(\.errorType) == ["no-queue"])
    engine.shutdown()
  }

  @Test("a wait that timed out, or was cancelled, takes no message", arguments: [false, true])
  func ended(isCancelled: Bool) async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let handle = try engine.start(workflow(timeouts: Timeouts(startToClose: isCancelled ? nil : 2_000_000)))
    if isCancelled {
      #expect(await eventually { handle.waits.count == 1 })
      handle.cancel()
    }
    #expect(await handle.finished() == (isCancelled ? .cancelled : .failed))
    #expect(try counts(of: engine) == [0, 0, 0])
    try await engine.publish(.text("x"), to: "orders")
    #expect(try counts(of: engine) == [1, 0, 0])
    let next = try await engine.run(workflow())
    #expect(next.payload(of: "order")?.json?["redelivered"] == false)
    engine.shutdown()
  }

  @Test("timeouts beside publishers: every message is taken once, or is still there")
  func races() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let count = 300
    let handles = try (0..<count).map { i in
      try engine.start(workflow(timeouts: Timeouts(startToClose: UInt64(i % 30 + 1) * 100_000)))
    }
    for i in 0..<count { try await engine.publish(json: i, to: "orders") }
    var taken: [String] = []
    for handle in handles where await handle.finished() == .completed { taken.append(handle.result?["body"]?.text() ?? "") }
    #expect(try await eventually { try counts(of: engine)[1...] == [0, 0] })
    let left = try drain("orders", of: engine)
    #expect((taken + left).sorted() == (0..<count).map { "\($0)" }.sorted())
    engine.shutdown()
  }

  @Test("a queue with one active consumer gives nothing to a task behind another one, and then does")
  func singleActive() async throws {
    let engine = try engine()
    try queue("orders", on: engine) { $0.isSingleActive = true }
    let first = try engine.consume("orders") { (_: ReceivedMessage, _) in }
    let handle = try engine.start(workflow())
    #expect(try await eventually { try counts(of: engine)[2] == 2 })
    try await engine.publish(.text("for the first"), to: "orders")
    #expect(try await eventually { try counts(of: engine) == [0, 0, 2] })
    #expect(handle.status == .running)
    first.close()
    try await engine.publish(.text("for the task"), to: "orders")
    #expect(await handle.finished() == .completed)
    #expect(handle.result?["body"] == "for the task")
    engine.shutdown()
  }

  @Test("a durable run acknowledges the message when the end of the wait is recorded; if that fails it goes back")
  func recorded() async throws {
    for fails in [false, true] {
      let store = FailingStore(MemoryEventStore(), after: .max, .failed("the disk went"))
      let engine = try engine {
        $0.store = store
        $0.capacity = 10_000
      }
      try queue("orders", on: engine)
      let handle = try engine.start(workflow(durability: .log))
      #expect(try await eventually { try counts(of: engine)[2] == 1 })
      store.hold()
      try await engine.publish(.text("x"), to: "orders")
      #expect(await eventually { store.waitingCount > 0 })
      #expect(try counts(of: engine)[...1] == [0, 1])
      #expect(handle.status == .running)
      store.release(isRefused: fails)
      if fails {
        #expect(try await eventually { try counts(of: engine) == [1, 0, 0] })
      } else {
        #expect(await handle.finished() == .completed)
        #expect(try await eventually { try counts(of: engine) == [0, 0, 0] })
      }
      engine.shutdown()
    }
  }

  @Test("a durable run waits again in the next engine, and gets the message there")
  func resumed() async throws {
    let folder = try Folder()
    func open() throws -> Engine {
      try engine {
        $0.data = folder.path
        $0.capacity = 10_000
      }
    }
    let first = try open()
    try queue("orders", on: first) { $0.isDurable = true }
    let handle = try first.start(workflow(durability: .log))
    #expect(try await eventually { try counts(of: first)[2] == 1 })
    first.shutdown()
    let second = try open()
    // Nobody has asked for the broker yet: the wait opens it.
    let resumed = try #require(try second.resume().handles.first)
    #expect(resumed.id == handle.id)
    #expect(try await eventually { try counts(of: second)[2] == 1 })
    try await second.publish(json: 5, to: "orders")
    #expect(await resumed.finished() == .completed)
    #expect(resumed.result?["body"] == 5)
    second.shutdown()
  }

  @Test("an engine that is let go of while tasks wait ends, and its durable queue has all messages")
  func ends() async throws {
    let folder = try Folder()
    let configure: (inout Engine.Configuration) -> Void = {
      $0.data = folder.path
      $0.capacity = 10_000
    }
    do {
      let engine = try engine(configure)
      try queue("orders", on: engine) { $0.isDurable = true }
      for _ in 0..<10 { _ = try engine.start(workflow()) }
      #expect(try await eventually { try counts(of: engine)[2] == 1 })
    }
    let engine = try engine(configure)
    #expect(try counts(of: engine) == [0, 0, 0])
    engine.shutdown()
  }
}
