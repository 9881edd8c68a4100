internal import CMillrace
internal import Glibc
internal import Synchronization

/// A lock for critical sections of well under a microsecond, on a cache line of its own.
///
/// # Threads
/// Any. Not recursive. Only for code that neither waits nor calls what it does not know.
/// # Fields
/// One word: 0 free, 1 taken, 2 taken to look: see `lockToLook`.
/// # Progress
/// Blocking: a holder that is taken off its processor delays the others, which give theirs away after `patience` looks. `tryLock` and `tryLockToLook` never wait.
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

  // MARK: Holders who see to what others wrote meanwhile

  /// Takes the lock if it is free, for who only looks, unless it says otherwise by `willSee`. A lock that is taken so is never taken by `tryLock` or `lock`.
  @inline(__always)
  package func tryLockToLook() -> Bool {
    // Order: as `tryLock`. A CAS: what another holder is must not be overwritten.
    unsafe word.pointee.load(ordering: .relaxed) == 0
      && word.pointee.compareExchange(expected: 0, desired: 2, ordering: .acquiring).exchanged
  }

  @inline(__always)
  package func lockToLook() {
    if tryLockToLook() { return }
    wait { tryLockToLook() }
  }

  /// The holder will see, after `unlockOrdered`, what those wrote before who find the lock taken from here on.
  @inline(__always)
  package func willSee() {
    // Order: relaxed. Who reads it comes before our `unlockOrdered` in the order of this word, and so does what it wrote before.
    unsafe word.pointee.store(1, ordering: .relaxed)
  }

  /// Takes the lock, as who will see, and waits for those who only look. False: the holder will see what the caller wrote before.
  @inline(__always)
  package func lockUnlessSeen() -> Bool {
    while true {
      // Order: sequentially consistent. Pairs with `unlockOrdered()`.
      switch unsafe word.pointee.compareExchange(expected: 0, desired: 1, ordering: .sequentiallyConsistent).original {
      case 0: return true
      case 1: return false
      default: waitForLook()
      }
    }
  }

  @inline(never) private func waitForLook() {
    wait { unsafe word.pointee.load(ordering: .relaxed) != 2 }
  }

  /// As `unlock`; what the caller reads next is no older than what those wrote before who found it locked.
  @inline(__always)
  package func unlockOrdered() {
    // Order: sequentially consistent. Pairs with `lockUnlessSeen()`.
    unsafe _ = word.pointee.exchange(0, ordering: .sequentiallyConsistent)
  }

  @inline(__always)
  package func lock() {
    if tryLock() { return }
    wait { tryLock() }
  }

  @inline(never) private func wait(until isOver: () -> Bool) {
    var looks = 0
    while !isOver() {
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
