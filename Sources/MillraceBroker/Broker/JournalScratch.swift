/// How a message's properties stand in the journal: what the block has besides them, and the exchange by its name, since its number is of this process only.
///
///     0 time to live (8)   8 wall time of the publication (8)   16 bytes of the exchange's name (1)   17 the name   then the properties
@safe struct StoredProperties {
  static let headerBytes = 17

  let timeToLive: UInt64
  let published: Int64
  let exchange: String
  // unsafe: the journal's, as long as the message that it gave.
  let properties: UnsafeRawBufferPointer

  /// nil: it is no such thing.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= StoredProperties.headerBytes else { return nil }
    unsafe timeToLive = bytes.loadUnaligned(as: UInt64.self)
    unsafe published = bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self)
    let end = unsafe StoredProperties.headerBytes + Int(bytes[16])
    guard bytes.count >= end else { return nil }
    unsafe exchange = String(decoding: bytes[StoredProperties.headerBytes..<end], as: UTF8.self)
    unsafe properties = UnsafeRawBufferPointer(rebasing: bytes[end...])
    guard unsafe MessageProperties(properties).isSound else { return nil }
  }
}

/// Memory in which batches for the journal are put together, used again and again.
///
/// # Threads
/// One at a time.
@safe struct JournalScratch: ~Copyable {
  private var messages: [JournalMessage] = []
  private var queues: [UInt32] = []
  // unsafe: `capacity` bytes, freed in `deinit`: the properties of all messages, one behind the other.
  private var bytes = UnsafeMutableRawPointer.allocate(byteCount: 4_096, alignment: 8)
  private var capacity = 4_096

  init() {}

  deinit { unsafe bytes.deallocate() }

  /// `window`: nanoseconds for which ids are told apart; 0: they are not.
  mutating func fill(
    _ list: MessageList, _ queues: [UInt32], due: UInt64, _ now: UInt64, wall: Int64, window: UInt64, _ broker: borrowing Broker
  ) {
    self.queues = queues
    messages.removeAll(keepingCapacity: true)
    let exchange = Array((broker.router.name(of: list[0].exchange)?.description ?? "").utf8)
    let header = StoredProperties.headerBytes + exchange.count
    var size = 0
    for index in 0..<list.count { size += header + list[index].propertyBytes }
    if size > capacity {
      unsafe bytes.deallocate()
      capacity = 2 * size
      unsafe bytes = .allocate(byteCount: capacity, alignment: 8)
    }
    var at = 0
    for index in 0..<list.count {
      let block = list[index]
      let start = unsafe bytes + at
      unsafe start.storeBytes(of: block.timeToLive, as: UInt64.self)
      unsafe start.storeBytes(of: wall, toByteOffset: 8, as: Int64.self)
      unsafe start.storeBytes(of: UInt8(exchange.count), toByteOffset: 16, as: UInt8.self)
      for (place, byte) in exchange.enumerated() {
        unsafe start.storeBytes(of: byte, toByteOffset: StoredProperties.headerBytes + place, as: UInt8.self)
      }
      unsafe (start + header).copyMemory(from: block.properties, byteCount: block.propertyBytes)
      let count = header + block.propertyBytes
      let id = window == 0 ? nil : unsafe MessageProperties(block)[.messageID]
      let expiry = block.expiry(from: now)
      unsafe messages.append(
        JournalMessage(
          queues: UnsafeBufferPointer(start: nil, count: 0), properties: UnsafeRawBufferPointer(start: start, count: count),
          payload: UnsafeRawBufferPointer(start: block.payload, count: block.bytes), priority: block.priority,
          expiry: expiry == 0 ? nil : JournalScratch.wall(wall, expiry &- now), due: due == 0 ? nil : JournalScratch.wall(wall, due &- now),
          id: id ?? UnsafeRawBufferPointer(start: nil, count: 0), idExpiry: JournalScratch.wall(wall, window)))
      at += count
    }
  }

  private static func wall(_ wall: Int64, _ duration: UInt64) -> Int64 {
    let (sum, overflow) = wall.addingReportingOverflow(Int64(clamping: duration))
    return overflow ? .max : sum
  }

  /// Writes what `fill` has put together. The number of the first message. Throws `JournalRefusal`. unsafe: the blocks are there meanwhile.
  @unsafe mutating func write(
    _ journal: any QueueJournal, _ settlements: UnsafeBufferPointer<JournalSettlement>, _ token: UInt64
  ) throws(JournalRefusal) -> UInt64 {
    var result: Result<UInt64, JournalRefusal> = .failure(.closed)
    unsafe queues.withUnsafeBufferPointer { queues in
      for index in messages.indices { unsafe messages[index].queues = queues }
      unsafe messages.withUnsafeBufferPointer { messages in
        do throws(JournalRefusal) {
          result = .success(
            try unsafe journal.write(JournalBatch(messages: messages, settlements: settlements), token: token, mayWait: false))
        } catch { result = .failure(error) }
      }
    }
    return try result.get()
  }
}
