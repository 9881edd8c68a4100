/// Why a result file was refused: what is wrong, where, and what to do.
public struct BenchResultError: Error, Sendable, Hashable, CustomStringConvertible {
  public var file: String
  public var message: String

  public var description: String { "\(file): \(message)" }
}

/// What is wrong inside a result, without the file's name.
struct ResultFault: Error {
  var message: String

  init(_ message: String) { self.message = message }

  init(at path: String, _ message: String) { self.message = path.isEmpty ? message : "\(path): \(message)" }
}
