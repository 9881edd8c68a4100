import CMillrace
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// What embedders do: watch, wait, many runs at once, letting go early, shutting down in the middle.
@Suite struct EngineLifeTests {
  private func chain(_ count: Int, handler: String = "fine") -> Definition {
    var workflow = Definition("chain")
    var before: [TaskReference] = []
    for i in 0..<count { before = [workflow.task("t\(i)", handler: handler, dependencies: before)] }
    return workflow
  }

  @Test("outputs reach dependents where they lie: the address of the input is the address of the output that was claimed")
  func withoutCopy() throws {
    let engine = try engine()
    try engine.register("make") { _ in Payload(Array(repeating: 7, count: 100_000)) }
    let addresses = Gauge()
    let seen = Addresses()
    try engine.register("look") { call in
      unsafe call.withInput(1) { seen.insert(UInt(bitPattern: $0.baseAddress)) }
      addresses.enter()
      return .empty
    }
    var workflow = Definition("w")
    let make = workflow.task("make", handler: "make")
    for i in 0..<20 { workflow.task("look\(i)", handler: "look", dependencies: [make]) }
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    #expect(addresses.entries == 20)
    #expect(seen.all.count == 1)
    #expect(seen.all.first != 0)
    engine.shutdown()
  }

  @Test("who asks to be called when a run has ended is called once, with its status, before or after the end")
  func whenFinished() throws {
    let door = Door()
    let calls = Gauge()
    let engine = try engine()
    try engine.register("door") { _ in
      door.pass()
      return .empty
    }
    var workflow = Definition("w")
    workflow.task("door", handler: "door")
    let run = try engine.start(workflow)
    run.whenFinished { if $0 == .completed { calls.enter() } }
    #expect(calls.entries == 0)
    door.open()
    #expect(run.wait() == .completed)
    // Shut down, no worker is on its way any more.
    engine.shutdown()
    #expect(calls.entries == 1)
    run.whenFinished { if $0 == .completed { calls.enter() } }
    #expect(calls.entries == 2)
  }

  @Test("the stream of updates never goes back, and ends with the end of the run")
  func updates() async throws {
    let door = Door()
    let engine = try engine()
    try engine.register("fine") { _ in .empty }
    try engine.register("door") { _ in
      door.pass()
      return .empty
    }
    var workflow = chain(50)
    workflow.task("door", handler: "door", dependencies: [TaskReference.of("t49", in: workflow)])
    let run = try engine.start(workflow)
    var last: Progress?
    for await progress in run.updates {
      #expect(progress.finished >= last?.finished ?? 0)
      #expect(progress.running <= 2)
      last = progress
      if door.arrived == 1, progress.finished == 50 { door.open() }
    }
    #expect(last?.status == .completed)
    #expect(last?.completed == 51)
    #expect(last?.running == 0)
    // A stream of a run that is over has one value.
    var values = 0
    for await progress in run.updates {
      values += 1
      #expect(progress.status == .completed)
    }
    #expect(values == 1)
    #expect(await run.finished() == .completed)
    #expect(run.wait(nanoseconds: 0) == .completed)
    engine.shutdown()
  }

  @Test("a wait with a limit ends without a status while the run goes on")
  func limitedWait() throws {
    let door = Door()
    let engine = try engine()
    try engine.register("door") { _ in
      door.pass()
      return .empty
    }
    let run = try engine.start(chain(1, handler: "door"))
    #expect(run.wait(nanoseconds: 1) == nil)
    door.open()
    #expect(run.wait(nanoseconds: .max) == .completed)
    engine.shutdown()
  }

  @Test("a hundred runs from eight threads at once")
  func manyRuns() async throws {
    let engine = try engine()
    try engine.register("name") { call in .text(call.key) }
    let workflow = chain(20, handler: "name")
    let right = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          var right = 0
          for _ in 0..<13 {
            let run = try engine.start(workflow)
            guard await run.finished() == .completed else { continue }
            let keys = (0..<20).map { i in run.output(of: "t\(i)").map { String(decoding: $0, as: UTF8.self) } }
            if keys == (0..<20).map({ "\(run.id)/t\($0)" }) { right += 1 }
          }
          return right
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(right == 104)
    engine.shutdown()
  }

  @Test("shutting down cancels what goes on, waits for handlers, and ends every run; nothing can be started then")
  func shutdown() async throws {
    let door = Door()
    let engine = try engine(slots: 4)
    let asked = Gauge()
    try engine.register("fine") { _ in .empty }
    try engine.register("patient", blocking: true) { call in
      door.pass()
      while !call.isCancelled { millrace_yield() }
      asked.enter()
      throw CancellationError()
    }
    try engine.register("later") { _ in throw TaskFailure("later", "again", retryAfter: 3_600_000_000_000) }
    var workflow = Definition("w", onFailure: .continue)
    let patient = (0..<3).map { workflow.task("p\($0)", handler: "patient") }
    workflow.task("waits", handler: "later", retry: RetryPolicy())
    workflow.task("after", handler: "fine", dependencies: patient)
    let runs = try (0..<2).map { _ in try engine.start(workflow) }
    #expect(door.wait(for: 1))
    door.open()
    engine.shutdown()
    engine.shutdown()
    for run in runs {
      #expect(await run.finished() == .cancelled)
      #expect(run.wait() == .cancelled)
      #expect(run.isAccounted())
      #expect(run.accounts == [0, 0, 0, 5] || run.accounts[3] >= 3)
    }
    #expect(asked.entries >= 1)
    #expect(throws: EngineError.self) { try engine.start(workflow) }
    #expect(throws: EngineError.self) { try engine.register("more") { _ in .empty } }
  }

  @Test("a run whose handle is let go of runs to its end; an engine that nobody holds stops")
  func lettingGo() throws {
    let gauge = Gauge()
    let door = Door()
    var owner: Engine? = try engine()
    try owner!.register("count") { _ in
      gauge.enter()
      if gauge.entries == 100 { door.open() }
      return .empty
    }
    _ = try owner!.start(chain(100, handler: "count"))
    #expect(door.pass())
    #expect(gauge.entries == 100)
    weak let engine = owner
    owner = nil
    #expect(engine == nil)
  }

  @Test("an engine may be shut down, and let go of for the last time, by a handler of its own")
  func shutdownFromHandler() throws {
    for blocking in [false, true] {
      let holder = Holder()
      let done = Door()
      let ready = Door()
      holder.engine = try engine()
      try holder.engine!.register("end", blocking: blocking) { _ in
        ready.pass()
        holder.engine = nil
        done.open()
        return .empty
      }
      var run: WorkflowHandle? = try holder.engine!.start(chain(1, handler: "end"))
      #expect(ready.wait(for: 1))
      run = nil
      ready.open()
      #expect(done.pass())
      #expect(run == nil)
    }
    let engine = try engine()
    try engine.register("shutdown") { [weak engine] _ in
      engine?.shutdown()
      return .empty
    }
    let run = try engine.start(chain(1, handler: "shutdown"))
    #expect([.completed, .cancelled].contains(run.wait()))
  }

  @Test("many small runs leave the memory as it was (measured if MILLRACE_FULL says that no other test runs)")
  func memoryIsFlat() throws {
    let engine = try engine(slots: 8)
    try engine.register("fine") { call in call.attempt == 1 ? .text(call.key) : .empty }
    try engine.register("flaky", blocking: true) { call in
      if call.attempt == 1 { throw TaskFailure("flaky", "once", retryAfter: 1) }
      return .text(call.key)
    }
    var workflow = Definition("w")
    let first = workflow.task("a", handler: "flaky", retry: RetryPolicy())
    for i in 0..<20 {
      workflow.task("b\(i)", handler: i % 4 == 0 ? "flaky" : "fine", dependencies: [first], retry: RetryPolicy())
    }
    func rounds(_ count: Int) throws {
      for _ in 0..<count { #expect(try engine.start(workflow).wait() == .completed) }
    }
    try rounds(200)
    let before = residentBytes()
    try rounds(800)
    // 800 runs of 21 tasks: a lost attempt each would be 13 MiB, a lost run each more. Other tests that run beside this one take memory too.
    if isAlone { #expect(residentBytes() < before + 6 << 20) }
    engine.shutdown()
  }

  @Test("a handler that has stalled is reported by its task, once for each call")
  func stalled() throws {
    let texts = Texts()
    let engine = try engine {
      $0.stallAfter = 2_000_000
      $0.stalled = { text in
        texts.append(text)
      }
    }
    // Goes on until it has been reported.
    try engine.register("stall") { call in
      while !texts.all.contains(where: { $0.contains(call.key) }) && !call.isCancelled { millrace_yield() }
      return .empty
    }
    let runs = try (0..<3).map { _ in try engine.start(chain(2, handler: "stall")) }
    for run in runs { #expect(run.wait(nanoseconds: 60_000_000_000) == .completed) }
    engine.shutdown()
    for run in runs {
      for task in ["t0", "t1"] { #expect(texts.all.count { $0.contains("\(run.id)/\(task)") } == 1) }
    }
    #expect(texts.all.count == 6)
  }
}

private final class Holder: @unchecked Sendable { var engine: Engine? }

private final class Addresses: @unchecked Sendable {
  private let monitor = Monitor()
  private var seen: Set<UInt> = []
  deinit { monitor.deallocate() }
  func insert(_ address: UInt) { monitor.locked { _ = seen.insert(address) } }
  var all: Set<UInt> { monitor.locked { seen } }
}

private final class Texts: @unchecked Sendable {
  private let monitor = Monitor()
  private var texts: [String] = []
  deinit { monitor.deallocate() }
  func append(_ text: String) { monitor.locked { texts.append(text) } }
  var all: [String] { monitor.locked { texts } }
}

extension TaskReference {
  /// A reference to a task that was added before.
  fileprivate static func of(_ id: String, in workflow: Definition) -> TaskReference {
    var copy = workflow
    return copy.task(id, handler: "")
  }
}
