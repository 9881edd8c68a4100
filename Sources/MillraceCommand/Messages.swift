internal import Millrace
internal import Synchronization

/// Lines from plugins and the engine, kept until the thread that draws the progress prints them between two redraws.
///
/// # Threads
/// `add` from any; `take` from one.
final class Messages: Sendable {
  /// Lines that are kept; more are only counted.
  static let limit = 1_000

  private struct Kept {
    var lines: [String] = []
    var dropped = 0
  }

  private let kept = Mutex(Kept())

  func add(_ line: String) {
    kept.withLock { kept in
      if kept.lines.count < Self.limit { kept.lines.append(line) } else { kept.dropped += 1 }
    }
  }

  /// All lines since the last call.
  func take() -> [String] {
    let taken = kept.withLock { kept in
      let taken = kept
      kept = Kept()
      return taken
    }
    return taken.lines + (taken.dropped == 0 ? [] : ["and \(taken.dropped) more messages"])
  }
}
