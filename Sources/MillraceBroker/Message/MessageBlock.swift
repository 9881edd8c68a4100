internal import MillraceCore

/// A message in memory: 64 bytes of header, and its payload behind them. Each holder, a queue or a consumer, has one of its references; who gives the last one back frees it.
///
/// # Threads
/// Written by its publisher until it is published; read by any holder after that.
@safe struct MessageBlock {
  static let headerBytes = 64

  /// Of the first 64 bytes. The first word leads to the next free block while it is free.
  private enum At {
    static let references = 0
    static let kind = 8
    static let bytes = 16
  }

  // unsafe: a block of a pool that outlives its holders.
  let base: UnsafeMutableRawPointer

  /// unsafe: a block of a pool with room for it, its caller's alone. One reference.
  @unsafe init(_ base: UnsafeMutableRawPointer, kind: UInt8, bytes: Int) {
    unsafe self.base = base
    unsafe SharedWord(base + At.references).put(1)
    unsafe base.storeBytes(of: kind, toByteOffset: At.kind, as: UInt8.self)
    unsafe base.storeBytes(of: bytes, toByteOffset: At.bytes, as: Int.self)
  }

  /// unsafe: the number of a message that its caller holds.
  @unsafe init(_ number: UInt64) { unsafe base = UnsafeMutableRawPointer(bitPattern: UInt(number))! }
  var number: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }

  private var references: SharedWord { unsafe SharedWord(base + At.references) }
  var kind: UInt8 { unsafe base.load(fromByteOffset: At.kind, as: UInt8.self) }
  /// Of the payload.
  var bytes: Int { unsafe base.load(fromByteOffset: At.bytes, as: Int.self) }
  /// unsafe: `bytes` bytes; to be written by the publisher only, before it publishes.
  var payload: UnsafeMutableRawPointer { unsafe base + MessageBlock.headerBytes }

  /// More holders. Before others can have it.
  func retain(_ more: Int) {
    // Order: relaxed in effect; the reference of the caller keeps the block.
    if more > 0 { _ = references.add(UInt64(more)) }
  }

  /// A holder lets go. True: it was the last one, and the caller frees the block.
  @inline(__always) func release() -> Bool {
    // Who is alone needs no locked instruction. Order: acquiring; pairs with the subtraction below.
    if references.loadAcquiring() == 1 { return true }
    // Order: sequentially consistent. Pairs with that of the others: what they read happened before the block is used again.
    return references.subtract(1) == 0
  }
}

extension MessageCache {
  /// Memory for a payload; nil: the pool's bound is reached. Complexity: O(1), amortised.
  @inline(__always) mutating func claim(_ bytes: Int) -> MessageBlock? {
    let size = MessageBlock.headerBytes + bytes
    guard let kind = MessagePool.kind(of: size) else {
      guard let base = unsafe pool.makeOwn(size) else { return nil }
      return unsafe MessageBlock(base, kind: MessagePool.own, bytes: bytes)
    }
    guard let base = unsafe take(kind) else { return nil }
    return unsafe MessageBlock(base, kind: UInt8(kind), bytes: bytes)
  }

  /// A holder lets go.
  @inline(__always) mutating func release(_ block: MessageBlock) {
    guard block.release() else { return }
    if block.kind == MessagePool.own {
      unsafe pool.freeOwn(block.base, MessageBlock.headerBytes + block.bytes)
    } else {
      unsafe give(Int(block.kind), block.base)
    }
  }
}
