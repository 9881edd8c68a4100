import MillraceWorkflow

@testable import Millrace

/// Records of runs that never took place: a small list scheduler over a layered random graph, reproducible by its seed.
struct ReportRecords {
  var tasks = 150
  var threads = 4
  var slots = 16
  var blocking = 2
  /// Tasks in a thousand that fail at the first attempt; half of them for good.
  var failures = 40
  /// One task in ten waits without a thread.
  var asynchronous = true
  var seed: UInt64 = 1

  func record() -> RunRecord {
    var random = SplitMix(state: seed)
    var records: [TaskRecord] = []
    let handlers = ["debian/parse", "files/hash", "debian/stat", "shell/run", "debian/merge"]
    let layer = max(2, tasks / 8)
    for index in 0..<tasks {
      let depth = index / layer
      var dependencies: [Int] = []
      if depth > 0 {
        for _ in 0..<(1 + random.below(3)) { dependencies.append((depth - 1) * layer + random.below(layer)) }
        dependencies = Array(Set(dependencies)).sorted()
      }
      let isAsynchronous = asynchronous && random.below(10) == 0
      let handler =
        index == tasks - 1 ? "debian/report" : isAsynchronous ? "replay/wait" : handlers[(depth + random.below(2)) % handlers.count]
      if index == tasks - 1 { dependencies = Array(max(0, tasks - layer)..<(tasks - 1)) }
      records.append(
        TaskRecord(
          id: "\(handler.split(separator: "/")[1])-\(index)", handler: handler, priority: Priority.allCases[1 + random.below(2)],
          status: .pending,
          dependencies: dependencies, ready: nil, attempts: [], outputBytes: UInt64(random.below(100_000))))
    }
    var record = RunRecord(
      run: "0190b3a1-7c2e-7a10-9c55-1f2e3d4c5b6a", workflow: "package-census", status: .completed, slots: slots, threads: threads,
      order: "fifo",
      startedWall: 1_760_000_000_000_000_000, elapsed: 0, tasks: records)
    simulate(&record, &random)
    return record
  }

  /// Starts what is ready in order of readiness whenever a thread and a slot are free.
  private func simulate(_ record: inout RunRecord, _ random: inout SplitMix) {
    struct Running { var task: Int, end: UInt64, lane: Int, holdsThread: Bool }
    var missing = record.tasks.map(\.dependencies.count)
    var successors = [[Int]](repeating: [], count: record.tasks.count)
    for (child, task) in record.tasks.enumerated() { for parent in task.dependencies { successors[parent].append(child) } }
    var queue: [(at: UInt64, task: Int)] = missing.indices.filter { missing[$0] == 0 }.map { (0, $0) }
    for (_, task) in queue { record.tasks[task].ready = 0 }
    var running: [Running] = []
    var now: UInt64 = 0
    var nextAsynchronousLane = 0
    while !queue.isEmpty || !running.isEmpty {
      var freeLanes = Set(0..<threads + blocking)
      for other in running where other.holdsThread { freeLanes.remove(other.lane) }
      while running.count < slots,
        let index = queue.firstIndex(where: { candidate in
          let isBlocking = record.tasks[candidate.task].handler == "shell/run"
          return candidate.at <= now && freeLanes.contains { isBlocking == ($0 >= threads) }
        })
      {
        let task = queue.remove(at: index).task
        let handler = record.tasks[task].handler
        let holds = handler != "replay/wait"
        guard let lane = freeLanes.sorted().first(where: { (handler == "shell/run") == ($0 >= threads) }) else { break }
        if holds { freeLanes.remove(lane) } else { nextAsynchronousLane += 1 }
        let shape = random.below(20)
        let length = UInt64(2_000_000 + random.below(30_000_000) * (shape == 0 ? 12 : 1))
        let number = record.tasks[task].attempts.count + 1
        var attempt = AttemptRecord(number: number, status: .completed, start: now, end: now + length, lane: lane)
        if task != record.tasks.count - 1, random.below(1000) < failures * (number > 1 ? 10 : 1) {
          attempt.status = random.below(3) == 0 ? .timedOut : .failed
          attempt.errorType = attempt.status == .timedOut ? "start-to-close" : "not-found"
          attempt.message = attempt.status == .timedOut ? "took longer than 200 ms" : "/var/lib/dpkg/info/pkg-\(task).list: no such file"
        }
        record.tasks[task].attempts.append(attempt)
        running.append(Running(task: task, end: now + length, lane: lane, holdsThread: holds))
      }
      let nextQueued = running.count < slots ? queue.lazy.map(\.at).filter { $0 > now }.min() : nil
      guard let next = [running.lazy.map(\.end).min(), nextQueued].compactMap({ $0 }).min() else { break }
      now = next
      for done in running where done.end <= now {
        let attempt = record.tasks[done.task].attempts[record.tasks[done.task].attempts.count - 1]
        if attempt.status != .completed && attempt.number < 3 {
          queue.append((now + 20_000_000 * UInt64(attempt.number), done.task))
          continue
        }
        record.tasks[done.task].status = attempt.status
        if attempt.status != .completed {
          skip(successors[done.task], cause: record.tasks[done.task].id, &record, successors)
          continue
        }
        for child in successors[done.task] {
          missing[child] -= 1
          if missing[child] == 0 && record.tasks[child].status == .pending {
            record.tasks[child].ready = now
            queue.append((now, child))
          }
        }
      }
      running.removeAll { $0.end <= now }
    }
    record.elapsed = now
    if record.tasks.contains(where: { $0.status != .completed }) { record.status = .failed }
  }

  private func skip(_ list: [Int], cause: String, _ record: inout RunRecord, _ successors: [[Int]]) {
    var stack = list
    while let task = stack.popLast() {
      if record.tasks[task].status == .skipped { continue }
      record.tasks[task].status = .skipped
      record.tasks[task].cause = cause
      stack += successors[task]
    }
  }

  /// Three tasks on two workers, the second of which needed two attempts: small enough to compute by hand.
  ///
  /// ```
  /// worker 1   a [0 .. 2 s]   c [5 .. 9 s]
  /// worker 2   b [0.5 .. 1 s] failed, again [3 .. 5 s]
  /// ```
  static var small: RunRecord {
    let s: UInt64 = 1_000_000_000
    return RunRecord(
      run: "run-1", workflow: "small", status: .completed, slots: 2, threads: 2, order: "fifo", startedWall: 0, elapsed: 10 * s,
      tasks: [
        TaskRecord(
          id: "a", handler: "demo/work", priority: .normal, status: .completed, dependencies: [], ready: 0,
          attempts: [AttemptRecord(number: 1, status: .completed, start: 0, end: 2 * s, lane: 0)], outputBytes: 5),
        TaskRecord(
          id: "b", handler: "demo/fetch", priority: .high, status: .completed, dependencies: [], ready: 0,
          attempts: [
            AttemptRecord(number: 1, status: .failed, start: s / 2, end: s, lane: 1, errorType: "not-found", message: "no such page"),
            AttemptRecord(number: 2, status: .completed, start: 3 * s, end: 5 * s, lane: 1),
          ]),
        TaskRecord(
          id: "c", handler: "demo/work", priority: .normal, status: .completed, dependencies: [0, 1], ready: 5 * s,
          attempts: [AttemptRecord(number: 1, status: .completed, start: 5 * s, end: 9 * s, lane: 0)]),
      ])
  }
}

/// Sebastiano Vigna's SplitMix64: a seed, a sequence.
struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
