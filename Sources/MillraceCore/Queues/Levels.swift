/// Which priorities may have jobs, and one job that is handed over directly: submitted while nothing else was ready anywhere, it lies in the word
/// that every worker looks at before every start, and needs no queue. A worker that spins finds it with the first line that comes across.
///
/// # Threads
/// Any.
/// # Fields
/// One word. Bits 0-5 and 32-37: an `Occupancy`. Bits 8-9: the priority of the job that is handed over, bit 10: there is one, bits 16-31 and
/// 48-63: the halves of its index. While it lies there, the mark of its level is set as well: the level is listed and cannot be taken out.
/// # Progress
/// Lock-free.
/// Model: Tests/Models/level-bit.pml.
@safe struct Levels {
  private static let mask: UInt64 = 1 << 6 - 1
  private static let handed: UInt64 = 1 << 10
  private static let slot: UInt64 = 0xFFFF << 48 | 0xFFFF << 16 | handed | 3 << 8

  private let word: SharedWord
  private let bits: Occupancy

  /// unsafe: `memory` is a zeroed word that outlives the set.
  @unsafe @inline(__always) init(_ memory: UnsafeMutableRawPointer) {
    unsafe word = SharedWord(memory)
    unsafe bits = Occupancy(memory)
  }

  /// Levels that may have jobs, a bit each. Sequentially consistent: whatever was announced before is seen.
  @inline(__always) func load() -> UInt64 {
    let seen = word.loadSequential()
    return (seen | seen >> 32) & Levels.mask
  }

  @inline(__always) func insert(_ level: Int) { bits.insert(level) }

  /// As `insert`, for several levels at once: a bit each.
  @inline(__always) func insert(all levels: UInt64) { bits.insert(all: levels) }

  func remove(_ level: Int, unless hasJobs: () -> Bool) -> Bool { bits.remove(level, unless: hasJobs) }

  @inline(__always) private static func tag(_ priority: Int) -> UInt64 { handed | UInt64(truncatingIfNeeded: priority) &<< 8 }
  @inline(__always) private static func mark(_ priority: Int) -> UInt64 { 1 &<< UInt64(truncatingIfNeeded: priority &+ 32) }

  /// Hands a job over if nothing is ready anywhere. False: its place is in its queue.
  @inline(__always) func hand(_ job: UInt32, priority: Int) -> Bool {
    if word.loadRelaxed() != 0 { return false }
    let index = UInt64(job)
    // Order: sequentially consistent. Pairs with `load` and `takeHanded`: the job's fields happened before, and the caller's look at the idle word
    // comes after.
    return word.replace(0, by: (index & 0xFFFF) << 16 | (index >> 16) << 48 | Levels.tag(priority) | Levels.mark(priority))
  }

  /// A job lies there that was handed over.
  var hasHanded: Bool { word.loadRelaxed() & Levels.handed != 0 }

  /// Takes the job that was handed over, if it is of the priority. `seen` is called with what may be it before it is the caller's.
  @inline(__always) func takeHanded(priority: Int, seen expect: (UInt32) -> Void) -> UInt32? {
    while true {
      // Order: acquiring. Pairs with the CAS in `hand`.
      let seen = word.loadAcquiring()
      if seen & (Levels.handed | 3 << 8) != Levels.tag(priority) { return nil }
      let job = UInt32(truncatingIfNeeded: seen >> 16 & 0xFFFF | (seen >> 48) << 16)
      expect(job)
      // Order: sequentially consistent. It need not be the same life of the job: whatever lies there is taken.
      if word.replace(seen, by: seen & ~(Levels.slot | Levels.mark(priority))) { return job }
    }
  }
}
