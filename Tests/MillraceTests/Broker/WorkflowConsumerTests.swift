import Millrace
import MillraceBroker
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

/// `on_message`: a message starts a run.
@Suite(.timeLimit(.minutes(5))) struct WorkflowConsumerTests {
  private func workflow(_ trigger: MessageTrigger = MessageTrigger(queue: "orders"), durability: Durability = .none) -> Definition {
    var workflow = Definition("ship", parameters: [.init("id", kind: .integer), .init("how", fallback: "slow")], durability: durability)
    workflow.task("note", handler: "note", input: ["text": "${params.id} ${params.how}"])
    workflow.onMessage = trigger
    return workflow
  }

  private func world(_ notes: Notes, _ change: (inout Engine.Configuration) -> Void = { _ in }) throws -> Engine {
    let engine = try engine {
      $0.capacity = 10_000
      change(&$0)
    }
    try engine.register("note") { call in
      notes.add(try call.input["text"]?.string ?? "")
      return .empty
    }
    return engine
  }

  private func isEmpty(_ queue: String, of engine: Engine) throws -> Bool {
    let statistics = try engine.broker.statistics(of: BrokerName(queue))
    return statistics.ready + statistics.delayed + statistics.unacknowledged == 0
  }

  @Test("each message starts a run with its members as parameters, its tenant and its trace")
  func starts() async throws {
    let notes = Notes()
    let events = Notes()
    let engine = try world(notes) { $0.tenants = ["blue": 1] }
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    try engine.consume(starting: workflow()) { event in
      if case .started(let message, let run) = event { events.add("\(message.text) \(run.tenant)") }
    }
    for id in 0..<50 {
      try await engine.publish(json: ["id": id, "more": 1], to: "orders") { ($0.tenant, $0.trace) = (id == 7 ? "blue" : "none", trace) }
    }
    #expect(await notes.reach(50))
    #expect(Set(notes.all) == Set((0..<50).map { "\($0) slow" }))
    #expect(await events.reach(50))
    let blue = events.all.filter { $0.hasSuffix(" blue") }
    #expect(blue.count == 1 && blue[0].contains(#""id":7"#), "\(blue)")
    #expect(try await eventually { try isEmpty("orders", of: engine) })
    engine.shutdown()
  }

  @Test("Examples/patterns/event-driven.yaml: what is published to the exchange is processed")
  func example() async throws {
    var root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    root.removeLast(4)
    let notes = Notes()
    let engine = try engine { $0.capacity = 10_000 }
    try engine.register("shell/run") { call in
      notes.add(try call.input["arguments"]?[0]?.string ?? "")
      return .empty
    }
    let path = root.joined(separator: "/") + "/Examples/patterns/event-driven.yaml"
    #expect(try engine.consume(starting: engine.reader.read(path: path).definition).queue == "processed_queue")
    #expect(
      try await engine.publish(json: ["data": "process_this"], exchange: "processing", key: "data.raw") == .accepted(queues: 1))
    #expect(await notes.reach(1))
    #expect(notes.all == ["processed process_this"])
    engine.shutdown()
  }

  @Test(
    "an exchange, a key and one parameter for the body: queue, dead letters, exchange and binding are declared, durable where there is a directory"
  )
  func exchange() async throws {
    let folder = try Folder()
    let notes = Notes()
    let engine = try world(notes) { $0.data = folder.path }
    try engine.consume(starting: workflow(MessageTrigger(exchange: "shop", key: "order.*", prefetch: 2, parameter: "id")))
    #expect(try await engine.publish(json: 3, exchange: "shop", key: "order.new") == .accepted(queues: 1))
    #expect(try await engine.publish(json: 3, exchange: "shop", key: "other") == .unroutable)
    #expect(await notes.reach(1))
    #expect(notes.all == ["3 slow"])
    for name in ["ship", "ship.dead"] { #expect(try engine.broker.configuration(of: BrokerName(name)).isDurable) }
    engine.shutdown()
  }

  @Test("a message whose parameters are bad is a dead letter, with the reason told; others go on")
  func bad() async throws {
    let notes = Notes()
    let events = Notes()
    let engine = try world(notes)
    try engine.consume(starting: workflow()) { event in
      if case .refused(_, let error) = event { events.add("\(error)") }
    }
    for payload: Payload in [.text("x"), .json(["id": "seven"]), .json(["how": "fast"]), .json([1])] {
      try await engine.publish(payload, to: "orders")
    }
    try await engine.publish(json: ["id": 1], to: "orders")
    #expect(await notes.reach(1))
    #expect(await events.reach(4))
    #expect(events.all.filter { $0.contains("no JSON object") }.count == 2)
    #expect(events.all.contains { $0.contains("the parameter 'id' is \"seven\"") } && events.all.contains { $0.contains("must be given") })
    #expect(try await eventually { try engine.broker.statistics(of: BrokerName("orders.dead")).ready == 4 })
    engine.shutdown()
  }

  @Test("a message of an id that has a run starts no second one, in this process and the next", arguments: [Durability.none, .log])
  func repeated(durability: Durability) async throws {
    let store = MemoryEventStore()
    let notes = Notes()
    var ids: Set<String> = []
    for round in 0..<(durability == .log ? 2 : 1) {
      let events = Notes()
      let engine = try world(notes) { $0.store = store }
      try engine.consume(starting: workflow(durability: durability)) { event in
        switch event {
        case .started(_, let run): events.add(run.id)
        case .repeated(_, let run): events.add(run)
        case .refused(_, let error): events.add("\(error)")
        }
      }
      for _ in 0..<3 {
        try await engine.publish(json: ["id": 1], to: "orders") { $0.messageID = "5b2f4f0e-8d0c-4a4e-9c1c-0d4c3f1f8a10" }
        #expect(try await eventually { try isEmpty("orders", of: engine) })
      }
      #expect(await events.reach(3))
      ids.formUnion(events.all)
      #expect(await engine.drain(timeout: .seconds(60)), "\(round)")
    }
    #expect(notes.all == ["1 slow"] && ids.count == 1)
  }

  @Test("one message in the queues of two workflows starts a run of each")
  func two() async throws {
    let notes = Notes()
    let engine = try world(notes) { $0.store = MemoryEventStore() }
    for name in ["a", "b"] {
      var definition = workflow(MessageTrigger(exchange: "shop", key: "#"), durability: .log)
      definition.name = name
      try engine.consume(starting: definition)
    }
    try await engine.publish(json: ["id": 1], exchange: "shop", key: "x") { $0.messageID = "5b2f4f0e-8d0c-4a4e-9c1c-0d4c3f1f8a10" }
    #expect(await notes.reach(2))
    engine.shutdown()
  }

  @Test("the message of a durable run is acknowledged when its creation is recorded; if that fails it comes again")
  func recorded() async throws {
    for fails in [false, true] {
      let store = FailingStore(MemoryEventStore(), after: .max, .failed("the disk went"))
      let notes = Notes()
      let engine = try world(notes) { $0.store = store }
      try engine.consume(starting: workflow(durability: .log))
      store.hold()
      try await engine.publish(json: ["id": 1], to: "orders") { $0.messageID = "m" }
      #expect(await eventually { store.waitingCount > 0 })
      let held = try engine.broker.statistics(of: BrokerName("orders"))
      #expect(held.unacknowledged == 1 && notes.all.isEmpty)
      store.release(isRefused: fails)
      // What failed once is started the second time.
      #expect(await notes.reach(1))
      #expect(try await eventually { try isEmpty("orders", of: engine) })
      let counts = try engine.broker.statistics(of: BrokerName("orders"))
      #expect(counts.redelivered == (fails ? 1 : 0))
      engine.shutdown()
    }
  }

  @Test("messages wait in hand while the engine is full, and each then starts one run", arguments: [Durability.none, .log])
  func full(durability: Durability) async throws {
    let notes = Notes()
    let engine = try world(notes) {
      $0.capacity = 256
      $0.store = MemoryEventStore()
    }
    var filler = Definition("filler")
    for i in 0..<254 { filler.wait("t\(i)", for: .signal("go")) }
    let filling = try engine.start(filler)
    #expect(await eventually { filling.waits.count == 254 })
    // More tasks than there is room for.
    var definition = workflow(MessageTrigger(queue: "orders", prefetch: 4), durability: durability)
    for i in 0..<3 { definition.task("t\(i)", handler: "note", input: ["text": "${params.id} \(i)"]) }
    try engine.consume(starting: definition)
    for id in 0..<20 { try await engine.publish(json: ["id": id], to: "orders") { $0.messageID = "\(id)" } }
    #expect(try await eventually { try engine.broker.statistics(of: BrokerName("orders")).unacknowledged == 4 })
    #expect(notes.all.isEmpty)
    for _ in 0..<254 { try filling.signal("go") }
    #expect(await notes.reach(80))
    #expect(try await eventually { try isEmpty("orders", of: engine) })
    #expect(Set(notes.all).count == 80 && notes.all.count == 80)
    engine.shutdown()
  }

  @Test("an engine with room for less than is prefetched starts a run for each message", arguments: [4, 16], [1, 100])
  func narrow(capacity: Int, prefetch: Int) async throws {
    let notes = Notes()
    let engine = try world(notes) { $0.capacity = capacity }
    try engine.consume(starting: workflow(MessageTrigger(queue: "orders", prefetch: prefetch)))
    for id in 0..<200 { try await engine.publish(json: ["id": id], to: "orders") { $0.messageID = "\(id)" } }
    #expect(await notes.reach(200))
    #expect(try await eventually { try isEmpty("orders", of: engine) })
    #expect(Set(notes.all).count == 200 && notes.all.count == 200)
    engine.shutdown()
  }

  @Test("a closed consumer, and a closed engine, start nothing more, and the messages stay", arguments: [false, true])
  func closed(isEngine: Bool) async throws {
    let notes = Notes()
    let engine = try world(notes)
    let consumer = try engine.consume("orders", starting: workflow())
    #expect(consumer.queue == "orders")
    try await engine.publish(json: ["id": 1], to: "orders")
    #expect(await notes.reach(1))
    if isEngine { engine.close() } else { consumer.close() }
    try await engine.publish(json: ["id": 2], to: "orders")
    #expect(try engine.broker.statistics(of: BrokerName("orders")).ready == 1)
    #expect(throws: (any Error).self) {
      if isEngine { try engine.consume(starting: workflow()) } else { try engine.consume(starting: Definition("w")) }
    }
    engine.shutdown()
  }
}
