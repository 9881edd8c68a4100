/// How much an engine has to do, counted without stopping it: the figures need not be of one moment.
public struct EngineLoad: Sendable, Hashable {
  /// Runs that are not over.
  public let runs: Int
  /// Tasks of all runs that are not over, those in progress among them; up to 128 more for each worker that is busy.
  public let tasks: Int
  /// Tasks in progress.
  public let slotsInUse: Int
  /// Tasks that may be in progress at once.
  public let slots: Int
}
