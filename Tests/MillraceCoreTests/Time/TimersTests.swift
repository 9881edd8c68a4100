import Glibc
import MillraceCore
import Synchronization
import Testing

/// Collects what fires and what alarms are asked for, on the test's own thread.
@safe
private final class Collected {
  var fires: [TimerFire] = []
  var alarms: [UInt64] = []
  var onFire: ((TimerFire) -> Void)?

  // Safe: the tests keep the object alive until the timers are gone.
  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  static func of(_ context: UnsafeMutableRawPointer?) -> Collected {
    guard let context = unsafe context else { preconditionFailure("no context") }
    return unsafe Unmanaged<Collected>.fromOpaque(context).takeUnretainedValue()
  }

  func timers(shards: Int, capacity: Int = 1_000) throws -> Timers {
    unsafe try Timers(
      shards: shards, capacity: capacity, context: context,
      sink: { context, value, kind, due in
        let fire = TimerFire(due: due, value: value, kind: kind)
        let collected = unsafe Collected.of(context)
        collected.fires.append(fire)
        collected.onFire?(fire)
      },
      alarmContext: context, alarm: { context, at in unsafe Collected.of(context).alarms.append(at) })
  }
}

@Suite struct TimersTests {
  @Test("each shard fires its own, in order; handles of different shards never meet")
  func shards() throws {
    let collected = Collected()
    let timers = try collected.timers(shards: 3)
    var handles: Set<TimerHandle> = []
    for shard in 0..<3 {
      for step in UInt64(0)..<100 {
        handles.insert(try timers.arm(shard: shard, due: 1_000 - step, value: UInt64(shard), kind: UInt16(step)))
      }
    }
    #expect(handles.count == 300)
    #expect(timers.count == 300)
    #expect(timers.nextDue == 901)
    #expect(timers.advance(to: 900) == 0)
    // More than one batch of 64 a shard.
    #expect(timers.advance(to: 1_000) == 300)
    for shard in 0..<3 {
      let dues = collected.fires.filter { $0.value == UInt64(shard) }.map(\.due)
      #expect(dues == Array(901...1_000))
    }
    #expect(timers.nextDue == Timers.never)
    withExtendedLifetime(collected) {}
  }

  @Test("the alarm is asked for when something is due earlier than before, and only then")
  func alarm() throws {
    let collected = Collected()
    let timers = try collected.timers(shards: 2)
    _ = try timers.arm(shard: 0, due: 5_000_000, value: 0, kind: 0)
    _ = try timers.arm(shard: 0, due: 6_000_000, value: 0, kind: 0)
    _ = try timers.arm(shard: 0, due: 5_000_000, value: 0, kind: 0)
    let nearest = try timers.arm(shard: 0, due: 4_000_000, value: 0, kind: 0)
    // Another shard does not know of it; the loop compares.
    _ = try timers.arm(shard: 1, due: 9_000_000, value: 0, kind: 0)
    #expect(collected.alarms == [5_000_000, 4_000_000, 9_000_000])
    #expect(timers.cancel(nearest))
    #expect(!timers.cancel(nearest))
    #expect(timers.advance(to: 5_000_000) == 2)
    #expect(timers.nextDue == 6_000_000)
    #expect(collected.alarms.count == 3)
  }

  @Test("the sink may arm and cancel in the shard that fires: no lock is held")
  func reentrant() throws {
    let collected = Collected()
    let timers = try collected.timers(shards: 1)
    let victim = try timers.arm(shard: 0, due: 50, value: 99, kind: 0)
    var cancelled = false
    collected.onFire = { fire in
      if fire.value == 1 {
        cancelled = timers.cancel(victim)
        // What is armed for the past fires in the same advance.
        do { _ = try timers.arm(shard: 0, due: 5, value: 2, kind: 0) } catch { Issue.record("\(error)") }
      }
    }
    _ = try timers.arm(shard: 0, due: 10, value: 1, kind: 0)
    #expect(timers.advance(to: 20) == 2)
    #expect(cancelled)
    #expect(timers.advance(to: 100) == 0)
    #expect(collected.fires.map(\.value) == [1, 2])
    collected.onFire = nil
  }

  @Test("a full shard refuses; the others and the lock are as before")
  func full() throws {
    let collected = Collected()
    let timers = try collected.timers(shards: 2, capacity: 1)
    _ = try timers.arm(shard: 0, due: 1, value: 0, kind: 0)
    let refusal = #expect(throws: TimerFull.self) { try timers.arm(shard: 0, due: 1, value: 0, kind: 0) }
    #expect(refusal?.capacity == 1)
    _ = try timers.arm(shard: 1, due: 1, value: 0, kind: 0)
    #expect(timers.tryAdvance(shard: 0, to: 1) == 1)
    #expect(timers.tryAdvance(shard: 0, to: 1) == 0)
    _ = try timers.arm(shard: 0, due: 1, value: 0, kind: 0)
    #expect(!timers.cancel(.none))
  }

  @Test("threads that arm, cancel and advance at once: each timer fires once or is cancelled once, never early")
  func stress() throws {
    let field = StressField(shards: 3, perThread: 4_000)
    let timers = unsafe try Timers(
      shards: 3, capacity: StressField.threads * 4_000, context: field.context,
      sink: { context, value, _, due in unsafe StressField.of(context).fired(value, due) })
    let armers = (0..<StressField.threads).map { thread in TestThread { field.arm(timers, thread) } }
    let advancers = (0..<2).map { which in TestThread { field.advance(timers, wait: which == 0) } }
    for thread in armers { thread.join() }
    field.armersLeft.store(false, ordering: .releasing)
    for thread in advancers { thread.join() }
    field.clock.store(.max, ordering: .releasing)
    timers.advance(to: .max)
    #expect(timers.count == 0)
    #expect(timers.nextDue == Timers.never)
    #expect(field.early.load(ordering: .relaxed) == 0)
    let ends = field.ends()
    #expect(ends.allSatisfy { $0 == 1 }, "\(ends.filter { $0 != 1 }.count) timers ended not once")
    #expect(field.cancelledCount.load(ordering: .relaxed) > 0)
  }
}

/// What the threads of the stress test share.
@safe
private final class StressField: @unchecked Sendable {
  static let threads = 3
  let perThread: Int
  let shards: Int
  let clock = Atomic<UInt64>(1)
  let early = Atomic<Int>(0)
  let cancelledCount = Atomic<Int>(0)
  let armersLeft = Atomic<Bool>(true)
  /// How often each timer ended, by firing or by being cancelled.
  private let endings: UnsafeMutablePointer<Atomic<Int>>

  init(shards: Int, perThread: Int) {
    self.shards = shards
    self.perThread = perThread
    unsafe endings = .allocate(capacity: Self.threads * perThread)
    for index in 0..<Self.threads * perThread { unsafe (endings + index).initialize(to: Atomic(0)) }
  }

  deinit { unsafe endings.deallocate() }

  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  static func of(_ context: UnsafeMutableRawPointer?) -> StressField {
    guard let context = unsafe context else { preconditionFailure("no context") }
    return unsafe Unmanaged<StressField>.fromOpaque(context).takeUnretainedValue()
  }

  func ends() -> [Int] { (0..<Self.threads * perThread).map { unsafe endings[$0].load(ordering: .relaxed) } }

  func fired(_ value: UInt64, _ due: UInt64) {
    if due > clock.load(ordering: .acquiring) { early.add(1, ordering: .relaxed) }
    unsafe endings[Int(value)].add(1, ordering: .relaxed)
  }

  func arm(_ timers: Timers, _ thread: Int) {
    var random = SeededRandom(state: UInt64(thread))
    var mine: [(TimerHandle, Int)] = []
    for index in 0..<perThread {
      let value = thread * perThread + index
      let due = clock.load(ordering: .acquiring) + random.duration() >> 24
      do {
        // Now and then another's shard, so that the locks are fought for.
        let shard = index % 4 == 0 ? Int.random(in: 0..<shards, using: &random) : thread
        mine.append((try timers.arm(shard: shard, due: due, value: UInt64(value), kind: 0), value))
      } catch { Issue.record("\(error)") }
      if index % 3 == 0 {
        let (handle, victim) = mine[Int.random(in: 0..<mine.count, using: &random)]
        if timers.cancel(handle) {
          cancelledCount.add(1, ordering: .relaxed)
          unsafe endings[victim].add(1, ordering: .relaxed)
        }
      }
    }
  }

  func advance(_ timers: Timers, wait: Bool) {
    while armersLeft.load(ordering: .acquiring) {
      let now = clock.add(3_000_000, ordering: .acquiringAndReleasing).newValue
      if wait {
        timers.advance(to: now)
      } else {
        for shard in 0..<shards { timers.tryAdvance(shard: shard, to: now) }
      }
      sched_yield()
    }
  }
}
