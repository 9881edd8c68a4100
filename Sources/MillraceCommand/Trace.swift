internal import Millrace

/// What a recorded trace promises for its replay: the makespan it had, and the most that a replay may take.
struct Trace {
  static let scaleSetting = "replay.time-scale"

  /// Replayed seconds for each recorded one.
  var timeScale: Double
  /// Recorded seconds of each task, times `timeScale`.
  var durations: [Double]
  /// Whether a task holds a slot only; else it holds a thread as well.
  var waits: Bool

  /// nil if the definition is no import.
  init?(_ definition: Definition, timeScale: Double?, waits: Bool) {
    guard definition.recordedMakespanSeconds != nil || definition.tasks.contains(where: { $0.recordedSeconds != nil }) else { return nil }
    let scale = timeScale ?? 1
    self.timeScale = scale
    durations = (definition.tasks + definition.cleanup).map { ($0.recordedSeconds ?? 0) * scale }
    self.waits = waits
  }

  /// How many tasks may be in progress at once.
  func machines(_ record: RunRecord) -> Int { max(1, waits ? record.slots : min(record.slots, record.threads)) }

  /// Graham's bound in seconds, from the recorded durations.
  func bound(_ record: RunRecord) -> Double {
    Bound.graham(durations: durations, dependencies: record.tasks.map(\.dependencies), slots: machines(record)).bound
  }
}
