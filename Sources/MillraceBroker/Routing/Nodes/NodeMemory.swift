/// The memory of a table's nodes. A node is written before it is published and never after; what replaces it is made anew.
///
/// A block begins with one word: the version that it was made for (48 bits), its bytes by eights (16 bits).
///
/// # Threads
/// The writer's.
@safe final class NodeMemory {
  private struct Retired {
    let block: UInt
    let version: UInt64
  }

  /// The version that is being made.
  private(set) var version: UInt64 = 1
  /// Bytes of blocks that are there, retired ones too.
  private(set) var bytes = 0
  private(set) var retiredBytes = 0
  /// In order of their versions.
  private var retired: [Retired] = []
  private var freed = 0
  /// Retired, and made for the version that is being made.
  private var unseen: [UInt] = []

  private static let alignment = 8

  /// Zeroed but for its first word. Complexity: O(count).
  func allocate(_ count: Int) -> UnsafeMutableRawPointer {
    let size = (count + 7) & ~7
    precondition(size / 8 <= 0xFFFF, "a node of 512 KiB at most")
    // unsafe: new memory, as long as is written.
    let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: NodeMemory.alignment)
    unsafe block.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    unsafe block.storeBytes(of: version << 16 | UInt64(size / 8), as: UInt64.self)
    bytes += size
    return unsafe block
  }

  /// A copy that belongs to the version that is being made. unsafe: `block` is one of this memory's.
  @unsafe func copy(_ block: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    let size = unsafe NodeMemory.size(block)
    let copy = unsafe allocate(size)
    unsafe (copy + 8).copyMemory(from: block + 8, byteCount: size - 8)
    return unsafe copy
  }

  /// The version that is being made does not have it any more. One that was made for it, which nobody has seen, goes with the next `sweep`. unsafe: `block` is one of
  /// this memory's.
  @unsafe func retire(_ block: UnsafeMutableRawPointer) {
    if unsafe block.load(as: UInt64.self) >> 16 == version {
      unseen.append(UInt(bitPattern: block))
      return
    }
    retiredBytes += unsafe NodeMemory.size(block)
    retired.append(Retired(block: UInt(bitPattern: block), version: version))
  }

  /// A change is complete: nothing leads to what it retired. Complexity: O(1) a block.
  func sweep() {
    for block in unseen { free(block) }
    unseen.removeAll(keepingCapacity: true)
  }

  /// The version is complete; what comes next is another.
  func finish() {
    sweep()
    version += 1
  }

  /// Frees what the versions from `oldest` on do not have. Complexity: O(1) a block.
  func free(from oldest: UInt64) {
    while freed < retired.count, retired[freed].version <= oldest {
      retiredBytes -= free(retired[freed].block)
      freed += 1
    }
    if freed == retired.count {
      retired.removeAll(keepingCapacity: freed <= 1024)
      freed = 0
    } else if freed > 1024, freed > retired.count / 2 {
      retired.removeFirst(freed)
      freed = 0
    }
  }

  @discardableResult private func free(_ block: UInt) -> Int {
    // unsafe: retired, and nobody reads a version that has it.
    let block = unsafe UnsafeMutableRawPointer(bitPattern: block)!
    let size = unsafe NodeMemory.size(block)
    bytes -= size
    unsafe block.deallocate()
    return size
  }

  var retiredBlocks: Int { retired.count - freed }

  private static func size(_ block: UnsafeMutableRawPointer) -> Int { unsafe Int(block.load(as: UInt64.self) & 0xFFFF) * 8 }
}
