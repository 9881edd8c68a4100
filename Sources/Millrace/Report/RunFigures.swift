import MillraceWorkflow

/// The figures of a run that summary and timeline show alike.
struct RunFigures {
  let makespan: UInt64
  let path: CriticalPath
  let releasers: Releasers
  /// Seconds; Graham's bound for the measured durations, see `Bound.graham(of:)`.
  let work: Double
  let bound: Double
  /// How many tasks the bound counts on, and how many could be in progress at once; see `Lanes`.
  let machines: Int
  let capacity: Int

  init(_ record: RunRecord) {
    makespan = record.makespan
    releasers = Releasers(record)
    path = CriticalPath(record, releasers: releasers)
    let lanes = Lanes(record, limit: 0)
    (machines, capacity) = (lanes.machines, lanes.capacity)
    let graham = Bound.graham(of: record, machines: machines)
    (work, bound) = (graham.work, graham.bound)
  }

  /// How many tasks were in progress on average.
  var parallelism: Double { makespan == 0 ? 0 : work / (Double(makespan) / 1e9) }

  /// `parallelism` as part of what was possible, 0 ... 1.
  var efficiency: Double { parallelism / Double(capacity) }
}

extension RunRecord {
  /// What is said of items without records of their own; nil: there are none.
  var unlistedItems: String? {
    let sums = tasks.compactMap(\.items).filter { !$0.areListed }
    if sums.isEmpty { return nil }
    let count = sums.reduce(0) { $0 + $1.count }
    let listed = sums.reduce(0) { $0 + $1.listed.count }
    return "\(Quantity.integer(count)) of \(Quantity.count(sums.count, "task")), of which \(Quantity.integer(listed)) are listed: "
      + "the first that failed, and the slowest"
  }

  /// Indices of the tasks whose attempts took longest together, longest first; those that never started are left out.
  func slowest(_ count: Int) -> [Int] {
    let started = tasks.indices.filter { !tasks[$0].attempts.isEmpty }.map { (task: $0, busy: busy(tasks[$0])) }
    return started.sorted { ($1.busy, $0.task) < ($0.busy, $1.task) }.prefix(count).map(\.task)
  }

  /// Indices of the tasks that failed or ran out of time.
  var failed: [Int] { tasks.indices.filter { tasks[$0].status == .failed || tasks[$0].status == .timedOut } }
}

extension TaskStatus {
  /// As a word of a sentence: `timed out`.
  var word: String { rawValue.lowercased().split(separator: "_").joined(separator: " ") }
}

extension RunRecord {
  /// `1,700 completed, 2 failed`: the statuses that occur, in the order of `TaskStatus`, completed first.
  package var countsInWords: String {
    let order: [TaskStatus] = [.completed, .failed, .timedOut, .skipped, .cancelled, .running, .pending]
    let words = order.compactMap { status in
      let count = self.count(status)
      return count == 0 ? nil : Quantity.integer(count) + " " + status.word
    }
    return words.isEmpty ? "none" : words.joined(separator: ", ")
  }
}
