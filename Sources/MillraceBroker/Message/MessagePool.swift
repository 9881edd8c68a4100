internal import MillraceCore

/// Memory of messages: blocks of a few sizes, cut from larger pieces, used again and again. A block is one message: its header, and its payload behind it, which stays where the
/// publisher wrote it until the last holder lets go.
///
/// # Threads
/// Any, through a `MessageCache` that it alone uses at the time.
/// # Fields
/// `free[c]`: the first free block of the class c, or 0; each leads to the next by its first word. `reserved`: bytes that blocks were cut from, and those of blocks of their own.
/// # Progress
/// Lock-free: a list is pushed by one CAS and taken whole by one exchange, so that nobody ever follows a link that another may change. New memory: as the system's.
/// # Source
/// R. Kent Treiber, "Systems Programming: Coping with Parallelism" (1986); without pop, and so without its ABA.
@safe final class MessagePool: @unchecked Sendable {
  /// 96, 128, 192, 256 bytes and so on to 1 MiB, two for each power of two; what is larger has memory of its own.
  static let classes = 28
  static let smallest = 96
  static let largest = 1 << 20
  /// Bytes that the blocks of a class are cut from.
  private static let piece = 1 << 20
  /// Its own, without a class.
  static let own: UInt8 = .max

  // unsafe: a line for each class and one for `reserved`, freed in `deinit`.
  private let words: UnsafeMutableRawPointer
  private let region: Region
  private let monitor = Monitor()
  /// The monitor's.
  private var pieces: [Region] = []
  let capacity: Int

  private func free(_ kind: Int) -> SharedWord { unsafe SharedWord(words + kind * padding) }
  private var reserved: SharedWord { unsafe SharedWord(words + MessagePool.classes * padding) }

  /// `capacity`: bytes at most, headers and what is free included. Throws `MemoryError`.
  init(capacity: Int) throws(MemoryError) {
    self.capacity = capacity
    region = try Region(bytes: (MessagePool.classes + 1) * padding)
    unsafe words = region.base
  }

  deinit {
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

  /// All that is free of a class, as a list; nil: nothing is.
  @inline(__always) func takeAll(_ kind: Int) -> UnsafeMutableRawPointer? {
    let word = free(kind)
    // Order: sequentially consistent. Pairs with the CAS in `give`: what the last holder did with the blocks happened before.
    return word.loadRelaxed() == 0 ? nil : unsafe UnsafeMutableRawPointer(bitPattern: UInt(word.exchange(0)))
  }

  /// Gives back a list from `first` to `last`, which leads nowhere.
  func give(_ kind: Int, _ first: UnsafeMutableRawPointer, _ last: UnsafeMutableRawPointer) {
    let word = free(kind)
    while true {
      let top = word.loadRelaxed()
      unsafe last.storeBytes(of: UInt(top), as: UInt.self)
      // Order: sequentially consistent. Pairs with the exchange in `takeAll`.
      if word.replace(top, by: UInt64(UInt(bitPattern: first))) { return }
    }
  }

  /// A list of new blocks; nil: the bound is reached, or the system has no memory.
  func cut(_ kind: Int) -> UnsafeMutableRawPointer? {
    let size = MessagePool.bytes(of: kind)
    let bytes = max(size, MessagePool.piece >> (kind < 8 ? 2 : 0))
    guard let base = unsafe piece(bytes) else { return nil }
    let count = bytes / size
    for index in 0..<count {
      let block = unsafe base + index * size
      unsafe block.storeBytes(of: index + 1 == count ? 0 : UInt(bitPattern: block + size), as: UInt.self)
    }
    return unsafe base
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

  /// A holder lets go who has no cache. Complexity: O(1).
  func release(_ block: MessageBlock) {
    guard block.release() else { return }
    if let other = block.referred { release(other) }
    if block.kind == MessagePool.own { return unsafe freeOwn(block.base, block.size) }
    unsafe give(Int(block.kind), block.base, block.base)
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

/// One thread's way into a pool: free blocks of each class.
///
/// Not shared. `flush()` gives everything back.
@safe struct MessageCache: ~Copyable {
  /// Blocks of a class that it keeps, at most, when they come back.
  private static let most = 64

  // unsafe: blocks that the cache alone has.
  @safe private struct List {
    var first: UnsafeMutableRawPointer?
    var last: UnsafeMutableRawPointer?
    var count = 0
  }

  let pool: MessagePool
  // unsafe: a list of blocks to take from, and one of those that came back, for each class; freed in `deinit`.
  private let lists: UnsafeMutablePointer<List>

  init(_ pool: MessagePool) {
    self.pool = pool
    unsafe lists = .allocate(capacity: 2 * MessagePool.classes)
    unsafe lists.initialize(repeating: List(), count: 2 * MessagePool.classes)
  }

  deinit {
    for kind in 0..<MessagePool.classes {
      for list in unsafe [lists[2 * kind], lists[2 * kind + 1]] {
        guard let first = unsafe list.first else { continue }
        var last = unsafe first
        while let next = unsafe MessageCache.next(last) { unsafe last = next }
        unsafe pool.give(kind, first, last)
      }
    }
    unsafe lists.deallocate()
  }

  private static func next(_ block: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    unsafe UnsafeMutableRawPointer(bitPattern: block.load(as: UInt.self))
  }

  /// A block of a class, its content whatever it was; nil: the pool's bound is reached. Complexity: O(1), amortised.
  @inline(__always) mutating func take(_ kind: Int) -> UnsafeMutableRawPointer? {
    let list = unsafe lists + 2 * kind
    if unsafe list.pointee.first == nil { refill(kind) }
    guard let block = unsafe list.pointee.first else { return nil }
    let next = unsafe MessageCache.next(block)
    unsafe list.pointee.first = next
    // Its line is on the way when it is asked for.
    if let next = unsafe next { unsafe _ = next.load(as: UInt8.self) }
    return unsafe block
  }

  @inline(never) private mutating func refill(_ kind: Int) {
    let back = unsafe lists + 2 * kind + 1
    if unsafe back.pointee.first != nil {
      unsafe (lists + 2 * kind).pointee.first = back.pointee.first
      unsafe back.pointee = List()
      return
    }
    unsafe (lists + 2 * kind).pointee.first = pool.takeAll(kind) ?? pool.cut(kind)
  }

  /// A block of a class comes back. Complexity: O(1), amortised.
  @inline(__always) mutating func give(_ kind: Int, _ block: UnsafeMutableRawPointer) {
    let back = unsafe lists + 2 * kind + 1
    unsafe block.storeBytes(of: UInt(bitPattern: back.pointee.first), as: UInt.self)
    if unsafe back.pointee.first == nil { unsafe back.pointee.last = block }
    unsafe back.pointee.first = block
    unsafe back.pointee.count += 1
    if unsafe back.pointee.count >= MessageCache.most { flush(kind) }
  }

  /// Others may have what came back.
  @inline(never) private mutating func flush(_ kind: Int) {
    let back = unsafe lists + 2 * kind + 1
    guard let first = unsafe back.pointee.first, let last = unsafe back.pointee.last else { return }
    unsafe pool.give(kind, first, last)
    unsafe back.pointee = List()
  }

  /// Before its thread waits: others may have what came back.
  mutating func flush() {
    for kind in 0..<MessagePool.classes { flush(kind) }
  }
}
