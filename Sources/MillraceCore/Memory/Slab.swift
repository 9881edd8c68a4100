/// Records of 64 bytes in one region, by 32-bit index, handed out and taken back by many threads.
///
/// Records lie in blocks of 64 that are recycled whole, so that records made one after the other stay neighbours in memory after any amount
/// of churn: a chain walked in order costs a few nanoseconds a record, at random two hundred. When no whole block is left, the free
/// records of broken blocks are gathered, so that one long-lived record in each block wastes nothing for good.
///
/// # Threads
/// Any thread through a `SlabCache` that it alone uses at the time.
/// # Fields
/// `free[b]`: bit i set = record i of block b is free and in nobody's cache. All bits set = the block is on the stack of whole blocks.
/// # Progress
/// Lock-free: a thread stopped anywhere keeps at most the records in its cache.
/// # Source
/// R. Kent Treiber, "Systems Programming: Coping with Parallelism" (1986), with a tag against reuse.
@safe struct Slab {
  static let recordBytes = 64
  static let blockRecords = 64
  static let none: UInt32 = .max

  /// What is not needed to find a record: behind the shared words, which are behind the records. Two words travel with every call instead of ten.
  @safe private struct Rest {
    // unsafe: parts of the region.
    let masks: UnsafeMutableRawPointer
    let links: UnsafeMutableRawPointer
    let blocks: UInt32
    let region: Region
  }

  private let records: UnsafeMutableRawPointer
  /// Shared words `padding` apart: the stack of whole blocks (low half: index of the first + 1, or 0; high half: tag); blocks handed out at
  /// least once; then the rest.
  private let words: UnsafeMutableRawPointer

  private var stack: SharedWord { unsafe SharedWord(words) }
  private var touched: SharedWord { unsafe SharedWord(words + padding) }
  private var rest: UnsafeMutablePointer<Rest> { unsafe (words + 2 * padding).assumingMemoryBound(to: Rest.self) }
  var blocks: UInt32 { unsafe rest.pointee.blocks }

  /// `capacity` records at least. Complexity: O(1); memory is touched when used.
  init(capacity: Int) throws(MemoryError) {
    precondition(capacity > 0 && capacity < 1 << 31, "a slab holds 1 to 2^31 - 1 records")
    let blocks = (capacity + Slab.blockRecords - 1) / Slab.blockRecords
    let recordBytes = blocks * Slab.blockRecords * Slab.recordBytes
    let region = try Region(bytes: recordBytes + 3 * padding + blocks * 12)
    // unsafe: offsets stay inside the region, whose length is their sum; records are a multiple of 4,096 bytes long.
    unsafe records = region.base
    unsafe words = records + recordBytes
    let masks = unsafe words + 3 * padding
    unsafe (words + 2 * padding).initializeMemory(
      as: Rest.self, to: Rest(masks: masks, links: masks + blocks * 8, blocks: UInt32(blocks), region: region))
  }

  func deallocate() { unsafe rest.pointee.region.free() }

  /// Complexity: O(1). unsafe: the record's bytes, shared by whoever holds the index.
  @inline(__always) func record(_ index: UInt32) -> UnsafeMutableRawPointer {
    unsafe records + Int(index) &* Slab.recordBytes
  }

  /// Records in use or in caches, at most: what has been touched so far.
  var touchedRecords: Int { Int(min(touched.loadRelaxed(), UInt64(blocks))) * Slab.blockRecords }

  private func mask(_ block: UInt32) -> SharedWord { unsafe SharedWord(rest.pointee.masks + Int(block) * 8) }
  private func link(_ block: UInt32) -> SharedHalf { unsafe SharedHalf(rest.pointee.links + Int(block) * 4) }

  /// A block and the bits of its records that now belong to the caller; nil if every record is in use or in a cache.
  @inline(never) fileprivate func take() -> (block: UInt32, bits: UInt64)? {
    while true {
      let top = stack.loadAcquiring()
      let first = UInt32(truncatingIfNeeded: top)
      if first == 0 { break }
      // The link may belong to a later life of the block: then the tag has moved on and the CAS fails.
      let next = link(first - 1).loadRelaxed()
      // Order: sequentially consistent. Pairs with the CAS in `give`: what the last user wrote in the block happened before.
      if stack.replace(top, by: ((top >> 32) &+ 1) << 32 | UInt64(next)) {
        mask(first - 1).storeRelaxed(0)
        return (first - 1, .max)
      }
    }
    if touched.loadRelaxed() < UInt64(blocks) {
      let block = touched.add(1)
      if block < UInt64(blocks) { return (UInt32(block), .max) }
    }
    for block in 0..<blocks {
      let word = mask(block)
      let bits = word.loadRelaxed()
      // Order: sequentially consistent. Pairs with the or in `give`. A full mask belongs to the stack.
      if bits != 0, bits != .max, word.replace(bits, by: 0) { return (block, bits) }
    }
    return nil
  }

  /// Gives records of a block back. The last one puts the block on the stack.
  @inline(never) fileprivate func give(block: UInt32, bits: UInt64) {
    let word = mask(block)
    guard word.insert(bits: bits) | bits == .max else { return }
    while true {
      let top = stack.loadRelaxed()
      link(block).storeRelaxed(UInt32(truncatingIfNeeded: top))
      if stack.replace(top, by: ((top >> 32) &+ 1) << 32 | UInt64(block + 1)) { return }
    }
  }
}

/// One thread's way into a slab: a block to allocate from, and the records freed since the block changed.
///
/// Not shared. `flush()` gives everything back.
struct SlabCache {
  private var block: UInt32 = 0
  private var bits: UInt64 = 0
  private var freedBlock: UInt32 = 0
  private var freedBits: UInt64 = 0

  /// Complexity: O(1); one locked instruction in 64 calls. nil: the slab is exhausted.
  @inline(__always) mutating func allocate(_ slab: borrowing Slab) -> UInt32? {
    if bits == 0 {
      guard refill(slab) else { return nil }
    }
    let bit = UInt32(truncatingIfNeeded: bits.trailingZeroBitCount)
    bits &= bits &- 1
    return block &* UInt32(Slab.blockRecords) &+ bit
  }

  @inline(never) private mutating func refill(_ slab: borrowing Slab) -> Bool {
    if freedBits != 0 {
      (block, bits) = (freedBlock, freedBits)
      freedBits = 0
      if bits == .max { return true }
      slab.give(block: block, bits: bits)
      bits = 0
    }
    guard let taken = slab.take() else { return false }
    (block, bits) = taken
    return true
  }

  /// Complexity: O(1); one locked instruction when the block changes.
  @inline(__always) mutating func free(_ index: UInt32, _ slab: borrowing Slab) {
    let block = index / UInt32(Slab.blockRecords)
    if block != freedBlock {
      if freedBits != 0 { slab.give(block: freedBlock, bits: freedBits) }
      freedBlock = block
      freedBits = 0
    }
    freedBits |= 1 &<< UInt64(index % UInt32(Slab.blockRecords))
  }

  /// Gives back what this cache holds.
  mutating func flush(_ slab: borrowing Slab) {
    if bits != 0 { slab.give(block: block, bits: bits) }
    if freedBits != 0 { slab.give(block: freedBlock, bits: freedBits) }
    bits = 0
    freedBits = 0
  }
}
