/// Why a text is not JSON that this program accepts, and where.
public struct JSONSyntaxError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What is wrong.
  public let message: String
  /// What to do about it.
  public let fix: String
  /// From 1.
  public let line: Int
  /// From 1, in characters (Unicode scalars).
  public let column: Int

  public var description: String { "line \(line), column \(column): \(message); \(fix)" }
}

extension JSON {
  /// Longest text that is parsed: 64 MiB.
  public static let maximumBytes = 64 << 20
  /// Deepest nesting of arrays and objects that is parsed.
  public static let maximumDepth = 64

  /// Parses one JSON text, strictly as RFC 8259 says: UTF-8 without byte order mark, no comments, no trailing commas, no lone surrogates. A member
  /// name that occurs twice in an object is refused. An integral number that fits 64 bits becomes `.integer`, any other `.number`.
  /// Complexity: O(bytes).
  public init(parsing bytes: [UInt8]) throws(JSONSyntaxError) {
    var parser = JSONParser<JSON>(bytes)
    self = try parser.document()
  }

  /// The same for a text: its UTF-8 is parsed.
  public init(parsing text: String) throws(JSONSyntaxError) {
    try self.init(parsing: Array(text.utf8))
  }
}
