/// Which fire starts when, by the overlap policy: a value that says what is to be done.
package struct ScheduleQueue: Sendable, Hashable {
  package enum Action: Sendable, Hashable {
    /// Start a run; `ended` is owed for it.
    case start(UTCTime)
    /// Cancel the runs that go on.
    case cancelRuns
  }

  package let overlap: Schedule.Overlap
  /// Runs that were started and have not ended.
  package private(set) var active = 0
  /// Fires that were not started because of a run or for lack of room.
  package private(set) var passedOver = 0
  /// In order; those before `head` have gone.
  private var waiting: [UTCTime] = []
  private var head = 0
  /// What starts when the cancelled run has ended.
  private var replacement: UTCTime?

  package init(overlap: Schedule.Overlap) { self.overlap = overlap }

  package var waitingCount: Int { waiting.count - head + (replacement == nil ? 0 : 1) }

  /// Runs that another process has started go on: `ended` is owed for each.
  package mutating func adopt(_ runs: Int) { active += runs }

  /// A fire that is on time.
  package mutating func offer(_ fire: UTCTime) -> [Action] {
    if active == 0, waitingCount == 0 || overlap == .allow { return [start(fire)] }
    switch overlap {
    case .allow: return [start(fire)]
    case .queue: append(fire)
    case .skip: passedOver += 1
    case .cancel:
      if replacement != nil { passedOver += 1 }
      replacement = fire
      return [.cancelRuns]
    }
    return []
  }

  /// A fire that was missed, or is filled in: these start one after the other, whatever the policy does with fires that are on time, but for `allow`.
  package mutating func makeUp(_ fire: UTCTime) -> [Action] {
    if overlap == .allow { return [start(fire)] }
    append(fire)
    return pump()
  }

  /// A run has ended, or could not be started.
  package mutating func ended() -> [Action] {
    precondition(active > 0, "a run ended that was not started")
    active -= 1
    return pump()
  }

  /// A start was refused for now: the fire goes first when it is tried again.
  package mutating func putBack(_ fire: UTCTime) {
    precondition(active > 0, "a run was put back that was not started")
    active -= 1
    waiting.replaceSubrange(..<head, with: [fire])
    head = 0
  }

  /// Starts what may start now.
  package mutating func pump() -> [Action] {
    guard active == 0 else { return [] }
    if let fire = replacement {
      replacement = nil
      return [start(fire)]
    }
    guard head < waiting.count else { return [] }
    let fire = waiting[head]
    head += 1
    if head > 64, head * 2 > waiting.count {
      waiting.removeFirst(head)
      head = 0
    }
    return [start(fire)]
  }

  /// Nothing waits any more.
  package mutating func clear() {
    (waiting, head, replacement) = ([], 0, nil)
  }

  private mutating func start(_ fire: UTCTime) -> Action {
    active += 1
    return .start(fire)
  }

  private mutating func append(_ fire: UTCTime) {
    if waiting.count - head < Schedule.maximumWaiting { waiting.append(fire) } else { passedOver += 1 }
  }
}
