import CMillrace
import Dispatch
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// How many runs of a workflow go on at once, on real threads: measured by the handlers themselves.
@Suite("Lines of runs", .timeLimit(.minutes(5)))
struct RunLineTests {
  private static func workflow(_ handler: String, _ concurrency: RunConcurrency, cleanup: String? = nil) -> Definition {
    var workflow = Definition("w", parameters: [.init("target", fallback: "x")], concurrency: concurrency)
    workflow.task("t", handler: handler, input: "${params.target}")
    if let cleanup { workflow.cleanup("c", handler: cleanup) }
    return workflow
  }

  private static func door(_ engine: Engine) throws -> Door {
    let door = Door()
    try engine.register("door", blocking: true) { _ in
      door.pass()
      return .empty
    }
    try engine.register("fine") { _ in .empty }
    return door
  }

  @Test("a key with parameters: runs of one target wait for one another, others do not; the handle and its updates tell it")
  func parameters() async throws {
    let engine = try engine(slots: 4)
    let door = try Self.door(engine)
    let workflow = Self.workflow("door", RunConcurrency(key: "deploy-${params.target}"))
    let first = try engine.start(workflow, parameters: ["target": "a"])
    let second = try engine.start(workflow, parameters: ["target": "a"])
    let other = try engine.start(workflow, parameters: ["target": "b"])
    #expect(door.wait(for: 2))
    #expect([first, second, other].map(\.status) == [.running, .created, .running])
    #expect(second.waitsFor == RunWait(key: "deploy-a", holder: first.id, ahead: 0))
    var told: [Progress] = []
    for await progress in second.updates(every: .zero) {
      told.append(progress)
      door.open()
    }
    #expect(told.first?.status == .created && told.first?.waitsFor == RunWait(key: "deploy-a", holder: first.id, ahead: 0))
    #expect(told.last?.status == .completed)
    #expect(first.wait() == .completed && other.wait() == .completed)
    engine.shutdown()
  }

  @Test("runs of a version that drains begin when those of the other have ended, and then beside each other")
  func drains() throws {
    let engine = try engine(slots: 4)
    let door = try Self.door(engine)
    let version = { (number: Int) in
      var workflow = Definition("w", version: number, versionPolicy: .drain)
      workflow.task("t", handler: "door")
      return workflow
    }
    let old = try (0..<2).map { _ in try engine.start(version(1)) }
    let new = try (0..<2).map { _ in try engine.start(version(2)) }
    #expect(door.wait(for: 2))
    #expect((old + new).map(\.status) == [.running, .running, .created, .created])
    #expect(new[1].waitsFor == RunWait(key: "w", holder: old[0].id, ahead: 1))
    door.open()
    #expect((old + new).map { $0.wait() } == [.completed, .completed, .completed, .completed])
    #expect(new.allSatisfy { run in old.allSatisfy { run.record().startedWall >= $0.record().startedWall } } && engine.waitingRuns == 0)
    engine.shutdown()
  }

  @Test("run awaits a run that waits; cancelling the Swift task takes it out of the line; what was cancelled for another's sake says so")
  func awaited() async throws {
    let engine = try engine(slots: 4)
    let door = try Self.door(engine)
    let prepared = try engine.prepare(Self.workflow("door", RunConcurrency(key: "k")))
    let first = try engine.start(prepared)
    let waiting = Task { try await engine.run(prepared) }
    #expect(await eventually { engine.waitingRuns == 1 })
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    let refused = await #expect(throws: WorkflowError.self) {
      try await engine.run(Self.workflow("door", RunConcurrency(key: "k", whenFull: .cancelNewer)))
    }
    #expect(refused?.description.contains("run \(first.id) has the key 'k'") == true)
    door.open()
    #expect(first.wait() == .completed)
    #expect(try await engine.run(prepared).status == .completed)
    engine.shutdown()
  }

  @Test("drain lets those that wait have their turn, and takes no more")
  func drain() async throws {
    let engine = try engine(slots: 4)
    let door = try Self.door(engine)
    let prepared = try engine.prepare(Self.workflow("door", RunConcurrency(key: "k"), cleanup: "fine"))
    let runs = try (0..<5).map { _ in try engine.start(prepared) }
    let drained = Task { await engine.drain(timeout: .seconds(60)) }
    // From here on it is closed.
    while (try? engine.prepare(Self.workflow("fine", RunConcurrency()))) != nil { await Task.yield() }
    door.open()
    #expect(await drained.value)
    #expect(runs.allSatisfy { $0.status == .completed })
  }

  @Test("shutdown ends those that wait, whether the one before them ends or not", arguments: [false, true])
  func shutdown(isOpen: Bool) throws {
    let engine = try engine(slots: 4)
    let cancelled = Gauge()
    try engine.register("waits", blocking: true) { call in
      while !call.isCancelled, !isOpen { millrace_yield() }
      cancelled.enter()
      return .empty
    }
    let prepared = try engine.prepare(Self.workflow("waits", RunConcurrency(key: "k")))
    let runs = try (0..<50).map { _ in try engine.start(prepared) }
    engine.shutdown()
    for run in runs { #expect(run.status == .cancelled || run.status == .completed) }
    #expect(runs.allSatisfy { $0.isAccounted() })
    if !isOpen { #expect(cancelled.entries <= 1) }
  }

  /// A seed's draws. (Steele, Lea and Flood, "SplitMix", 2014.)
  private struct Draw {
    var state: UInt64
    mutating func next(_ below: UInt64) -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return (z ^ (z >> 31)) % below
    }
  }

  @Test("runs from four threads, cancelled at random: never more of a key than its limit, and every run gets its end")
  func stress() throws {
    let engine = try engine(slots: 4, threads: 2)
    let gauges = (0..<3).map { _ in Gauge() }
    try engine.register("enter") { call in
      gauges[Int(try call.input.string!)!].enter()
      return .empty
    }
    try engine.register("leave") { call in
      gauges[Int(try call.input.string!)!].leave()
      return .empty
    }
    let choices: [RunConcurrency.WhenFull] = [.queue, .queue, .cancelOlder, .cancelNewer]
    let prepared = try (0..<3).flatMap { key in
      try choices.map { choice in
        var workflow = Definition("w", concurrency: RunConcurrency(key: "k\(key)", limit: key + 1, whenFull: choice))
        let entered = workflow.task("enter", handler: "enter", input: .string("\(key)"))
        workflow.task("work", handler: "enter", dependencies: [entered], input: .string("\(key)"), when: "${run.id == 'x'}")
        // Whatever becomes of the rest: who came in goes out.
        workflow.cleanup("leave", handler: "leave", input: .string("\(key)"), when: "${tasks.enter.status == 'COMPLETED'}")
        return try engine.prepare(workflow)
      }
    }
    let all = Runs()
    DispatchQueue.concurrentPerform(iterations: 4) { thread in
      var draw = Draw(state: UInt64(thread))
      for _ in 0..<300 {
        do {
          let run = try engine.start(prepared[Int(draw.next(UInt64(prepared.count)))])
          all.append(run)
          if draw.next(4) == 0 { all.any(draw.next(1 << 20))?.cancel() }
          if draw.next(8) == 0 { _ = run.wait() }
        } catch { Issue.record(error) }
      }
    }
    for run in all.runs { #expect(run.wait() != .running) }
    #expect(all.runs.count == 1_200)
    for (key, gauge) in gauges.enumerated() {
      #expect(gauge.most <= key + 1 && gauge.entries > 0)
      #expect(gauge.inside == 0)
    }
    engine.shutdown()
    #expect(all.runs.allSatisfy { $0.isAccounted() && $0.waitsFor == nil })
    #expect(all.runs.contains { $0.reason != nil })
  }

  private final class Runs: @unchecked Sendable {
    private let monitor = Monitor()
    private var list: [WorkflowHandle] = []
    deinit { monitor.deallocate() }
    func append(_ run: WorkflowHandle) { monitor.locked { list.append(run) } }
    func any(_ number: UInt64) -> WorkflowHandle? { monitor.locked { list.isEmpty ? nil : list[Int(number) % list.count] } }
    var runs: [WorkflowHandle] { monitor.locked { list } }
  }
}
