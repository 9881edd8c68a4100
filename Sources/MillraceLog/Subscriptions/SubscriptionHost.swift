public import MillraceCore

/// As many subscriptions, groups, folds and projections live on the host as there are seats. End some, or make the host with more.
public struct SubscriptionHostFull: Error, Equatable, CustomStringConvertible {
  /// Seats that there are.
  public let capacity: Int

  public var description: String {
    "all \(capacity) seats of the subscription host are taken: end some subscriptions, or give it more seats"
  }
}

/// Where subscriptions, groups, folds and projections live: it gives them time and the threads that their code, and the program's, runs on.
/// So nothing of the program runs on the threads of a store, which must not wait.
///
/// Each of them has a seat. The work of a seat is done one piece after the other, by one thread at a time; seats take turns.
///
/// # Threads
/// Any, but `runUntilIdle`: one at a time.
/// # Fields
/// All mutable ones, and those of the seats, belong to the holder of the monitor.
/// # Progress
/// Blocking: one mutex, held for a few instructions.
/// # Limits
/// `capacity` seats, one alarm each.
@safe
public final class SubscriptionHost: @unchecked Sendable {
  /// The most seats.
  public static let capacityLimit = 65_536

  /// What its alarms go by.
  public let clock: Clock
  /// Seats that there are.
  public let capacity: Int
  fileprivate let monitor = Monitor()
  private var seats: [Seat?]
  private var free: [Int]
  private var ready: [Seat] = []
  private var firstReady = 0
  private var alarms: TimerStore
  private var pool: BlockingPool?
  private var isStopped = false

  /// A host with threads of its own, on the system's monotonic clock. It stays until `stop`.
  ///
  /// - Parameters:
  ///   - threads: 1 to 64.
  ///   - capacity: seats, 1 to `capacityLimit`.
  /// - Throws: `TimerMemoryError` or `BlockingPoolError` if the system has no memory or no thread.
  public convenience init(threads: Int = 1, capacity: Int = 4_096) throws {
    precondition((1...64).contains(threads), "a subscription host has 1 to 64 threads, not \(threads)")
    try self.init(clock: .monotonic, capacity: capacity)
    // unsafe: retained until `stop`, which waits for the threads.
    let pool = unsafe BlockingPool(limit: threads, capacity: threads, context: Unmanaged.passRetained(self).toOpaque()) { host, _, _ in
      unsafe Unmanaged<SubscriptionHost>.fromOpaque(host!).takeUnretainedValue().work()
    }
    self.pool = pool
    do {
      for lane in 0..<threads { try pool.submit(UInt64(lane)) }
    } catch {
      stop()
      throw error
    }
  }

  /// A host without threads: whoever has made it calls `runUntilIdle`. For tests on a virtual clock, and for loops of a program's own.
  ///
  /// - Throws: `TimerMemoryError`.
  public init(clock: Clock, capacity: Int = 4_096) throws(TimerMemoryError) {
    precondition((1...Self.capacityLimit).contains(capacity), "a subscription host has 1 to \(Self.capacityLimit) seats, not \(capacity)")
    self.clock = clock
    self.capacity = capacity
    seats = Array(repeating: nil, count: capacity)
    free = Array((0..<capacity).reversed())
    alarms = try TimerStore(capacity: capacity)
  }

  deinit { monitor.deallocate() }

  /// Ends the threads, when what they do now is done. What lives here is stopped before; what still comes from a store is dropped. Not by a
  /// thread of the host. Again, it does nothing.
  public func stop() {
    let isFirst = monitor.locked {
      defer { isStopped = true }
      monitor.broadcast(.work)
      return !isStopped
    }
    guard isFirst else { return }
    if let pool {
      pool.stop(.abandon)
      // unsafe: the retain of the pool, whose threads have ended.
      unsafe Unmanaged.passUnretained(self).release()
    }
    let left: ([Seat], [@Sendable () -> Void]) = monitor.locked {
      defer { ready = [] }
      return (ready, seats.flatMap { $0?.empty() ?? [] })
    }
    // What they hold is let go of without the monitor.
    _ = left
  }

  // MARK: Without threads

  /// Does what can be done at this time, and all that follows from it. Complexity: O(pieces of work). Returns how many.
  @discardableResult public func runUntilIdle() -> Int {
    var count = 0
    while step({ _ in 0 }) { count += 1 }
    return count
  }

  /// When something is to be done next, by the clock: a time that has passed if at once, nil if nothing is.
  public var nextDue: UInt64? {
    monitor.locked { firstReady < ready.count ? 0 : alarms.nextDue == TimerStore.never ? nil : alarms.nextDue }
  }

  /// Does the work of one seat among those that have some: `choose` of so many. False: none has.
  package func step(_ choose: (Int) -> Int) -> Bool {
    let seat: Seat? = monitor.locked {
      fireAlarms()
      let count = ready.count - firstReady
      guard count > 0 else { return nil }
      ready.swapAt(firstReady, firstReady + choose(count))
      return takeReady()
    }
    seat?.drain()
    return seat != nil
  }

  // MARK: Threads

  private func work() {
    while let seat = next() { seat.drain() }
  }

  private func next() -> Seat? {
    monitor.locked {
      while !isStopped {
        fireAlarms()
        if firstReady < ready.count { return takeReady() }
        let due = alarms.nextDue
        if due == TimerStore.never { monitor.wait(.work) } else { _ = monitor.wait(.work, until: due) }
      }
      return nil
    }
  }

  // All below: the monitor is held.

  private func takeReady() -> Seat {
    let seat = ready[firstReady]
    firstReady += 1
    if firstReady * 2 > ready.count {
      ready.removeFirst(firstReady)
      firstReady = 0
    }
    return seat
  }

  fileprivate func enqueue(_ seat: Seat) {
    if isStopped { return }
    ready.append(seat)
    monitor.signal(.work)
  }

  private func fireAlarms() {
    let now = clock.now
    guard alarms.nextDue <= now else { return }
    var due: [Int] = []
    _ = alarms.advance(to: now) { due.append(Int($0.value)) }
    for index in due { seats[index]?.alarmFired() }
  }

  fileprivate func arm(_ seat: Seat, at due: UInt64) -> TimerHandle {
    let isNearer = due < alarms.nextDue
    do throws(TimerFull) {
      let handle = try alarms.arm(due: due, value: UInt64(seat.index), kind: 0)
      // Who sleeps, sleeps until a later time.
      if isNearer { monitor.signal(.work) }
      return handle
    } catch { preconditionFailure("more alarms than seats: \(error)") }
  }

  fileprivate func disarm(_ handle: TimerHandle) { _ = alarms.cancel(handle) }

  fileprivate func vacate(_ index: Int) {
    guard seats[index] != nil else { return }
    seats[index] = nil
    free.append(index)
  }

  /// Throws `SubscriptionHostFull`.
  func seat() throws(SubscriptionHostFull) -> Seat {
    try monitor.locked { () throws(SubscriptionHostFull) in
      guard let index = free.popLast() else { throw SubscriptionHostFull(capacity: capacity) }
      let seat = Seat(self, index: index)
      seats[index] = seat
      return seat
    }
  }
}

/// A place at the host, with an alarm.
///
/// # Threads
/// Any. Work that was posted is done in order, one piece at a time.
final class Seat: @unchecked Sendable {
  let host: SubscriptionHost
  let index: Int
  // The host's monitor is held for all these.
  private var inbox: [@Sendable () -> Void] = []
  private var isQueued = false
  private var hasLeft = false
  private var alarm = TimerHandle.none
  private var alarmWork: (@Sendable () -> Void)?

  fileprivate init(_ host: SubscriptionHost, index: Int) {
    self.host = host
    self.index = index
  }

  var now: UInt64 { host.clock.now }

  /// A number for the waits of this seat: another one for each seat and each time.
  var seed: UInt64 { UInt64(index) &* 0x9E37_79B9_7F4A_7C15 ^ now }

  func post(_ work: @escaping @Sendable () -> Void) {
    host.monitor.locked {
      inbox.append(work)
      if isQueued { return }
      isQueued = true
      host.enqueue(self)
    }
  }

  /// Posts `work` at a time of the host's clock, in place of what was set before. nil: nothing.
  func setAlarm(at due: UInt64?, _ work: @escaping @Sendable () -> Void) {
    let before = host.monitor.locked {
      defer { alarmWork = due == nil || hasLeft ? nil : work }
      if alarm != .none { host.disarm(alarm) }
      alarm = .none
      if let due, !hasLeft { alarm = host.arm(self, at: due) }
      return alarmWork
    }
    // Let go of without the monitor.
    _ = before
  }

  /// Gives the place back. What was posted is still done.
  func leave() {
    setAlarm(at: nil) {}
    host.monitor.locked {
      // Once only: somebody else may have the place by now.
      if hasLeft { return }
      hasLeft = true
      host.vacate(index)
    }
  }

  /// The monitor is held.
  fileprivate func alarmFired() {
    guard let work = alarmWork else { return }
    alarm = .none
    alarmWork = nil
    inbox.append(work)
    if isQueued { return }
    isQueued = true
    host.enqueue(self)
  }

  /// What is there now; then it is the others' turn.
  fileprivate func drain() {
    let works = host.monitor.locked {
      defer { inbox = [] }
      return inbox
    }
    for work in works { work() }
    host.monitor.locked {
      isQueued = !inbox.isEmpty
      if isQueued { host.enqueue(self) }
    }
  }

  /// The monitor is held: what is returned is let go of without it.
  fileprivate func empty() -> [@Sendable () -> Void] {
    defer {
      inbox = []
      alarmWork = nil
    }
    return inbox + (alarmWork.map { [$0] } ?? [])
  }
}
