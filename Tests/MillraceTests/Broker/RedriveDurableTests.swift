import MillraceBroker
import MillraceCore
import MillraceLog
import MillraceSimulation
import Testing

@testable import Millrace

/// Dead letters of durable queues go back in one step, wherever that is cut off.
@Suite struct RedriveDurableTests {
  private static let count = 40

  /// Opens a broker whose durable queues are on this disk.
  private static func open(_ disk: SimulatedDisk) throws -> Broker {
    let time = TestTime()
    var configuration = JournalHistory.configuration(time)
    configuration.log.hasThreads = true
    configuration.log.capacity = 1_024
    var limits = BrokerConfiguration()
    limits.messageBytes = 64 << 20
    return try Broker(
      limits, host: BrokerHost(clock: VirtualClock(start: 1_000).clock, wall: { time.now }), journal: LogQueueJournal(disk, configuration))
  }

  /// Durable queues `tasks` and `dead`, and so many dead letters, all on the disk; then closed.
  private static func disk() throws -> SimulatedDisk {
    let disk = SimulatedDisk()
    let broker = try open(disk)
    var configuration = QueueConfiguration()
    configuration.isDurable = true
    try broker.declare(queue: BrokerName("dead"), configuration)
    configuration.deadLetters = .queue(try BrokerName("dead"))
    try broker.declare(queue: BrokerName("tasks"), configuration)
    var publisher = try broker.makePublisher()
    for number in 0..<count { try publisher.publish(Array("\(number)".utf8).span, Envelope(to: BrokerName("tasks"))) }
    var receiver = try broker.makeReceiver(BrokerName("tasks"))
    while try receiver.receive({ _ in .reject }) > 0 {}
    broker.close()
    return disk
  }

  private static func drain(_ broker: Broker, _ queue: String) throws -> [Int] {
    var seen: [Int] = []
    var receiver = try broker.makeReceiver(BrokerName(queue))
    while try receiver.receive({ message in
      seen.append(Int(String(decoding: message.copy(), as: UTF8.self)) ?? -1)
      return .acknowledge
    }) > 0 {}
    return seen
  }

  @Test("what was redriven is where it went after a restart, with who sent it, and its move can be waited for")
  func restart() throws {
    let disk = try Self.disk()
    do {
      let broker = try Self.open(disk)
      var options = RedriveOptions()
      (options.limit, options.by) = (10, "ann")
      var redrive = try broker.redrive(from: BrokerName("dead"), options)
      #expect(redrive.step() == .done)
      let told = redrive.confirms
      let confirms = try #require(told)
      #expect(confirms.published == 10 && confirms.wait(for: 10, nanoseconds: 60_000_000_000) && confirms.failed.isEmpty)
      broker.close()
    }
    let broker = try Self.open(disk)
    var receiver = try broker.makeReceiver(BrokerName("tasks"))
    var numbers: [Int] = []
    try receiver.receive { message in
      numbers.append(Int(String(decoding: message.copy(), as: UTF8.self)) ?? -1)
      #expect(message.deaths.redrives?.by == "ann" && message.deaths.redrives?.queue == "dead" && message.deaths.last?.queue == "tasks")
      return .acknowledge
    }
    #expect(numbers == Array(0..<10))
    #expect(try Self.drain(broker, "dead") == Array(10..<Self.count))
    broker.close()
  }

  @Test(
    "a disk that is switched off at any write of a redrive has each message in one of its queues", arguments: SimulatedDisk.Fault.allCases)
  func cutOff(_ fault: SimulatedDisk.Fault) throws {
    let whole = try Self.disk()
    var random = Seed(11)
    var partly = 0
    for step in 0..<60 {
      let disk = whole.copy()
      let broker = try Self.open(disk)
      disk.setOff(after: step / 4)
      var redrive = try broker.redrive(from: BrokerName("dead"))
      while redrive.step() == .now {}
      let moved = redrive.progress.moved
      #expect(moved + redrive.progress.stayedCount == Self.count)
      // Whether the journal has ended all of them or was cut off before: each is told.
      let told = redrive.confirms
      let confirms = try #require(told)
      #expect(confirms.wait(for: UInt64(moved), nanoseconds: 60_000_000_000))
      let confirmed = moved - confirms.failed.reduce(0) { $0 + $1.messages.count }
      broker.close()
      let survivor = try Self.open(disk.isOff ? disk.afterCrash(fault, &random) : disk.copy())
      let (tasks, dead) = (try Self.drain(survivor, "tasks"), try Self.drain(survivor, "dead"))
      #expect((tasks + dead).sorted() == Array(0..<Self.count), "\(step)")
      #expect(tasks.count >= confirmed, "\(step)")
      partly += tasks.isEmpty || dead.isEmpty ? 0 : 1
      survivor.close()
    }
    #expect(partly > 0)
  }

  @Test("a durable queue's message that goes to one that is not is gone from the first after a restart")
  func toMemory() throws {
    let disk = try Self.disk()
    do {
      let broker = try Self.open(disk)
      try broker.declare(queue: BrokerName("memory"))
      var options = RedriveOptions()
      options.target = .queue(try BrokerName("memory"))
      var redrive = try broker.redrive(from: BrokerName("dead"), options)
      while redrive.step() == .now {}
      #expect(redrive.confirms?.published == 0)
      #expect(try Self.drain(broker, "memory").count == Self.count)
      broker.close()
    }
    let broker = try Self.open(disk)
    #expect(try Self.drain(broker, "dead") == [] && Self.drain(broker, "tasks") == [])
    broker.close()
  }
}
