internal import CMillrace
internal import Glibc

/// Threads for handlers that block: as many as are needed at once, up to a limit; the rest waits first in, first out.
///
/// # Threads
/// `submit` and the counts: any. `stop`: once, by a thread that is not of the pool.
/// # Fields
/// All mutable ones belong to the holder of the monitor.
/// # Progress
/// Blocking: one mutex, held for a few instructions or for the start of a thread (some 50 us). What runs here blocks anyway.
/// # Limits
/// `limit` threads, `capacity` waiting values.
@safe
public final class BlockingPool: @unchecked Sendable {
  /// Runs one piece of work: (context, value, lane). A lane is the number of a thread, below `limit`; a later thread may use it again.
  public typealias Run = @convention(c) (UnsafeMutableRawPointer?, UInt64, Int) -> Void

  /// The most threads.
  public static let threadLimit = 4_096
  /// The most waiting values.
  public static let capacityLimit = 1 << 24
  /// The least stack, bytes.
  public static let smallestStack = 64 << 10

  /// 36 years: longer waits for work are cut to this.
  private static let longestIdle: UInt64 = 1 << 60

  /// What `stop` does with values that wait.
  public enum Ending: Sendable {
    /// They still run.
    case drain
    /// They are handed back. What runs already runs to its end: threads cannot be ended safely.
    case abandon
  }

  private enum LaneState { case free, running, left }

  /// One thread's place.
  private struct Lane {
    var thread = pthread_t()
    var state = LaneState.free
  }

  /// What a new thread is told.
  @safe
  private struct Start {
    var pool: Unmanaged<BlockingPool>
    var lane: Int
  }

  public let limit: Int
  public let capacity: Int
  private let idleNanoseconds: UInt64
  private let stackBytes: Int
  private let run: Run
  private let context: UnsafeMutableRawPointer?
  private let monitor = Monitor()

  private let ring: UnsafeMutablePointer<UInt64>
  private var head = 0
  private var waiting = 0
  private var lanes: [Lane]
  private var starts: UnsafeMutablePointer<Start>
  private var threadTotal = 0
  private var idle = 0
  private var busy = 0
  private var isStopped = false

  /// - Parameters:
  ///   - limit: threads at most, 1 to `threadLimit`. None is started before it is needed.
  ///   - capacity: values that wait at most, 1 to `capacityLimit`; 8 bytes each.
  ///   - idleNanoseconds: how long a thread without work stays. 0: it leaves at once.
  ///   - stackBytes: of each thread, at least `smallestStack`; a guard page comes on top.
  ///   - context: handed to `run`; outlives the pool.
  ///   - run: what a thread does with a value.
  public init(
    limit: Int, capacity: Int, idleNanoseconds: UInt64 = 10_000_000_000, stackBytes: Int = 512 << 10,
    context: UnsafeMutableRawPointer?, run: @escaping Run
  ) {
    precondition((1...Self.threadLimit).contains(limit), "a blocking pool has 1 to \(Self.threadLimit) threads, not \(limit)")
    precondition((1...Self.capacityLimit).contains(capacity), "a blocking pool holds 1 to \(Self.capacityLimit) values, not \(capacity)")
    precondition(stackBytes >= Self.smallestStack, "a thread's stack has at least \(Self.smallestStack) bytes, not \(stackBytes)")
    self.limit = limit
    self.capacity = capacity
    self.idleNanoseconds = idleNanoseconds
    self.stackBytes = stackBytes
    unsafe self.context = context
    unsafe self.run = run
    // Safe: released in deinit; the ring's values are written before they are read.
    unsafe ring = .allocate(capacity: capacity)
    unsafe starts = .allocate(capacity: limit)
    lanes = Array(repeating: Lane(), count: limit)
  }

  deinit {
    stop(.drain)
    unsafe ring.deallocate()
    unsafe starts.deallocate()
    monitor.deallocate()
  }

  /// Hands a value to the pool; a thread is started if none is free and there may be one more.
  ///
  /// - Throws: `BlockingPoolError`; the value was not taken.
  public func submit(_ value: UInt64) throws(BlockingPoolError) {
    try monitor.locked { () throws(BlockingPoolError) in
      guard !isStopped else { throw .stopped }
      guard waiting < capacity else { throw .full(capacity: capacity) }
      var tail = head + waiting
      if tail >= capacity { tail -= capacity }
      // Safe: tail is below the capacity.
      unsafe ring[tail] = value
      waiting += 1
      if idle < waiting, threadTotal < limit {
        let code = startThread()
        // With other threads the value only waits longer.
        if code != 0, threadTotal == 0 {
          waiting -= 1
          throw .noThread(code: code)
        }
      }
      if idle > 0 { monitor.signal(.work) }
    }
  }

  /// Ends the pool and joins its threads. Called again, it does nothing.
  ///
  /// - Parameters:
  ///   - ending: what becomes of the values that wait.
  ///   - abandoned: with `.abandon` called for each of them, in order, before threads are waited for.
  public func stop(_ ending: Ending, abandoned: (UInt64) -> Void = { _ in }) {
    var left: [UInt64] = []
    let isFirst = monitor.locked {
      if isStopped { return false }
      isStopped = true
      if ending == .abandon {
        while waiting > 0 { left.append(take()) }
      }
      monitor.broadcast(.work)
      return true
    }
    guard isFirst else { return }
    for value in left { abandoned(value) }
    monitor.locked {
      while threadTotal > 0 { monitor.wait(.ended) }
      for lane in lanes.indices { join(lane) }
    }
  }

  /// Threads that exist.
  public var threads: Int { monitor.locked { threadTotal } }

  /// Values that wait.
  public var queued: Int { monitor.locked { waiting } }

  /// Values that run.
  public var running: Int { monitor.locked { busy } }

  /// True on a thread of the pool.
  package var isOwnThread: Bool {
    let here = pthread_self()
    return monitor.locked { lanes.contains { $0.state == .running && pthread_equal($0.thread, here) != 0 } }
  }

  // All below: the monitor is held, but in `work`.

  private func take() -> UInt64 {
    // Safe: head is below the capacity, and values wait.
    let value = unsafe ring[head]
    head = head + 1 == capacity ? 0 : head + 1
    waiting -= 1
    return value
  }

  /// A thread that left is at most a few instructions from its end, so this does not wait for long.
  private func join(_ lane: Int) {
    guard lanes[lane].state == .left else { return }
    pthread_join(lanes[lane].thread, nil)
    lanes[lane].state = .free
  }

  /// 0, or an errno value.
  private func startThread() -> Int32 {
    guard let lane = lanes.firstIndex(where: { $0.state != .running }) else { return 0 }
    join(lane)
    var attributes = pthread_attr_t()
    var code = unsafe pthread_attr_init(&attributes)
    guard code == 0 else { return code }
    defer { unsafe _ = pthread_attr_destroy(&attributes) }
    unsafe code |= pthread_attr_setstacksize(&attributes, stackBytes)
    unsafe code |= pthread_attr_setguardsize(&attributes, sysconf(Int32(_SC_PAGESIZE)))
    guard code == 0 else { return EINVAL }
    // Safe: `stop` joins every thread before the pool goes away.
    unsafe (starts + lane).initialize(to: Start(pool: Unmanaged.passUnretained(self), lane: lane))
    code = unsafe pthread_create(&lanes[lane].thread, &attributes, Self.body, starts + lane)
    guard code == 0 else { return code }
    lanes[lane].state = .running
    threadTotal += 1
    return 0
  }

  // A plain function: a closure of `submit` could be taken for one of its caller's actor.
  private static let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { start in
    guard let start = unsafe start else { return nil }
    // Safe: `startThread` passed a Start that stays until the lane is used again, after this thread.
    let told = unsafe start.assumingMemoryBound(to: Start.self).pointee
    // The kernel keeps 15 bytes: with a longer word the number would be lost.
    unsafe millrace_name_thread("millrace-b-\(told.lane)")
    unsafe told.pool._withUnsafeGuaranteedRef { $0.work(told.lane) }
    return nil
  }

  /// A thread's life.
  private func work(_ lane: Int) {
    while let value = next(lane) {
      unsafe run(context, value, lane)
      monitor.locked { busy -= 1 }
    }
  }

  /// The next value, or nil if this thread is to end.
  private func next(_ lane: Int) -> UInt64? {
    monitor.locked {
      var deadline: UInt64?
      while waiting == 0, !isStopped {
        let now = millrace_monotonic()
        let end = deadline ?? now + min(idleNanoseconds, Self.longestIdle)
        deadline = end
        idle += 1
        let inTime = idleNanoseconds > 0 && monitor.wait(.work, until: end)
        idle -= 1
        if !inTime && waiting == 0 { break }
      }
      guard waiting == 0 else {
        busy += 1
        return take()
      }
      lanes[lane].state = .left
      threadTotal -= 1
      monitor.broadcast(.ended)
      return nil
    }
  }
}
