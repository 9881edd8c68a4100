internal import MillraceCore

/// How the attempts of a build went: counted when their runs end, while somebody compares two builds.
///
/// Durations are kept in steps of an eighth of their power of two, so that a percentile is too large by 12.5 % at most.
///
/// # Threads
/// Any.
package final class AttemptTally: @unchecked Sendable {
  /// What was counted up to a moment.
  package struct Sums: Sendable {
    package var runs = 0
    package var attempts = 0
    /// Failed and timed out.
    package var errors = 0
    fileprivate var steps = [UInt32](repeating: 0, count: AttemptTally.steps)

    package init() {}

    package var errorShare: Double { attempts == 0 ? 0 : Double(errors) / Double(attempts) }

    /// Nanoseconds in which 99 of 100 attempts ended; nil: there was none. Complexity: O(steps).
    package var p99: UInt64? {
      if attempts == 0 { return nil }
      var left = attempts / 100
      for step in stride(from: steps.count - 1, through: 0, by: -1) {
        if Int(steps[step]) > left { return AttemptTally.end(of: step) }
        left -= Int(steps[step])
      }
      return AttemptTally.end(of: 0)
    }

    fileprivate mutating func count(_ nanoseconds: UInt64, isError: Bool) {
      attempts += 1
      if isError { errors += 1 }
      steps[AttemptTally.step(nanoseconds)] &+= 1
    }
  }

  fileprivate static let steps = 64 * 8
  private let monitor = Monitor()
  private var sums = Sums()
  /// Attempts that began before are not counted: on the clock of the host.
  let begins: UInt64
  private let step: Int
  private let changed: @Sendable () -> Void

  /// `changed` is called for each `step`th run, on a worker, which it must not block.
  package init(begins: UInt64, tells step: Int, changed: @escaping @Sendable () -> Void) {
    (self.begins, self.step, self.changed) = (begins, step, changed)
  }

  deinit { monitor.deallocate() }

  package var sum: Sums { monitor.locked { sums } }

  fileprivate static func step(_ value: UInt64) -> Int {
    if value < 8 { return Int(value) }
    let top = 63 - value.leadingZeroBitCount
    return (top - 2) * 8 + Int(value >> UInt64(top - 3) & 7)
  }

  /// The largest value of a step.
  fileprivate static func end(of step: Int) -> UInt64 {
    if step < 16 { return UInt64(step) }
    let shift = UInt64(step / 8 - 1)
    return (UInt64(8 + step % 8) << shift) + (1 << shift) - 1
  }

  fileprivate func add(_ run: (inout Sums) -> Void) {
    let isTold = monitor.locked {
      sums.runs += 1
      run(&sums)
      return sums.runs % step == 0
    }
    if isTold { changed() }
  }
}

extension WorkflowRun {
  /// Counts the attempts of a run that has ended with whoever watches its builds. Complexity: O(tasks + items) where somebody does.
  func tallyAttempts() {
    for build in compiled.builds {
      guard let tally = build.watcher, entered >= tally.begins else { continue }
      tally.add { sums in count(build, &sums) }
    }
  }

  private func count(_ build: HandlerBuild, _ sums: inout AttemptTally.Sums) {
    let log = monitor.locked { self.log }
    for entry in log where entry.lane >= 0 && entry.status != .cancelled && isOf(build, entry.node) {
      sums.count(entry.end &- min(entry.start, entry.end), isError: entry.status == .failed || entry.status == .timedOut)
    }
    if let items {
      for item in 0..<items.count where items.records.attempts(item) == 1 && items.records.status(item) == .completed && isOf(build, 0) {
        let (start, end) = (items.records.start(item), items.records.end(item))
        sums.count(end &- min(start, end), isError: false)
      }
    } else {
      for node in 0..<UInt32(records.count) where records.status(node) == .completed && records.attempts(node) == 1 && isOf(build, node) {
        sums.count(records.end(node) &- min(records.start(node), records.end(node)), isError: false)
      }
    }
    for run in itemRuns { run.count(build, &sums) }
    cleanup?.count(build, &sums)
  }

  private func isOf(_ build: HandlerBuild, _ node: UInt32) -> Bool {
    compiled.handlers[Int(compiled.handlerOf[task(node)])].build === build
  }
}
