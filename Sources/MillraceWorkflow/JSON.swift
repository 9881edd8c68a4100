/// A JSON value. Objects keep the order of their members.
public enum JSON: Sendable, Hashable {
  case null
  case bool(Bool)
  /// An integer that fits 64 bits.
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  public struct Member: Sendable, Hashable {
    public var name: String
    public var value: JSON

    public init(_ name: String, _ value: JSON) {
      self.name = name
      self.value = value
    }
  }
}

// MARK: - Reading what is inside

extension JSON {
  /// The member of an object with this name; nil if there is none or this is no object. Complexity: O(members).
  public subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// The element of an array; nil if there is none or this is no array.
  public subscript(index: Int) -> JSON? {
    guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
    return elements[index]
  }

  public var string: String? { if case .string(let text) = self { text } else { nil } }

  public var bool: Bool? { if case .bool(let flag) = self { flag } else { nil } }

  /// The integer; also that of a number without fraction that fits, such as `3.0`.
  public var integer: Int64? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int64(exactly: value)
    default: nil
    }
  }

  /// The number; an integer above 2^53 is rounded to the nearest.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  public var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }

  public var object: [Member]? { if case .object(let members) = self { members } else { nil } }

  public var isNull: Bool { if case .null = self { true } else { false } }
}

// MARK: - Literals: `["seconds": 1.5, "files": ["a", "b"]]`

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral, ExpressibleByStringInterpolation
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(nilLiteral: ()) { self = .null }

  /// Names must differ.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    precondition(Set(elements.map(\.0)).count == elements.count, "an object names each member once")
    self = .object(elements.map { Member($0, $1) })
  }
}
