/// A catch-up subscription as a value: what to ask of the store next, and what to give the consumer.
///
/// At most one thing is asked of the store at a time, and at most one page is held: it is read while the consumer has the one before it.
///
/// Nothing is missed between history and live: the end of the store is asked for *before* the page that turns out to be the last is read.
/// That page holds all that was committed before that end, so it is enough to wait for an event at it or after it.
struct CatchUpMachine {
  enum Answer {
    case end(Result<UInt64, EventStoreError>)
    case page(Result<EventPage, EventStoreError>)
    case awaited(Result<UInt64, EventStoreError>)
  }

  enum Input {
    case demand
    /// To what was asked with this number. An old number, or the same one again, changes nothing.
    case answer(UInt64, Answer)
    case alarm
    case stop
  }

  enum Action {
    case askEnd(UInt64)
    case read(UInt64, ReadRequest)
    case await(UInt64, position: UInt64)
    case giveUpWait
    case sleep(until: UInt64)
    case deliver(SubscriptionDelivery)
    /// The answer to a demand when nothing more comes.
    case refuse(SubscriptionEnd)
  }

  private enum Phase {
    case idle, asking, reading, waiting
    case resting(until: UInt64)
    case over(SubscriptionEnd)
  }

  let source: SubscriptionSource
  let limit: Int
  let bytes: Int
  private var phase = Phase.idle
  private var operation: UInt64 = 0
  private var patience: Patience
  /// Where the next page starts.
  private var next: UInt64
  /// The end of the store, as of a time before the last read.
  private var end: UInt64?
  private var lastVersion: UInt64?
  /// The last read has left nothing.
  private var isAtEnd = false
  /// The consumer has everything that was there at some read.
  private var isCaughtUp = false
  /// A page that was not demanded yet, and whether it was the last one.
  private var page: (events: [RecordedEvent], checkpoint: UInt64, isLast: Bool)?
  private var isDemanded = false
  private(set) var status: SubscriptionStatus

  /// `limit`, `bytes`: of a page.
  init(_ source: SubscriptionSource, from checkpoint: UInt64, limit: Int, bytes: Int, backoff: StoreBackoff, seed: UInt64) {
    self.source = source
    self.limit = limit
    self.bytes = bytes
    next = checkpoint
    patience = Patience(backoff, seed: seed)
    status = SubscriptionStatus(checkpoint: checkpoint)
  }

  mutating func apply(_ input: Input, now: UInt64) -> [Action] {
    var actions: [Action] = []
    switch input {
    case .demand:
      precondition(!isDemanded, "next() was called again before it has answered")
      isDemanded = true
    case .answer(let number, let answer):
      guard number == operation else { break }
      take(answer, now, &actions)
    case .alarm:
      if case .resting(let until) = phase, until <= now { phase = .idle }
    case .stop:
      if case .over = phase { break }
      if case .waiting = phase { actions.append(.giveUpWait) }
      page = nil
      finish(.stopped)
    }
    deliver(&actions)
    ask(&actions)
    status.lag = lag
    return actions
  }

  private mutating func take(_ answer: Answer, _ now: UInt64, _ actions: inout [Action]) {
    let error: EventStoreError
    switch (phase, answer) {
    case (.asking, .end(.success(let position))), (.waiting, .awaited(.success(let position))):
      end = max(end ?? 0, position)
      isAtEnd = false
      succeeded()
      return
    case (.reading, .page(.success(let page))):
      succeeded()
      take(page)
      return
    case (.asking, .end(.failure(let reason))), (.waiting, .awaited(.failure(let reason))), (.reading, .page(.failure(let reason))):
      error = reason
    case (.idle, _), (.asking, _), (.reading, _), (.waiting, _), (.resting, _), (.over, _): return
    }
    guard error.isTemporary, let wait = patience.failed() else { return finish(.store(error)) }
    status.lastError = error
    phase = .resting(until: now &+ wait)
    actions.append(.sleep(until: now &+ wait))
  }

  private mutating func succeeded() {
    phase = .idle
    operation += 1
    patience.succeeded()
    status.lastError = nil
  }

  private mutating func take(_ read: EventPage) {
    var least = next
    for event in read.events {
      guard source.place(of: event) >= least else { return finish(.disorder(at: source.place(of: event))) }
      least = source.checkpoint(after: event)
    }
    guard let after = read.next, after >= least, after > next || read.isLast else { return finish(.disorder(at: least)) }
    next = after
    lastVersion = read.lastVersion
    isAtEnd = read.isLast
    if !source.countsVersions {
      // What lies between here and the end is of other streams.
      if read.isLast { next = max(next, end ?? 0) }
      // For the lag: more has happened than was known.
      if !read.isLast, next >= end ?? 0 { end = nil }
    }
    let events = read.events.filter(source.includes)
    if events.isEmpty {
      status.checkpoint = next
      if read.isLast { isCaughtUp = true }
    } else {
      page = (events, next, read.isLast)
    }
  }

  private mutating func finish(_ reason: SubscriptionEnd) {
    phase = .over(reason)
    operation += 1
    status.end = reason
    status.isLive = false
  }

  private mutating func deliver(_ actions: inout [Action]) {
    guard isDemanded else { return }
    isDemanded = false
    if isCaughtUp, !status.isLive, status.end == nil {
      status.isLive = true
      actions.append(.deliver(.caughtUp(checkpoint: status.checkpoint)))
    } else if let held = page, status.isLive, !held.isLast {
      status.isLive = false
      isCaughtUp = false
      actions.append(.deliver(.fellBehind))
    } else if let held = page {
      page = nil
      status.checkpoint = held.checkpoint
      isCaughtUp = held.isLast
      actions.append(.deliver(.events(held.events, checkpoint: held.checkpoint)))
    } else if case .over(let reason) = phase {
      actions.append(.refuse(reason))
    } else {
      isDemanded = true
    }
  }

  private mutating func ask(_ actions: inout [Action]) {
    guard case .idle = phase, page == nil else { return }
    operation += 1
    guard let end else {
      phase = .asking
      return actions.append(.askEnd(operation))
    }
    if isAtEnd {
      phase = .waiting
      actions.append(.await(operation, position: source.countsVersions ? end : max(end, next)))
    } else {
      phase = .reading
      actions.append(.read(operation, ReadRequest(source.scope, from: .at(next), limit: limit, bytes: bytes, tenant: source.tenant)))
    }
  }

  private var lag: UInt64? {
    guard let end = source.countsVersions ? lastVersion.map({ $0 + 1 }) ?? (isAtEnd ? 0 : nil) : end else { return status.lag }
    return end > status.checkpoint ? end - status.checkpoint : 0
  }
}
