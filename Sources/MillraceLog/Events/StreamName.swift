/// The name of a stream: 1 to `EventLimits.streamName` bytes of UTF-8 without control characters, such as `order-17`.
///
/// What stands before the first `-` is its category: `order`. A name without one is a category of its own.
public struct StreamName: Hashable, Sendable, CustomStringConvertible {
  public let description: String

  /// Throws `EventStoreError.invalid` with what is wrong.
  public init(_ text: String) throws(EventStoreError) {
    let utf8 = text.utf8
    guard 1...EventLimits.streamName ~= utf8.count else {
      throw .invalid("a stream's name has 1 to \(EventLimits.streamName) bytes, this one \(utf8.count)")
    }
    if utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { throw .invalid("a stream's name has no control characters") }
    description = text
  }

  /// What stands before the first `-`, or all of it.
  public var category: String { description.firstIndex(of: "-").map { String(description[..<$0]) } ?? description }
}
