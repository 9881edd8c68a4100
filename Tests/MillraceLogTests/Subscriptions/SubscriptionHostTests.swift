import EventStoreConformance
import MillraceCore
import MillraceTesting
import Synchronization
import Testing

@testable import MillraceLog

@Suite struct SubscriptionHostTests {
  @Test("the work of a seat is done in order, one piece at a time, whatever the threads; seats take turns")
  func order() async throws {
    let host = try SubscriptionHost(threads: 4)
    let seats = try (0..<16).map { _ in try host.seat() }
    let reports = seats.map { _ in Reports<Int>() }
    final class Inside: @unchecked Sendable { var count = 0 }
    let inside = seats.map { _ in Inside() }
    await withTaskGroup(of: Void.self) { group in
      for seat in seats.indices {
        group.addTask {
          for number in 0..<2_000 {
            seats[seat].post {
              inside[seat].count += 1
              reports[seat].tell(inside[seat].count == 1 ? number : -1)
              inside[seat].count -= 1
            }
          }
        }
      }
    }
    for reports in reports {
      await reports.wait(for: 2_000)
      #expect(reports.all == Array(0..<2_000))
    }
    for seat in seats { seat.leave() }
    host.stop()
  }

  @Test("alarms come at their times and in their order, the last one set counts, and threads wake for an earlier one")
  func alarms() async throws {
    let clock = VirtualClock(start: 10)
    let stepped = try SubscriptionHost(clock: clock.clock)
    let told = Told<String>()
    let (a, b) = (try stepped.seat(), try stepped.seat())
    a.setAlarm(at: 100) { told.tell("old") }
    a.setAlarm(at: 300) { told.tell("a") }
    b.setAlarm(at: 200) { told.tell("b") }
    #expect(stepped.nextDue == 200)
    clock.move(to: 199)
    #expect(stepped.runUntilIdle() == 0)
    clock.move(to: 1_000)
    #expect(stepped.runUntilIdle() == 2 && told.all == ["b", "a"])
    a.setAlarm(at: 2_000) { told.tell("never") }
    a.setAlarm(at: nil) {}
    b.setAlarm(at: 2_000) { told.tell("never") }
    b.leave()
    #expect(stepped.nextDue == nil)

    let threaded = try SubscriptionHost(threads: 2)
    let reports = Reports<UInt64>()
    let (far, near) = (try threaded.seat(), try threaded.seat())
    far.setAlarm(at: far.now + 3_600 * second) { reports.tell(0) }
    let due = near.now + 20_000_000
    near.setAlarm(at: due) { reports.tell(near.now) }
    await reports.wait(for: 1)
    #expect(reports.all[0] >= due)
    threaded.stop()
  }

  @Test("a full host refuses another seat, and has room again when one has left")
  func full() throws {
    let host = try SubscriptionHost(clock: VirtualClock().clock, capacity: 2)
    let seats = [try host.seat(), try host.seat()]
    #expect(throws: SubscriptionHostFull(capacity: 2)) { try host.seat() }
    seats[0].leave()
    seats[0].leave()
    _ = try host.seat()
    #expect(throws: SubscriptionHostFull(capacity: 2)) { try host.seat() }
  }

  @Test("a seat that leaves again takes nothing from whoever has its place by then")
  func again() throws {
    let clock = VirtualClock(start: 1)
    let host = try SubscriptionHost(clock: clock.clock, capacity: 1)
    let first = try host.seat()
    first.leave()
    let second = try host.seat()
    let rang = Mutex(0)
    second.setAlarm(at: 10) { rang.withLock { $0 += 1 } }
    first.leave()
    #expect(throws: SubscriptionHostFull(capacity: 1)) { try host.seat() }
    clock.move(to: 20)
    host.runUntilIdle()
    #expect(rang.withLock { $0 } == 1)
  }

  @Test("what was stopped or let go of leaves its seat, and a stopped host keeps nothing")
  func seats() throws {
    let clock = VirtualClock(start: 1)
    let host = try SubscriptionHost(clock: clock.clock, capacity: 1)
    let store = MemoryEventStore()
    for _ in 0..<3 {
      let subscription = try CatchUpSubscription(SubscriptionSource(.all), store: store, host: host)
      subscription.stop()
      host.runUntilIdle()
    }
    for _ in 0..<3 { _ = try CatchUpSubscription(SubscriptionSource(.all), store: store, host: host) }
    for _ in 0..<3 {
      let group = try PersistentGroup(GroupDefinition("g", SubscriptionSource(.all)), store: store, host: host)
      group.stop()
      host.runUntilIdle()
    }
    weak var kept: Told<Int>?
    do {
      let told = Told<Int>()
      kept = told
      let seat = try host.seat()
      seat.post { told.tell(1) }
      seat.setAlarm(at: 5) { told.tell(2) }
    }
    host.stop()
    #expect(kept == nil)
  }
}
