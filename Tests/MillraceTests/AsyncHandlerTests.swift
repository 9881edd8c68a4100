import Millrace
import MillraceCore
import Testing

@Suite struct AsyncHandlerTests {
  /// Waits as a Swift task does, until it is cancelled.
  private static func waitForCancellation() async {
    let (stream, _) = AsyncStream<Void>.makeStream()
    // The stream never gives anything; cancellation ends it.
    for await _ in stream {}
  }

  @Test("asynchronous handlers that wait hold slots and no thread")
  func noThread() async throws {
    let engine = try engine(slots: 200, threads: 1)
    let begun = Gauge()
    let door = Door()
    try engine.register("waits") { (_: TaskContext) async in
      begun.enter()
      if begun.entries == 100 { door.open() }
      while !door.isPassable { await Task.yield() }
      return .empty
    }
    var workflow = Definition("w")
    for i in 0..<100 { workflow.task("t\(i)", handler: "waits") }
    let result = try await engine.run(workflow)
    #expect(result.status == .completed && begun.entries == 100)
    engine.shutdown()
  }

  @Test("cancelling the run cancels the Swift task, whether it waits or computes on the worker", arguments: ["waits", "computes"])
  func cancelled(handler: String) async throws {
    let engine = try engine()
    let begun = Door()
    begun.open()
    let told = Door()
    try engine.register("waits") { (_: TaskContext) async in
      begun.pass()
      await withTaskCancellationHandler {
        await Self.waitForCancellation()
      } onCancel: {
        told.open()
      }
      #expect(Task.isCancelled)
      return .empty
    }
    try engine.register("computes") { (context: TaskContext) async throws in
      begun.pass()
      while !Task.isCancelled {}
      #expect(context.isCancelled)
      told.open()
      try context.checkCancellation()
      return .empty
    }
    var workflow = Definition("w")
    workflow.task("t", handler: handler)
    let run = try engine.start(workflow)
    #expect(await begun.reached(1))
    run.cancel()
    #expect(await told.opened())
    #expect(await run.finished() == .cancelled)
    engine.shutdown()
  }

  @Test("a timeout ends the attempt and cancels its Swift task; the retry completes")
  func timedOut() async throws {
    let engine = try engine()
    let told = Door()
    try engine.register("slow-once") { (context: TaskContext) async in
      if context.attempt == 1 {
        #expect(context.timeRemaining != nil)
        await Self.waitForCancellation()
        #expect(context.isCancelled)
        told.open()
        return .text("late")
      }
      return .text("in time")
    }
    var workflow = Definition("w")
    workflow.task(
      "t", handler: "slow-once", retry: RetryPolicy(attempts: 2, initial: 1), timeouts: Timeouts(startToClose: 20_000_000))
    let result = try await engine.run(workflow)
    #expect(result.payload(of: "t") == .text("in time"))
    #expect(result.record().tasks[0].attempts.map(\.status) == [.timedOut, .completed])
    #expect(await told.opened())
    engine.shutdown()
  }

  @Test("cancelling the Swift task that awaits a run cancels the run")
  func cancelledCaller() async throws {
    let engine = try engine()
    let begun = Door()
    begun.open()
    try engine.register("waits") { (_: TaskContext) async in
      begun.pass()
      await Self.waitForCancellation()
      return .empty
    }
    let caller = Task { try await engine.run(Definition("w", tasks: [TaskDefinition("t", handler: "waits")])) }
    #expect(await begun.reached(1))
    caller.cancel()
    await #expect(throws: CancellationError.self) { try await caller.value }
    engine.shutdown()
  }

  @Test("handlers that are left when the engine shuts down are cancelled; what they say, and ask, then does no harm")
  func shutdown() async throws {
    let engine = try engine()
    let begun = Door()
    begun.open()
    let ended = Door()
    let door = Door()
    try engine.register("stays") { (context: TaskContext) async in
      begun.pass()
      await Self.waitForCancellation()
      while !door.isPassable { await Task.yield() }
      context.heartbeat()
      #expect(context.isCancelled && context.taskID == "t" && context.inputPayload.text == "7")
      ended.open()
      return Payload(Array(repeating: 1, count: 100_000))
    }
    let run = try engine.start(Definition("w", tasks: [TaskDefinition("t", handler: "stays", input: 7)]))
    #expect(await begun.reached(1))
    engine.shutdown()
    #expect(run.status == .cancelled)
    door.open()
    #expect(await ended.opened())
  }

  @Test("draining lets runs and handlers end, and refuses new runs; what goes on after its time is cancelled")
  func drain() async throws {
    let first = try engine()
    let door = Door()
    try first.register("waits") { (_: TaskContext) async in
      while !door.isPassable { await Task.yield() }
      return .text("done")
    }
    let workflow = Definition("w", tasks: [TaskDefinition("t", handler: "waits")])
    let run = try first.start(workflow)
    async let drained = first.drain(timeout: .seconds(60))
    var isRefused = false
    while !isRefused {
      await Task.yield()
      do {
        _ = try first.start(workflow)
      } catch EngineError.stopped {
        isRefused = true
      }
    }
    door.open()
    #expect(await drained)
    #expect(run.payload(of: "t") == .text("done"))

    let second = try engine()
    try second.register("waits") { (_: TaskContext) async in
      await Self.waitForCancellation()
      return .empty
    }
    let stuck = try second.start(workflow)
    #expect(await second.drain(timeout: .milliseconds(20)) == false)
    #expect(stuck.status == .cancelled)
  }

  @Test(
    "thousands of asynchronous attempts that end, fail, time out and are cancelled at any point: every task ends once, and nothing is left behind"
  )
  func anyPoint() async throws {
    let engine = try engine(slots: 64, threads: 2)
    try engine.register("race") { (input: Int, context) async throws in
      for _ in 0..<(input % 5) { await Task.yield() }
      context.heartbeat()
      if input % 3 == 0 {
        await Task.detached {}.value
        try Task.checkCancellation()
      }
      if input % 11 == 0, context.attempt == 1 { throw TaskFailure("flaky", "", retryAfter: .nanoseconds(1)) }
      return input
    }
    for round in 0..<12 {
      var workflow = Definition("w", onFailure: .continue)
      for i in 0..<500 {
        workflow.task(
          "t\(i)", handler: "race", input: .integer(Int64(i)), retry: RetryPolicy(attempts: 2, initial: 1000),
          timeouts: i % 4 == 0 ? Timeouts(startToClose: 50_000) : Timeouts())
      }
      let run = try engine.start(workflow)
      if round % 3 == 2 {
        while run.progress().finished < round * 30 { await Task.yield() }
        run.cancel()
      }
      let status = await run.finished()
      #expect(round % 3 == 2 || status != .cancelled)
      #expect(run.isAccounted())
      for task in run.record().tasks where task.status == .completed {
        #expect(try run.output(of: task.id, as: Int.self) == Int(task.id.dropFirst()))
      }
    }
    #expect(await engine.drain(timeout: .seconds(60)))
  }
}
