/// Why nothing could be measured: what was wrong and what to do.
public enum BenchError: Error, Sendable, Hashable, CustomStringConvertible {
  /// An argument that cannot be.
  case wrongUse(String)
  /// A definition or a plugin that is none.
  case badData(String)
  /// A part that is not there.
  case missing(String)
  /// The machine refused for now.
  case tryAgain(String)
  /// The subject does not work.
  case failed(String)
  /// Requests of a round did not end: nothing more can be measured, but what was complete before is.
  case hung(String)

  public var description: String {
    switch self {
    case .wrongUse(let text), .badData(let text), .missing(let text), .tryAgain(let text), .failed(let text), .hung(let text): text
    }
  }
}
