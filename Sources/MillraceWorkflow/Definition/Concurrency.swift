/// How many runs of an engine with one key go on at once.
public struct RunConcurrency: Sendable, Hashable {
  /// What a run does that comes when so many go on.
  public enum WhenFull: String, Sendable, Hashable, CaseIterable {
    /// It waits in line.
    case queue
    /// Those that came first are cancelled, and it begins when they have ended.
    case cancelOlder = "cancel_older"
    /// It is cancelled itself.
    case cancelNewer = "cancel_newer"
  }

  /// Runs with the same key count together, of whatever workflow; its expressions are over parameters. nil: the workflow's name.
  public var key: String?
  /// Runs of the key that may go on at once, 1 ... 1,000,000.
  public var limit: Int
  /// Of the run that comes: what those before it say does not matter.
  public var whenFull: WhenFull

  /// Without arguments one run of the workflow at a time, the others in line. Ranges are not checked here: `DefinitionChecker.check` does that.
  public init(key: String? = nil, limit: Int = 1, whenFull: WhenFull = .queue) {
    self.key = key
    self.limit = limit
    self.whenFull = whenFull
  }
}

/// How many attempts of tasks with one key start in a time.
public struct RateLimit: Sendable, Hashable {
  /// Smallest and largest `limit` and `burst`.
  public static let range = 1...1_000_000

  /// Tasks with the same key count together, in all runs of an engine; its expressions are over parameters.
  public var key: String
  /// At most so many starts in any time of `per`, and `burst` - 1 more after a pause.
  public var limit: Int
  /// Nanoseconds, 1 ... ten years.
  public var per: UInt64
  /// How many may start at once after a pause.
  public var burst: Int

  /// By default `limit` starts a second, with none made up for after a pause. Ranges are not checked here: `DefinitionChecker.check` does that.
  public init(key: String, limit: Int, per: UInt64 = 1_000_000_000, burst: Int = 1) {
    self.key = key
    self.limit = limit
    self.per = per
    self.burst = burst
  }
}

/// Keys of limits and rates: any text.
enum ConcurrencyKey {
  static let maximumBytes = 256
  static let fix = "use 1 to \(maximumBytes) bytes"

  static func isGood(_ key: String) -> Bool { 1...maximumBytes ~= key.utf8.count }
}
