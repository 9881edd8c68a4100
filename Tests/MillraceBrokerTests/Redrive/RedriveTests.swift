import MillraceCore
import Testing

@testable import MillraceBroker

/// Dead letters that go back.
@Suite struct RedriveTests {
  /// Queues `orders` and `bills` behind the topic exchange `shop`, whose dead letters are in `dead`.
  private final class Shop {
    let bed: BrokerBed
    let exchange: ExchangeID

    init(dead: (inout QueueConfiguration) -> Void = { _ in }, orders: (inout QueueConfiguration) -> Void = { _ in }) throws {
      bed = try BrokerBed()
      try bed.declare("dead", dead)
      for queue in ["orders", "bills"] {
        try bed.declare(queue) {
          $0.deadLetters = .queue(name("dead"))
          if queue == "orders" { orders(&$0) }
        }
      }
      exchange = try bed.broker.declare(exchange: name("shop"), .topic)
      try bed.broker.bind(Binding(name("shop"), to: .queue(name("orders")), key: "order.#"))
      try bed.broker.bind(Binding(name("shop"), to: .queue(name("bills")), key: "bill.#"))
    }

    func publish(_ text: String, _ key: String, _ change: (inout Envelope) -> Void = { _ in }) throws {
      var envelope = Envelope(to: exchange, key: key)
      change(&envelope)
      try bed.publisher.publish(Array(text.utf8).span, envelope)
    }

    /// All that is in a queue dies.
    func reject(_ queue: String) throws {
      var receiver = try bed.broker.makeReceiver(name(queue))
      while try receiver.receive({ _ in .reject }) > 0 {}
    }

    /// Published and dead.
    func die(_ texts: [String], key: String = "order.made") throws {
      for text in texts { try publish(text, key) }
      try reject("orders")
      try reject("bills")
    }

    /// To its end, without a rate.
    func redrive(_ change: (inout RedriveOptions) -> Void = { _ in }) throws -> RedriveProgress {
      var options = RedriveOptions()
      options.by = "ann"
      change(&options)
      var redrive = try bed.broker.redrive(from: name("dead"), options)
      while redrive.step() == .now {}
      return redrive.progress
    }
  }

  @Test("a dead letter is in its queue again as it was when it died, with its story and who sent it back")
  func asItWas() throws {
    let shop = try Shop()
    try shop.publish("hello", "order.made") {
      $0.priority = 3
      $0.messageID = "m-1"
      $0.timeToLive = 1_000_000
      $0.headers = (try? Headers([("count", .integer(7))])) ?? Headers()
    }
    var receiver = try shop.bed.broker.makeReceiver(name("orders"))
    for _ in 0..<3 { try receiver.receive(upTo: 1) { _ in .retry(after: nil) } }
    try receiver.receive { _ in .reject }
    let progress = try shop.redrive()
    #expect(progress == RedriveProgress(total: 1, examined: 1, moved: 1))
    #expect(try shop.bed.drain("dead") == [])
    // Its own time to live is over and done with.
    shop.bed.clock.move(by: 2_000_000)
    let count = try receiver.receive { message in
      #expect(message.copy() == Array("hello".utf8) && message.key == "order.made" && message.priority == 3 && message.messageID == "m-1")
      #expect(message.block.exchange == shop.exchange && message.headers["count"] == .integer(7))
      #expect(message.failedCount == 0 && !message.isRedelivered)
      #expect(message.deaths.all.map(\.queue) == ["orders"] && message.deaths.all[0].originalExpiration == 1_000_000)
      #expect(
        message.deaths.redrives == Deaths.Redrives(count: 1, time: 1_700_000_000_000_000_000, queue: "dead", by: "ann"))
      return .reject
    }
    #expect(count == 1)
    // Again: counted, and told of the last one.
    #expect(try shop.redrive { $0.by = "bob" }.moved == 1)
    try receiver.receive { message in
      #expect(message.deaths.redrives?.count == 2 && message.deaths.redrives?.by == "bob" && message.deaths.all[0].count == 2)
      return .acknowledge
    }
    #expect(try shop.bed.broker.statistics(of: name("dead")).left == [.moved: 2])
  }

  @Test("each goes to where it died last, or first, or all to a queue or an exchange that is named")
  func targets() throws {
    func twiceDead() throws -> Shop {
      let shop = try Shop(dead: {
        $0.timeToLive = 100
        $0.deadLetters = .queue(name("grave"))
      })
      try shop.bed.declare("grave")
      try shop.die(["a"])
      shop.bed.clock.move(by: 101)
      shop.bed.broker.advance()
      return shop
    }
    for (target, wanted) in [
      (RedriveTarget.lastDeath, "dead"), (.firstDeath, "orders"), (.queue(name("bills")), "bills"),
      (.exchange(name("shop"), key: "bill.due"), "bills"),
    ] {
      let shop = try twiceDead()
      var options = RedriveOptions()
      options.target = target
      let preview = try shop.bed.broker.redrivePreview(from: name("grave"), options)
      let shown: String = if case .exchange = target { "shop" } else { wanted }
      #expect(preview.targets == [shown: 1] && preview.letters.map(\.deaths.all.count) == [2])
      var redrive = try shop.bed.broker.redrive(from: name("grave"), options)
      #expect(redrive.step() == .done)
      #expect(redrive.progress.moved == 1, "\(target)")
      var key = ""
      var receiver = try shop.bed.broker.makeReceiver(name(wanted))
      try receiver.receive { message in
        key = message.key
        return .acknowledge
      }
      // Into the dead letters it had come by their name.
      #expect(key == (target == .firstDeath ? "order.made" : wanted == "bills" && shown == "shop" ? "bill.due" : "dead"), "\(target)")
    }
  }

  @Test("only what a filter means is moved, in the queue's order, and the others stay in theirs")
  func filters() throws {
    let shop = try Shop(orders: { $0.timeToLive = 50 })
    func fill() throws {
      _ = try shop.bed.drain("dead")
      try shop.publish("rejected", "order.made") { $0.messageID = "one" }
      try shop.publish("bill", "bill.due.today") { $0.headers = (try? Headers([("from", .text("x")), ("n", .integer(1))])) ?? Headers() }
      try shop.reject("orders")
      try shop.reject("bills")
      try shop.publish("expired", "order.paid")
      shop.bed.clock.move(by: 51)
      shop.bed.broker.advance()
    }
    func left(_ change: (inout RedriveFilter) -> Void) throws -> [String] {
      try fill()
      _ = try shop.redrive { change(&$0.filter) }
      for queue in ["orders", "bills"] { _ = try shop.bed.drain(queue) }
      return try shop.bed.drain("dead")
    }
    #expect(try left { $0.reason = .expired } == ["rejected", "bill"])
    #expect(try left { $0.queue = name("orders") } == ["bill"])
    #expect(try left { $0.key = "order.*" } == ["bill"])
    #expect(try left { $0.key = "#.today" } == ["rejected", "expired"])
    #expect(try left { $0.messageID = "one" } == ["bill", "expired"])
    #expect(try left { $0.headers = (try? Headers([("n", .integer(1))])) ?? Headers() } == ["rejected", "expired"])
    #expect(try left { $0.headers = (try? Headers([("n", .integer(2))])) ?? Headers() } == ["rejected", "bill", "expired"])
    #expect(try left { $0.olderThan = 1 } == ["rejected", "bill", "expired"])
    #expect(try left { $0.olderThan = 0 } == [])
    #expect(try left { _ in } == [])
  }

  @Test("a limit ends it, and a rate lets exactly as many go as it says, whenever it is asked")
  func rate() throws {
    let shop = try Shop()
    try shop.die((0..<200).map { "\($0)" })
    #expect(try shop.redrive { $0.limit = 70 }.moved == 70)
    var options = RedriveOptions()
    options.rate = 7
    var redrive = try shop.bed.broker.redrive(from: name("dead"), options)
    let start = shop.bed.clock.clock.now
    var passed: UInt64 = 0
    for wait in [0, 1, 142_857_142, 1, 500_000_000, 357_142_857, 999_999_999, 3] as [UInt64] {
      shop.bed.clock.move(by: wait)
      passed += wait
      let step = redrive.step()
      let moved = passed * 7 / 1_000_000_000 + 1
      #expect(redrive.progress.moved == Int(moved), "after \(passed)")
      #expect(step == .at(start + (moved * 1_000_000_000 + 6) / 7))
    }
    // Who comes late catches up with a second, and no more.
    shop.bed.clock.move(by: 3_600_000_000_000)
    let before = redrive.progress.moved
    _ = redrive.step()
    #expect(redrive.progress.moved == before + 8)
    #expect(try shop.bed.drain("orders").count == 70 + before + 8)
  }

  @Test("a preview counts and shows, and takes nothing")
  func preview() throws {
    let shop = try Shop()
    try shop.die((0..<100).map { "\($0)" })
    try shop.die(["bill"], key: "bill.due")
    try shop.bed.publish("stranger", to: "dead")
    var options = RedriveOptions()
    let preview = try shop.bed.broker.redrivePreview(from: name("dead"), options, letters: 2)
    #expect(preview.examined == 102 && preview.matching == 102 && preview.targets == ["orders": 100, "bills": 1] && preview.stay == 1)
    #expect(preview.letters.map(\.key) == ["order.made", "order.made"] && preview.letters.map(\.target) == ["orders", "orders"])
    options.limit = 30
    #expect(try shop.bed.broker.redrivePreview(from: name("dead"), options).matching == 30)
    try shop.bed.broker.delete(queue: name("orders"))
    let later = try shop.bed.broker.redrivePreview(from: name("dead"), RedriveOptions(), letters: 1)
    #expect(later.stay == 101 && later.letters[0].refusal == .noQueue("orders"))
    #expect(try shop.bed.broker.statistics(of: name("dead")).ready == 102)
    #expect(try shop.bed.drain("dead").first == "0")
  }

  @Test(
    "what finds no room, no queue or no way back stays where it stood, told, and nothing is dropped or copied for it",
    arguments: [QueueConfiguration.Overflow.rejectPublish, .rejectPublishDeadLetter, .dropHead])
  func stays(overflow: QueueConfiguration.Overflow) throws {
    let shop = try Shop(orders: {
      $0.maxSize = 3
      $0.overflow = overflow
    })
    try shop.die(["a", "b", "c"])
    try shop.die(["bill"], key: "bill.due")
    try shop.bed.publish("stranger", to: "dead")
    try shop.bed.publish("there", to: "orders")
    try shop.bed.publish("also", to: "orders")
    try shop.bed.broker.delete(queue: name("bills"))
    let progress = try shop.redrive()
    #expect(progress.moved == 1 && progress.stayedCount == 4 && progress.examined == 5)
    let full = PublishRefusal.full(queue: name("orders")).description
    #expect(progress.stayed.map(\.why) == [.refused(full), .refused(full), .noQueue("bills"), .noStory])
    #expect(try shop.bed.broker.statistics(of: name("dead")).ready == 4)
    #expect(try shop.bed.drain("orders") == ["there", "also", "a"])
    #expect(try shop.bed.drain("dead") == ["b", "c", "bill", "stranger"])
  }

  @Test("what died in the queue itself stays; options that cannot be are refused with what is wrong")
  func refused() throws {
    let shop = try Shop(dead: { $0.deadLetters = .queue(name("dead")) })
    try shop.die(["a"])
    var receiver = try shop.bed.broker.makeReceiver(name("dead"))
    // Once: it comes to the same queue again.
    try receiver.receive(upTo: 1) { _ in .reject }
    #expect(try shop.redrive().stayed.map(\.why) == [.sameQueue])
    #expect(try shop.redrive { $0.target = .exchange(name("gone"), key: nil) }.stayed.map(\.why) == [.noExchange("gone")])
    for (change, words) in [
      ({ $0.limit = 0 }, "limit is 0"), ({ $0.rate = 0 }, "rate is 0"), ({ $0.filter.reason = .purged }, "reason is purged"),
      ({ $0.filter.key = String(repeating: "k", count: 256) }, "255 bytes"), ({ $0.by = String(repeating: "b", count: 256) }, "255"),
      ({ $0.target = .queue(name("dead")) }, "the queue itself"),
    ] as [((inout RedriveOptions) -> Void, String)] {
      let error = #expect(throws: BrokerError.self) { _ = try shop.redrive(change) }
      #expect("\(error.map { "\($0)" } ?? "")".contains(words))
    }
    #expect(throws: BrokerError.noQueue(name("nowhere"))) { _ = try shop.bed.broker.redrive(from: name("nowhere")) }
  }

  @Test("a message that was redriven and dies again is a dead letter again, though it would have gone in a circle")
  func cycles() throws {
    let shop = try Shop(
      dead: {
        $0.timeToLive = 100
        $0.deadLetters = .queue(name("grave"))
      }, orders: { $0.timeToLive = 10 })
    try shop.bed.declare("grave")
    try shop.publish("a", "order.made")
    func pass() {
      for wait in [11, 101] as [UInt64] {
        shop.bed.clock.move(by: wait)
        shop.bed.broker.advance()
      }
    }
    pass()
    for round in 1...3 {
      var options = RedriveOptions()
      options.target = .firstDeath
      var redrive = try shop.bed.broker.redrive(from: name("grave"), options)
      #expect(redrive.step() == .done)
      #expect(redrive.progress.moved == 1, "round \(round)")
      pass()
      #expect(try shop.bed.broker.statistics(of: name("grave")).ready == 1 && shop.bed.broker.lostDeadLetters.cycles == 0)
    }
    var deaths = Deaths()
    deaths.add(.expired, in: "a", at: 1, exchange: "", routingKeys: ["a"])
    deaths.redrive(from: "b", at: 2, by: "x")
    #expect(!deaths.isCycle(to: "a"))
    deaths.add(.expired, in: "c", at: 3, exchange: "", routingKeys: ["c"])
    #expect(!deaths.isCycle(to: "a") && deaths.isCycle(to: "c"))
    deaths.add(.expired, in: "a", at: 4, exchange: "", routingKeys: ["a"])
    // Since then it has gone round by itself.
    #expect(deaths.isCycle(to: "a") && deaths.isCycle(to: "c") && Deaths(encoded: deaths.encoded) == deaths)
    for count in deaths.encoded.indices where count > 0 && count != deaths.encoded.count {
      #expect(Deaths(encoded: deaths.encoded[..<count])?.redrives == nil)
    }
    var stranger = Deaths()
    stranger.redrive(from: "b", at: 2, by: "")
    #expect(Deaths(encoded: stranger.encoded) == stranger)
  }

  @Test("what others take, purge or delete meanwhile is not moved as well, and what comes later waits for the next time")
  func others() throws {
    let shop = try Shop()
    try shop.die((0..<200).map { "\($0)" })
    var redrive = try shop.bed.broker.redrive(from: name("dead"))
    #expect(redrive.step() == .now && redrive.progress.moved == 64)
    var receiver = try shop.bed.broker.makeReceiver(name("dead"))
    var taken: [String] = []
    try receiver.receive(upTo: 30) { message in
      taken.append(String(decoding: message.copy(), as: UTF8.self))
      return taken.count % 2 == 0 ? .acknowledge : .release(after: 0)
    }
    try shop.bed.publish("late", to: "dead")
    while redrive.step() == .now {}
    #expect(redrive.progress == RedriveProgress(total: 200, examined: 200, moved: 185, missed: 15))
    #expect(try shop.bed.drain("dead") == ["late"])
    #expect(try shop.bed.drain("orders").count == 185)
    try shop.die((0..<100).map { "\($0)" })
    var other = try shop.bed.broker.redrive(from: name("dead"))
    _ = other.step()
    try shop.bed.broker.delete(queue: name("dead"))
    try shop.bed.declare("dead")
    try shop.bed.publish("another", to: "dead")
    #expect(other.step() == .done && other.progress.moved == 64)
    #expect(try shop.bed.drain("dead") == ["another"])
  }

  @Test("what was published as a batch, one entry of the queue, is looked at as it is, and goes message by message")
  func batches() throws {
    let shop = try Shop()
    for priority in [1, 2] as [UInt8] {
      var envelope = Envelope(to: name("dead"))
      (envelope.priority, envelope.timeToLive) = (priority, priority == 2 ? 1_000 : nil)
      var batch = shop.bed.publisher.batch(envelope)
      for number in 0..<40 { try shop.bed.publisher.add(2, to: &batch) { ($0[0], $0[1]) = (priority, UInt8(number)) } }
      #expect(shop.bed.publisher.publish(&batch).accepted == 40)
    }
    let place = try shop.bed.broker.place(of: name("dead"))
    func entries() -> Int {
      place.locked().map { locked in
        defer { place.lock.unlock() }
        return locked.state.machine.entries.count
      } ?? 0
    }
    var options = RedriveOptions()
    options.target = .queue(name("orders"))
    #expect(try shop.bed.broker.redrivePreview(from: name("dead"), options).matching == 80 && entries() == 2)
    #expect(try shop.bed.broker.contents(of: name("dead")) == QueueContents())
    options.limit = 70
    var redrive = try shop.bed.broker.redrive(from: name("dead"), options)
    #expect(redrive.progress.total == 80 && entries() == 80)
    while redrive.step() == .now {}
    #expect(redrive.progress.moved == 70)
    var seen: [[UInt8]] = []
    var receiver = try shop.bed.broker.makeReceiver(name("orders"))
    try receiver.receive(upTo: 100) { message in
      seen.append(message.copy())
      return .acknowledge
    }
    #expect(seen == (0..<40).map { [2, $0] } + (0..<30).map { [1, $0] })
    #expect(try shop.bed.drain("dead").count == 10)
    // Those of a batch expire by themselves still.
    var last = shop.bed.publisher.batch(
      {
        var envelope = Envelope(to: name("dead"))
        envelope.timeToLive = 500
        return envelope
      }())
    for number in 0..<10 { try shop.bed.publisher.add(1, to: &last) { $0[0] = UInt8(number) } }
    #expect(shop.bed.publisher.publish(&last).accepted == 10)
    options.filter.messageID = "none"
    _ = try shop.bed.broker.redrive(from: name("dead"), options)
    shop.bed.clock.move(by: 501)
    #expect(try shop.bed.drain("dead") == [] && shop.bed.broker.statistics(of: name("dead")).left[.expired] == 10)
  }

  @Test("a message that is being moved is nobody's meanwhile, and stands where it stood when it is put back")
  func lifted() throws {
    var queue = QueueMachine(QueueConfiguration())
    var (held, gone, all): ([QueueDelivery], [QueueDeparture], [QueueCandidate]) = ([], [], [])
    for id in 1...4 { try queue.publish(QueueMessage(id: UInt64(id), bytes: 10, expiry: id == 3 ? 50 : 0), 0, &gone) }
    let consumer = try queue.addConsumer(prefetch: 9)
    var from: UInt32 = 0
    queue.ready(from: &from, most: 100, apart: true, &all)
    for candidate in all.prefix(3) { queue.lift(candidate.entry) }
    #expect(queue.count == 4 && queue.ready == 1 && queue.lifted == 3 && queue.bytes == 10 && queue.message(all[0]) == nil)
    queue.deliver(9, 10, &held, &gone)
    #expect(held.map(\.message) == [4] && queue.purge(10, &gone) == 0)
    try queue.settle(held[0].tag, of: consumer, .release(after: 0), 10, &gone)
    queue.takeAway(all[1].entry, &gone)
    queue.putDown(all[0].entry, 60, &gone)
    queue.putDown(all[2].entry, 60, &gone)
    #expect(gone.map(\.exit) == [.moved, .expired] && gone.map(\.message) == [2, 3])
    held = []
    queue.deliver(9, 60, &held, &gone)
    #expect(held.map(\.message) == [1, 4] && held.map(\.acquired) == [0, 1] && queue.lifted == 0)
  }

  private func bound(_ pattern: String, _ key: String) throws -> Bool {
    let router = try Router()
    let exchange = try router.declare(name("t"), .topic)
    try router.add(queue: name("q"), number: 0)
    try router.bind(Binding(name("t"), to: .queue(name("q")), key: pattern))
    var core = try PublishCore(router)
    return try unsafe Array(key.utf8).withUnsafeBufferPointer { key in
      try unsafe core.route(exchange, key, UnsafeRawBufferPointer(start: nil, count: 0)) > 0
    }
  }

  @Test("a pattern matches the keys that an exchange matches by it")
  func patterns() throws {
    let words = ["a", "b", "", "*", "#"]
    var numbers = SeededNumbers(7)
    func text(_ kinds: Int) -> String { (0..<numbers.below(5)).map { _ in words[numbers.below(kinds)] }.joined(separator: ".") }
    var matches = 0
    for _ in 0..<600 {
      let (pattern, key) = (text(5), text(4))
      let isMatch = try Pattern(.topic, key: Array(pattern.utf8), arguments: Headers()).matches(Array(key.utf8))
      #expect(try isMatch == bound(pattern, key), "'\(pattern)' '\(key)'")
      matches += isMatch ? 1 : 0
    }
    #expect(matches > 60)
  }

  @Test("while threads publish, reject, acknowledge and redrive, each message is done once")
  func threads() throws {
    let bed = try ThreadBed()
    try bed.declare("dead")
    try bed.declare("tasks") { $0.deadLetters = .queue(name("dead")) }
    let count = 20_000
    bed.run { try $0.publish(0, count, 5, to: "tasks", pauses: false) }
    let (seen, done) = (Notes(), Tally(count))
    for _ in 0..<2 {
      bed.run { bed in
        var receiver = try bed.broker.makeReceiver(name("tasks"))
        while done.count < count {
          try receiver.receive(wait: .sleep(nanoseconds: 1_000_000)) { message in
            // Two of three die the first time, and some of those again.
            let (_, number) = ThreadBed.read(message)
            let redrives = message.deaths.redrives?.count ?? 0
            if number % 3 != 0, redrives < 1 + UInt64(number % 2) { return .reject }
            if redrives != (number % 3 == 0 ? 0 : 1 + number % 2) { seen.add("\(number) was redriven \(redrives) times") }
            done.add(number, seen)
            return .acknowledge
          }
        }
      }
    }
    bed.run { bed in
      while done.count < count {
        var redrive = try bed.broker.redrive(from: name("dead"))
        while redrive.step() != .done {}
      }
    }
    bed.end()
    #expect(seen.texts == [] && bed.faults == [])
    for queue in ["dead", "tasks"] { #expect(try bed.broker.statistics(of: name(queue)).ready == 0) }
  }
}

/// Which of so many are done.
private final class Tally: @unchecked Sendable {
  private let monitor = Monitor()
  private var isDone: [Bool]
  private var total = 0

  init(_ count: Int) { isDone = Array(repeating: false, count: count) }

  deinit { monitor.deallocate() }

  var count: Int { monitor.locked { total } }

  func add(_ number: Int, _ notes: Notes) {
    let isFirst = monitor.locked {
      defer { isDone[number] = true }
      if !isDone[number] { total += 1 }
      return !isDone[number]
    }
    if !isFirst { notes.add("\(number) was done twice") }
  }
}
