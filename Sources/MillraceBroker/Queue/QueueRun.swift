internal import MillraceCore

/// Messages that were published together: on their way into a queue, pushed by publishers without its lock and taken by whoever has it; and in the queue, where one entry stands for all that
/// nothing happened to.
///
///     0 the run pushed before (8)   8 epoch (4), count (2), size (2)   16 moment of publication (8)   24 due (8)   32 expiry (8)
///     40 bytes of all payloads (4), of each (4)   48 priority, whether they are alike (1 each), entries (2)   56 numbers of the messages, `count`
///
/// # Threads
/// A run is its publisher's until it is pushed, then the taker's, and stays with the queue's lock.
@safe struct QueueRun: Equatable {
  static let headerBytes = 56

  // unsafe: a block of the pool with room for the messages.
  let base: UnsafeMutableRawPointer

  @unsafe init(_ base: UnsafeMutableRawPointer) { unsafe self.base = base }
  @unsafe @inline(__always) init?(_ address: UInt64) {
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)) else { return nil }
    unsafe self.base = base
  }

  static func == (one: QueueRun, other: QueueRun) -> Bool { one.address == other.address }

  @inline(__always) var address: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }
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
  /// Of the first, as all have it that are alike, and as a `QueueMessage` has it.
  var expiry: UInt64 { unsafe base.load(fromByteOffset: 32, as: UInt64.self) }
  /// Of all payloads, if they are alike; those of 4 GiB together are not.
  var bytes: UInt32 { unsafe base.load(fromByteOffset: 40, as: UInt32.self) }
  /// Of all payloads; nil: it does not say.
  @inline(__always) var total: Int? { isAlike ? Int(bytes) : nil }
  /// Of each payload; `UInt32.max`: they differ.
  private var each: UInt32 { unsafe base.load(fromByteOffset: 44, as: UInt32.self) }
  /// Of the first, as all have it that are alike.
  var priority: UInt8 { unsafe base.load(fromByteOffset: 48, as: UInt8.self) }
  /// One entry may stand for all of them: they have one priority and one time to live.
  var isAlike: Bool { unsafe base.load(fromByteOffset: 49, as: UInt8.self) != 0 }
  /// Entries that stand for some of it.
  var entries: UInt16 {
    get { unsafe base.load(fromByteOffset: 50, as: UInt16.self) }
    nonmutating set { unsafe base.storeBytes(of: newValue, toByteOffset: 50, as: UInt16.self) }
  }
  var messages: MessageList { unsafe MessageList(numbers, count: count) }
  // unsafe: `count` numbers.
  private var numbers: UnsafeMutablePointer<UInt64> { unsafe (base + QueueRun.headerBytes).assumingMemoryBound(to: UInt64.self) }
  /// Of the pool's blocks.
  var kind: Int { MessagePool.kind(of: QueueRun.size(count))! }

  /// Bytes of memory for so many messages.
  static func size(_ count: Int) -> Int { headerBytes + 8 * count }

  @inline(__always) func number(_ index: Int) -> UInt64 { unsafe numbers[index] }

  /// Where the numbers stand from this one on.
  @inline(__always) func address(_ index: Int) -> UInt64 { unsafe UInt64(UInt(bitPattern: numbers + index)) }

  /// Bytes of the payloads of some of it. Complexity: O(1), O(count) where they differ.
  @inline(__always) func bytes(_ from: Int, _ count: Int) -> UInt32 {
    each != .max ? each &* UInt32(truncatingIfNeeded: count) : differingBytes(from, count)
  }

  @inline(never) private func differingBytes(_ from: Int, _ count: Int) -> UInt32 {
    (from..<(from + count)).reduce(0) { unsafe $0 + UInt32(truncatingIfNeeded: MessageBlock(numbers[$1]).bytes) }
  }

  func fill(_ messages: MessageList, epoch: UInt32, now: UInt64, due: UInt64) {
    let first = messages[0]
    var (size, bytes) = (messages.count, 0)
    var (isAlike, isOneSize) = (true, true)
    for index in 0..<messages.count {
      let block = messages[index]
      size &+= block.bytes &>> 8
      bytes &+= block.bytes
      isOneSize = isOneSize && block.bytes == first.bytes
      isAlike = isAlike && block.priority == first.priority && block.timeToLive == first.timeToLive
      unsafe numbers[index] = block.number
    }
    fill(
      count: messages.count, size: size, epoch: epoch, now: now, due: due, expiry: first.expiry(from: now), bytes: bytes,
      each: isOneSize ? UInt32(truncatingIfNeeded: first.bytes) : .max, priority: first.priority,
      isAlike: isAlike && bytes < Int(UInt32.max))
  }

  /// The same, for another queue.
  func copy(_ other: QueueRun, epoch: UInt32) {
    // unsafe: both have room for so many messages.
    unsafe base.copyMemory(from: other.base, byteCount: QueueRun.size(other.count))
    unsafe base.storeBytes(of: epoch, toByteOffset: 8, as: UInt32.self)
  }

  /// The header.
  func fill(
    count: Int, size: Int, epoch: UInt32, now: UInt64, due: UInt64, expiry: UInt64, bytes: Int, each: UInt32, priority: UInt8, isAlike: Bool
  ) {
    unsafe base.storeBytes(of: UInt64(epoch) | UInt64(count) << 32 | UInt64(min(size, 0xFFFF)) << 48, toByteOffset: 8, as: UInt64.self)
    unsafe base.storeBytes(of: now, toByteOffset: 16, as: UInt64.self)
    unsafe base.storeBytes(of: due, toByteOffset: 24, as: UInt64.self)
    unsafe base.storeBytes(of: expiry, toByteOffset: 32, as: UInt64.self)
    unsafe base.storeBytes(of: UInt64(UInt32(truncatingIfNeeded: bytes)) | UInt64(each) << 32, toByteOffset: 40, as: UInt64.self)
    unsafe base.storeBytes(of: UInt64(priority) | (isAlike ? 1 << 8 : 0), toByteOffset: 48, as: UInt64.self)
  }
}

extension MessageCache {
  /// nil: the pool's bound is reached.
  mutating func makeRun(_ messages: MessageList, epoch: UInt32, now: UInt64, due: UInt64) -> QueueRun? {
    guard let run = makeRun(messages.count) else { return nil }
    run.fill(messages, epoch: epoch, now: now, due: due)
    return run
  }

  /// As another one, for a queue. nil: as above.
  mutating func makeRun(like other: QueueRun, epoch: UInt32) -> QueueRun? {
    guard let run = makeRun(other.count) else { return nil }
    run.copy(other, epoch: epoch)
    return run
  }

  private mutating func makeRun(_ count: Int) -> QueueRun? {
    unsafe take(MessagePool.kind(of: QueueRun.size(count))!).map { unsafe QueueRun($0) }
  }

  mutating func free(_ run: QueueRun) { unsafe give(run.kind, run.base) }
}
