/// What a message says of itself beside its payload, encoded behind that: fields of a tag (1 byte), a length (4 bytes, little-endian) and content.
///
/// # Threads
/// A value over memory that somebody else keeps.
@safe struct MessageProperties {
  enum Tag: UInt8 {
    case key = 1
    case messageID, correlationID, replyTo, contentType, type, tenant, trace
    /// `Headers.encoded`.
    case headers
    /// Nanoseconds since 1970, 8 bytes little-endian.
    case timestamp
    /// `Deaths.encoded`.
    case deaths
  }

  private static let prefix = 5

  // unsafe: the holder of the block keeps it.
  private let bytes: UnsafeRawBufferPointer

  /// unsafe: the caller holds the block while it uses this value.
  @unsafe init(_ block: MessageBlock) {
    unsafe bytes = UnsafeRawBufferPointer(start: block.properties, count: block.propertyBytes)
  }

  @unsafe init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

  private var count: Int { unsafe bytes.count }
  /// Of the field that begins there.
  private func length(_ at: Int) -> Int { unsafe Int(bytes.loadUnaligned(fromByteOffset: at + 1, as: UInt32.self)) }

  /// The content of a field; nil: it has none. Complexity: O(fields). unsafe: as the memory.
  @unsafe subscript(tag: Tag) -> UnsafeRawBufferPointer? {
    var at = 0
    while at + MessageProperties.prefix <= count {
      let length = length(at)
      let start = at + MessageProperties.prefix
      if unsafe bytes[at] == tag.rawValue { return unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]) }
      at = start + length
    }
    return nil
  }

  func text(_ tag: Tag) -> String? { unsafe self[tag].map { unsafe String(decoding: $0, as: UTF8.self) } }

  static func append(_ tag: Tag, _ content: some Collection<UInt8>, to bytes: inout [UInt8]) {
    bytes.append(tag.rawValue)
    let count = UInt32(content.count)
    for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: count >> UInt32(shift))) }
    bytes.append(contentsOf: content)
  }

  /// All fields but these, encoded anew.
  func without(_ tags: Set<Tag>) -> [UInt8] {
    var result: [UInt8] = []
    var at = 0
    while at + MessageProperties.prefix <= count {
      let end = at + MessageProperties.prefix + length(at)
      let tag = unsafe Tag(rawValue: bytes[at])
      if tag.map({ !tags.contains($0) }) ?? true { unsafe result.append(contentsOf: bytes[at..<end]) }
      at = end
    }
    return result
  }

  /// Whether all lengths fit: for what was read from a disk.
  var isSound: Bool {
    var at = 0
    while at < count {
      if at + MessageProperties.prefix > count { return false }
      at += MessageProperties.prefix + length(at)
    }
    return at == count
  }
}
