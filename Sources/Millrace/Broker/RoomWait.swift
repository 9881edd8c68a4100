internal import MillraceBroker
internal import MillraceCore

/// A publisher that waits for room in a queue: until there may be some, its time is over, it is cancelled, or the engine stops. Used once.
@safe final class RoomWait: @unchecked Sendable {
  struct Limit {
    /// On the engine's clock; nil: none.
    let deadline: UInt64?
    let clock: Clock

    static let none = Limit(nil, on: .monotonic)

    init(_ waiting: Duration?, on clock: Clock) {
      self.clock = clock
      deadline = waiting.map { duration in
        let (sum, overflow) = clock.now.addingReportingOverflow(UInt64(clamping: duration))
        return overflow ? .max : sum
      }
    }

    /// Nanoseconds; nil: any.
    var left: UInt64? { deadline.map { $0 - min($0, clock.now) } }
  }

  private enum Ending: Sendable {
    case room, late, cancelled, stopped
  }

  /// Nanoseconds.
  private static let pause: UInt64 = 1_000_000

  private let desk: BrokerDesk
  private let limit: Limit
  private let ending = Awaited<Ending>()
  // The waiter's.
  private var ticket: RoomTicket?
  private var alarm: UInt64?
  private var wait: UInt64?

  init(_ desk: BrokerDesk, _ limit: Limit) { (self.desk, self.limit) = (desk, limit) }

  /// Returns when there may be room; `pauses`: not at once, for there was some before that the message did not fit into. Throws `PublishRefusal.full`, `.closed`, `BrokerError` or `CancellationError`.
  func wait(in queue: BrokerName, pauses: Bool) async throws {
    let broker = try desk.broker()
    if let left = limit.left {
      if left == 0 { throw PublishRefusal.full(queue: queue) }
      alarm = desk.alarms.after(left) { [weak self] in self?.end(.late) }
      // Without a timer nobody would end the wait.
      if alarm == nil { throw PublishRefusal.full(queue: queue) }
    }
    wait = desk.whenStopped { [weak self] in self?.end(.stopped) }
    if wait == nil { end(.stopped) }
    do throws(BrokerError) {
      ticket = try broker.whenRoom(in: queue) { [weak self] in self?.end(.room) }
    } catch {
      release(broker)
      throw error
    }
    if ticket == nil, !pauses || desk.alarms.after(RoomWait.pause, { [self] in end(.room) }) == nil { end(.room) }
    let ending = await ending.value(whenCancelled: .cancelled)
    release(broker)
    switch ending {
    case .room: return
    case .late: throw PublishRefusal.full(queue: queue)
    case .cancelled: throw CancellationError()
    case .stopped: throw PublishRefusal.closed
    }
  }

  private func release(_ broker: Broker) {
    if let ticket { broker.cancel(ticket) }
    if let alarm { desk.alarms.cancel(alarm) }
    if let wait { desk.forget(wait: wait) }
  }

  private func end(_ ending: Ending) { self.ending.give(ending) }
}
