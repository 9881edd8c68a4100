/// A header's value, as far as routing tells values apart.
///
/// RabbitMQ compares values, not their types: integers of all widths and timestamps are equal if their numbers are, an integer equals a real number of the
/// same value, and a byte string equals a text of the same bytes.
public enum HeaderValue: Sendable, Hashable {
  /// In a binding: whatever the message has under this name.
  case void
  /// Equal to no number.
  case boolean(Bool)
  /// Of any width.
  case integer(Int64)
  /// Timestamps too, as seconds.
  case unsigned(UInt64)
  /// NaN equals nothing.
  case real(Double)
  /// `value` divided by ten to the power of `scale`. Equal only if both are.
  case decimal(scale: UInt8, value: UInt32)
  /// Equal to the bytes of its UTF-8.
  case text(String)
  /// Any bytes.
  case bytes([UInt8])
  /// A list or table in a message: there, but equal to nothing.
  case nested
}

/// Headers of a message, or arguments of a binding, encoded for comparison: fields in order of their names.
///
/// A field is the length of its name (1 byte), the name, a kind (1 byte), the length of the value (4 bytes, little-endian), the value.
public struct Headers: Sendable, Hashable {
  /// Most bytes of a name.
  public static let maxNameBytes = 255

  /// Can be kept in a message and given to `RoutingLane.route` as it is.
  public let encoded: [UInt8]

  /// None.
  public init() { encoded = [] }

  /// Throws `RoutingError.header` for a name that comes twice or is too long. Complexity: O(n log n).
  public init(_ fields: [(String, HeaderValue)]) throws(RoutingError) {
    let sorted = fields.map { (name: Array($0.0.utf8), value: $0.1) }.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    var bytes: [UInt8] = []
    for (index, field) in sorted.enumerated() {
      guard field.name.count <= Headers.maxNameBytes else {
        throw .header(
          String(decoding: field.name, as: UTF8.self), "its name has \(field.name.count) bytes; \(Headers.maxNameBytes) are allowed")
      }
      if index > 0, sorted[index - 1].name == field.name {
        throw .header(String(decoding: field.name, as: UTF8.self), "is there twice: give it once")
      }
      bytes.append(UInt8(field.name.count))
      bytes += field.name
      Headers.append(field.value, to: &bytes)
    }
    encoded = bytes
  }

  /// As they were encoded; nil: these bytes are none.
  init?(checking encoded: [UInt8]) {
    // unsafe: looked at while they are there.
    let length = unsafe encoded.withUnsafeBytes { bytes in
      var cursor = unsafe HeaderFields(bytes)
      var length = 0
      while cursor.next() { unsafe length += cursor.name.count + 6 + cursor.value.count }
      return length
    }
    if length != encoded.count { return nil }
    self.encoded = encoded
  }

  /// unsafe: as `encoded`; from a message, which was made so.
  @unsafe init(encoded: UnsafeRawBufferPointer) { unsafe self.encoded = Array(encoded) }

  /// The value of a field; nil: there is none. Numbers come in their narrowest kind, byte strings as text where they are UTF-8. Complexity: O(fields).
  public subscript(name: String) -> HeaderValue? { fields.first { $0.name == name }?.decoded }

  /// Names, ascending.
  public var names: [String] { fields.map(\.name) }

  /// What a field's value is. Values of equal kind and bytes are equal.
  enum Kind {
    static let void: UInt8 = 0
    static let boolean: UInt8 = 1
    static let integer: UInt8 = 2
    /// Above the integers.
    static let unsigned: UInt8 = 3
    static let real: UInt8 = 4
    static let decimal: UInt8 = 5
    static let bytes: UInt8 = 6
    static let nested: UInt8 = 7
  }

  /// A field, read back.
  struct Field {
    let name: String
    let kind: UInt8
    let value: [UInt8]
    /// All of it, as it is encoded.
    let bytes: [UInt8]

    private var word: UInt64 { value.reversed().reduce(0) { $0 << 8 | UInt64($1) } }

    var decoded: HeaderValue {
      switch kind {
      case Kind.void: .void
      case Kind.boolean: .boolean(value.first == 1)
      case Kind.integer: .integer(Int64(bitPattern: word))
      case Kind.unsigned: .unsigned(word)
      case Kind.real: .real(Double(bitPattern: word))
      case Kind.decimal: .decimal(scale: value.first ?? 0, value: UInt32(truncatingIfNeeded: word >> 8))
      case Kind.bytes: String(validating: value, as: UTF8.self).map { .text($0) } ?? .bytes(value)
      default: .nested
      }
    }
  }

  var fields: [Field] {
    // unsafe: the fields are copied out of `encoded` while it is there.
    unsafe encoded.withUnsafeBytes { encoded in
      var all: [Field] = []
      var cursor = unsafe HeaderFields(encoded)
      var at = 0
      while cursor.next() {
        let end = unsafe at + cursor.name.count + 6 + cursor.value.count
        unsafe all.append(
          Field(
            name: String(decoding: cursor.name, as: UTF8.self), kind: cursor.kind, value: Array(cursor.value),
            bytes: Array(encoded[at..<end])))
        at = end
      }
      return all
    }
  }

  private static func append(_ value: HeaderValue, to bytes: inout [UInt8]) {
    func field(_ kind: UInt8, _ content: some Collection<UInt8>) {
      bytes.append(kind)
      bytes += littleEndian(UInt32(content.count))
      bytes += content
    }
    switch value {
    case .void: field(Kind.void, [])
    case .boolean(let value): field(Kind.boolean, [value ? 1 : 0])
    case .integer(let value): field(Kind.integer, littleEndian(value))
    case .unsigned(let value):
      if let value = Int64(exactly: value) { field(Kind.integer, littleEndian(value)) } else { field(Kind.unsigned, littleEndian(value)) }
    case .real(let value):
      if let value = Int64(exactly: value) {
        field(Kind.integer, littleEndian(value))
      } else if let value = UInt64(exactly: value) {
        field(Kind.unsigned, littleEndian(value))
      } else if value.isNaN {
        field(Kind.nested, [])
      } else {
        field(Kind.real, littleEndian(value.bitPattern))
      }
    case .decimal(let scale, let value): field(Kind.decimal, [scale] + littleEndian(value))
    case .text(let value): field(Kind.bytes, value.utf8)
    case .bytes(let value): field(Kind.bytes, value)
    case .nested: field(Kind.nested, [])
    }
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<(value.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }
}
