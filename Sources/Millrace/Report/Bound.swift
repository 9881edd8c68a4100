public import MillraceWorkflow

/// How long a run may take at most, if no slot ever idles beside a ready task.
///
/// Graham's bound for list scheduling of a dependency graph on `m` machines: whatever the order of the ready tasks,
/// makespan <= work / m + (1 - 1 / m) x critical path.
///
/// # Source
/// R. L. Graham, Bounds on Multiprocessing Timing Anomalies, SIAM Journal on Applied Mathematics 17 (1969).
public enum Bound {
  /// The bound for measured or recorded durations.
  ///
  /// `dependencies[i]` holds the indices of the tasks that must end before task i starts; naming one twice changes nothing.
  ///
  /// - Precondition: one list of dependencies for each duration, indices in range, no cycle, `slots` at least 1.
  /// - Returns: `work`: sum of all durations; `criticalPath`: the longest chain by durations; `bound`; all in seconds.
  /// - Complexity: O(tasks + dependencies), without recursion.
  public static func graham(durations: [Double], dependencies: [[Int]], slots: Int) -> (work: Double, criticalPath: Double, bound: Double) {
    precondition(durations.count == dependencies.count, "each task needs a duration and a list of dependencies")
    precondition(slots >= 1, "a run needs at least one slot")
    let count = durations.count
    // Successors in compressed rows: those of i are `successors[first[i] ..< first[i + 1]]`.
    var first = [Int](repeating: 0, count: count + 1)
    for list in dependencies { for parent in list { first[parent + 1] += 1 } }
    for index in 0..<count { first[index + 1] += first[index] }
    var successors = [Int](repeating: 0, count: first[count])
    var next = first
    for (child, list) in dependencies.enumerated() {
      for parent in list {
        successors[next[parent]] = child
        next[parent] += 1
      }
    }
    var missing = dependencies.map(\.count)
    var order = (0..<count).filter { missing[$0] == 0 }
    order.reserveCapacity(count)
    var start = [Double](repeating: 0, count: count)
    var work = 0.0
    var longest = 0.0
    var position = 0
    while position < order.count {
      let task = order[position]
      position += 1
      let end = start[task] + durations[task]
      work += durations[task]
      longest = max(longest, end)
      for child in successors[first[task]..<first[task + 1]] {
        start[child] = max(start[child], end)
        missing[child] -= 1
        if missing[child] == 0 { order.append(child) }
      }
    }
    precondition(order.count == count, "the dependencies form a cycle")
    let machines = Double(slots)
    return (work, longest, work / machines + (1 - 1 / machines) * longest)
  }

  /// The bound for a run as it was measured: what its attempts took, on the machines it could use.
  ///
  /// The duration of a task is the sum of its attempts; an attempt that still runs counts up to now. Waits before retries hold no slot and
  /// are not counted, nor are tasks that wait or run a child workflow, so a run with these may exceed the bound by its longest chain of such waits.
  ///
  /// The machines are the slots if all handlers completed asynchronously. Handlers that hold a thread may have to wait for one while slots are
  /// free: then they are no more than the worker threads, or the blocking threads, that ran something (see `Lanes`).
  ///
  /// - Complexity: O(tasks + dependencies + attempts x log attempts)
  public static func graham(of record: RunRecord) -> (work: Double, criticalPath: Double, bound: Double) {
    graham(of: record, machines: Lanes(record, limit: 0).machines)
  }

  static func graham(of record: RunRecord, machines: Int) -> (work: Double, criticalPath: Double, bound: Double) {
    let found = graham(
      durations: record.tasks.map { Double(record.work($0)) / 1e9 }, dependencies: record.tasks.map(\.dependencies), slots: machines)
    // A task whose items are summed up is as long as they took together; what they did counts as work.
    var summedUp = 0.0
    for task in record.tasks {
      if let items = task.items, !items.areListed { summedUp += Double(items.unlistedTime) / 1e9 - Double(record.busy(task)) / 1e9 }
    }
    let work = max(0, found.work + summedUp)
    let m = Double(machines)
    return summedUp == 0 ? found : (work, found.criticalPath, work / m + (1 - 1 / m) * found.criticalPath)
  }
}

extension RunRecord {
  /// Length of the run, nanoseconds: `elapsed`, or the end of the last attempt should that be later.
  var makespan: UInt64 {
    tasks.reduce(elapsed) { latest, task in task.attempts.reduce(latest) { max($0, $1.end ?? $1.start) } }
  }

  /// Nanoseconds that the attempts of a task took together; one that still runs counts up to now.
  /// 0 of a task whose items have records of their own: it only waits for them.
  func busy(_ task: TaskRecord) -> UInt64 {
    if task.items?.areListed == true { return 0 }
    return task.attempts.reduce(0) { $0 + duration($1) }
  }

  /// As `busy`; 0 for a task that held no slot meanwhile.
  func work(_ task: TaskRecord) -> UInt64 { task.isHeld ? 0 : busy(task) }

  /// Nanoseconds from the start of an attempt to its end, or up to now while it runs.
  func duration(_ attempt: AttemptRecord) -> UInt64 {
    let end = attempt.end ?? elapsed
    return end > attempt.start ? end - attempt.start : 0
  }

  /// Attempts of all tasks.
  package var attemptCount: Int { tasks.reduce(0) { $0 + $1.attempts.count + ($1.items?.unlistedAttempts ?? 0) } }

  /// How many tasks and items are in a status.
  public func count(_ status: TaskStatus) -> Int {
    tasks.reduce(0) { $0 + ($1.status == status ? 1 : 0) + ($1.items?.unlistedStatuses[status] ?? 0) }
  }
}
