internal import Glibc
internal import Synchronization

/// Lets threads use something until it is closed, and closing wait for those inside.
///
/// # Threads
/// Any enters and leaves; one opens, later one closes.
/// # Fields
/// One word: how many are inside, and a bit that says it is shut. It begins shut.
/// # Progress
/// `enter` and `leave` are wait-free. `close` is blocking: it waits for those inside, who make at most a few system calls.
@safe
struct Gate: @unchecked Sendable {
  private static let shut: UInt32 = 1 << 31

  private let word: UnsafeMutablePointer<Atomic<UInt32>>

  /// - Parameter word: memory for the word, which outlives the gate.
  init(word: UnsafeMutablePointer<Atomic<UInt32>>) {
    unsafe self.word = word
    unsafe word.initialize(to: Atomic(Self.shut))
  }

  /// True: inside, `leave()` follows. False: shut.
  func enter() -> Bool {
    // Order: sequentially consistent. Pairs with `open()`: who finds it shut has written its request before, and the opener looks for
    // requests after; and with `close()`: who gets in sees all that was there.
    let before = unsafe word.pointee.add(1, ordering: .sequentiallyConsistent).oldValue
    if before & Self.shut == 0 { return true }
    leave()
    return false
  }

  func leave() {
    // Order: releasing. Pairs with the acquiring load in `close()`: what was done inside is over.
    unsafe word.pointee.subtract(1, ordering: .releasing)
  }

  func open() {
    // Order: sequentially consistent. Pairs with `enter()`.
    unsafe word.pointee.bitwiseAnd(~Self.shut, ordering: .sequentiallyConsistent)
  }

  /// Shuts, and returns when nobody is inside.
  func close() {
    // Order: sequentially consistent. Pairs with `enter()`: later ones find it shut.
    unsafe word.pointee.bitwiseOr(Self.shut, ordering: .sequentiallyConsistent)
    // Order: acquiring. Pairs with the releasing subtraction in `leave()`.
    while unsafe word.pointee.load(ordering: .acquiring) & ~Self.shut != 0 { sched_yield() }
  }
}
