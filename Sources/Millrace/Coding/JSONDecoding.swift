public import MillraceWorkflow

extension JSON {
  /// The value as a type of the program's own. Types are read as their `Decodable` says: a `Date` is a number of seconds since 2001, `Data` an array
  /// of bytes. Members that the type does not name are ignored. Throws `DecodingError`, or what the type throws. Complexity: O(size), and O(members) for each key.
  public func decoded<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    if let value = self as? Value { return value }
    return try Value(from: JSONReading(value: self, codingPath: []))
  }

  /// An error of reading or writing a value, with its place: `input.width: 12 is wanted ...`.
  package static func describe(_ error: any Error) -> String {
    switch error {
    case let error as DecodingError:
      switch error {
      case .keyNotFound(let key, let context): place(context.codingPath + [key]) + "is missing"
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
        place(context.codingPath) + context.debugDescription
      @unknown default: "\(error)"
      }
    case EncodingError.invalidValue(_, let context): place(context.codingPath) + context.debugDescription
    default: "\(error)"
    }
  }

  private static func place(_ path: [any CodingKey]) -> String {
    var text = ""
    for key in path {
      if let index = key.intValue { text += "[\(index)]" } else { text += (text.isEmpty ? "" : ".") + key.stringValue }
    }
    return text.isEmpty ? "" : text + ": "
  }

  fileprivate var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

/// A place in an array or a key of an object.
struct JSONKey: CodingKey {
  let stringValue: String
  let intValue: Int?

  init(stringValue: String) {
    self.stringValue = stringValue
    intValue = nil
  }
  init(intValue: Int) {
    stringValue = "\(intValue)"
    self.intValue = intValue
  }
  static let parent = JSONKey(stringValue: "super")
}

/// One value, and where it stands.
private struct JSONReading: Decoder, SingleValueDecodingContainer {
  let value: JSON
  let codingPath: [any CodingKey]
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard case .object(let members) = value else { throw mismatch("an object", type) }
    return KeyedDecodingContainer(JSONMembers(members: members, codingPath: codingPath))
  }
  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard case .array(let elements) = value else { throw mismatch("an array", [JSON].self) }
    return JSONElements(elements: elements, codingPath: codingPath)
  }
  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

  func mismatch(_ wanted: String, _ type: Any.Type) -> DecodingError {
    let context = DecodingError.Context(codingPath: codingPath, debugDescription: "\(wanted) is wanted, not \(value.kind)")
    return value.isNull ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  func decodeNil() -> Bool { value.isNull }
  func decode(_ type: Bool.Type) throws -> Bool {
    guard let flag = value.bool else { throw mismatch("a boolean", type) }
    return flag
  }
  func decode(_ type: String.Type) throws -> String {
    guard let text = value.string else { throw mismatch("a string", type) }
    return text
  }
  func decode(_ type: Double.Type) throws -> Double {
    guard let number = value.double else { throw mismatch("a number", type) }
    return number
  }
  func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }
  func decode<Number: FixedWidthInteger & Decodable>(_ type: Number.Type) throws -> Number {
    guard let whole = value.integer else {
      if case .number(let number) = value { throw unfit("\(number)", type) }
      throw mismatch("an integer", type)
    }
    guard let number = Number(exactly: whole) else { throw unfit("\(whole)", type) }
    return number
  }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    if let value = value as? Value { return value }
    return try Value(from: self)
  }

  private func unfit(_ number: String, _ type: Any.Type) -> DecodingError {
    .dataCorrupted(.init(codingPath: codingPath, debugDescription: "\(number) is not of the numbers that \(type) has"))
  }
}

private struct JSONMembers<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let members: [JSON.Member]
  let codingPath: [any CodingKey]

  var allKeys: [Key] { members.compactMap { Key(stringValue: $0.name) } }
  func contains(_ key: Key) -> Bool { members.contains { $0.name == key.stringValue } }

  private func reading(_ key: any CodingKey) throws -> JSONReading {
    guard let member = members.first(where: { $0.name == key.stringValue }) else {
      throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: "there is no such member"))
    }
    return JSONReading(value: member.value, codingPath: codingPath + [key])
  }

  func decodeNil(forKey key: Key) throws -> Bool { try reading(key).decodeNil() }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try reading(key).decode(type) }
  func nestedContainer<Inner: CodingKey>(keyedBy type: Inner.Type, forKey key: Key) throws -> KeyedDecodingContainer<Inner> {
    try reading(key).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try reading(key).unkeyedContainer() }
  func superDecoder() throws -> any Decoder { try reading(JSONKey.parent) }
  func superDecoder(forKey key: Key) throws -> any Decoder { try reading(key) }
}

private struct JSONElements: UnkeyedDecodingContainer {
  let elements: [JSON]
  let codingPath: [any CodingKey]
  var currentIndex = 0
  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex >= elements.count }

  private func here() throws -> JSONReading {
    let path = codingPath + [JSONKey(intValue: currentIndex)]
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        JSON.self, .init(codingPath: path, debugDescription: "the array has \(elements.count) elements, no more"))
    }
    return JSONReading(value: elements[currentIndex], codingPath: path)
  }

  private mutating func next<Result>(_ body: (JSONReading) throws -> Result) throws -> Result {
    let result = try body(here())
    currentIndex += 1
    return result
  }

  mutating func decodeNil() throws -> Bool {
    guard try here().decodeNil() else { return false }
    currentIndex += 1
    return true
  }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next { try $0.decode(type) } }
  mutating func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    try next { try $0.container(keyedBy: type) }
  }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next { try $0.unkeyedContainer() } }
  mutating func superDecoder() throws -> any Decoder { try next { $0 } }
}
