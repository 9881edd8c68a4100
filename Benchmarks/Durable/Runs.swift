import CMillrace
import Millrace
import MillraceLog
import Synchronization

/// What is done again and again.
enum Work: String {
  /// A chain of ten empty steps.
  case chain = "durable"
  /// A chain of five steps, of which the last fails and the one before it has a compensation.
  case saga

  /// Of one run: calls of handlers, each recorded.
  var calls: Int { self == .chain ? 10 : 6 }
  /// Steps that a run is counted by.
  var steps: Int { self == .chain ? 10 : 5 }

  var definition: Definition {
    var before: [TaskReference] = []
    switch self {
    case .chain:
      var chain = Definition("chain")
      chain.durability = .log
      for step in 1...steps { before = [chain.task("step-\(step)", handler: "nothing", dependencies: before)] }
      return chain
    case .saga:
      var saga = Definition(saga: "order")
      saga.durability = .log
      for step in 1...steps {
        before = [
          saga.step(
            "step-\(step)", handler: step == steps ? "fail" : "nothing", dependencies: before,
            compensation: step == steps - 1 ? "nothing" : .notNeeded)
        ]
      }
      return saga
    }
  }
}

/// An engine whose durable runs do some work, each step recorded before the next one begins.
final class Runs: Sendable {
  private let log: EventLog
  private let engine: Engine
  private let work: Work
  private let workflow: PreparedWorkflow
  private let called: Counter
  /// Runs that are over as they should be.
  private let ended = Counter()

  /// What a reading of the log must find.
  var finished: (runs: Int, calls: Int) { (ended.value, called.value) }

  init(_ work: Work, _ log: EventLog) throws {
    self.log = log
    self.work = work
    var configuration = Engine.Configuration()
    configuration.store = log
    engine = try Engine(configuration)
    let called = Counter()
    self.called = called
    try engine.register("nothing") { _ in
      called.add()
      return .empty
    }
    try engine.register("fail") { _ in
      called.add()
      throw TaskFailure("bad", "the last step", isRetryable: false)
    }
    workflow = try engine.prepare(work.definition)
  }

  /// Runs `count` at a time until the time is over, once each before; waits for all.
  func measure(_ count: Int, seconds: Double) async throws -> Measured {
    _ = try await atATime(count, until: 0)
    let commits = log.commits
    let begin = millrace_monotonic()
    let times = try await atATime(count, until: begin + UInt64(seconds * 1e9))
    let elapsed = Double(millrace_monotonic() - begin) / 1e9
    return Measured(steps: work.steps, times: times.sorted(), seconds: elapsed, syncs: log.commits - commits)
  }

  /// What each run took, nanoseconds. Each of the `count` runs one at least.
  private func atATime(_ count: Int, until end: UInt64) async throws -> [UInt64] {
    try await withThrowingTaskGroup(of: [UInt64].self) { group in
      for _ in 0..<count { group.addTask { try await self.oneAfterTheOther(until: end) } }
      return try await group.reduce(into: []) { $0 += $1 }
    }
  }

  /// Throws unless it ends as it should.
  private func run() async throws {
    switch work {
    case .chain: _ = try await engine.run(workflow)
    case .saga:
      do { _ = try await engine.run(workflow) } catch let error as WorkflowError where error.result.saga == .compensated { return }
      throw Recorded.Difference(description: "a saga whose last step fails was not compensated")
    }
  }

  private func oneAfterTheOther(until end: UInt64) async throws -> [UInt64] {
    var times: [UInt64] = []
    var now = millrace_monotonic()
    repeat {
      try await run()
      ended.add()
      let then = millrace_monotonic()
      times.append(then - now)
      now = then
    } while now < end
    return times
  }

  func close() {
    engine.shutdown()
    log.close()
  }
}

final class Counter: Sendable {
  private let count = Atomic<Int>(0)

  func add() { count.add(1, ordering: .relaxed) }
  // Read when all that count have ended.
  var value: Int { count.load(ordering: .relaxed) }
}

/// Of the runs that were measured.
struct Measured {
  /// Of each.
  let steps: Int
  /// What each took, nanoseconds, ascending.
  let times: [UInt64]
  let seconds: Double
  /// Commits of the log meanwhile.
  let syncs: UInt64

  func members(_ found: Recorded) -> String {
    let records = times.count * found.events / found.runs
    var text =
      ",\"workflows\":\(times.count),\"steps\":\(times.count * steps),\"seconds\":\(seconds),\"syncs\":\(syncs),\"records\":\(records)"
    for (name, part) in [("p50_ns", 0.5), ("p99_ns", 0.99)] {
      // A percentile has 10 / (1 - p) samples at least.
      let isKnown = Double(times.count) * (1 - part) >= 10
      text += ",\"\(name)\":" + (isKnown ? "\(times[Int(Double(times.count) * part)])" : "null")
    }
    return text
  }
}
