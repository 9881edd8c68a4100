/// A circuit breaker as a value: outcomes go in, whether to call comes out. No clock, no threads.
///
///     closed --too many failures--> open --its time is over--> half open --canaries succeed--> closed
///                                     ^                            |
///                                     +------- one of them fails --+   (and stays open for twice as long)
///
/// Work that it holds back is parked, not failed: no attempt is charged. Each call that it let through tells its outcome once, with the ticket that it was given; one that began before
/// the breaker last changed says nothing.
///
/// # Source
/// M. Nygard, "Release It!" (2007), chapter 5.
public struct BreakerMachine: Sendable, Hashable {
  /// When it opens, for how long, and what closes it. Durations are nanoseconds.
  public struct Configuration: Sendable, Hashable {
    /// Failures among the last `window` outcomes that open it, as a share of them.
    public var failureRate = 0.5
    /// Outcomes that are looked at, and needed before it opens: 1 to 64.
    public var window = 20
    /// How long it stays open at first; twice as long each time that a canary fails, `longestOpen` at most.
    public var openFor: UInt64 = 5_000_000_000
    /// How long it stays open at most.
    public var longestOpen: UInt64 = 300_000_000_000
    /// Calls at a time that are let through while it is half open, and successes in a row that close it.
    public var canaries = 3

    /// Half of 20 calls open it, for 5 s at first.
    public init() {}

    /// The first member that is out of bounds, in words; nil: none is.
    public var fault: String? {
      if !(failureRate > 0 && failureRate <= 1) { return "failureRate is \(failureRate): use more than 0, and 1 at most" }
      if !(1...64 ~= window) { return "window is \(window): use 1 to 64" }
      if openFor == 0 || longestOpen < openFor { return "openFor is \(openFor), longestOpen \(longestOpen): use 1 or more, and no less" }
      if !(1...1_000 ~= canaries) { return "canaries is \(canaries): use 1 to 1,000" }
      return nil
    }
  }

  /// What it does with calls.
  public enum State: Sendable, Hashable {
    /// All go.
    case closed
    /// None goes.
    case open
    /// A few go, to see how it is.
    case halfOpen
  }

  /// What it says to who would call.
  public enum Answer: Sendable, Hashable {
    /// Call, and tell the outcome with this.
    case go(Ticket)
    /// Not before this moment; `UInt64.max`: when a canary has come back.
    case park(until: UInt64)
  }

  /// Of one call.
  public struct Ticket: Sendable, Hashable {
    fileprivate let epoch: UInt64
  }

  /// What it was made with.
  public let configuration: Configuration
  /// What it does with calls now; `ask` may find that its time is over.
  public private(set) var state = State.closed
  /// When it is half open at the earliest, while it is open.
  public private(set) var opensUntil: UInt64 = 0
  /// Times that it has opened since it was last closed.
  public private(set) var openings = 0
  /// The last outcomes, bit 0 the newest; 1: a failure.
  private var outcomes: UInt64 = 0
  private var count = 0
  /// Canaries on their way, and successes in a row.
  private var out = 0
  private var good = 0
  private var epoch: UInt64 = 0

  /// `configuration`: without a fault.
  public init(_ configuration: Configuration = Configuration()) {
    precondition(configuration.fault == nil, "a breaker's configuration is checked before the breaker is made")
    self.configuration = configuration
  }

  /// Somebody would call. Complexity: O(1).
  public mutating func ask(_ now: UInt64) -> Answer {
    if state == .open {
      if now < opensUntil { return .park(until: opensUntil) }
      change(to: .halfOpen)
    }
    if state == .halfOpen {
      if out + good >= configuration.canaries { return .park(until: .max) }
      out += 1
    }
    return .go(Ticket(epoch: epoch))
  }

  /// How many calls would be let through now. Complexity: O(1).
  public func room(_ now: UInt64) -> Int {
    switch state {
    case .closed: .max
    case .open: now < opensUntil ? 0 : configuration.canaries
    case .halfOpen: max(0, configuration.canaries - out - good)
    }
  }

  /// A call has come back. True: the breaker is another one now, and parked work is to ask again. Complexity: O(1).
  @discardableResult public mutating func tell(_ ticket: Ticket, isFailure: Bool, _ now: UInt64) -> Bool {
    guard ticket.epoch == epoch else { return false }
    switch state {
    case .open: return false
    case .closed:
      note(isFailure)
      guard count >= configuration.window, isTooMany else { return false }
      open(now)
      return true
    case .halfOpen:
      out -= 1
      if isFailure {
        open(now)
        return true
      }
      good += 1
      if good < configuration.canaries { return false }
      change(to: .closed)
      openings = 0
      return true
    }
  }

  /// A call that was let through was not made, or was broken off: it says nothing. True: there is room for another canary.
  @discardableResult public mutating func withdraw(_ ticket: Ticket) -> Bool {
    guard ticket.epoch == epoch, state == .halfOpen else { return false }
    out -= 1
    return true
  }

  private mutating func note(_ isFailure: Bool) {
    outcomes = outcomes << 1 | (isFailure ? 1 : 0)
    count = min(count + 1, configuration.window)
  }

  private var isTooMany: Bool {
    let mask = configuration.window == 64 ? UInt64.max : 1 << UInt64(configuration.window) - 1
    return Double((outcomes & mask).nonzeroBitCount) >= configuration.failureRate * Double(configuration.window)
  }

  private mutating func open(_ now: UInt64) {
    let doublings = min(openings, 62)
    let (long, overflow) = configuration.openFor.multipliedReportingOverflow(by: 1 << UInt64(doublings))
    let (until, isLate) = now.addingReportingOverflow(overflow ? configuration.longestOpen : min(long, configuration.longestOpen))
    opensUntil = isLate ? .max : until
    openings += 1
    change(to: .open)
  }

  private mutating func change(to state: State) {
    self.state = state
    epoch += 1
    (outcomes, count, out, good) = (0, 0, 0, 0)
  }
}
