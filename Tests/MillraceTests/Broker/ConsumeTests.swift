import Millrace
import Testing

/// Messages of a queue are handled as tasks are: by their handlers' ends they are settled.
@Suite(.timeLimit(.minutes(5))) struct ConsumeTests {
  struct Order: Codable, Sendable { var id: Int }

  @Test("a synchronous function gets each message once, decoded, and nothing is left in the queue")
  func synchronous() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let notes = Notes()
    try engine.consume("orders") { (order: Order, context) in notes.add("\(order.id) \(context.message?.key ?? "")") }
    for id in 0..<200 { #expect(try await engine.publish(json: Order(id: id), to: "orders") == .accepted(queues: 1)) }
    #expect(await notes.reach(200))
    #expect(Set(notes.all) == Set((0..<200).map { "\($0) orders" }))
    #expect(await engine.drain(timeout: .seconds(60)))
  }

  @Test("an asynchronous function holds no thread while it waits, and reads the payload where its publisher wrote it")
  func asynchronous() async throws {
    let engine = try engine(slots: 100, threads: 1)
    try queue("orders", on: engine)
    let door = Door()
    let gauge = Gauge()
    let notes = Notes()
    try engine.consume("orders") { (message: ReceivedMessage, context) async throws in
      gauge.enter()
      while !door.isPassable { await Task.yield() }
      notes.add(message.text)
    }
    for id in 0..<50 { try await engine.publish(.text("m\(id)"), to: "orders") }
    #expect(await eventually { gauge.entries == 50 })
    door.open()
    #expect(await notes.reach(50))
    #expect(Set(notes.all) == Set((0..<50).map { "m\($0)" }))
    engine.shutdown()
  }

  @Test("a registered handler by name gets the payload as its input, in place")
  func named() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let notes = Notes()
    try engine.register("look") { (call: borrowing TaskCall) in
      let address = unsafe call.withInput(0) { UInt(bitPattern: $0.baseAddress) } ?? 0
      let written = call.context.message.map { unsafe UInt(bitPattern: $0.payload.baseAddress) } ?? 1
      notes.add("\(address == written) \(String(decoding: try call.input.utf8(), as: UTF8.self)) \(call.inputCount)")
      return .empty
    }
    try engine.consume("orders", handler: "look")
    try await engine.publish(json: Order(id: 7), to: "orders")
    #expect(await notes.reach(1))
    #expect(notes.all == [#"true {"id":7} 1"#])
    #expect(throws: CompileError.self) { try engine.consume("orders", handler: "missing") }
    #expect(throws: BrokerError.self) { try engine.consume("nowhere", handler: "look") }
    engine.shutdown()
  }

  @Test("an error counts as failed and comes again, one that says no attempt cures it is a dead letter, as is what cannot be decoded")
  func failures() async throws {
    let engine = try engine()
    try queue("dead", on: engine)
    try queue("orders", on: engine) {
      $0.deadLetters = .queue(try! BrokerName("dead"))
      $0.deliveryLimit = 3
    }
    let notes = Notes()
    try engine.consume("orders") { (order: Order, context) in
      let failed = context.message?.failedCount ?? -1
      notes.add("\(order.id).\(failed)")
      switch order.id {
      case 1 where failed < 2: throw TaskFailure("away", "again")
      case 2: throw TaskFailure("bad", "never", isRetryable: false)
      case 3: throw TaskFailure("away", "always")
      default: return
      }
    }
    for id in 1...3 { try await engine.publish(json: Order(id: id), to: "orders") }
    try await engine.publish(.text("no order"), to: "orders")
    let dead = Notes()
    try engine.consume("dead") { (message: ReceivedMessage, _) in
      dead.add("\(message.text) \(message.deaths.last.map { "\($0.reason)" } ?? "")")
    }
    #expect(await dead.reach(3))
    #expect(Set(dead.all) == [#"{"id":2} rejected"#, #"{"id":3} deliveryLimit"#, "no order rejected"])
    #expect(await eventually { notes.all.contains("1.2") })
    #expect(notes.all.filter { $0.hasPrefix("1") } == ["1.0", "1.1", "1.2"])
    #expect(notes.all.filter { $0.hasPrefix("2") } == ["2.0"])
    #expect(notes.all.filter { $0.hasPrefix("3.") } == ["3.0", "3.1", "3.2", "3.3"])
    engine.shutdown()
  }

  @Test("an error's wait is kept before the message comes again")
  func retryAfter() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let clock = ContinuousClock()
    let started = clock.now
    let notes = Notes()
    try engine.consume("orders") { (message: ReceivedMessage, _) in
      notes.add("\(message.failedCount)")
      if message.failedCount == 0 { throw TaskFailure("away", "later", retryAfter: .milliseconds(30)) }
    }
    try await engine.publish(.text("x"), to: "orders")
    #expect(await notes.reach(2))
    #expect(clock.now - started >= .milliseconds(30))
    engine.shutdown()
  }

  @Test("a message that takes too long counts as failed, and its handler is told to stop and may read on")
  func timeout() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let notes = Notes()
    let stopped = Door()
    var options = ConsumeOptions()
    options.timeout = .milliseconds(20)
    try engine.consume("orders", options) { (message: ReceivedMessage, context: TaskContext) async throws in
      if message.failedCount == 0 {
        #expect(context.timeRemaining != nil)
        while !Task.isCancelled { await Task.yield() }
        // Others have had the message since.
        while notes.all.isEmpty { await Task.yield() }
        #expect(message.text == "slow" && context.isCancelled)
        stopped.open()
      } else {
        notes.add("\(message.failedCount)")
      }
    }
    try await engine.publish(.text("slow"), to: "orders")
    #expect(await notes.reach(1))
    #expect(notes.all == ["1"])
    #expect(await stopped.opened())
    engine.shutdown()
  }

  @Test("a message's tenant and trace are those of its handler; a tenant that the engine does not know is the consumer's")
  func tenants() async throws {
    let engine = try engine {
      $0.tenants = ["acme": 3, "house": 1]
      $0.bindsContext = true
    }
    try queue("orders", on: engine)
    let notes = Notes()
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    var options = ConsumeOptions()
    options.tenant = "house"
    try engine.consume("orders", options) { (message: ReceivedMessage, context) in
      notes.add("\(context.tenant) \(context.trace?.description ?? "-") \(TaskContext.current?.trace?.description ?? "-")")
    }
    try await engine.publish(.text("1"), to: "orders") {
      $0.tenant = "acme"
      $0.trace = trace
    }
    #expect(await notes.reach(1))
    try await engine.publish(.text("2"), to: "orders") { $0.tenant = "stranger" }
    #expect(await notes.reach(2))
    #expect(notes.all == ["acme \(trace) \(trace)", "house - -"])
    options.tenant = "stranger"
    #expect(throws: EngineError.self) { try engine.consume("orders", options) { (_: ReceivedMessage, _) in } }
    engine.shutdown()
  }

  @Test("no more messages run at a time than the consumer says")
  func concurrency() async throws {
    let engine = try engine(slots: 16, threads: 2)
    try queue("orders", on: engine)
    let gauge = Gauge()
    var options = ConsumeOptions()
    options.concurrency = 3
    try engine.consume("orders", options) { (_: ReceivedMessage, _: TaskContext) async in
      gauge.enter()
      for _ in 0..<2 { await Task.yield() }
      gauge.leave()
    }
    for id in 0..<100 { try await engine.publish(.text("\(id)"), to: "orders") }
    #expect(await eventually { gauge.entries == 100 })
    #expect(gauge.most <= 3)
    engine.shutdown()
  }

  @Test("a drained engine takes no more messages and lets handlers end; what it had not begun is in the queue, and nothing has failed")
  func drained() async throws {
    let engine = try engine(slots: 1, threads: 1)
    try queue("orders", on: engine)
    let broker = try engine.broker
    let door = Door()
    let notes = Notes()
    try engine.consume("orders") { (message: ReceivedMessage, _) in
      door.pass()
      notes.add(message.text)
    }
    for id in 0..<20 { try await engine.publish(.text("\(id)"), to: "orders") }
    #expect(await door.reached(1))
    engine.close()
    door.open()
    #expect(await engine.drain(timeout: .seconds(60)))
    var left: [String] = []
    var receiver = try broker.makeReceiver(BrokerName("orders"))
    try receiver.receive {
      #expect($0.failedCount == 0)
      left.append(String(decoding: $0.copy(), as: UTF8.self))
      return .acknowledge
    }
    #expect((notes.all + left).sorted() == (0..<20).map { "\($0)" }.sorted())
    #expect(!notes.all.isEmpty)
    #expect(throws: BrokerError.closed) { try engine.broker }
  }

  @Test("shutting the engine down stops a handler, and its message goes back without a failure")
  func shutdown() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let broker = try engine.broker
    let begun = Door()
    begun.open()
    try engine.consume("orders") { (_: ReceivedMessage, context: TaskContext) async throws in
      begun.pass()
      while !Task.isCancelled { await Task.yield() }
      try context.checkCancellation()
    }
    try await engine.publish(.text("x"), to: "orders")
    #expect(await begun.reached(1))
    engine.shutdown()
    var receiver = try broker.makeReceiver(BrokerName("orders"))
    let count = try receiver.receive {
      #expect($0.failedCount == 0 && $0.isRedelivered)
      return .acknowledge
    }
    #expect(count == 1)
  }

  @Test("a closed consumer takes no more messages, and those of others go on")
  func closed() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let first = Notes()
    let second = Notes()
    let consumer = try engine.consume("orders") { (message: ReceivedMessage, _) in first.add(message.text) }
    try await engine.publish(.text("1"), to: "orders")
    #expect(await first.reach(1))
    consumer.close()
    try await engine.publish(.text("2"), to: "orders")
    try engine.consume("orders") { (message: ReceivedMessage, _) in second.add(message.text) }
    #expect(await second.reach(1))
    #expect(first.all == ["1"] && second.all == ["2"])
    engine.shutdown()
  }

  @Test("a handler may settle its message itself: what it says counts")
  func settled() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let notes = Notes()
    try engine.consume("orders") { (message: ReceivedMessage, _) in
      notes.add("\(message.acquiredCount) \(message.failedCount)")
      if message.acquiredCount == 0 { try message.settle(.release(after: 0)) }
    }
    try await engine.publish(.text("x"), to: "orders")
    #expect(await notes.reach(2))
    #expect(notes.all == ["0 0", "1 0"])
    engine.shutdown()
    #expect(notes.all.count == 2)
  }
}
