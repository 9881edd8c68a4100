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
