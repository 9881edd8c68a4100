import MillraceCore
import MillraceSimulation
import MillraceTesting
import Testing

@testable import MillraceLog

/// Groups whose process dies, or whose store misbehaves, at each moment at which something is written.
@Suite struct GroupCrashTests {
  /// What the world outside has seen of a message.
  private final class Ledger: @unchecked Sendable {
    var given: [UInt64: Int] = [:]
    var acknowledged: Set<UInt64> = []
  }

  /// Consumers that acknowledge, refuse, park and forget, as the seed draws.
  private func behave(_ world: SubscriptionWorld, _ ledger: Ledger, isKind: Bool) -> (TestConsumer, GroupMessage) -> Void {
    { consumer, message in
      ledger.given[message.event.position, default: 0] += 1
      switch isKind ? 0 : world.number(below: 12) {
      case 1: consumer.refuse(message, .retry())
      case 2: consumer.refuse(message, .retry(after: UInt64(world.number(below: 3)) * second))
      case 3: consumer.refuse(message, .park("drawn"))
      case 4: break
      default:
        ledger.acknowledged.insert(message.event.position)
        consumer.acknowledge(message)
      }
    }
  }

  private func settings(_ settings: inout GroupSettings) {
    settings.messageTimeout = 5 * second
    settings.maxRetries = 2
    settings.minCheckpoint = 2
    settings.maxCheckpoint = 7
    settings.readBatch = 4
    settings.historyBuffer = 12
    settings.liveBuffer = 6
  }

  /// Every message was acknowledged, or is parked, and none of those that are parked is kept as outstanding as well.
  private func check(_ world: SubscriptionWorld, _ ledger: Ledger, _ group: PersistentGroup, _ seed: Int) throws {
    let events = world.memory.all.filter { !$0.stream.description.hasPrefix("$") }
    let parked = try world.parked(group).map(\.position)
    #expect(Set(parked).count == parked.count, "seed \(seed): a message is parked twice")
    for event in events {
      let isParked = parked.contains(event.position)
      #expect(ledger.acknowledged.contains(event.position) || isParked, "seed \(seed): the event at \(event.position) is lost")
    }
    #expect(try world.record().outstanding.isEmpty, "seed \(seed)")
  }

  @Test("after a crash before or after each write no message is lost, and none is parked twice", arguments: [false, true])
  func crashes(afterwards: Bool) throws {
    var writes = 0
    for crash in 0..<40 {
      let world = try SubscriptionWorld(seed: 5)
      for index in 0..<40 { try world.append("s-\(index % 3)", "\(index)") }
      let ledger = Ledger()
      let store = world.process()
      store.fault = { operation, number in
        guard operation == .append, number == crash else { return nil }
        if afterwards { return .doneBut(.busy) }
        store.isDead = true
        return .loseAnswer
      }
      let first = try world.group(store: store, owner: 1, settings)
      let consumers = ["a", "b"].map { TestConsumer($0, first, credit: 3, answer: behave(world, ledger, isKind: false)) }
      first.start { _ in }
      // Replays are writes, too.
      for _ in 0..<12 {
        world.pass(2 * second)
        first.replayParked(limit: 3) { _ in }
        if afterwards, store.counts[.append] ?? 0 > crash { store.isDead = true }
      }
      store.isDead = true
      writes = max(writes, store.counts[.append] ?? 0)
      for consumer in consumers { consumer.answer = { _, _ in } }
      let next = try world.group(owner: 2)
      _ = TestConsumer("c", next, credit: 3, answer: behave(world, ledger, isKind: true))
      try world.begin(next)
      for _ in 0..<3 {
        next.replayParked { _ in }
        world.pass(60 * second)
      }
      world.stop(next)
      try check(world, ledger, next, crash)
      #expect(try world.parked(next).isEmpty)
    }
    #expect((12...40).contains(writes), "each of \(writes) writes was one at which the process died")
  }

  @Test("whatever the schedule and the faults, and however many owners follow one another, no message is lost", arguments: 0..<120)
  func schedules(seed: Int) throws {
    let world = try SubscriptionWorld(seed: UInt64(seed))
    let ledger = Ledger()
    let scopes: [ReadRequest.Scope] = [.all, .category("s")]
    let source = SubscriptionSource(scopes[seed % 2])
    for index in 0..<20 { try world.append("s-\(index % 3)", "\(index)") }
    for owner in 1...4 {
      let store = world.process()
      store.isSlow = true
      store.actsLate = { _ in world.number(below: 2) == 0 }
      store.fault = { operation, _ in
        switch (world.number(below: 25), operation) {
        case (0, _): .fail(.busy)
        case (1, .append): .fail(.outcomeUnknown("dead"))
        case (2, .append): .doneBut(.outcomeUnknown("dead"))
        case (3, _): .answerTwice
        default: nil
        }
      }
      let group = try world.group(source, store: store, owner: UInt64(owner)) { settings in
        self.settings(&settings)
        settings.strategy = GroupStrategy.allCases[seed % 3]
      }
      var consumers = [TestConsumer("a", group, credit: 2, answer: behave(world, ledger, isKind: false))]
      group.start { _ in }
      for _ in 0..<300 {
        _ = world.step()
        switch world.number(below: 60) {
        case 0: try world.append("s-\(world.number(below: 3))", "more")
        case 1: consumers.append(TestConsumer("\(consumers.count)", group, credit: 2, answer: behave(world, ledger, isKind: false)))
        case 2: consumers[world.number(below: consumers.count)].disconnect()
        case 3: group.replayParked(limit: 1 + world.number(below: 5)) { _ in }
        case 4:
          var settings = group.status.settings
          settings.strategy = GroupStrategy.allCases[world.number(below: 3)]
          group.update(settings) { _ in }
        default: break
        }
      }
      // Some die, some go on beside the next owner until they learn that they have lost the group.
      if world.number(below: 2) == 0 { store.isDead = true }
    }
    for store in world.stores {
      store.fault = { _, _ in nil }
      store.isSlow = false
    }
    world.pass(60 * second)
    let last = try world.group(source, owner: 9)
    _ = TestConsumer("z", last, credit: 5, answer: behave(world, ledger, isKind: true))
    try world.begin(last)
    for _ in 0..<3 {
      last.replayParked { _ in }
      world.pass(60 * second)
    }
    world.stop(last)
    try check(world, ledger, last, seed)
  }
}
