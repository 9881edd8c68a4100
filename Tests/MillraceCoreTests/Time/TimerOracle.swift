import MillraceCore

/// A seeded generator (SplitMix64), so that a failing test can be repeated.
struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// Nanoseconds from 1 to about 10 years, each magnitude equally likely.
  mutating func duration() -> UInt64 {
    let bits = UInt64.random(in: 0...58, using: &self)
    return Swift.min(UInt64.random(in: 0..<(1 << bits), using: &self) + 1, 315_360_000_000_000_000)
  }
}

/// What a store of timers must do, in the simplest form: an array kept in order of due time, then of arming.
struct TimerOracle {
  struct Entry: Equatable {
    var due: UInt64
    var value: UInt64
  }

  private(set) var entries: [Entry] = []

  mutating func arm(due: UInt64, value: UInt64) {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].due <= due { low = middle + 1 } else { high = middle }
    }
    entries.insert(Entry(due: due, value: value), at: low)
  }

  mutating func cancel(value: UInt64) -> Bool {
    guard let index = entries.firstIndex(where: { $0.value == value }) else { return false }
    entries.remove(at: index)
    return true
  }

  mutating func advance(to now: UInt64) -> [Entry] {
    let due = entries.prefix { $0.due <= now }
    entries.removeFirst(due.count)
    return Array(due)
  }
}

/// A timer store behind a reference: the macros of swift-testing cannot look at a noncopyable value.
final class HeldTimers {
  private var store: TimerStore

  init(capacity: Int) throws { store = try TimerStore(capacity: capacity) }

  var count: Int { store.count }
  var nextDue: UInt64 { store.nextDue }

  func arm(due: UInt64, value: UInt64, kind: UInt16, now: UInt64 = 0) throws(TimerFull) -> TimerHandle {
    try store.arm(due: due, value: value, kind: kind, now: now)
  }

  func cancel(_ handle: TimerHandle) -> Bool { store.cancel(handle) }

  func advance(to now: UInt64, limit: Int = .max, _ each: (TimerFire) -> Void) -> Int { store.advance(to: now, limit: limit, each) }
}
