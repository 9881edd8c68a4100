/// The name of an exchange or a queue: 1 to 128 of `A-Z a-z 0-9 . _ -`.
public struct BrokerName: Hashable, Sendable, CustomStringConvertible {
  /// Most bytes of a name.
  public static let maxBytes = 128
  /// Names that begin with it belong to the system.
  public static let reserved = "millrace."

  public let description: String

  /// Throws `RoutingError.name` with what is wrong.
  public init(_ text: String) throws(RoutingError) {
    try self.init(system: text)
    if text.hasPrefix(BrokerName.reserved) { throw .name(text, "names that begin with '\(BrokerName.reserved)' are the system's") }
  }

  /// As `init(_:)`, with the system's own names.
  package init(system text: String) throws(RoutingError) {
    let bytes = text.utf8
    guard 1...BrokerName.maxBytes ~= bytes.count else {
      throw .name(text, "it has \(bytes.count) bytes: 1 to \(BrokerName.maxBytes) are allowed")
    }
    if let at = bytes.enumerated().first(where: { !BrokerName.isAllowed($0.element) }) {
      throw .name(text, "byte \(at.offset + 1) is none of A-Z a-z 0-9 . _ -")
    }
    description = text
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): true
    default: false
    }
  }
}
