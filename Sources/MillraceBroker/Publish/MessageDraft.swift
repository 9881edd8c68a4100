internal import MillraceCore

/// A message that its publisher writes: in the memory that consumers will read. Published or dropped, once.
///
/// # Threads
/// One at a time.
@safe public struct MessageDraft: ~Copyable, @unchecked Sendable {
  /// nil: it was published.
  private var held: MessageBlock?
  private let spaces: Workspaces
  /// Nanoseconds.
  let delay: UInt64

  init(_ block: MessageBlock, _ spaces: Workspaces, _ envelope: borrowing Envelope) {
    held = block
    self.spaces = spaces
    delay = envelope.delay
  }

  /// Once published it is nobody's to be asked.
  var block: MessageBlock { held! }

  /// Bytes of the payload.
  public var count: Int { block.bytes }

  /// The payload, to be written. What it held before is not cleared.
  public mutating func withBytes<Value, Failure: Error>(_ body: (inout MutableSpan<UInt8>) throws(Failure) -> Value) throws(Failure)
    -> Value
  {
    // unsafe: the block is this draft's alone, and has so many bytes.
    var bytes = unsafe MutableSpan(_unsafeStart: block.payload.assumingMemoryBound(to: UInt8.self), count: block.bytes)
    return try body(&bytes)
  }

  /// The payload, to be written by code that takes pointers. unsafe: until it is published or dropped.
  @unsafe public var payload: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: block.payload, count: block.bytes)
  }

  /// It is somebody else's now.
  consuming func give() { held = nil }

  deinit { if let held { spaces.release(held) } }
}

/// Messages of one envelope that are published together. Used again and again without new memory.
///
/// # Threads
/// One at a time.
@safe public struct MessageBatch: ~Copyable, @unchecked Sendable {
  private let spaces: Workspaces
  /// Of all its messages.
  public let envelope: Envelope
  /// Messages that it holds, at most.
  public let capacity: Int
  /// Messages that it holds.
  public private(set) var count = 0
  // unsafe: `capacity` numbers, the first `count` of which are set; freed in `deinit`.
  let blocks: UnsafeMutablePointer<UInt64>
  /// What all of its messages have, and their properties: without the key, where that is the queue's name.
  let traits: MessageBlock.Traits
  let propertyBytes: Int
  // unsafe: `propertyBytes` bytes, freed in `deinit`.
  let properties: UnsafeMutableRawPointer

  init(_ spaces: Workspaces, _ envelope: Envelope, _ traits: MessageBlock.Traits, capacity: Int) {
    self.spaces = spaces
    (self.envelope, self.capacity) = (envelope, capacity)
    self.traits = traits
    let encoded = envelope.encoded.dropFirst(envelope.exchange == .default ? envelope.keyBytes : 0)
    propertyBytes = encoded.count
    unsafe properties = .allocate(byteCount: max(1, encoded.count), alignment: 8)
    for (at, byte) in encoded.enumerated() { unsafe properties.storeBytes(of: byte, toByteOffset: at, as: UInt8.self) }
    unsafe blocks = .allocate(capacity: capacity)
  }

  deinit {
    for index in 0..<count { spaces.release(unsafe MessageBlock(blocks[index])) }
    unsafe blocks.deallocate()
    unsafe properties.deallocate()
  }

  @inline(__always) mutating func add(_ block: MessageBlock) {
    unsafe blocks[count] = block.number
    count += 1
  }

  /// The first `accepted` are somebody else's now.
  mutating func take(_ accepted: Int) {
    count -= accepted
    if count > 0 { unsafe blocks.update(from: blocks + accepted, count: count) }
  }
}
