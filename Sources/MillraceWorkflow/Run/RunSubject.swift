package import CMillrace

/// What a run of one task is about, in memory that is not the run's: a message. Its tasks read it as their input 0, where it lies.
package protocol RunSubject: AnyObject, Sendable {
  /// unsafe: valid as long as this object.
  @unsafe var input: (bytes: UnsafeRawBufferPointer, contentType: UInt32) { get }

  /// What it says of itself, for handlers of C. unsafe: its texts are valid as long as this object.
  @unsafe var delivery: millrace_delivery { get }

  /// A header of it, for handlers of C; nil: there is none of that number. unsafe: as `delivery`.
  @unsafe func header(_ index: Int) -> (name: UnsafePointer<CChar>, value: UnsafePointer<CChar>?)?

  /// Nobody has tried before.
  var isNew: Bool { get }

  /// An attempt ended without an output: before the run ends. Any thread of the engine.
  func attemptFailed(_ failure: RunFailure)
}

/// How an attempt failed, as its handler or the engine said.
package struct RunFailure: Sendable {
  package enum Kind: Sendable {
    /// Another attempt may cure it; a timeout too.
    case retryable
    /// No attempt can.
    case final
    /// It was stopped, and nothing failed.
    case cancelled
    /// A breaker did not let it begin: to be tried again after `retryAfter`. What is told after it does not count.
    case parked
  }

  package let kind: Kind
  /// Nanoseconds; 0: as whoever tries again likes.
  package let retryAfter: UInt64
  package let type: String
  package let message: String
}
