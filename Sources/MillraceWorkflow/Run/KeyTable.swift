public import MillraceCore

/// The concurrency keys and rates of an engine, by name: all runs share them. A key is kept as long as a compiled workflow names it; then its place is used again, so
/// that an engine with keys like `customer-17` runs for years.
///
/// # Threads
/// Any, behind a lock of its own. Used when workflows are compiled and let go, never by a task.
@safe public final class KeyTable: @unchecked Sendable {
  /// Rates at once.
  public static let maximumRates = 65_536
  /// Breakers at once.
  public static let maximumBreakers = 65_536

  private struct Limit {
    var index: UInt32
    var users: Int
  }

  private let scheduler: Scheduler
  private let timers: RateTimers
  private let monitor = Monitor()
  private var limits: [String: Limit] = [:]
  private var rates: [String: Rate] = [:]
  private var breakers: [String: Breaker] = [:]
  /// How many rates there were when those that are of no use any more were last let go.
  private var swept = 64

  /// `timers` and `shard`: what attempts wait with until their rates let them start.
  public init(_ scheduler: Scheduler, timers: Timers, shard: Int) {
    self.scheduler = scheduler
    self.timers = RateTimers(scheduler.clock, timers, shard: shard)
  }

  deinit { monitor.deallocate() }

  /// Concurrency keys in use, and rates that are in use or still remembered.
  public var counts: (limits: Int, rates: Int) { monitor.locked { (limits.count, rates.count) } }

  /// The breakers that somebody names, or that are not closed, by destination.
  public var breakerStates: [BreakerState] {
    monitor.locked { Array(breakers.values) }.map(\.shown).sorted { $0.destination < $1.destination }
  }

  /// The breaker of a destination: whoever names it first sets the numbers. nil: `maximumBreakers` are in use. The caller gives it back.
  package func breaker(_ policy: BreakerPolicy) -> Breaker? {
    monitor.locked {
      if let known = breakers[policy.destination] {
        known.users += 1
        return known
      }
      if breakers.count >= KeyTable.maximumBreakers { breakers = breakers.filter { $0.value.users > 0 || !$0.value.isForgettable } }
      guard breakers.count < KeyTable.maximumBreakers else { return nil }
      let breaker = Breaker(policy, timers)
      breaker.users = 1
      breakers[policy.destination] = breaker
      return breaker
    }
  }

  /// One that nobody names is remembered until it is closed.
  package func giveBack(_ breaker: Breaker) {
    monitor.locked {
      breaker.users -= 1
      if breaker.users == 0, breaker.isForgettable { breakers[breaker.destination] = nil }
    }
  }

  /// The core's limit of a key: whoever names it first sets the number. nil: `Scheduler.maxLimits` are in use.
  fileprivate func limit(_ key: String, _ count: Int) -> UInt32? {
    monitor.locked {
      if let known = limits[key] {
        limits[key]?.users += 1
        return known.index
      }
      guard let index = scheduler.makeLimit(count) else { return nil }
      limits[key] = Limit(index: index, users: 1)
      return index
    }
  }

  fileprivate func giveBack(limit key: String) {
    let index: UInt32? = monitor.locked {
      limits[key]?.users -= 1
      guard let limit = limits[key], limit.users == 0 else { return nil }
      limits[key] = nil
      return limit.index
    }
    if let index { scheduler.retireLimit(index) }
  }

  /// The rate of a key: whoever names it first sets the numbers. nil: `maximumRates` are in use.
  fileprivate func rate(_ settings: RateLimit) -> Rate? {
    monitor.locked {
      if let known = rates[settings.key] {
        if known.users == 0 { known.set(settings) }
        known.users += 1
        return known
      }
      // Each time that there are twice as many: O(1) a rate.
      if rates.count >= min(2 * swept, KeyTable.maximumRates) {
        sweep()
        swept = max(64, rates.count)
      }
      guard rates.count < KeyTable.maximumRates else { return nil }
      let rate = Rate(settings, timers)
      rate.users = 1
      rates[settings.key] = rate
      return rate
    }
  }

  /// A rate that nobody names is remembered until it has recovered: a new one would let a burst through.
  fileprivate func giveBack(_ rate: Rate) {
    monitor.locked {
      rate.users -= 1
      if rate.users == 0, rate.isRecovered { rates[rate.key] = nil }
    }
  }

  /// Lets go of the rates that nobody names, and that have recovered. With the monitor held.
  private func sweep() { rates = rates.filter { $0.value.users > 0 || !$0.value.isRecovered } }
}

/// What a compiled workflow holds of a `KeyTable`; letting go of it gives it back.
final class KeyLease: @unchecked Sendable {
  private let table: KeyTable
  // Written while its workflow is compiled, by one thread.
  private var limits: [String] = []
  private(set) var rates: [Rate] = []
  private var rateIndex: [String: Int] = [:]
  private(set) var breakers: [Breaker] = []
  private var breakerIndex: [String: Int] = [:]

  init(_ table: KeyTable) { self.table = table }

  deinit {
    for key in limits { table.giveBack(limit: key) }
    for rate in rates { table.giveBack(rate) }
    for breaker in breakers { table.giveBack(breaker) }
  }

  /// The core's limit. Throws `CompileError.tooManyKeys`.
  func limit(_ key: String, _ count: Int) throws(CompileError) -> UInt32 {
    guard let index = table.limit(key, count) else { throw .tooManyKeys(limit: Scheduler.maxLimits) }
    limits.append(key)
    return index
  }

  /// Index into `breakers`. Throws `CompileError.tooManyBreakers`.
  func breaker(_ policy: BreakerPolicy) throws(CompileError) -> Int {
    if let index = breakerIndex[policy.destination] { return index }
    guard let breaker = table.breaker(policy) else { throw .tooManyBreakers(limit: KeyTable.maximumBreakers) }
    breakerIndex[policy.destination] = breakers.count
    breakers.append(breaker)
    return breakers.count - 1
  }

  /// Index into `rates`. Throws `CompileError.tooManyRates`.
  func rate(_ settings: RateLimit) throws(CompileError) -> Int {
    if let index = rateIndex[settings.key] { return index }
    guard let rate = table.rate(settings) else { throw .tooManyRates(limit: KeyTable.maximumRates) }
    rateIndex[settings.key] = rates.count
    rates.append(rate)
    return rates.count - 1
  }
}
