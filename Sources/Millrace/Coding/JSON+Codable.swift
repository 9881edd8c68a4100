public import MillraceWorkflow

/// A JSON value as an input, an output, or a part of one: it stands for itself, in other formats as well.
extension JSON: Codable {
  public init(from decoder: any Decoder) throws {
    // A decoder does not tell what comes: each `try?` asks whether it is of that kind, and the last one throws.
    if let object = try? decoder.container(keyedBy: JSONKey.self) {
      self = .object(try object.allKeys.map { JSON.Member($0.stringValue, try object.decode(JSON.self, forKey: $0)) })
    } else if var array = try? decoder.unkeyedContainer() {
      var elements: [JSON] = []
      while !array.isAtEnd { elements.append(try array.decode(JSON.self)) }
      self = .array(elements)
    } else {
      let single = try decoder.singleValueContainer()
      if single.decodeNil() {
        self = .null
      } else if let flag = try? single.decode(Bool.self) {
        self = .bool(flag)
      } else if let whole = try? single.decode(Int64.self) {
        self = .integer(whole)
      } else if let number = try? single.decode(Double.self) {
        self = .number(number)
      } else {
        self = .string(try single.decode(String.self))
      }
    }
  }

  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .array(let elements):
      var array = encoder.unkeyedContainer()
      for element in elements { try array.encode(element) }
    case .object(let members):
      var object = encoder.container(keyedBy: JSONKey.self)
      for member in members { try object.encode(member.value, forKey: JSONKey(stringValue: member.name)) }
    case .null:
      var single = encoder.singleValueContainer()
      try single.encodeNil()
    case .bool(let flag): try JSON.encode(flag, encoder)
    case .integer(let whole): try JSON.encode(whole, encoder)
    case .number(let number): try JSON.encode(number, encoder)
    case .string(let text): try JSON.encode(text, encoder)
    }
  }

  private static func encode(_ value: some Encodable, _ encoder: any Encoder) throws {
    var single = encoder.singleValueContainer()
    try single.encode(value)
  }
}
