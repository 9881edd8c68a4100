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
  /// Fires that are neither passed over nor known to have been started; those that are filled in are not among them.
  private var owed: Set<UTCTime> = []

  package init(overlap: Schedule.Overlap) { self.overlap = overlap }

  package var waitingCount: Int { waiting.count - head + (replacement == nil ? 0 : 1) }

  /// Runs that another process has started go on: `ended` is owed for each.
  package mutating func adopt(_ runs: Int) { active += runs }

  /// A fire that is on time.
  package mutating func offer(_ fire: UTCTime) -> [Action] {
    owed.insert(fire)
    if active == 0, waitingCount == 0 || overlap == .allow { return [start(fire)] }
    switch overlap {
    case .allow: return [start(fire)]
    case .queue: append(fire)
    case .skip: passOver(fire)
    case .cancel:
      if let replacement { passOver(replacement) }
      replacement = fire
      return [.cancelRuns]
    }
    return []
  }

  /// A fire that was missed, or is filled in: these start one after the other, whatever the policy does with fires that are on time, but for `allow`.
  package mutating func makeUp(_ fire: UTCTime, isFilled: Bool = false) -> [Action] {
    if !isFilled { owed.insert(fire) }
    if overlap == .allow { return [start(fire)] }
    append(fire)
    return pump()
  }

  /// Up to here each fire is started or passed over, once that of `fire` is; `handled`: as far as they have been looked at. Complexity: O(fires that wait).
  package func followed(with fire: UTCTime, handled: UTCTime) -> UTCTime {
    let first = owed.filter { $0 != fire }.min()
    return first.map { min(UTCTime(seconds: $0.seconds - 1), handled) } ?? handled
  }

  /// It is not filled in, and not yet settled.
  package func owes(_ fire: UTCTime) -> Bool { owed.contains(fire) }

  /// Its run is started, or never will be.
  package mutating func settle(_ fire: UTCTime) { owed.remove(fire) }

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
    (waiting, head, replacement, owed) = ([], 0, nil, [])
  }

  private mutating func start(_ fire: UTCTime) -> Action {
    active += 1
    return .start(fire)
  }

  private mutating func append(_ fire: UTCTime) {
    if waiting.count - head < Schedule.maximumWaiting { waiting.append(fire) } else { passOver(fire) }
  }

  private mutating func passOver(_ fire: UTCTime) {
    passedOver += 1
    owed.remove(fire)
  }
}
