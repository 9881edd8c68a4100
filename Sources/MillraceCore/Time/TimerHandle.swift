/// Names an armed timer, for `cancel`. Zero is none.
///
/// Bits 0 to 23: place in the slab, from 1. Bits 24 to 31: shard. Bits 32 to 63: generation of the place, from 1, so that a handle of a
/// timer that has fired names nothing (until the same place was used 2^32 - 1 times more).
public struct TimerHandle: Hashable, Sendable {
  public let raw: UInt64

  @inline(__always)
  public init(raw: UInt64) { self.raw = raw }

  /// Names no timer.
  public static let none = TimerHandle(raw: 0)

  @inline(__always)
  init(index: UInt32, generation: UInt32) { raw = UInt64(generation) << 32 | UInt64(index) }

  @inline(__always)
  var index: UInt32 { UInt32(truncatingIfNeeded: raw) & 0xFF_FFFF }

  @inline(__always)
  var shard: Int { Int(raw >> 24 & 0xFF) }

  @inline(__always)
  var generation: UInt32 { UInt32(truncatingIfNeeded: raw >> 32) }

  @inline(__always)
  func inShard(_ shard: Int) -> TimerHandle { TimerHandle(raw: raw | UInt64(shard) << 24) }
}

/// A timer that came due.
public struct TimerFire: Equatable, Sendable {
  /// When it was due, nanoseconds.
  public let due: UInt64
  /// What `arm` was given.
  public let value: UInt64
  /// What `arm` was given.
  public let kind: UInt16

  public init(due: UInt64, value: UInt64, kind: UInt16) {
    self.due = due
    self.value = value
    self.kind = kind
  }
}

/// As many timers are armed as there is room for. Nothing was armed; cancel some, let some fire, or give more capacity.
public struct TimerFull: Error, Equatable, CustomStringConvertible {
  /// How many timers there is room for.
  public let capacity: Int

  public var description: String { "all \(capacity) timers are armed: raise the timer capacity or arm fewer at once" }
}
