internal import MillraceCore

/// Follows a stream, a category or all streams from a checkpoint: first what has happened, then what happens. The consumer keeps the checkpoint.
///
/// Events come in order, each once. The consumer asks for each page (`next`) and gets it when there is something to give; one more page at
/// most is read ahead meanwhile. A store that is busy or cannot be reached is asked again; whatever else it says ends the subscription.
///
///     func follow() {
///       subscription.next { result in
///         guard case .success(let delivery) = result else { return }
///         if case .events(let events, let checkpoint) = delivery { keep(events, checkpoint) }
///         follow()
///       }
///     }
///
/// # Threads
/// Any thread calls. Completions come on a thread of the host, one at a time.
public final class CatchUpSubscription: @unchecked Sendable {
  /// Told once of what comes next, or why nothing does.
  public typealias Completion = @Sendable (Result<SubscriptionDelivery, SubscriptionEnd>) -> Void

  /// Which events it gives.
  public let source: SubscriptionSource
  private let store: any EventStore
  private let seat: Seat
  private let monitor = Monitor()
  // The monitor's.
  private var published: SubscriptionStatus
  private var isAsked = false
  // The seat's own.
  private var machine: CatchUpMachine
  private var waiter: Completion?
  private var wait: (any EventWait)?

  /// - Parameters:
  ///   - source: which events.
  ///   - checkpoint: the version, of a stream, or the position, otherwise, of the first event to be given, if it is still there.
  ///   - store: stays open until the subscription has ended.
  ///   - host: gives it time and threads.
  ///   - limit: events of a page, 1 to `EventLimits.eventsInPage`.
  ///   - bytes: payload bytes of a page; one event is given in any case.
  ///   - backoff: how a store is asked again that is busy.
  /// - Throws: `SubscriptionHostFull`.
  public init(
    _ source: SubscriptionSource, from checkpoint: UInt64 = 0, store: any EventStore, host: SubscriptionHost, limit: Int = 512,
    bytes: Int = 4 << 20, backoff: StoreBackoff = StoreBackoff()
  ) throws(SubscriptionHostFull) {
    precondition((1...EventLimits.eventsInPage).contains(limit), "a page has 1 to \(EventLimits.eventsInPage) events, not \(limit)")
    self.source = source
    self.store = store
    seat = try host.seat()
    machine = CatchUpMachine(source, from: checkpoint, limit: limit, bytes: bytes, backoff: backoff, seed: seat.seed)
    published = machine.status
  }

  deinit {
    seat.leave()
    monitor.deallocate()
  }

  /// Asks for what comes next: once, until it has answered. After the end the answer is the reason, at once.
  public func next(_ completion: @escaping Completion) {
    monitor.locked {
      precondition(!isAsked, "next() was called again before it has answered")
      isAsked = true
    }
    seat.post { [self] in
      waiter = completion
      apply(.demand)
    }
  }

  /// Ends the subscription. When this has completed, no event is given any more; a `next` that waits has been answered with `stopped`.
  public func stop(_ completion: @escaping @Sendable () -> Void = {}) {
    seat.post { [self] in
      apply(.stop)
      completion()
    }
  }

  /// As of the last thing that has happened.
  public var status: SubscriptionStatus { monitor.locked { published } }

  // All below: the seat's.

  private func apply(_ input: CatchUpMachine.Input) {
    let actions = machine.apply(input, now: seat.now)
    let status = machine.status
    monitor.locked { published = status }
    for action in actions { perform(action) }
    if status.end != nil { seat.leave() }
  }

  private func perform(_ action: CatchUpMachine.Action) {
    switch action {
    case .askEnd(let number): store.end { self.answer(number, .end($0)) }
    case .read(let number, let request): store.read(request) { self.answer(number, .page($0)) }
    case .await(let number, let position): wait = store.await(position) { self.answer(number, .awaited($0)) }
    case .giveUpWait:
      wait?.cancel()
      wait = nil
    case .sleep(let time): seat.setAlarm(at: time) { self.apply(.alarm) }
    case .deliver(let delivery): answer(.success(delivery))
    case .refuse(let reason): answer(.failure(reason))
    }
  }

  private func answer(_ number: UInt64, _ answer: CatchUpMachine.Answer) {
    seat.post { [self] in
      if case .awaited = answer { wait = nil }
      apply(.answer(number, answer))
    }
  }

  private func answer(_ result: Result<SubscriptionDelivery, SubscriptionEnd>) {
    let completion = waiter
    waiter = nil
    monitor.locked { isAsked = false }
    completion?(result)
  }
}
