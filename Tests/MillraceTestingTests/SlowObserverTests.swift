import Millrace
import MillraceCore
import Testing

/// Threads wait at it until it is opened.
private final class Gate: @unchecked Sendable {
  private let monitor = Monitor()
  private var isOpen = false

  deinit { monitor.deallocate() }

  func open() {
    monitor.locked {
      isOpen = true
      monitor.broadcast(.ended)
    }
  }

  func pass() { monitor.locked { while !isOpen { monitor.wait(.ended) } } }
}

/// Hears of the runs of one workflow, and is slow to hear of the first attempt of one of its tasks.
private final class SlowObserver: EngineObserver {
  let witness = Witness()
  let workflow: String
  let task: String
  let (isHeld, goesOn) = (Gate(), Gate())

  init(_ workflow: String, holding task: String) { (self.workflow, self.task) = (workflow, task) }

  func runBegins(_ run: ObservedRun) -> (any RunObserver)? {
    run.workflow == workflow ? OfRun(self, witness.runBegins(run)!) : nil
  }

  struct OfRun: RunObserver {
    let observer: SlowObserver
    let told: any RunObserver

    init(_ observer: SlowObserver, _ told: any RunObserver) { (self.observer, self.told) = (observer, told) }

    func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)? {
      let made = told.attemptBegins(attempt)
      if attempt.task == observer.task, attempt.number == 1 {
        observer.isHeld.open()
        observer.goesOn.pass()
      }
      return made
    }

    func retryScheduled(_ attempt: ObservedAttempt, after wait: Duration) { told.retryScheduled(attempt, after: wait) }
    func taskEnded(_ task: String, handler: String, _ status: TaskStatus) { told.taskEnded(task, handler: handler, status) }
    func ended(_ status: WorkflowStatus, after elapsed: Duration) { told.ended(status, after: elapsed) }
    func refused(_ error: any Error) { told.refused(error) }
  }
}

@Suite struct SlowObserverTests {
  /// What a late attempt is part of.
  enum Shape: CaseIterable { case task, blocking, item }

  private func engine(_ observer: SlowObserver, isBlocking: Bool, _ called: @escaping @Sendable (Int) -> Void = { _ in }) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.observer = observer
    (configuration.threads, configuration.slots, configuration.capacity) = (2, 8, 1000)
    let engine = try Engine(configuration)
    try engine.register("fine") { _ in .empty }
    try engine.register("stays", blocking: isBlocking) { call in
      called(call.attempt)
      while !call.isCancelled {}
      return .empty
    }
    return engine
  }

  /// Runs whose only task times out, one after another: an earlier timeout has long been dealt with when they have ended.
  private func runs(_ count: Int, on engine: Engine) async throws {
    var workflow = Definition("other")
    workflow.task("late", handler: "stays", timeouts: Timeouts(startToClose: 1_000_000))
    for _ in 0..<count { #expect(await (try engine.start(workflow)).finished() == .failed) }
  }

  @Test(
    "a timeout that comes while an attempt's beginning is being told: its end, the retry, the task's end and all that is behind come after it",
    arguments: Shape.allCases)
  func order(_ shape: Shape) async throws {
    let late = shape == .item ? "a[0]" : "a"
    let observer = SlowObserver("held", holding: late)
    let engine = try engine(observer, isBlocking: shape == .blocking)
    var workflow = Definition("held", onFailure: .continue)
    let a = workflow.task(
      "a", handler: "stays", foreach: shape == .item ? .range(from: 0, to: 0) : nil, retry: RetryPolicy(attempts: 2, initial: 1000),
      timeouts: Timeouts(startToClose: 1_000_000))
    workflow.task("b", handler: "fine", dependencies: [a])
    workflow.cleanup("c", handler: "fine")
    let run = try engine.start(workflow)
    defer { observer.goesOn.open() }
    observer.isHeld.pass()
    try await runs(20, on: engine)
    #expect(observer.witness.lines == ["run held of 3", "\(late) 1 by stays"])
    #expect(run.status == .running)
    observer.goesOn.open()
    #expect(await run.finished() == .failed)
    #expect(
      observer.witness.lines.map { $0.split(separator: " ").prefix(3).joined(separator: " ") } == [
        "run held of", "\(late) 1 by", "\(late) 1 TIMED_OUT", "\(late) 1 again", "\(late) 2 by", "\(late) 2 TIMED_OUT",
        "a is \(shape == .item ? "FAILED" : "TIMED_OUT")",
        "b is SKIPPED", "c 1 by", "c 1 COMPLETED", "c is COMPLETED", "run is FAILED",
      ])
    #expect(observer.witness.faults == [] && observer.witness.unfinished == 0 && observer.witness.unfinishedRuns == 0)
    engine.shutdown()
  }

  @Test("the handler of an attempt that has ended while its beginning was being told is not called", arguments: [false, true])
  func handler(isBlocking: Bool) async throws {
    let observer = SlowObserver("held", holding: "a")
    let called = Witness()
    let engine = try engine(observer, isBlocking: isBlocking) { called.write("\($0)") }
    var workflow = Definition("held")
    workflow.task("a", handler: "stays", timeouts: Timeouts(startToClose: 1_000_000))
    let run = try engine.start(workflow)
    defer { observer.goesOn.open() }
    observer.isHeld.pass()
    try await runs(20, on: engine)
    let others = called.lines.count
    observer.goesOn.open()
    #expect(await run.finished() == .failed)
    engine.shutdown()
    #expect(called.lines.count == others)
    #expect(observer.witness.faults == [] && observer.witness.unfinished == 0)
  }

  @Test(
    "a run that is cancelled, and an engine that is shut down, while a late attempt's beginning is being told end in order",
    arguments: [false, true])
  func stops(byShutdown: Bool) async throws {
    let observer = SlowObserver("held", holding: "a")
    let engine = try engine(observer, isBlocking: false)
    let hour: UInt64 = 3_600_000_000_000
    var workflow = Definition("held", onFailure: .continue)
    let a = workflow.task(
      "a", handler: "stays", retry: RetryPolicy(attempts: 2, initial: hour, cap: hour), timeouts: Timeouts(startToClose: 1_000_000))
    workflow.task("b", handler: "fine", dependencies: [a])
    let run = try engine.start(workflow)
    defer { observer.goesOn.open() }
    observer.isHeld.pass()
    try await runs(20, on: engine)
    if byShutdown {
      let ends = Task.detached { engine.shutdown() }
      observer.goesOn.open()
      await ends.value
    } else {
      run.cancel()
      observer.goesOn.open()
    }
    #expect(await run.finished() == .cancelled)
    engine.shutdown()
    let lines = observer.witness.lines
    #expect(lines.prefix(2) == ["run held of 2", "a 1 by stays"] && lines[2].hasPrefix("a 1 TIMED_OUT"), "\(lines)")
    #expect(lines.last?.hasPrefix("run is CANCELLED") == true, "\(lines)")
    #expect(observer.witness.faults == [] && observer.witness.unfinished == 0 && observer.witness.unfinishedRuns == 0)
  }
}
