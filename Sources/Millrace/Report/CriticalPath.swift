public import MillraceWorkflow

/// The longest chain through a run as it happened: which tasks the end of the run waited for, and what the waiting was made of.
///
/// Found by walking back: from the task that finished last to the dependency of it that finished last, and so on to a task without
/// dependencies. A dependency that never started (a skipped one) stands for whatever finished last before it. Each moment of the run up to the
/// end of the chain is then either running (a task of the chain was in an attempt) or waiting (for a slot, or for a retry), so that
/// `length + waiting` is the end of the last task, and `length <= makespan`.
///
/// This is not the longest path by durations that `Bound` uses: that one is a property of the graph, this one of the schedule.
public struct CriticalPath: Sendable, Hashable {
  /// One task of the chain.
  public struct Step: Sendable, Hashable {
    /// Index into `RunRecord.tasks`.
    public var task: Int
    /// When the first attempt began, nanoseconds since the start of the run.
    public var start: UInt64
    /// When the last attempt ended, nanoseconds since the start of the run.
    public var end: UInt64
    /// Nanoseconds in attempts, after the end of the previous step.
    public var running: UInt64
    /// Nanoseconds from the end of the previous step (or the start of the run) in which no attempt of this task ran: queueing and waits
    /// before retries.
    public var waiting: UInt64
  }

  /// First to last; empty if nothing started.
  public var steps: [Step]
  /// Nanoseconds in which a task of the chain ran.
  public var length: UInt64
  /// Nanoseconds in which the next task of the chain waited.
  public var waiting: UInt64
  /// Length of the run, nanoseconds.
  public var makespan: UInt64

  /// `length` as part of `makespan`, 0 ... 1.
  public var share: Double { makespan == 0 ? 0 : Double(length) / Double(makespan) }

  /// - Complexity: O(tasks + dependencies + attempts)
  public init(_ record: RunRecord) {
    self.init(record, releasers: Releasers(record))
  }

  init(_ record: RunRecord, releasers: Releasers) {
    steps = []
    length = 0
    waiting = 0
    makespan = record.makespan
    var chain: [Int] = []
    var seen = Set<Int>()
    var current = releasers.last
    while let task = current, seen.insert(task).inserted {
      chain.append(task)
      current = releasers.of[task]
    }
    var clock: UInt64 = 0
    for task in chain.reversed() {
      guard let first = record.tasks[task].attempts.first else { continue }
      var step = Step(task: task, start: first.start, end: first.start, running: 0, waiting: 0)
      for attempt in record.tasks[task].attempts {
        // Clipped to the clock: should stamps of two threads disagree, no moment counts twice.
        let start = max(attempt.start, clock)
        let end = max(attempt.end ?? record.elapsed, start)
        step.waiting += start - clock
        step.running += end - start
        step.end = end
        clock = end
      }
      length += step.running
      waiting += step.waiting
      steps.append(step)
    }
  }
}

/// For each task, which dependency released it: the one that finished last.
struct Releasers {
  /// Index of the releasing task; nil for one without a dependency that ran.
  private(set) var of: [Int?]
  /// The task that finished last, the lowest index of several; nil if nothing started.
  private(set) var last: Int?

  /// - Complexity: O(tasks + dependencies + attempts), without recursion.
  init(_ record: RunRecord) {
    let tasks = record.tasks
    let ends: [UInt64?] = tasks.map { $0.attempts.last.map { $0.end ?? record.elapsed } }
    of = Array(repeating: nil, count: tasks.count)
    // Tasks that never started take the place of what finished last before them, so their own dependencies come first.
    var done = [Bool](repeating: false, count: tasks.count)
    var entered = done
    var stack: [Int] = []
    for root in tasks.indices where !done[root] {
      stack.append(root)
      while let task = stack.last {
        if !entered[task] {
          entered[task] = true
          for parent in tasks[task].dependencies where ends[parent] == nil && !entered[parent] { stack.append(parent) }
          if stack.last != task { continue }
        }
        stack.removeLast()
        if done[task] { continue }
        done[task] = true
        var latest: (task: Int, end: UInt64)?
        for parent in tasks[task].dependencies {
          guard let source = ends[parent] == nil ? of[parent] : parent, let end = ends[source] else { continue }
          if latest.map({ end > $0.end }) ?? true { latest = (source, end) }
        }
        of[task] = latest?.task
      }
    }
    var latest: UInt64 = 0
    for (task, end) in ends.enumerated() {
      guard let end, last == nil || end > latest else { continue }
      (last, latest) = (task, end)
    }
  }
}
