/// Which of 32 queues may have jobs, in one word. At no moment can anybody overlook a queue that has some and was announced: while its bit is away
/// for somebody's second look, a mark stands in its place.
///
/// # Threads
/// Any.
/// # Fields
/// Bit q: queue q may have jobs. Bit 32 + q: a thread that found queue q empty looks at it once more.
/// # Progress
/// Lock-free. A thread that is stopped during its second look leaves the mark: others go on looking at the queue, and find what is in it.
/// Model: Tests/Models/level-bit.pml.
@safe struct Occupancy {
  static let queues = 32
  private static let mask: UInt64 = 1 << 32 - 1

  private let word: SharedWord

  /// unsafe: `memory` is a zeroed word that outlives the set.
  @unsafe @inline(__always) init(_ memory: UnsafeMutableRawPointer) { unsafe word = SharedWord(memory) }

  @inline(__always) private static func queues(of word: UInt64) -> UInt64 { (word | word >> 32) & mask }

  /// Queues that may have jobs, a bit each. Sequentially consistent: whatever was announced before is seen.
  @inline(__always) func load() -> UInt64 { Occupancy.queues(of: word.loadSequential()) }

  /// As `load`, without an order: for choices that fairness rests on, not visibility.
  @inline(__always) func loadRelaxed() -> UInt64 { Occupancy.queues(of: word.loadRelaxed()) }

  /// Called after jobs were published in the queue. One load if the queue was known to have some.
  @inline(__always) func insert(_ queue: Int) { insert(all: 1 &<< UInt64(queue)) }

  /// As `insert`, for several queues at once: a bit each.
  @inline(__always) func insert(all bits: UInt64) {
    // Order: sequentially consistent. Pairs with the CAS in `remove`: either a bit is seen to be away, or the remover sees the jobs.
    if word.loadSequential() & bits != bits { _ = word.insert(bits: bits) }
  }

  /// Called by a thread that found nothing: takes the queue out unless `hasJobs`, asked once more when the bit is away, says otherwise.
  ///
  /// False: the queue stays, since it has jobs or another thread is about to look.
  func remove(_ queue: Int, unless hasJobs: () -> Bool) -> Bool {
    let bit: UInt64 = 1 << UInt64(queue)
    let mark = bit << 32
    while true {
      let seen = word.loadSequential()
      if seen & mark != 0 { return false }
      if seen & bit == 0 { return true }
      if word.replace(seen, by: seen & ~bit | mark) { break }
    }
    let found = hasJobs()
    if found { _ = word.insert(bits: bit) }
    _ = word.remove(bits: mark)
    return !found
  }
}
