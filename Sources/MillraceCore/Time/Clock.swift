internal import CMillrace
internal import Synchronization

/// Where the runtime reads the time: a function and its context, so that a read costs one call through a pointer.
///
/// Times are nanoseconds since an arbitrary start and never run backwards. Everything that waits or measures takes a clock; tests and
/// simulations give it a `VirtualClock`.
@safe
public struct Clock: @unchecked Sendable {
  /// Reads the time. Called by any thread.
  public typealias Read = @convention(c) (UnsafeMutableRawPointer?) -> UInt64

  private let read: Read
  private let context: UnsafeMutableRawPointer?
  /// A read costs a load: it is read wherever the exact time is of use.
  public let isFree: Bool

  /// - Parameters:
  ///   - context: handed to `read`; must outlive every copy of the clock and bear reads by any thread.
  ///   - isFree: a read costs no more than a load.
  ///   - read: returns nanoseconds that never decrease.
  public init(context: UnsafeMutableRawPointer?, isFree: Bool = false, read: @escaping Read) {
    unsafe self.read = read
    unsafe self.context = context
    self.isFree = isFree
  }

  /// Nanoseconds of this clock.
  public var now: UInt64 {
    @inline(__always) get {
      // Safe: `init` demands a context that lives as long as the clock.
      unsafe read(context)
    }
  }

  /// The system's monotonic clock, which stands still while the machine is suspended. A read costs about 24 ns.
  public static let monotonic = unsafe Clock(context: nil) { _ in millrace_monotonic() }
}

/// A clock that moves only when told to.
///
/// # Threads
/// Any thread reads; one thread at a time moves it.
@safe
public final class VirtualClock: @unchecked Sendable {
  private let nanoseconds: UnsafeMutablePointer<Atomic<UInt64>>

  /// - Parameter start: the first reading, nanoseconds.
  public init(start: UInt64 = 0) {
    // Atomics stand in memory of their own: a clock is read through a raw context.
    unsafe nanoseconds = .allocate(capacity: 1)
    unsafe nanoseconds.initialize(to: Atomic(start))
  }

  deinit {
    unsafe nanoseconds.deinitialize(count: 1)
    unsafe nanoseconds.deallocate()
  }

  /// Nanoseconds.
  public var now: UInt64 {
    // Order: acquiring. Pairs with the releasing store in `move(to:)`: who sees the time sees what was done before it came.
    unsafe nanoseconds.pointee.load(ordering: .acquiring)
  }

  /// Sets the time. It must not run backwards.
  public func move(to time: UInt64) {
    precondition(time >= now, "a clock must not run backwards")
    // Order: releasing. Pairs with the acquiring loads in `now` and `clock`.
    unsafe nanoseconds.pointee.store(time, ordering: .releasing)
  }

  /// Moves the time on by `duration` nanoseconds.
  public func move(by duration: UInt64) { move(to: now + duration) }

  /// This clock as the runtime takes it. The virtual clock must outlive every use of it.
  public var clock: Clock {
    unsafe Clock(context: UnsafeMutableRawPointer(nanoseconds), isFree: true) { context in
      guard let context = unsafe context else { preconditionFailure("a virtual clock without its context") }
      // Order: acquiring. Pairs with the releasing store in `move(to:)`.
      return unsafe context.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .acquiring)
    }
  }
}
