import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000

/// Completion tokens and outcomes, through the functions of `millrace/plugin.h`.
@Suite struct RunTokenTests {
  private func world(flags: Int = 0, _ body: @escaping @Sendable (RawCall) -> UInt32) throws -> (SteppedWorld, Definition) {
    let world = try SteppedWorld()
    world.handler("h", flags: flags, body)
    world.handler("next") { call in call.done("next") }
    var workflow = Definition("w", onFailure: .continue)
    let first = workflow.task("t", handler: "h", input: ["a": 1])
    workflow.task("n", handler: "next", dependencies: [first])
    return (world, workflow)
  }

  /// A run whose first task is pending, and the holder's part of it.
  private func pending(flags: Int = 0) throws -> (SteppedWorld, WorkflowRun, HeldAttempt) {
    let held = Left<HeldAttempt?>(nil)
    let (world, workflow) = try world(flags: flags) { call in
      held.value = call.hold()
      return call.end(MILLRACE_PENDING)
    }
    let run = try world.start(workflow)
    world.drain()
    if flags != 0 { world.runBlocking() }
    return (world, run, try #require(held.value))
  }

  @Test(
    "completed before its handler returns: the token's word counts, whatever the handler says then",
    arguments: [MILLRACE_PENDING, MILLRACE_FAILED])
  func before(status: Int) throws {
    let left = Left<SteppedWorld?>(nil)
    let (world, workflow) = try world { call in
      let held = call.hold()
      let taken = unsafe left.value!.complete(held.token, Int(MILLRACE_DONE)) { unsafe held.fill(&$0, "by token") }
      #expect(taken)
      #expect(!left.value!.complete(held.token, Int(MILLRACE_FAILED)))
      return call.end(status)
    }
    left.value = world
    let run = try world.start(workflow)
    world.drain()
    left.value = nil
    #expect(run.status == .completed)
    #expect(run.text("t") == "by token")
    #expect(run.accounts == [2, 0, 0, 0])
    #expect(world.scheduler.freeSlots == 64)
  }

  @Test(
    "completed after the return: inputs can be read and output claimed until then; the slot is held; a second word is refused",
    arguments: [0, Int(MILLRACE_BLOCKING)])
  func after(flags: Int) throws {
    let (world, run, held) = try pending(flags: flags)
    #expect(world.scheduler.freeSlots == 63)
    #expect(run.progress().running == 1)
    #expect(held.input(0) == #"{"a":1}"#)
    #expect(!held.isCancelled)
    let taken = unsafe world.complete(held.token, Int(MILLRACE_DONE)) { unsafe held.fill(&$0, "later") }
    #expect(taken)
    #expect(!world.complete(held.token, Int(MILLRACE_DONE)))
    world.drain()
    #expect(run.status == .completed)
    #expect(run.text("t") == "later")
    #expect(run.text("n") == "next")
    #expect(world.scheduler.freeSlots == 64)
    #expect(!world.complete(held.token, Int(MILLRACE_FAILED)))
    world.drain()
    #expect(run.status == .completed)
    #expect(world.host.abandonedAttempts == 0)
  }

  @Test("complete_after ends the attempt at its nanosecond; after it any other word is refused")
  func completeAfter() throws {
    let (world, run, held) = try pending()
    #expect(world.complete(held.token, after: 5 * ms, Int(MILLRACE_DONE)))
    #expect(!world.complete(held.token, after: ms, Int(MILLRACE_DONE)))
    #expect(!world.complete(held.token, Int(MILLRACE_FAILED)))
    world.pass(5 * ms - 1)
    #expect(run.status == .running)
    world.pass(1)
    #expect(run.status == .completed)
    #expect(world.timers.count == 0)
  }

  @Test("cancelling during complete_after ends the attempt then, and leaves neither timer nor memory")
  func cancelDuringCompleteAfter() throws {
    let (world, run, held) = try pending()
    #expect(world.complete(held.token, after: 5 * ms, Int(MILLRACE_DONE)))
    run.cancel()
    world.drain()
    #expect(run.status == .cancelled)
    #expect(run.accounts == [0, 0, 0, 2])
    #expect(world.timers.count == 0)
    #expect(world.host.abandonedAttempts == 0)
    world.pass(5 * ms)
    #expect(run.accounts == [0, 0, 0, 2])
    #expect(world.scheduler.freeSlots == 64)
  }

  @Test("complete_after is refused no less by start-to-close: the earlier one ends the attempt")
  func completeAfterTooLate() throws {
    let world = try SteppedWorld()
    let left = Left<SteppedWorld?>(nil)
    world.handler("h") { call in
      #expect(left.value!.complete(call.token(), after: 5 * ms, Int(MILLRACE_DONE)))
      return call.end(MILLRACE_PENDING)
    }
    left.value = world
    defer { left.value = nil }
    for (timeout, expected) in [(5 * ms - 1, WorkflowStatus.failed), (5 * ms + 1, .completed)] {
      var workflow = Definition("w")
      workflow.task("t", handler: "h", timeouts: Timeouts(startToClose: timeout))
      let run = try world.start(workflow)
      world.drain()
      world.pass(5 * ms - 1)
      world.pass(1)
      world.pass(1)
      #expect(run.status == expected)
      #expect(world.timers.count == 0)
    }
  }

  @Test("the run stays as long as a token of a cancelled attempt is out, for its holder reads it; the holder's late word lets it go")
  func abandoned() throws {
    var parts: (SteppedWorld, WorkflowRun, HeldAttempt)? = try pending()
    let world = parts!.0
    let held = parts!.2
    weak let run = parts!.1
    run?.cancel()
    world.drain()
    #expect(run?.status == .cancelled)
    parts = nil
    #expect(run != nil)
    #expect(held.isCancelled)
    #expect(held.input(0) == #"{"a":1}"#)
    held.heartbeat()
    #expect(world.host.abandonedAttempts == 1)
    #expect(!world.complete(held.token, Int(MILLRACE_DONE)))
    #expect(world.host.abandonedAttempts == 0)
    #expect(run == nil)
  }

  @Test("a holder that is late by so little that its attempt is not set aside yet lets go of it as well")
  func lateByLittle() throws {
    let (world, run, held) = try pending()
    run.cancel()
    // Ended, but the worker has not looked at it.
    #expect(!world.complete(held.token, Int(MILLRACE_DONE)))
    world.drain()
    #expect(run.status == .cancelled)
    #expect(world.host.abandonedAttempts == 0)
  }

  @Test("an outcome that breaks the interface fails the attempt as bad-outcome, and says how")
  func badOutcomes() throws {
    func check(_ expected: String, _ body: @escaping @Sendable (RawCall) -> UInt32) throws {
      let (world, workflow) = try world(body)
      let run = try world.start(workflow)
      world.drain()
      #expect(run.status == .failed)
      #expect(run.attempts().map(\.errorType) == [EngineErrorType.badOutcome])
      #expect(run.attempts()[0].message.contains(expected), "\(run.attempts()[0].message)")
      #expect(run.accounts == [0, 1, 1, 0])
    }
    try check("not memory that it claimed") { call in
      unsafe call.outcome.pointee.output = millrace_payload(offset: 0, length: 1, arena: 77, content_type: 0)
      return call.end(MILLRACE_DONE)
    }
    try check("not memory that it claimed") { call in
      _ = call.done("mine")
      unsafe call.outcome.pointee.output.length = 1 << 20
      return call.end(MILLRACE_DONE)
    }
    try check("not memory that it claimed") { call in
      _ = call.done("mine")
      unsafe call.outcome.pointee.output.offset = .max
      return call.end(MILLRACE_DONE)
    }
    try check("details are not memory") { call in
      unsafe call.outcome.pointee.details = millrace_payload(offset: 0, length: 1, arena: 77, content_type: 0)
      return call.end(MILLRACE_RETRY)
    }
    try check("status 99") { call in call.end(99) }
    try check("status 4294967295") { _ in .max }
    try check("without asking for a token") { call in call.end(MILLRACE_PENDING) }
    try check("`size`") { call in
      unsafe call.outcome.pointee.size = 8
      return call.end(MILLRACE_DONE)
    }
  }

  @Test("a watched handler that returns PENDING without a token fails as well, instead of waiting for its timeout")
  func pendingWithoutTokenWatched() throws {
    let world = try SteppedWorld()
    world.handler("h") { call in call.end(MILLRACE_PENDING) }
    var workflow = Definition("w")
    workflow.task("t", handler: "h", timeouts: Timeouts(startToClose: ms, heartbeat: ms))
    let run = try world.start(workflow)
    world.drain()
    #expect(run.attempts().map(\.errorType) == [EngineErrorType.badOutcome])
    #expect(world.timers.count == 0)
  }

  @Test("a token that is completed with a status of no interface, or with PENDING, fails the attempt")
  func badCompletion() throws {
    for status in [Int(MILLRACE_PENDING), 17] {
      let (world, run, held) = try pending()
      #expect(world.complete(held.token, status))
      world.drain()
      #expect(run.attempts().map(\.errorType) == [EngineErrorType.badOutcome])
    }
  }

  @Test("a zero token, and one of another life, name nothing")
  func foreignTokens() throws {
    let (world, run, held) = try pending()
    #expect(!world.complete(0, Int(MILLRACE_DONE)))
    #expect(!world.complete(held.token &+ 1 << 32, Int(MILLRACE_DONE)))
    #expect(!world.complete(.max, Int(MILLRACE_DONE)))
    world.drain()
    #expect(run.status == .running)
    #expect(world.complete(held.token, Int(MILLRACE_DONE)))
    world.drain()
    #expect(run.status == .completed)
  }

  @Test("the error of a holder is kept, and retried as the policy says")
  func retryByToken() throws {
    let world = try SteppedWorld()
    let held = Left<HeldAttempt?>(nil)
    world.handler("h") { call in
      held.value = call.hold()
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w")
    workflow.task("t", handler: "h", retry: RetryPolicy(attempts: 2, initial: ms))
    let run = try world.start(workflow)
    world.drain()
    let first = held.value!.token
    #expect(world.complete(first, Int(MILLRACE_RETRY)))
    world.drain()
    world.passToNextTimer()
    #expect(held.value!.token != first)
    #expect(!world.complete(first, Int(MILLRACE_DONE)))
    #expect(world.complete(held.value!.token, Int(MILLRACE_DONE)))
    world.drain()
    #expect(run.attempts().map(\.status) == [.failed, .completed])
    #expect(run.attempts().map(\.lane) == [-1, -1])
  }
}
