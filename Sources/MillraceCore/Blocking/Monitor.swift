internal import CMillrace
internal import Glibc

/// A mutex and its conditions, in raw memory. `Synchronization.Mutex` has no condition, and ThreadSanitizer misreports it.
///
/// # Threads
/// Any. Not recursive.
/// # Progress
/// Blocking.
@safe
package struct Monitor: @unchecked Sendable {
  /// Who may sleep until told: see `BlockingPool`.
  package enum Condition: Int {
    case work
    case ended
  }

  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let conditions: UnsafeMutablePointer<pthread_cond_t>

  package init() {
    // Safe: allocated in one piece and initialised here, released in `deallocate`. The conditions' alignment divides the mutex' size.
    let size = unsafe MemoryLayout<pthread_mutex_t>.stride
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size + 2 * MemoryLayout<pthread_cond_t>.stride, alignment: 16)
    unsafe mutex = memory.bindMemory(to: pthread_mutex_t.self, capacity: 1)
    unsafe conditions = (memory + size).bindMemory(to: pthread_cond_t.self, capacity: 2)
    var attributes = pthread_condattr_t()
    var code = unsafe pthread_mutex_init(mutex, nil)
    unsafe code |= pthread_condattr_init(&attributes)
    // Waits end by the monotonic clock: the wall clock may jump.
    unsafe code |= pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    for index in 0..<2 { unsafe code |= pthread_cond_init(conditions + index, &attributes) }
    unsafe code |= pthread_condattr_destroy(&attributes)
    precondition(code == 0, "a mutex of this system cannot be initialised: errno \(code)")
  }

  /// Nobody uses it any more.
  package func deallocate() {
    for index in 0..<2 { unsafe _ = pthread_cond_destroy(conditions + index) }
    unsafe _ = pthread_mutex_destroy(mutex)
    unsafe UnsafeMutableRawPointer(mutex).deallocate()
  }

  /// Runs `body` alone.
  package func locked<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
    unsafe _ = pthread_mutex_lock(mutex)
    defer { unsafe _ = pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// Sleeps, the lock given back meanwhile. May wake up for no reason.
  package func wait(_ condition: Condition) { unsafe _ = pthread_cond_wait(conditions + condition.rawValue, mutex) }

  /// As `wait`, until `deadline` nanoseconds of the monotonic clock at most. False if that has come.
  package func wait(_ condition: Condition, until deadline: UInt64) -> Bool {
    var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
    return unsafe pthread_cond_timedwait(conditions + condition.rawValue, mutex, &time) != ETIMEDOUT
  }

  package func signal(_ condition: Condition) { unsafe _ = pthread_cond_signal(conditions + condition.rawValue) }

  package func broadcast(_ condition: Condition) { unsafe _ = pthread_cond_broadcast(conditions + condition.rawValue) }
}
