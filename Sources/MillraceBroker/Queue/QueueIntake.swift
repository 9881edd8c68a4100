internal import CMillrace
internal import MillraceCore

/// Messages on their way into a queue: pushed by publishers without its lock, taken all at once by whoever has it.
///
///     0 the node pushed before (8)   8 epoch (4), count (2), size (2)   16 moment of publication (8)   24 due (8)   32 numbers of the messages, `count`
///
/// # Threads
/// A node is its publisher's until it is pushed, then the taker's.
@safe struct IntakeNode {
  static let headerBytes = 32

  // unsafe: a block of the pool with room for the messages.
  let base: UnsafeMutableRawPointer

  @unsafe init(_ base: UnsafeMutableRawPointer) { unsafe self.base = base }
  @unsafe init?(_ address: UInt64) {
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)) else { return nil }
    unsafe self.base = base
  }

  var address: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }
  var next: UInt64 {
    get { unsafe base.load(as: UInt64.self) }
    nonmutating set { unsafe base.storeBytes(of: newValue, as: UInt64.self) }
  }
  var epoch: UInt32 { unsafe base.load(fromByteOffset: 8, as: UInt32.self) }
  var count: Int { unsafe Int(base.load(fromByteOffset: 12, as: UInt16.self)) }
  /// Messages and 256 bytes of payload each, 65,535 at most.
  var size: Int { unsafe Int(base.load(fromByteOffset: 14, as: UInt16.self)) }
  var now: UInt64 { unsafe base.load(fromByteOffset: 16, as: UInt64.self) }
  var due: UInt64 { unsafe base.load(fromByteOffset: 24, as: UInt64.self) }
  var messages: MessageList {
    unsafe MessageList((base + IntakeNode.headerBytes).assumingMemoryBound(to: UInt64.self), count: count)
  }
  /// Of the pool's blocks.
  var kind: Int { MessagePool.kind(of: IntakeNode.headerBytes + 8 * count)! }

  func fill(_ messages: MessageList, epoch: UInt32, now: UInt64, due: UInt64) {
    var size = messages.count
    for index in 0..<messages.count { size &+= messages[index].bytes &>> 8 }
    unsafe base.storeBytes(
      of: UInt64(epoch) | UInt64(messages.count) << 32 | UInt64(min(size, 0xFFFF)) << 48, toByteOffset: 8, as: UInt64.self)
    unsafe base.storeBytes(of: now, toByteOffset: 16, as: UInt64.self)
    unsafe base.storeBytes(of: due, toByteOffset: 24, as: UInt64.self)
    for index in 0..<messages.count {
      unsafe base.storeBytes(of: messages[index].number, toByteOffset: IntakeNode.headerBytes + 8 * index, as: UInt64.self)
    }
  }
}

extension MessageCache {
  /// nil: the pool's bound is reached.
  mutating func makeNode(_ messages: MessageList, epoch: UInt32, now: UInt64, due: UInt64) -> IntakeNode? {
    guard let base = unsafe take(MessagePool.kind(of: IntakeNode.headerBytes + 8 * messages.count)!) else { return nil }
    let node = unsafe IntakeNode(base)
    node.fill(messages, epoch: epoch, now: now, due: due)
    return node
  }

  mutating func free(_ node: IntakeNode) { unsafe give(node.kind, node.base) }
}

/// How much more a queue takes: messages, and bytes, each in a word with the epoch of its queue, so that nobody takes from the room of another one that stands there later.
///
/// # Threads
/// Any.
/// # Progress
/// Lock-free.
@safe struct QueueRoom {
  /// A word: the epoch above 44 bits, the room below, this much too large: what comes back to a full queue makes it negative.
  static let zero: UInt64 = 1 << 43
  private static let mask: UInt64 = 1 << 44 - 1
  /// What counts as no bound.
  static let most = 1 << 42

  private let word: SharedWord

  init(_ word: SharedWord) { self.word = word }

  /// Nobody else has the queue yet.
  func open(_ room: Int, epoch: UInt32) {
    word.storeReleasing(UInt64(epoch & 0xFFFFF) << 44 | QueueRoom.zero + UInt64(min(room, QueueRoom.most)))
  }

  /// At this moment.
  var value: Int { Int(bitPattern: UInt(word.loadRelaxed() & QueueRoom.mask)) - Int(QueueRoom.zero) }

  /// Takes as much as `wanted` says of what there is, 0 at least; nil: it is another queue's.
  @inline(__always) func reserve(epoch: UInt32, _ wanted: (Int) -> Int) -> Int? {
    while true {
      let seen = word.loadAcquiring()
      guard seen >> 44 == UInt64(epoch & 0xFFFFF) else { return nil }
      let take = wanted(Int(bitPattern: UInt(seen & QueueRoom.mask)) - Int(QueueRoom.zero))
      // Order: sequentially consistent. Pairs with the addition in `give`: what was there has left before.
      if take == 0 || word.replace(seen, by: seen - UInt64(take)) { return take }
    }
  }

  /// What was reserved is not used. Nothing, if it is another queue's meanwhile.
  func giveBack(_ count: Int, epoch: UInt32) {
    while true {
      let seen = word.loadAcquiring()
      guard seen >> 44 == UInt64(epoch & 0xFFFFF), !word.replace(seen, by: seen + UInt64(count)) else { return }
    }
  }

  /// There is so much more, or less. By who has the queue's lock.
  @inline(__always) func change(by more: Int) {
    if more > 0 { _ = word.add(UInt64(more)) } else if more < 0 { _ = word.subtract(UInt64(-more)) }
  }
}
