/// A JSON value. Objects keep the order of their members.
public enum JSON: Sendable, Hashable {
  /// A value that is there, and says nothing.
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// An integer that fits 64 bits.
  case integer(Int64)
  /// Any other number; one that is not finite is written as `null`. Not equal to the `integer` of the same value.
  case number(Double)
  /// Without quotes and escapes.
  case string(String)
  /// In order; elements may be of different kinds.
  case array([JSON])
  /// In the order in which they were written; each name once.
  case object([Member])

  /// One name of an object, with what stands behind it.
  public struct Member: Sendable, Hashable {
    /// Any text, also an empty one.
    public var name: String
    /// `.null` is a value too: a member that is not there has none.
    public var value: JSON

    /// That an object has each name once is up to its maker.
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

  /// The text; nil if this is none. A number is not taken for one.
  public var string: String? { if case .string(let text) = self { text } else { nil } }

  /// nil if this is neither `true` nor `false`; texts and numbers are not taken for one.
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

  /// The elements; nil if this is no array.
  public var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }

  /// The members in order; nil if this is no object. For one of them: `self[name]`.
  public var object: [Member]? { if case .object(let members) = self { members } else { nil } }

  /// Only of `null` itself: an empty text, array or object is not.
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
