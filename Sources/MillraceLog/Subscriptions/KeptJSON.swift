/// The JSON that groups and projections keep in the store: numbers, texts, lists and objects. Total on any bytes.
indirect enum KeptJSON: Equatable {
  case number(UInt64)
  case text(String)
  case list([KeptJSON])
  case object([String: KeptJSON])

  static let depth = 8

  var number: UInt64? { if case .number(let value) = self { value } else { nil } }
  var text: String? { if case .text(let value) = self { value } else { nil } }
  var list: [KeptJSON]? { if case .list(let value) = self { value } else { nil } }
  var object: [String: KeptJSON]? { if case .object(let value) = self { value } else { nil } }

  /// Members in the order of their names.
  var bytes: [UInt8] {
    var out: [UInt8] = []
    write(to: &out)
    return out
  }

  private func write(to out: inout [UInt8]) {
    switch self {
    case .number(let value): out += String(value).utf8
    case .text(let value): Self.write(value, to: &out)
    case .list(let values):
      out.append(UInt8(ascii: "["))
      for (index, value) in values.enumerated() {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        value.write(to: &out)
      }
      out.append(UInt8(ascii: "]"))
    case .object(let members):
      out.append(UInt8(ascii: "{"))
      for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &out)
        out.append(UInt8(ascii: ":"))
        member.value.write(to: &out)
      }
      out.append(UInt8(ascii: "}"))
    }
  }

  private static func write(_ text: String, to out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
      case 0..<0x20:
        let digits = Array("0123456789abcdef".utf8)
        out += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: out.append(byte)
      }
    }
    out.append(UInt8(ascii: "\""))
  }

  /// nil: it is not such JSON.
  init?(_ bytes: [UInt8]) {
    var reader = Reader(bytes: bytes)
    guard let value = reader.value(depth: Self.depth), reader.isAtEnd else { return nil }
    self = value
  }

  private struct Reader {
    let bytes: [UInt8]
    var place = 0

    var isAtEnd: Bool {
      mutating get {
        skipSpace()
        return place == bytes.count
      }
    }

    private mutating func skipSpace() {
      while place < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[place]) { place += 1 }
    }

    /// Passes over `byte` if it comes next.
    private mutating func take(_ byte: UInt8) -> Bool {
      skipSpace()
      guard place < bytes.count, bytes[place] == byte else { return false }
      place += 1
      return true
    }

    mutating func value(depth: Int) -> KeptJSON? {
      if depth == 0 { return nil }
      if take(UInt8(ascii: "{")) { return object(depth) }
      if take(UInt8(ascii: "[")) { return list(depth) }
      if take(UInt8(ascii: "\"")) { return text().map { .text($0) } }
      return number()
    }

    private mutating func number() -> KeptJSON? {
      let start = place
      while place < bytes.count, UInt8(ascii: "0")...UInt8(ascii: "9") ~= bytes[place] { place += 1 }
      return UInt64(String(decoding: bytes[start..<place], as: UTF8.self)).map { .number($0) }
    }

    private mutating func list(_ depth: Int) -> KeptJSON? {
      var values: [KeptJSON] = []
      if take(UInt8(ascii: "]")) { return .list([]) }
      repeat {
        guard let value = value(depth: depth - 1) else { return nil }
        values.append(value)
      } while take(UInt8(ascii: ","))
      return take(UInt8(ascii: "]")) ? .list(values) : nil
    }

    private mutating func object(_ depth: Int) -> KeptJSON? {
      var members: [String: KeptJSON] = [:]
      if take(UInt8(ascii: "}")) { return .object([:]) }
      repeat {
        guard take(UInt8(ascii: "\"")), let name = text(), take(UInt8(ascii: ":")), let value = value(depth: depth - 1) else { return nil }
        guard members.updateValue(value, forKey: name) == nil else { return nil }
      } while take(UInt8(ascii: ","))
      return take(UInt8(ascii: "}")) ? .object(members) : nil
    }

    /// After the quote. Of escapes those that are written here.
    private mutating func text() -> String? {
      var out: [UInt8] = []
      while place < bytes.count {
        let byte = bytes[place]
        place += 1
        switch byte {
        case UInt8(ascii: "\""): return String(validating: out, as: UTF8.self)
        case UInt8(ascii: "\\"):
          guard let escaped = escape() else { return nil }
          out.append(escaped)
        case 0..<0x20: return nil
        default: out.append(byte)
        }
      }
      return nil
    }

    private mutating func escape() -> UInt8? {
      guard place < bytes.count else { return nil }
      let byte = bytes[place]
      place += 1
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return byte
      case UInt8(ascii: "u"):
        guard place + 4 <= bytes.count else { return nil }
        defer { place += 4 }
        let code = bytes[place..<place + 4].reduce(UInt32?.some(0)) { code, digit in
          guard let code, digit < 128, let value = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
          return code << 4 | UInt32(value)
        }
        return code.flatMap { $0 < 0x80 ? UInt8($0) : nil }
      default: return nil
      }
    }
  }
}

/// What is wrong with what was kept.
struct KeptFault: Error {
  var text: String

  init(_ text: String) { self.text = text }
}

extension SubscriptionSource {
  var kept: KeptJSON {
    var members: [String: KeptJSON] =
      switch scope {
      case .stream(let name): ["stream": .text(name.description)]
      case .category(let category): ["category": .text(category)]
      case .all: [:]
      }
    if let tenant { members["tenant"] = .text(tenant) }
    return .object(members)
  }

  init?(kept members: [String: KeptJSON]) {
    var scope = ReadRequest.Scope.all
    if let text = members["stream"] {
      guard let text = text.text, let name = try? StreamName(text) else { return nil }
      scope = .stream(name)
    } else if let text = members["category"] {
      guard let category = text.text else { return nil }
      scope = .category(category)
    }
    self.init(scope)
    guard let tenant = members["tenant"] else { return }
    guard let text = tenant.text else { return nil }
    self.tenant = text
  }
}
