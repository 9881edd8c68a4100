internal import MillraceCore

/// The scheduler's handlers that consumers have, one after the other: a handler can be registered, but not taken back. A seat is one of them, and is given to the next consumer of its kind when
/// no job of the one before can be alive.
///
/// # Threads
/// Any.
/// # Progress
/// Blocking, a few steps. No other lock is taken meanwhile.
final class HandlerSeats: @unchecked Sendable {
  /// What the scheduler knows of a handler beside what is called.
  struct Kind: Hashable {
    var isBlocking: Bool
    var concurrency: Int
  }

  private let monitor = Monitor()
  // The monitor's. All seats stay: the scheduler may call them until it has stopped.
  private var all: [UInt32: HandlerSeat] = [:]
  private var free: [Kind: [HandlerSeat]] = [:]

  deinit { monitor.deallocate() }

  /// A seat for a consumer; nil: the scheduler knows too many handlers. Complexity: O(1).
  func take(_ kind: Kind, for consumer: JobConsumer, _ scheduler: Scheduler) -> HandlerSeat? {
    monitor.locked {
      if let seat = free[kind]?.popLast() {
        seat.consumer = consumer
        return seat
      }
      let seat = HandlerSeat(kind)
      guard let handler = JobConsumer.register(seat, scheduler) else { return nil }
      seat.handler = handler
      seat.consumer = consumer
      all[handler.rawValue] = seat
      return seat
    }
  }

  /// Nothing of its consumer is alive: another one may have it. The consumer, whose end is the caller's, with no lock held.
  func give(_ seat: HandlerSeat) -> JobConsumer? {
    monitor.locked {
      defer { seat.consumer = nil }
      free[seat.kind, default: []].append(seat)
      return seat.consumer
    }
  }

  /// Whose jobs have this handler.
  func consumer(of handler: HandlerIndex) -> JobConsumer? { monitor.locked { all[handler.rawValue]?.consumer } }
}

/// One registered handler.
///
/// # Fields
/// `consumer`: written before its first job is submitted, and after its last one has ended.
final class HandlerSeat: @unchecked Sendable {
  let kind: HandlerSeats.Kind
  fileprivate(set) var handler = HandlerIndex(rawValue: 0)
  fileprivate(set) var consumer: JobConsumer?

  fileprivate init(_ kind: HandlerSeats.Kind) { self.kind = kind }
}
