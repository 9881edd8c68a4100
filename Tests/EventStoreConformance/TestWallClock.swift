internal import Synchronization

/// A wall clock that stands still until it is told to move, nanoseconds since 1970.
///
/// # Threads
/// Any.
public final class TestWallClock: Sendable {
  private let time: Atomic<Int64>

  public init(_ time: Int64 = 1_700_000_000_000_000_000) { self.time = Atomic(time) }

  // Order: sequentially consistent on both sides; a test's order is its own.
  public var now: Int64 { time.load(ordering: .sequentiallyConsistent) }

  /// Forward or back.
  public func move(by nanoseconds: Int64) { time.add(nanoseconds, ordering: .sequentiallyConsistent) }
}
