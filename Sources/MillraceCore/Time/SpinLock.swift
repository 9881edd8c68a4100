internal import CMillrace
internal import Glibc
internal import Synchronization

/// A lock for critical sections of well under a microsecond, on a cache line of its own.
///
/// # Threads
/// Any. Not recursive. Only for code that neither waits nor calls what it does not know.
/// # Fields
/// One word: 0 free, 1 taken.
/// # Progress
/// Blocking: a holder that is taken off its processor delays the others, which give theirs away after `patience` looks. `tryLock` never waits.
/// # Source
/// L. Rudolph and Z. Segall (1984): test and test-and-set, so that waiters read their own cache instead of fighting for the line.
@safe
package struct SpinLock: @unchecked Sendable {
  /// Looks before the processor is given away.
  package static let patience = 64

  private let word: UnsafeMutablePointer<Atomic<UInt32>>

  /// - Parameter word: four zeroed bytes that outlive the lock; nothing that others write shares their cache line.
  init(word: UnsafeMutablePointer<Atomic<UInt32>>) { unsafe self.word = word }

  /// - Parameter memory: four zeroed bytes that outlive the lock, aligned to 4.
  package init(at memory: UnsafeMutableRawPointer) { unsafe word = memory.assumingMemoryBound(to: Atomic<UInt32>.self) }

  /// Takes the lock if it is free.
  @inline(__always)
  package func tryLock() -> Bool {
    // Order: relaxed look, for speed only. Acquiring exchange: pairs with the releasing store in `unlock()`.
    unsafe word.pointee.load(ordering: .relaxed) == 0 && word.pointee.exchange(1, ordering: .acquiring) == 0
  }

  /// As `tryLock`, and what the caller wrote before is seen by a holder that looks after `unlockOrdered`, if this fails.
  @inline(__always)
  package func tryLockOrdered() -> Bool {
    // Order: sequentially consistent, both. Pairs with `unlockOrdered()`.
    unsafe word.pointee.load(ordering: .sequentiallyConsistent) == 0 && word.pointee.exchange(1, ordering: .sequentiallyConsistent) == 0
  }

  /// As `unlock`; what the caller reads next is no older than what those wrote before who found it locked.
  @inline(__always)
  package func unlockOrdered() {
    // Order: sequentially consistent. Pairs with `tryLockOrdered()`.
    unsafe _ = word.pointee.exchange(0, ordering: .sequentiallyConsistent)
  }

  @inline(__always)
  package func lock() {
    if tryLock() { return }
    wait()
  }

  private func wait() {
    var looks = 0
    while !tryLock() {
      looks += 1
      if looks % Self.patience == 0 { sched_yield() } else { millrace_pause() }
    }
  }

  @inline(__always)
  package func unlock() {
    // Order: releasing. Pairs with the acquiring exchange in `tryLock()`.
    unsafe word.pointee.store(0, ordering: .releasing)
  }
}
