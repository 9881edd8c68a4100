import CMillrace
import Dispatch
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// Measured by the handlers themselves.
@Suite struct LimitsTests {
  /// Some work that keeps a thread for a while, so that others come in if they may.
  private static func linger() { for _ in 0..<200 { millrace_yield() } }

  @Test("never more calls of a handler than its concurrency, in all runs together", arguments: [false, true])
  func handlerConcurrency(blocking: Bool) throws {
    let gauge = Gauge()
    let engine = try engine(slots: 8, threads: 4)
    try engine.register("limited", blocking: blocking, concurrency: 3) { _ in
      gauge.enter()
      Self.linger()
      gauge.leave()
      return .empty
    }
    var workflow = Definition("w")
    for i in 0..<100 { workflow.task("t\(i)", handler: "limited") }
    let runs = try (0..<3).map { _ in try engine.start(workflow) }
    for run in runs { #expect(run.wait() == .completed) }
    #expect(gauge.entries == 300)
    #expect(gauge.most <= 3)
    engine.shutdown()
  }

  @Test("runs share a concurrency key: never more of its tasks than the limit, and those without the key are not held up")
  func keys() throws {
    let inside = Gauge()
    let door = Door()
    let engine = try engine(slots: 8, threads: 4)
    try engine.register("keyed", blocking: true) { _ in
      inside.enter()
      if inside.entries == 1 { door.pass() }
      Self.linger()
      inside.leave()
      return .empty
    }
    try engine.register("free") { _ in .empty }
    var workflow = Definition("w")
    for i in 0..<50 { workflow.task("t\(i)", handler: "keyed", concurrencyKey: "database", concurrencyLimit: 1) }
    var other = Definition("free")
    for i in 0..<50 { other.task("t\(i)", handler: "free") }
    let runs = try (0..<3).map { _ in try engine.start(workflow) }
    #expect(door.wait(for: 1))
    // The key is taken, and its other tasks stand in line: that is no reason for others to wait.
    #expect(try engine.start(other).wait() == .completed)
    door.open()
    for run in runs { #expect(run.wait() == .completed) }
    #expect(inside.entries == 150)
    #expect(inside.most == 1)
    engine.shutdown()
  }

  @Test("weights, cancellations and timeouts in line: never more of a key than its limit, every run ends, and the key is given back")
  func weights() throws {
    let engine = try engine(slots: 6, threads: 3)
    let inside = Gauge()
    try engine.register("heavy") { call in
      let weight = try Int(call.input.integer!)
      for _ in 0..<weight { inside.enter() }
      for _ in 0..<weight { inside.leave() }
      return .empty
    }
    let prepared = try (0..<6).map { kind in
      var workflow = Definition("w", onFailure: .continue)
      for i in 0..<40 {
        let weight = 1 + (i + kind) % 4
        workflow.task(
          "t\(i)", handler: "heavy", input: .integer(Int64(weight)), priority: Priority(rawValue: UInt8(i / 4 % 4)),
          timeouts: kind % 2 == 0 ? Timeouts() : Timeouts(scheduleToStart: UInt64(1 + i) * 20_000), concurrencyKey: "k",
          concurrencyLimit: 4, concurrencyWeight: weight)
      }
      return try engine.prepare(workflow)
    }
    let lost = Gauge()
    DispatchQueue.concurrentPerform(iterations: 4) { thread in
      do {
        for round in 0..<10 {
          let runs = try (0..<5).map { try engine.start(prepared[($0 + thread + round) % prepared.count]) }
          for (i, run) in runs.enumerated() where (i + round) % 3 == 0 { run.cancel() }
          for run in runs where run.wait() == .running || !run.isAccounted() { lost.enter() }
        }
      } catch { Issue.record(error) }
    }
    #expect(lost.entries == 0)
    #expect(inside.most <= 4 && inside.inside == 0 && inside.entries > 0)
    // Late records of the line are gone as well: the heaviest gets its turn.
    #expect(try engine.start(prepared[0]).wait() == .completed)
    engine.shutdown()
  }

  @Test("never more tasks in progress than slots, blocking ones included")
  func slots() throws {
    let gauge = Gauge()
    let engine = try engine(slots: 5, threads: 2)
    let body: @Sendable (borrowing TaskCall) throws -> Payload = { _ in
      gauge.enter()
      Self.linger()
      gauge.leave()
      return .empty
    }
    try engine.register("blocking", blocking: true, body)
    try engine.register("quick", body)
    var workflow = Definition("w")
    for i in 0..<400 { workflow.task("t\(i)", handler: i % 3 == 0 ? "quick" : "blocking") }
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    #expect(gauge.entries == 400)
    #expect(gauge.most <= 5)
    engine.shutdown()
  }

  @Test("blocking handlers fill the slots beyond the threads, up to the last one")
  func slotsAreUsed() throws {
    let door = Door()
    let engine = try engine(slots: 6, threads: 2)
    try engine.register("blocking", blocking: true) { _ in
      door.pass()
      return .empty
    }
    var workflow = Definition("w")
    for i in 0..<20 { workflow.task("t\(i)", handler: "blocking") }
    let run = try engine.start(workflow)
    #expect(door.wait(for: 6))
    #expect(door.arrived == 6)
    #expect(run.progress().running == 6)
    door.open()
    #expect(run.wait() == .completed)
    engine.shutdown()
  }

  @Test("runs from several threads, ten times the capacity: as many start as fit; those refused start later, and each runs once")
  func overload() throws {
    let (door, gauge, started, refused) = (Door(), Gauge(), Gauge(), Gauge())
    let engine = try engine { $0.capacity = 1_000 }
    try engine.register("door") { _ in
      door.pass()
      gauge.enter()
      gauge.leave()
      return .empty
    }
    var workflow = Definition("w")
    for i in 0..<10 { workflow.task("t\(i)", handler: "door") }
    let prepared = try engine.prepare(workflow)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for _ in 0..<250 {
        do {
          _ = try engine.start(prepared)
          started.enter()
        } catch {
          if case SubmitError.full(limit: 1_000) = error { refused.enter() } else { Issue.record(error) }
        }
      }
    }
    #expect(started.entries == 100)
    #expect(refused.entries == 900)
    door.open()
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for _ in 0..<225 {
        while true {
          do {
            #expect(try engine.start(prepared).wait() == .completed)
            break
          } catch {
            guard case SubmitError.full = error else {
              Issue.record(error)
              break
            }
            millrace_yield()
          }
        }
      }
    }
    // Those that began first may end last.
    while gauge.entries < 10_000 { millrace_yield() }
    engine.shutdown()
    #expect(gauge.entries == 10_000)
  }

  @Test("a run beyond the engine's capacity is refused and leaves nothing behind; it fits when others have ended")
  func capacity() throws {
    let door = Door()
    let engine = try engine { $0.capacity = 1_000 }
    try engine.register("door") { _ in
      door.pass()
      return .empty
    }
    var workflow = Definition("w")
    for i in 0..<800 { workflow.task("t\(i)", handler: "door") }
    let first = try engine.start(workflow)
    #expect(throws: SubmitError.full(limit: 1_000)) { try engine.start(workflow) }
    door.open()
    #expect(first.wait() == .completed)
    // What a worker has settled is counted in lots: it gives the rest back when it has nothing to do.
    var second: WorkflowHandle?
    while second == nil {
      do { second = try engine.start(workflow) } catch SubmitError.full { millrace_yield() }
    }
    #expect(second?.wait() == .completed)
    engine.shutdown()
  }
}
