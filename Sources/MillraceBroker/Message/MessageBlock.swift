internal import CMillrace
internal import MillraceCore

/// A message in memory: 32 bytes of header, its payload, and behind that its properties. Each holder, a queue or a consumer, has one of its references; who gives the last one back
/// frees it.
///
///     0 references (4)   4 kind, flags, priority (1 each)   8 bytes of the payload (4)   12 bytes of the properties (4)   16 time to live (8)   24 exchange (8)   32 payload
///
/// A dead letter has a block of its own for what it tells of its way, which refers to the block with the payload.
///
/// # Threads
/// Written by its publisher until it is published; read by any holder after that.
@safe struct MessageBlock: Equatable {
  static let headerBytes = 32

  /// Of the first 32 bytes. The first word leads to the next free block while it is free.
  private enum At {
    static let references = 0
    static let kind = 4
    static let flags = 5
    static let priority = 6
    static let bytes = 8
    static let propertyBytes = 12
    static let timeToLive = 16
    static let exchange = 24
  }

  /// What is special about a message.
  struct Flags: OptionSet {
    let rawValue: UInt8
    /// The payload is another block's, whose number stands in its place.
    static let refers = Flags(rawValue: 1)
    /// Durable queues journal it.
    static let isPersistent = Flags(rawValue: 2)
    /// Behind its properties there is room for the number that the journal knows it by.
    static let hasNumber = Flags(rawValue: 4)
  }

  // unsafe: a block of a pool that outlives its holders.
  let base: UnsafeMutableRawPointer

  /// unsafe: a block of a pool with room for it, its caller's alone. One reference.
  @unsafe @inline(__always) init(_ base: UnsafeMutableRawPointer, kind: UInt8, bytes: Int, properties: Int, _ traits: Traits) {
    unsafe self.base = base
    // One store: references 1, kind, flags, priority.
    unsafe base.storeBytes(
      of: 1 | UInt64(kind) << 32 | UInt64(traits.flags.rawValue) << 40 | UInt64(traits.priority) << 48, as: UInt64.self)
    unsafe base.storeBytes(
      of: UInt64(truncatingIfNeeded: bytes) | UInt64(truncatingIfNeeded: properties) << 32, toByteOffset: At.bytes, as: UInt64.self)
    unsafe base.storeBytes(of: traits.timeToLive, toByteOffset: At.timeToLive, as: UInt64.self)
    unsafe base.storeBytes(of: traits.exchange.bits, toByteOffset: At.exchange, as: UInt64.self)
  }

  /// What all messages of an envelope have.
  struct Traits {
    var flags: Flags = []
    var priority: UInt8 = 0
    /// Nanoseconds; 0: its queues say.
    var timeToLive: UInt64 = 0
    var exchange = ExchangeID.default
  }

  /// unsafe: the number of a message that its caller holds.
  @unsafe @inline(__always) init(_ number: UInt64) { unsafe base = UnsafeMutableRawPointer(bitPattern: UInt(number))! }
  @inline(__always) var number: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }

  static func == (one: MessageBlock, other: MessageBlock) -> Bool { one.number == other.number }

  private var references: SharedHalf { unsafe SharedHalf(base + At.references) }
  var kind: UInt8 { unsafe base.load(fromByteOffset: At.kind, as: UInt8.self) }
  var flags: Flags { unsafe Flags(rawValue: base.load(fromByteOffset: At.flags, as: UInt8.self)) }
  var priority: UInt8 { unsafe base.load(fromByteOffset: At.priority, as: UInt8.self) }
  /// Of the payload.
  var bytes: Int { unsafe Int(base.load(fromByteOffset: At.bytes, as: UInt32.self)) }
  var propertyBytes: Int { unsafe Int(base.load(fromByteOffset: At.propertyBytes, as: UInt32.self)) }
  /// Nanoseconds from its publication on after which nobody wants it any more; 0: its queues say.
  var timeToLive: UInt64 { unsafe base.load(fromByteOffset: At.timeToLive, as: UInt64.self) }
  /// The last moment at which somebody may want it, if it was published at this one; 0: its queues say.
  @inline(__always) func expiry(from now: UInt64) -> UInt64 {
    let time = timeToLive
    if time == 0 { return 0 }
    let (sum, overflow) = now.addingReportingOverflow(time == 1 ? 0 : time)
    return overflow ? .max : sum
  }

  /// Where it was published.
  var exchange: ExchangeID { unsafe ExchangeID(bits: base.load(fromByteOffset: At.exchange, as: UInt64.self)) }

  /// Without what is this block's own.
  var traits: Traits { Traits(flags: flags.subtracting(.refers), priority: priority, timeToLive: timeToLive, exchange: exchange) }

  @inline(__always) private var inner: UnsafeMutableRawPointer { unsafe base + MessageBlock.headerBytes }

  /// Another block has the payload; that is one of its holders.
  @inline(__always) var referred: MessageBlock? {
    guard flags.contains(.refers) else { return nil }
    return unsafe MessageBlock(inner.load(as: UInt64.self))
  }

  /// unsafe: `bytes` bytes; to be written by the publisher only, before it publishes.
  @inline(__always) var payload: UnsafeMutableRawPointer { unsafe referred?.payload ?? inner }

  /// unsafe: as `payload`; `propertyBytes` bytes.
  var properties: UnsafeMutableRawPointer { unsafe inner + (flags.contains(.refers) ? 8 : bytes) }

  /// The lines of its header and of the payload's beginning are on the way when they are read.
  @inline(__always) func prefetch() {
    unsafe millrace_prefetch_read(base)
    unsafe millrace_prefetch_read(base + 64)
  }

  /// What the journal knows it by; 0: it does not.
  var journalNumber: UInt64 {
    get {
      flags.contains(.hasNumber) ? unsafe (properties + propertyBytes).loadUnaligned(as: UInt64.self) : 0
    }
    nonmutating set { unsafe (properties + propertyBytes).storeBytes(of: newValue, as: UInt64.self) }
  }

  /// Bytes of its own memory.
  var size: Int {
    MessageBlock.headerBytes + (flags.contains(.refers) ? 8 : bytes) + propertyBytes + (flags.contains(.hasNumber) ? 8 : 0)
  }

  /// unsafe: it is there to refer, and is not published yet. Takes one of the other's references over.
  @unsafe func refer(to other: MessageBlock) { unsafe inner.storeBytes(of: other.number, as: UInt64.self) }

  /// More holders. Before others can have it, or by a holder.
  @inline(__always) func retain(_ more: Int = 1) {
    // Order: relaxed in effect; the reference of the caller keeps the block.
    if more > 0 { references.add(UInt32(more)) }
  }

  /// As `retain`, by its publisher, who is alone with it but for a dead letter's payload: that needs no locked instruction.
  @inline(__always) func retainEarly(_ more: Int) {
    // Order: relaxed. Whoever has it later has got it by a releasing operation.
    if references.loadRelaxed() == 1 { references.storeRelaxed(1 + UInt32(truncatingIfNeeded: more)) } else { retain(more) }
  }

  /// A holder lets go. True: it was the last one, and the caller frees the block.
  @inline(__always) func release() -> Bool {
    // Who is alone needs no locked instruction. Order: acquiring; pairs with the subtraction below.
    if references.loadAcquiring() == 1 { return true }
    // Order: acquiring and releasing. Pairs with that of the others: what they read happened before the block is used again.
    return references.subtract(1) == 0
  }

  /// Holders at this moment. For reports.
  var holders: Int { Int(references.loadRelaxed()) }
}

/// Messages in a row, whose owner keeps the list meanwhile.
@safe struct MessageList {
  // unsafe: `count` numbers of messages that the list's owner holds.
  private let numbers: UnsafePointer<UInt64>
  let count: Int

  @unsafe init(_ numbers: UnsafePointer<UInt64>, count: Int) { unsafe (self.numbers, self.count) = (numbers, count) }

  @inline(__always) subscript(index: Int) -> MessageBlock {
    assert(index < count)
    return unsafe MessageBlock(numbers[index])
  }

  func part(_ from: Int, _ end: Int) -> MessageList { unsafe MessageList(numbers + from, count: end - from) }
}

extension MessageCache {
  /// Memory for a payload and properties, both of sizes that were checked; nil: the pool's bound is reached. Complexity: O(1), amortised.
  @inline(__always) mutating func claim(
    _ bytes: Int, properties: Int = 0, _ traits: MessageBlock.Traits = MessageBlock.Traits()
  ) -> MessageBlock? {
    let hasNumber = traits.flags.contains(.hasNumber)
    let size = MessageBlock.headerBytes &+ bytes &+ properties &+ (hasNumber ? 8 : 0)
    guard let kind = MessagePool.kind(of: size) else { return claimOwn(bytes, properties, traits, size, must: false) }
    guard let base = unsafe take(kind) else { return nil }
    let block = unsafe MessageBlock(base, kind: UInt8(truncatingIfNeeded: kind), bytes: bytes, properties: properties, traits)
    if hasNumber { block.journalNumber = 0 }
    return block
  }

  @inline(never) private func claimOwn(
    _ bytes: Int, _ properties: Int, _ traits: MessageBlock.Traits, _ size: Int, must: Bool
  ) -> MessageBlock? {
    guard let base = unsafe pool.makeOwn(size, must: must) else { return nil }
    let block = unsafe MessageBlock(base, kind: MessagePool.own, bytes: bytes, properties: properties, traits)
    if traits.flags.contains(.hasNumber) { block.journalNumber = 0 }
    return block
  }

  /// As `claim`, above the pool's bound if need be: for what is there already, and must not be lost for want of it.
  mutating func claimSurely(_ bytes: Int, properties: Int, _ traits: MessageBlock.Traits) -> MessageBlock {
    if let block = claim(bytes, properties: properties, traits) { return block }
    let size = MessageBlock.headerBytes + bytes + properties + (traits.flags.contains(.hasNumber) ? 8 : 0)
    guard let block = claimOwn(bytes, properties, traits, size, must: true) else {
      preconditionFailure("invariant broken: memory that must be had was not")
    }
    return block
  }

  /// A block that refers to another one's payload, one of whose references it takes over. Above the pool's bound if need be: what is there already must not be lost for want of it.
  mutating func claim(referring other: MessageBlock, properties: Int, _ traits: MessageBlock.Traits) -> MessageBlock {
    let size = MessageBlock.headerBytes + 8 + properties + (traits.flags.contains(.hasNumber) ? 8 : 0)
    let kind = MessagePool.kind(of: size)
    let pooled = unsafe kind.flatMap { unsafe take($0) }
    // unsafe: `makeOwn` gives memory where it must.
    let base = unsafe pooled ?? pool.makeOwn(size, must: true)!
    var traits = traits
    traits.flags.insert(.refers)
    let block = unsafe MessageBlock(
      base, kind: pooled == nil ? MessagePool.own : UInt8(kind ?? 0), bytes: other.bytes, properties: properties, traits)
    unsafe block.refer(to: other)
    if traits.flags.contains(.hasNumber) { block.journalNumber = 0 }
    return block
  }

  /// Another message with the same content; nil as `claim`.
  mutating func copy(_ block: MessageBlock) -> MessageBlock? {
    guard let copy = claim(block.bytes, properties: block.propertyBytes, block.traits) else { return nil }
    // unsafe: both have so many bytes.
    unsafe copy.payload.copyMemory(from: block.payload, byteCount: block.bytes)
    unsafe copy.properties.copyMemory(from: block.properties, byteCount: block.propertyBytes)
    return copy
  }

  /// A holder lets go.
  @inline(__always) mutating func release(_ block: MessageBlock) {
    if block.release() { free(block) }
  }

  /// Nobody holds it any more.
  @inline(__always) mutating func free(_ block: MessageBlock) {
    if block.flags.contains(.refers) { return freeReferring(block) }
    if block.kind == MessagePool.own { return unsafe pool.freeOwn(block.base, block.size) }
    unsafe give(Int(block.kind), block.base)
  }

  @inline(never) private mutating func freeReferring(_ block: MessageBlock) {
    if let other = block.referred, other.release() { free(other) }
    if block.kind == MessagePool.own { return unsafe pool.freeOwn(block.base, block.size) }
    unsafe give(Int(block.kind), block.base)
  }
}
