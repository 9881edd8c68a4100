import Millrace
import Testing

/// Messages as a sequence, publishing that waits, and requests with answers.
@Suite(.timeLimit(.minutes(5))) struct MessagesTests {
  @Test("a sequence gives the messages in order, settled by whoever takes them")
  func sequence() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    for id in 0..<500 { try await engine.publish(.text("\(id)"), to: "orders") }
    var taken: [String] = []
    for await message in try engine.messages("orders", prefetch: 1) {
      taken.append(message.text)
      try message.acknowledge()
      #expect(throws: SettleError.unknownDelivery) { try message.acknowledge() }
      if taken.count == 500 { break }
    }
    #expect(taken == (0..<500).map { "\($0)" })
    #expect(try drain("orders", of: engine) == [])
    engine.shutdown()
  }

  @Test("no more messages are fetched than the prefetch says, and what is let go of unsettled goes back")
  func prefetch() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    for id in 0..<10 { try await engine.publish(.text("\(id)"), to: "orders") }
    do {
      let messages = try engine.messages("orders", prefetch: 4)
      var iterator = messages.makeAsyncIterator()
      var held: [ReceivedMessage] = []
      for _ in 0..<4 { if let message = await iterator.next() { held.append(message) } }
      #expect(Set(held.map(\.text)) == ["0", "1", "2", "3"])
      // The rest is for others meanwhile.
      #expect(try drain("orders", of: engine) == (4..<10).map { "\($0)" })
      held = []
      _ = messages
    }
    // Some were on their way to the sequence again, and come back from there.
    var back: [String] = []
    #expect(
      try await eventually {
        back += try drain("orders", of: engine)
        return back.count >= 4
      })
    #expect(back.sorted() == ["0", "1", "2", "3"])
    engine.shutdown()
  }

  @Test("a message settles those that a sequence gave before it, by whatever iterator, and no other sequence's")
  func several() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    // Long enough that what is not out any more is forgotten meanwhile.
    for id in 0..<100 { try await engine.publish(.text("\(id)"), to: "orders") }
    let messages = try engine.messages("orders", prefetch: 8)
    var (one, two) = (messages.makeAsyncIterator(), messages.makeAsyncIterator())
    for _ in 0..<90 { try await one.next()?.acknowledge() }
    var held: [ReceivedMessage] = []
    for index in 0..<5 {
      let next = index % 2 == 0 ? await one.next() : await two.next()
      held.append(try #require(next))
    }
    let first = held[0].text
    try held[1].settle(.acknowledge)
    let other = try engine.messages("orders", prefetch: 1)
    var third = other.makeAsyncIterator()
    try await engine.publish(.text("other"), to: "orders") { $0.priority = 3 }
    for _ in 0..<5 { try await one.next()?.acknowledge() }
    let strange = try #require(await third.next())
    #expect(throws: SettleError.notYours) { try messages.settle(upTo: strange, .acknowledge) }
    #expect(try messages.settle(upTo: held[3], .acknowledge) == 3)
    #expect(held.map(\.isSettled) == [true, true, true, true, false] && !strange.isSettled)
    #expect(throws: SettleError.notYours) { try messages.settle(upTo: held[0], .acknowledge) }
    // Whoever holds it may read it still.
    #expect(held[0].text == first)
    try held[4].acknowledge()
    try strange.acknowledge()
    let left = try engine.broker.statistics(of: BrokerName("orders")).left
    #expect(left == [.acknowledged: 101])
    engine.shutdown()
  }

  @Test("a Swift task that is cancelled while it waits leaves no message behind")
  func cancelled() async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let begun = Notes()
    let task = Task {
      var count = 0
      for await message in try engine.messages("orders", prefetch: 10) {
        count += 1
        begun.add(message.text)
      }
      return count
    }
    try await engine.publish(.text("first"), to: "orders")
    #expect(await begun.reach(1))
    task.cancel()
    _ = try await task.value
    try await engine.publish(.text("second"), to: "orders")
    var left: Set<String> = []
    #expect(
      try await eventually {
        left.formUnion(try drain("orders", of: engine))
        return left == ["first", "second"]
      })
    engine.shutdown()
  }

  @Test("a sequence ends when its queue is deleted, and when the engine closes", arguments: ["deleted", "closed"])
  func ends(how: String) async throws {
    let engine = try engine()
    try queue("orders", on: engine)
    let begun = Notes()
    let task = Task {
      for await message in try engine.messages("orders") {
        begun.add(message.text)
        try message.acknowledge()
      }
      return true
    }
    try await engine.publish(.text("x"), to: "orders")
    #expect(await begun.reach(1))
    if how == "deleted" { try engine.broker.delete(queue: BrokerName("orders")) } else { engine.close() }
    #expect(try await task.value)
    engine.shutdown()
  }

  @Test("publishing says whether the message was taken, was there before, or is wanted by nobody")
  func outcomes() async throws {
    let engine = try engine { $0.broker.duplicateWindow = 3_600_000_000_000 }
    try queue("orders", on: engine)
    try engine.broker.router.declare(BrokerName("topics"), .topic)
    try engine.broker.router.bind(Binding(BrokerName("topics"), to: .queue(BrokerName("orders")), key: "order.*"))
    #expect(try await engine.publish(.text("1"), to: "orders") { $0.messageID = "a" } == .accepted(queues: 1))
    #expect(try await engine.publish(.text("1"), to: "orders") { $0.messageID = "a" } == .duplicate)
    #expect(try await engine.publish(.text("2"), exchange: "topics", key: "order.new") == .accepted(queues: 1))
    #expect(try await engine.publish(.text("2"), exchange: "topics", key: "other") == .unroutable)
    await #expect(throws: RoutingError.self) { try await engine.publish(.text("2"), exchange: "none", key: "other") }
    #expect(try drain("orders", of: engine) == ["1", "2"])
    engine.shutdown()
  }

  @Test("a hundred publishers wait for room in a queue of ten without a thread, and all their messages arrive")
  func room() async throws {
    let engine = try engine()
    try queue("orders", on: engine) {
      $0.maxSize = 10
      $0.overflow = .rejectPublish
    }
    try await withThrowingTaskGroup(of: PublishOutcome.self) { group in
      for id in 0..<100 { group.addTask { try await engine.publish(.text("\(id)"), to: "orders") } }
      var taken: Set<String> = []
      for await message in try engine.messages("orders", prefetch: 3) {
        taken.insert(message.text)
        try message.acknowledge()
        if taken.count == 100 { break }
      }
      #expect(taken.count == 100)
      for try await outcome in group { #expect(outcome == .accepted(queues: 1)) }
    }
    engine.shutdown()
  }

  @Test("the wait for room ends by its deadline, by cancellation, by the queue's deletion and by the engine's end")
  func noRoom() async throws {
    let engine = try engine()
    func full(_ name: String) async throws {
      try queue(name, on: engine) {
        $0.maxSize = 1
        $0.overflow = .rejectPublish
      }
      try await engine.publish(.text("0"), to: name)
    }
    for name in ["late", "cancelled", "deleted", "ended"] { try await full(name) }
    await #expect(throws: PublishRefusal.full(queue: try BrokerName("late"))) {
      try await engine.publish(.text("1"), to: "late", waiting: .milliseconds(1))
    }
    await #expect(throws: PublishRefusal.self) { try await engine.publish(.text("1"), to: "late", waiting: .zero) }
    let cancelled = Task { try await engine.publish(.text("1"), to: "cancelled") }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    let deleted = Task { try await engine.publish(.text("1"), to: "deleted") }
    let ended = Task { try await engine.publish(.text("1"), to: "ended") }
    #expect(try await eventually { try engine.broker.waitingPublishers == 2 })
    try engine.broker.delete(queue: BrokerName("deleted"))
    #expect(try await deleted.value == .unroutable)
    engine.shutdown()
    await #expect(throws: PublishRefusal.closed) { try await ended.value }
  }

  // MARK: Requests

  @Test("a request gets what the handler returns, from a thousand at once each its own")
  func requests() async throws {
    let engine = try engine()
    try queue("square", on: engine)
    try engine.consume("square") { (number: Int, _) in number * number }
    let sum = try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<1_000 {
        group.addTask { try await engine.request(json: number, to: "square", as: Int.self) == number * number }
      }
      return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(sum == 1_000)
    let reply = try await engine.request(.text("7"), to: "square")
    #expect(reply.text == "49" && reply.contentType == "application/json")
    engine.shutdown()
  }

  @Test("a request that nobody answers times out, and its late answer is counted; so is one that names no request")
  func strays() async throws {
    let engine = try engine()
    try queue("slow", on: engine)
    await #expect(throws: RequestError.timedOut(after: .milliseconds(5))) {
      try await engine.request(.text("x"), to: "slow", timeout: .milliseconds(5))
    }
    // What nobody wants any more is not delivered.
    #expect(await eventually { (try? engine.broker.delete(queue: BrokerName("slow"), ifEmpty: true)) == true })
    try queue("slow", on: engine)
    let notes = Notes()
    let door = Door()
    try engine.consume("slow") { (message: ReceivedMessage, _: TaskContext) async in
      notes.add(message.replyTo ?? "")
      while !door.isPassable { await Task.yield() }
    }
    let asked = Task { try await engine.request(.text("x"), to: "slow") }
    #expect(await notes.reach(1))
    asked.cancel()
    await #expect(throws: CancellationError.self) { try await asked.value }
    door.open()
    #expect(await eventually { engine.strayReplies.late == 1 })
    let replies = notes.all[0]
    #expect(replies.hasPrefix("millrace.reply."))
    try await engine.publish(.text("?"), Envelope(to: .default, key: replies))
    #expect(await eventually { engine.strayReplies == (late: 1, unknown: 1) })
    engine.shutdown()
  }

  @Test("a request fails at once where nobody takes it, where its handler cannot do it, and where the engine stops")
  func failures() async throws {
    let engine = try engine()
    await #expect(throws: RequestError.unroutable) { try await engine.request(.text("x"), Envelope(to: .default, key: "nowhere")) }
    try queue("broken", on: engine)
    try engine.consume("broken") { (_: ReceivedMessage, _) in throw TaskFailure("no-stock", "sold out", isRetryable: false) }
    await #expect(throws: RequestError.failed(type: "no-stock", message: "sold out")) { try await engine.request(.text("x"), to: "broken") }
    try queue("waits", on: engine)
    let asked = Task { try await engine.request(.text("x"), to: "waits") }
    #expect(await eventually { (try? drain("waits", of: engine)) == ["x"] })
    engine.shutdown()
    await #expect(throws: RequestError.closed) { try await asked.value }
    await #expect(throws: (any Error).self) { try await engine.request(.text("x"), to: "waits") }
  }

  @Test("an answer whose asker has gone is counted as lost")
  func lost() async throws {
    let engine = try engine()
    try queue("work", on: engine)
    try engine.consume("work") { (_: ReceivedMessage, _) in Payload.text("done") }
    try await engine.publish(.text("x"), to: "work") { $0.replyTo = "gone" }
    #expect(await eventually { engine.lostReplies == 1 })
    engine.shutdown()
  }
}
