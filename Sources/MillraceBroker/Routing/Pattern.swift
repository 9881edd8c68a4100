/// A step from a node of the table to the next.
enum Step: Hashable {
  case word([UInt8])
  /// One word, whatever it is.
  case one
  /// Any number of words.
  case many
}

/// The way from an exchange to the node that a binding's target lies in.
struct Pattern: Hashable {
  let steps: [Step]

  /// Throws `RoutingError.key` or `.header`.
  init(_ kind: ExchangeKind, key: [UInt8], arguments: Headers) throws(RoutingError) {
    guard key.count <= RoutingKey.maxBytes else {
      throw .key(Pattern.shown(key), byte: RoutingKey.maxBytes + 1, "a key has \(RoutingKey.maxBytes) bytes at most, this one \(key.count)")
    }
    switch kind {
    case .direct: steps = [.word(key)]
    case .fanout: steps = []
    case .headers: steps = [.word(try HeaderFilter(arguments).encoded)]
    case .topic: steps = Pattern.words(key, UInt8(ascii: "."), one: UInt8(ascii: "*"))
    case .mqtt: steps = try Pattern.filter(key)
    }
  }

  static func shown(_ key: [UInt8]) -> String { String(decoding: key.prefix(RoutingKey.maxBytes), as: UTF8.self) }

  private static let hash = UInt8(ascii: "#")

  /// The empty key has no words.
  private static func words(_ key: [UInt8], _ separator: UInt8, one: UInt8) -> [Step] {
    if key.isEmpty { return [] }
    return key.split(separator: separator, omittingEmptySubsequences: false).map { word in
      if word.elementsEqual([one]) { return .one }
      return word.elementsEqual([hash]) ? .many : .word(Array(word))
    }
  }

  private static func filter(_ key: [UInt8]) throws(RoutingError) -> [Step] {
    if key.isEmpty { throw .key("", byte: 1, "an MQTT filter has 1 byte at least: '#' is all topics") }
    let plus = UInt8(ascii: "+")
    let slash = UInt8(ascii: "/")
    for (at, byte) in key.enumerated() {
      let isAlone = (at == 0 || key[at - 1] == slash) && (at == key.count - 1 || key[at + 1] == slash)
      switch byte {
      case 0: throw .key(shown(key), byte: at + 1, "an MQTT filter has no zero bytes")
      case plus where !isAlone: throw .key(shown(key), byte: at + 1, "'+' stands for a whole level: put '/' around it")
      case hash where !isAlone || at != key.count - 1:
        throw .key(shown(key), byte: at + 1, "'#' is the last level, by itself: put '/' before it")
      default: break
      }
    }
    return words(key, slash, one: plus)
  }
}

/// Topics that MQTT lets a client publish to.
enum Topic {
  /// The first byte (counted from 1) that a topic must not have. nil: it is one. unsafe: the bytes are read.
  @unsafe static func fault(_ key: UnsafeBufferPointer<UInt8>) -> Int? {
    if key.isEmpty { return 1 }
    for at in key.indices {
      let byte = unsafe key[at]
      if byte == 0 || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") { return at + 1 }
    }
    return nil
  }
}
