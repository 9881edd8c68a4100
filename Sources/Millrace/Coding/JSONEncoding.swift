public import MillraceWorkflow

extension JSON {
  /// A value of a type of the program's own, as its `Encodable` says: see `decoded`. Throws `EncodingError` for numbers that JSON cannot hold, or what the type
  /// throws. Complexity: O(size).
  public init(encoding value: some Encodable) throws {
    self = try JSONWriting.json(value, [])
  }
}

/// What is being written at one place: a tree that grows by reference, since containers are handed out before they are filled.
private final class JSONNode {
  enum Content {
    case value(JSON)
    case array([JSONNode])
    case object([(String, JSONNode)])
  }
  var content = Content.value(.null)
  var isWritten = false

  var json: JSON {
    switch content {
    case .value(let value): value
    case .array(let elements): .array(elements.map(\.json))
    case .object(let members): .object(members.map { JSON.Member($0.0, $0.1.json) })
    }
  }

  func element() -> JSONNode {
    let node = JSONNode()
    if case .array(var elements) = content {
      content = .value(.null)
      elements.append(node)
      content = .array(elements)
    }
    return node
  }

  /// A name that is written twice keeps its place and takes the later value.
  func member(_ name: String) -> JSONNode {
    let node = JSONNode()
    if case .object(var members) = content {
      content = .value(.null)
      if let index = members.firstIndex(where: { $0.0 == name }) { members[index].1 = node } else { members.append((name, node)) }
      content = .object(members)
    }
    return node
  }

  var count: Int { if case .array(let elements) = content { elements.count } else { 0 } }
}

private struct JSONWriting: Encoder, SingleValueEncodingContainer {
  let node: JSONNode
  let codingPath: [any CodingKey]
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  static func json(_ value: some Encodable, _ path: [any CodingKey]) throws -> JSON {
    let node = JSONNode()
    try JSONWriting(node: node, codingPath: path).encode(value)
    guard node.isWritten else {
      throw EncodingError.invalidValue(value, .init(codingPath: path, debugDescription: "\(type(of: value)) wrote no value"))
    }
    return node.json
  }

  private func begin(_ content: JSONNode.Content) {
    if !node.isWritten { node.content = content }
    node.isWritten = true
  }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    begin(.object([]))
    return KeyedEncodingContainer(JSONMembersWriting(node: node, codingPath: codingPath))
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    begin(.array([]))
    return JSONElementsWriting(node: node, codingPath: codingPath)
  }
  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  private func put(_ value: JSON) {
    node.content = .value(value)
    node.isWritten = true
  }
  func encodeNil() { put(.null) }
  func encode(_ value: Bool) { put(.bool(value)) }
  func encode(_ value: String) { put(.string(value)) }
  func encode(_ value: Double) throws {
    guard value.isFinite else {
      throw EncodingError.invalidValue(value, .init(codingPath: codingPath, debugDescription: "JSON has no number \(value)"))
    }
    put(.number(value))
  }
  func encode(_ value: Float) throws { try encode(Double(value)) }
  func encode<Number: FixedWidthInteger & Encodable>(_ value: Number) throws {
    guard let whole = Int64(exactly: value) else {
      throw EncodingError.invalidValue(value, .init(codingPath: codingPath, debugDescription: "\(value) does not fit 64 bits with a sign"))
    }
    put(.integer(whole))
  }
  func encode<Value: Encodable>(_ value: Value) throws {
    if let json = value as? JSON { return put(json) }
    try value.encode(to: self)
  }
}

private struct JSONMembersWriting<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let node: JSONNode
  let codingPath: [any CodingKey]

  private func place(_ key: any CodingKey) -> JSONWriting {
    JSONWriting(node: node.member(key.stringValue), codingPath: codingPath + [key])
  }

  func encodeNil(forKey key: Key) { place(key).encodeNil() }
  func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws { try place(key).encode(value) }
  func nestedContainer<Inner: CodingKey>(keyedBy type: Inner.Type, forKey key: Key) -> KeyedEncodingContainer<Inner> {
    place(key).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { place(key).unkeyedContainer() }
  func superEncoder() -> any Encoder { place(JSONKey.parent) }
  func superEncoder(forKey key: Key) -> any Encoder { place(key) }
}

private struct JSONElementsWriting: UnkeyedEncodingContainer {
  let node: JSONNode
  let codingPath: [any CodingKey]
  var count: Int { node.count }

  private func place() -> JSONWriting {
    let path = codingPath + [JSONKey(intValue: node.count)]
    return JSONWriting(node: node.element(), codingPath: path)
  }

  func encodeNil() { place().encodeNil() }
  func encode<Value: Encodable>(_ value: Value) throws { try place().encode(value) }
  func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> { place().container(keyedBy: type) }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { place().unkeyedContainer() }
  func superEncoder() -> any Encoder { place() }
}
