internal import CMillrace
internal import MillraceCore

/// Memory of messages: blocks of a few sizes, cut from larger pieces, used again and again. A block is one message: its header, and its payload behind it, which stays where the
/// publisher wrote it until the last holder lets go.
///
/// Free blocks travel in magazines, `Magazine.capacity` at a time: who takes them finds their addresses side by side, instead of one behind the other, each in a line that another
/// processor has.
///
/// # Threads
/// Any, through a `MessageCache` that it alone uses at the time.
/// # Fields
/// `free[c]`: the magazine of the class c that came last, or 0; each leads to the one before. `empty`: the same of magazines without blocks. `reserved`: bytes that blocks were cut from, and
/// those of blocks of their own.
/// # Progress
/// Giving is lock-free: a list is pushed by one CAS. Taking holds the class's lock for a few steps, once for `Magazine.capacity` blocks or more: one thread at a time pops, so that what it looks at is
/// there until its CAS. New memory: as the system's.
/// # Source
/// R. Kent Treiber, "Systems Programming: Coping with Parallelism" (1986); with one popper at a time, and so without its ABA. Model: Tests/Models/message-pool.pml.
@safe final class MessagePool: @unchecked Sendable {
  /// 96, 128, 192, 256 bytes and so on to 1 MiB, two for each power of two; what is larger has memory of its own.
  static let classes = 28
  static let smallest = 96
  static let largest = 1 << 20
  /// Bytes that the blocks of a class are cut from.
  private static let piece = 1 << 20
  /// Its own, without a class.
  static let own: UInt8 = .max

  // unsafe: a line for each class, for `empty` and for `reserved`, freed in `deinit`.
  private let words: UnsafeMutableRawPointer
  private let region: Region
  private let monitor = Monitor()
  /// The monitor's.
  private var pieces: [Region] = []
  let capacity: Int

  /// Magazines that are free: of a class, or those without blocks.
  @inline(__always) private func free(_ kind: Int) -> SharedWord { unsafe SharedWord(words + kind * padding) }
  /// Who takes of these.
  private func taking(_ kind: Int) -> SpinLock { unsafe SpinLock(at: words + kind * padding + 8) }
  private static let empty = classes
  private var reserved: SharedWord { unsafe SharedWord(words + (MessagePool.classes + 1) * padding) }

  /// `capacity`: bytes at most, headers and what is free included. Throws `MemoryError`.
  init(capacity: Int) throws(MemoryError) {
    self.capacity = capacity
    region = try Region(bytes: (MessagePool.classes + 2) * padding)
    unsafe words = region.base
  }

  deinit {
    for kind in 0...MessagePool.classes {
      var next = unsafe Magazine(free(kind).loadRelaxed())
      while let magazine = next {
        next = unsafe Magazine(magazine.next)
        magazine.deallocate()
      }
    }
    for piece in pieces { piece.free() }
    region.free()
    monitor.deallocate()
  }

  /// Bytes that the pool has from the system.
  var reservedBytes: Int { Int(reserved.loadRelaxed()) }

  /// Which blocks hold so many bytes, header included; nil: they have memory of their own.
  @inline(__always) static func kind(of bytes: Int) -> Int? {
    if bytes > largest { return nil }
    if bytes <= smallest { return 0 }
    let exponent = Int.bitWidth - (bytes - 1).leadingZeroBitCount
    return 2 * (exponent - 7) + (4 * bytes > 3 << exponent ? 1 : 0)
  }

  static func bytes(of kind: Int) -> Int { (3 + kind & 1) << (kind / 2 + 5) }

  /// Free blocks of a class, as a list of some magazines, and no more than `handful` bytes in several: others need some too. nil: there are none.
  @inline(__always) func take(_ kind: Int) -> Magazine? {
    if free(kind).loadRelaxed() == 0 { return nil }
    return take(kind, most: max(1, min(MessagePool.fewMagazines, MessagePool.handful / (Magazine.capacity * MessagePool.bytes(of: kind)))))
  }

  private static let fewMagazines = 4
  private static let handful = 256 << 10

  @inline(never) private func take(_ kind: Int, most: Int) -> Magazine? {
    let word = free(kind)
    let lock = taking(kind)
    lock.lock()
    defer { lock.unlock() }
    while true {
      // Order: acquiring. Pairs with the CAS in `give`: the link is there.
      let top = word.loadAcquiring()
      guard let first = unsafe Magazine(top) else { return nil }
      var last = first
      var count = 1
      while count < most, let next = unsafe Magazine(last.next) {
        last = next
        count += 1
      }
      // Order: sequentially consistent. Pairs with the CAS in `give`: what the last holder did with the blocks happened before. With the lock: what is in the list stays there, whatever comes before it.
      if word.replace(top, by: last.next) {
        last.next = 0
        return first
      }
    }
  }

  /// Gives back a magazine, which leads nowhere.
  func give(_ kind: Int, _ magazine: Magazine) {
    let word = free(kind)
    while true {
      let top = word.loadRelaxed()
      magazine.next = top
      // Order: sequentially consistent. Pairs with `take`.
      if word.replace(top, by: magazine.address) { return }
    }
  }

  /// A magazine without blocks.
  func takeEmpty() -> Magazine {
    let isThere = free(MessagePool.empty).loadRelaxed() != 0
    return (isThere ? take(MessagePool.empty, most: 1) : nil) ?? Magazine()
  }

  func giveEmpty(_ magazine: Magazine) { give(MessagePool.empty, magazine) }

  /// New blocks, in the magazine and, for whoever needs some, in the pool. False: the bound is reached, or the system has no memory.
  func cut(_ kind: Int, into magazine: Magazine) -> Bool {
    let size = MessagePool.bytes(of: kind)
    let bytes = max(size, MessagePool.piece >> (kind < 8 ? 2 : 0))
    guard let base = unsafe piece(bytes) else { return false }
    let count = bytes / size
    for index in 0..<min(count, Magazine.capacity) { unsafe magazine.add(base + index * size) }
    for start in stride(from: Magazine.capacity, to: count, by: Magazine.capacity) {
      let another = takeEmpty()
      for index in start..<min(count, start + Magazine.capacity) { unsafe another.add(base + index * size) }
      give(kind, another)
    }
    return true
  }

  private func piece(_ bytes: Int) -> UnsafeMutableRawPointer? {
    guard reserve(bytes) else { return nil }
    do throws(MemoryError) {
      let region = try Region(bytes: bytes)
      monitor.locked { pieces.append(region) }
      return unsafe region.base
    } catch {
      _ = reserved.subtract(UInt64(bytes))
      return nil
    }
  }

  private func reserve(_ bytes: Int) -> Bool {
    while true {
      let before = reserved.loadRelaxed()
      if Int(before) + bytes > capacity { return false }
      // Order: a counter; nothing else goes by it.
      if reserved.replace(before, by: before + UInt64(bytes)) { return true }
    }
  }

  /// A block of its own; nil as `cut`. `must`: the bound is none.
  func makeOwn(_ bytes: Int, must: Bool = false) -> UnsafeMutableRawPointer? {
    if must {
      // Order: a counter; nothing else goes by it.
      _ = reserved.add(UInt64(bytes))
    } else if !reserve(bytes) {
      return nil
    }
    return UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
  }

  func freeOwn(_ block: UnsafeMutableRawPointer, _ bytes: Int) {
    unsafe block.deallocate()
    _ = reserved.subtract(UInt64(bytes))
  }
}

/// Free blocks of one class: a link, how many, their addresses.
///
/// # Threads
/// One at a time has it.
@safe struct Magazine {
  static let capacity = 64

  // unsafe: 16 bytes and `capacity` addresses; whoever has it last frees it.
  private let base: UnsafeMutableRawPointer

  init() {
    unsafe base = .allocate(byteCount: 16 + 8 * Magazine.capacity, alignment: 64)
    (next, count) = (0, 0)
  }

  @unsafe init?(_ address: UInt64) {
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)) else { return nil }
    unsafe self.base = base
  }

  func deallocate() { unsafe base.deallocate() }

  @inline(__always) var address: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }
  /// Of the magazine behind it; 0: none is.
  @inline(__always) var next: UInt64 {
    get { unsafe base.load(as: UInt64.self) }
    nonmutating set { unsafe base.storeBytes(of: newValue, as: UInt64.self) }
  }
  @inline(__always) var count: Int {
    get { unsafe base.load(fromByteOffset: 8, as: Int.self) }
    nonmutating set { unsafe base.storeBytes(of: newValue, toByteOffset: 8, as: Int.self) }
  }
  // unsafe: below `capacity`.
  @inline(__always) private var blocks: UnsafeMutablePointer<UnsafeMutableRawPointer> {
    unsafe (base + 16).assumingMemoryBound(to: UnsafeMutableRawPointer.self)
  }

  /// It has room.
  @inline(__always) func add(_ block: UnsafeMutableRawPointer) {
    assert(count < Magazine.capacity)
    unsafe blocks[count] = block
    count += 1
  }

  /// It has one. The lines of those that follow are on their way when they are asked for.
  @inline(__always) func take() -> UnsafeMutableRawPointer {
    assert(count > 0)
    count -= 1
    if count >= 4 {
      unsafe millrace_prefetch(blocks[count - 4])
      unsafe millrace_prefetch(blocks[count - 4] + 64)
    }
    return unsafe blocks[count]
  }
}

/// One thread's way into a pool: free blocks of each class.
///
/// Not shared. `flush()` gives everything back that came back.
@safe struct MessageCache: ~Copyable {
  /// What it has of a class.
  private struct Pair {
    /// To take from, and those behind it.
    var out: Magazine
    /// What comes back; nil: nothing has.
    var back: Magazine?
  }

  let pool: MessagePool
  // unsafe: one for each class, those that were used with magazines; freed in `deinit`.
  private let pairs: UnsafeMutablePointer<Pair?>

  init(_ pool: MessagePool) {
    self.pool = pool
    unsafe pairs = .allocate(capacity: MessagePool.classes)
    unsafe pairs.initialize(repeating: nil, count: MessagePool.classes)
  }

  deinit {
    for kind in 0..<MessagePool.classes {
      guard let pair = unsafe pairs[kind] else { continue }
      if let back = pair.back { giveBack(back, kind) }
      var next: Magazine? = pair.out
      while let magazine = next {
        next = unsafe Magazine(magazine.next)
        giveBack(magazine, kind)
      }
    }
    unsafe pairs.deallocate()
  }

  private func giveBack(_ magazine: Magazine, _ kind: Int) {
    if magazine.count > 0 { pool.give(kind, magazine) } else { pool.giveEmpty(magazine) }
  }

  /// A block of a class, its content whatever it was; nil: the pool's bound is reached. Complexity: O(1), amortised.
  @inline(__always) mutating func take(_ kind: Int) -> UnsafeMutableRawPointer? {
    if let pair = unsafe pairs[kind], pair.out.count > 0 { return unsafe pair.out.take() }
    return unsafe refill(kind)
  }

  @inline(never) private mutating func refill(_ kind: Int) -> UnsafeMutableRawPointer? {
    var pair = unsafe pairs[kind] ?? Pair(out: pool.takeEmpty(), back: nil)
    defer { unsafe pairs[kind] = pair }
    let next = unsafe Magazine(pair.out.next)
    pair.out.next = 0
    if let next {
      // The one that is empty goes to who has blocks and nothing to put them into.
      pool.giveEmpty(pair.out)
      pair.out = next
    } else if let back = pair.back, back.count > 0 {
      pair.back = pair.out
      pair.out = back
    } else if let full = pool.take(kind) {
      pool.giveEmpty(pair.out)
      pair.out = full
    } else if !pool.cut(kind, into: pair.out) {
      return nil
    }
    return unsafe pair.out.take()
  }

  /// A block of a class comes back. Complexity: O(1), amortised.
  @inline(__always) mutating func give(_ kind: Int, _ block: UnsafeMutableRawPointer) {
    if let back = unsafe pairs[kind]?.back, back.count < Magazine.capacity { return unsafe back.add(block) }
    unsafe giveSlowly(kind, block)
  }

  @inline(never) private mutating func giveSlowly(_ kind: Int, _ block: UnsafeMutableRawPointer) {
    var pair = unsafe pairs[kind] ?? Pair(out: pool.takeEmpty(), back: nil)
    if let back = pair.back { pool.give(kind, back) }
    let magazine = pool.takeEmpty()
    unsafe magazine.add(block)
    pair.back = magazine
    unsafe pairs[kind] = pair
  }

  /// Before its thread waits: others may have what came back.
  mutating func flush() {
    for kind in 0..<MessagePool.classes {
      guard let back = unsafe pairs[kind]?.back, back.count > 0 else { continue }
      pool.give(kind, back)
      unsafe pairs[kind]?.back = nil
    }
  }
}
