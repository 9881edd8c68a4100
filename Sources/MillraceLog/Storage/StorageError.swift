/// What a storage could not do.
public struct StorageError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What was tried, such as `write`.
  public let call: String
  /// The file, within the storage; empty for the storage itself.
  public let file: String
  /// The system's errno value.
  public let code: Int32
  /// What the code means, or what else is wrong.
  public let text: String

  /// For storages.
  public init(_ call: String, _ file: String, code: Int32, _ text: String) {
    self.call = call
    self.file = file
    self.code = code
    self.text = text
  }

  public var description: String { "\(call)\(file.isEmpty ? "" : " " + file): \(text)" }
}
