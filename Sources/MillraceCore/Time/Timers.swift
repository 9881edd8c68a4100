internal import Synchronization

/// What is called for each timer that fires, without any lock: (context, value, kind, due).
public typealias TimerSink = @convention(c) (UnsafeMutableRawPointer?, UInt64, UInt16, UInt64) -> Void

/// What is called when something is due earlier than before: (context, at). `EventLoop.setAlarm` behind a pointer.
public typealias TimerAlarm = @convention(c) (UnsafeMutableRawPointer?, UInt64) -> Void

/// Timers for many threads: shards, one for each worker and one for all others, each a `TimerStore` behind a lock.
///
/// # Threads
/// Any thread calls anything. Give each worker a shard of its own, and its lock is nearly always free and near.
/// # Fields
/// A shard is three separate pieces of memory: the lock's word, the published next due moment (each alone on 128 bytes), and the store, which
/// only the holder of the lock touches.
/// # Progress
/// Blocking with bounded critical sections: one arming, one cancelling, or `batch` steps of an advance. The sink and the alarm are called with
/// no lock held.
/// # Order
/// Within a shard timers fire in the order of due times, ties in the order of arming, as long as one thread at a time advances it. Shards, and
/// two threads that advance the same shard, are not ordered against each other. Never early.
@safe
public final class Timers: @unchecked Sendable {
  /// The most shards: a handle has 8 bits for it.
  public static let shardLimit = 256
  /// The most timers of one shard.
  public static let capacityLimit = TimerStore.capacityLimit
  /// What `nextDue` says when nothing is armed.
  public static let never = TimerStore.never
  /// Steps of an advance under one hold of a lock.
  static let batch = 64

  private static let line = 128

  public let shardCount: Int
  private let locks: UnsafeMutableRawPointer
  private let published: UnsafeMutableRawPointer
  private let stores: UnsafeMutablePointer<TimerStore>
  private let context: UnsafeMutableRawPointer?
  private let sink: TimerSink
  private let alarmContext: UnsafeMutableRawPointer?
  private let alarm: TimerAlarm?

  /// - Parameters:
  ///   - shards: 1 to `shardLimit`.
  ///   - capacity: timers of each shard, 1 to `capacityLimit`; memory is taken as it is used, 56 bytes a timer.
  ///   - context: handed to `sink`.
  ///   - sink: called for each timer that fires, by the thread that advances.
  ///   - alarmContext: handed to `alarm`.
  ///   - alarm: told when a shard's next due moment comes nearer, by the thread that arms; nil if someone advances all the time.
  /// - Throws: `TimerMemoryError` if the kernel gives no address space.
  public init(
    shards: Int, capacity: Int, context: UnsafeMutableRawPointer?, sink: @escaping TimerSink,
    alarmContext: UnsafeMutableRawPointer? = nil, alarm: TimerAlarm? = nil
  ) throws(TimerMemoryError) {
    precondition((1...Self.shardLimit).contains(shards), "timers have 1 to \(Self.shardLimit) shards, not \(shards)")
    // Safe: all are initialised below, or released again where a store cannot be had.
    unsafe stores = .allocate(capacity: shards)
    for shard in 0..<shards {
      do {
        let store = try TimerStore(capacity: capacity)
        unsafe (stores + shard).initialize(to: store)
      } catch {
        unsafe stores.deinitialize(count: shard)
        unsafe stores.deallocate()
        throw error
      }
    }
    shardCount = shards
    unsafe locks = .allocate(byteCount: shards * Self.line, alignment: Self.line)
    unsafe published = .allocate(byteCount: shards * Self.line, alignment: Self.line)
    for shard in 0..<shards {
      unsafe (locks + shard * Self.line).initializeMemory(as: Atomic<UInt32>.self, to: Atomic(0))
      unsafe (published + shard * Self.line).initializeMemory(as: Atomic<UInt64>.self, to: Atomic(Self.never))
    }
    unsafe self.context = context
    unsafe self.sink = sink
    unsafe self.alarmContext = alarmContext
    unsafe self.alarm = alarm
  }

  deinit {
    // Atomics of integers need no deinitialisation; the stores give their mappings back.
    unsafe stores.deinitialize(count: shardCount)
    unsafe stores.deallocate()
    unsafe locks.deallocate()
    unsafe published.deallocate()
  }

  /// Arms a timer.
  ///
  /// - Parameters:
  ///   - shard: the caller's own, below `shardCount`.
  ///   - due: nanoseconds; a past moment fires at the next advance.
  ///   - value: handed to the sink.
  ///   - kind: handed to the sink.
  ///   - now: the time if the caller knows it; see `TimerStore.arm`. 0: not known.
  /// - Throws: `TimerFull`.
  /// - Complexity: O(1), O(log n) of those in the current tick if it is one of them.
  public func arm(shard: Int, due: UInt64, value: UInt64, kind: UInt16, now: UInt64 = 0) throws(TimerFull) -> TimerHandle {
    precondition(shard >= 0 && shard < shardCount, "there is no timer shard \(shard)")
    let lock = lock(shard)
    lock.lock()
    let handle: TimerHandle
    do {
      // Safe: the lock is held.
      handle = unsafe try stores[shard].arm(due: due, value: value, kind: kind, now: now)
    } catch {
      lock.unlock()
      throw error
    }
    let nearer = publish(shard)
    lock.unlock()
    // After the publication, and with a read-modify-write inside: see docs/loop.md, "The alarm".
    if nearer, let alarm = unsafe alarm { unsafe alarm(alarmContext, due) }
    return handle.inShard(shard)
  }

  /// Cancels a timer. True: it will not fire. False: it has fired, is firing on another thread right now, was cancelled, or never was.
  ///
  /// - Complexity: as `TimerStore.cancel`.
  public func cancel(_ handle: TimerHandle) -> Bool {
    let shard = handle.shard
    guard handle != .none, shard < shardCount else { return false }
    let lock = lock(shard)
    lock.lock()
    // Safe: the lock is held.
    let cancelled = unsafe stores[shard].cancel(handle)
    if cancelled { _ = publish(shard) }
    lock.unlock()
    return cancelled
  }

  /// The earliest moment at which `advance` has something to do, over all shards; `never` if nothing is armed.
  ///
  /// - Complexity: one load for each shard.
  public var nextDue: UInt64 {
    var earliest = Self.never
    for shard in 0..<shardCount { earliest = min(earliest, nextDue(shard: shard)) }
    return earliest
  }

  /// The earliest moment at which `advance` has something to do in one shard. One load.
  @inline(__always)
  public func nextDue(shard: Int) -> UInt64 {
    precondition(shard >= 0 && shard < shardCount, "there is no timer shard \(shard)")
    // Order: acquiring. Pairs with the releasing store in `publish(_:)`.
    return unsafe publishedDue(shard).pointee.load(ordering: .acquiring)
  }

  /// Fires what is due in all shards. For the loop: waits for locks, so that nothing due is passed over.
  ///
  /// - Parameters:
  ///   - now: nanoseconds of the clock that due moments are counted by.
  ///   - limit: at most so many rounds of `batch` steps in each shard. What is left shows in `nextDue`.
  /// - Returns: how many fired.
  @discardableResult
  public func advance(to now: UInt64, limit: Int = 1_024) -> Int {
    var fired = 0
    for shard in 0..<shardCount {
      var rounds = 0
      while rounds < limit, nextDue(shard: shard) <= now {
        lock(shard).lock()
        fired += fireBatch(shard, now)
        rounds += 1
      }
    }
    return fired
  }

  /// Fires at most one batch of what is due in one shard, unless another thread has its lock. For a worker that spins.
  ///
  /// - Returns: how many fired.
  @discardableResult
  public func tryAdvance(shard: Int, to now: UInt64) -> Int {
    guard nextDue(shard: shard) <= now, lock(shard).tryLock() else { return 0 }
    return fireBatch(shard, now)
  }

  /// How many timers are armed. Takes each lock in turn: for reports.
  public var count: Int {
    var total = 0
    for shard in 0..<shardCount {
      lock(shard).lock()
      // Safe: the lock is held.
      total += unsafe stores[shard].count
      lock(shard).unlock()
    }
    return total
  }

  /// Collects up to `batch` due timers, gives the held lock back, then calls the sink for each.
  private func fireBatch(_ shard: Int, _ now: UInt64) -> Int {
    // On the stack: 64 times 24 bytes.
    unsafe withUnsafeTemporaryAllocation(of: TimerFire.self, capacity: Self.batch) { fires in
      var count = 0
      // Safe: the lock is held, and at most `batch` timers fire in as many steps.
      _ = unsafe stores[shard].advance(to: now, limit: Self.batch) { fire in
        unsafe fires.initializeElement(at: count, to: fire)
        count += 1
      }
      _ = publish(shard)
      lock(shard).unlock()
      for index in 0..<count {
        let fire = unsafe fires[index]
        unsafe sink(context, fire.value, fire.kind, fire.due)
      }
      return count
    }
  }

  /// Publishes the shard's next due moment; the lock is held. True if it came nearer.
  @inline(__always)
  private func publish(_ shard: Int) -> Bool {
    // Safe: the lock is held, so nobody else writes the store or the word.
    let next = unsafe stores[shard].nextDue
    let word = unsafe publishedDue(shard)
    // Order: relaxed: only holders of the lock write.
    let before = unsafe word.pointee.load(ordering: .relaxed)
    guard next != before else { return false }
    // Order: releasing. Pairs with the acquiring load in `nextDue(shard:)`.
    unsafe word.pointee.store(next, ordering: .releasing)
    return next < before
  }

  @inline(__always)
  private func lock(_ shard: Int) -> SpinLock {
    // Safe: callers checked the shard; the word lives as long as self.
    unsafe SpinLock(word: (locks + shard * Self.line).assumingMemoryBound(to: Atomic<UInt32>.self))
  }

  @inline(__always)
  private func publishedDue(_ shard: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    // Safe: as above.
    unsafe (published + shard * Self.line).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
