import CMillrace
import Synchronization

/// What the host knows of the attempts in one process: nothing of it is in memory that the child sees.
///
/// # Threads
/// `take` any; then the slot is its taker's until `send`, and after that the receiving thread's, which gives it back.
/// # Progress
/// Lock-free.
@safe struct CallSlots {
  @safe struct Call {
    let attempt: OpaquePointer?
    let host: UnsafePointer<millrace_host>
    let token: millrace_token
    let handler: UInt32
    let inputBytes: UInt64
    /// When it was told to stop; 0: it was not.
    var toldAt: UInt64 = 0
  }

  /// Of a slot: nobody's, its taker's, or sent.
  private static let idle: UInt32 = 0
  private static let taken: UInt32 = 1
  private static let sent: UInt32 = 2

  let count: Int
  // unsafe: allocated in init, freed by `deallocate`.
  private let calls: UnsafeMutablePointer<Call?>
  private let states: UnsafeMutablePointer<Atomic<UInt32>>
  private let generations: UnsafeMutablePointer<UInt32>
  /// A bit for each slot that is free.
  private let free: UnsafeMutablePointer<Atomic<UInt64>>
  private var words: Int { (count + 63) / 64 }

  init(count: Int) {
    self.count = count
    unsafe calls = .allocate(capacity: count)
    unsafe calls.initialize(repeating: nil, count: count)
    unsafe states = .allocate(capacity: count)
    unsafe generations = .allocate(capacity: count)
    unsafe generations.initialize(repeating: 0, count: count)
    for slot in 0..<count { unsafe (states + slot).initialize(to: Atomic(Self.idle)) }
    let words = (count + 63) / 64
    unsafe free = .allocate(capacity: words)
    for word in 0..<words {
      let bits = count - word * 64
      unsafe (free + word).initialize(to: Atomic(bits >= 64 ? .max : (1 << UInt64(bits)) - 1))
    }
  }

  func deallocate() {
    unsafe calls.deinitialize(count: count)
    unsafe calls.deallocate()
    unsafe states.deallocate()
    unsafe generations.deallocate()
    unsafe free.deallocate()
  }

  /// A slot for the caller alone; nil: all are in use. Complexity: O(slots / 64).
  func take() -> Int? {
    for word in 0..<words {
      var bits = unsafe free[word].load(ordering: .relaxed)
      while bits != 0 {
        let rest = bits & (bits - 1)
        // Order: acquiring. Pairs with `give`: what the last user wrote is there.
        let (isMine, now) = unsafe free[word].weakCompareExchange(
          expected: bits, desired: rest, successOrdering: .acquiring, failureOrdering: .relaxed)
        if isMine {
          let slot = word * 64 + bits.trailingZeroBitCount
          unsafe generations[slot] = generations[slot] == .max ? 1 : generations[slot] + 1
          unsafe states[slot].store(Self.taken, ordering: .relaxed)
          return slot
        }
        bits = now
      }
    }
    return nil
  }

  func generation(_ slot: Int) -> UInt32 { unsafe generations[slot] }

  /// From here on the receiving thread has the slot.
  func send(_ slot: Int, _ call: Call) {
    unsafe calls[slot] = call
    // Order: releasing. Pairs with the load in `isSent`.
    unsafe states[slot].store(Self.sent, ordering: .releasing)
  }

  /// The receiving thread may look at it. A child that answers what is not asked yet finds false.
  func isSent(_ slot: Int) -> Bool {
    // Order: acquiring. Pairs with `send`.
    unsafe states[slot].load(ordering: .acquiring) == Self.sent
  }

  func call(_ slot: Int) -> Call { unsafe calls[slot]! }

  func tell(_ slot: Int, at now: UInt64) { unsafe calls[slot]!.toldAt = now }

  /// Its taker, or the receiving thread once it was sent.
  func give(_ slot: Int) {
    unsafe calls[slot] = nil
    unsafe states[slot].store(Self.idle, ordering: .relaxed)
    // Order: releasing. Pairs with `take`.
    unsafe free[slot / 64].bitwiseOr(1 << UInt64(slot % 64), ordering: .releasing)
  }
}
