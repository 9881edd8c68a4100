import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000

/// What handlers say of their progress, and who is told.
@Suite struct RunSaidTests {
  /// A run of tasks without dependencies that are pending, in the order in which they began.
  private func pending(
    _ count: Int, timeouts: Timeouts = Timeouts(), retry: RetryPolicy? = nil
  ) throws -> (SteppedWorld, WorkflowRun, Left<[HeldAttempt]>) {
    let world = try SteppedWorld()
    let held = Left<[HeldAttempt]>([])
    world.handler("h") { call in
      held.value.append(call.hold())
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<count { workflow.task("t\(i)", handler: "h", retry: retry, timeouts: timeouts) }
    let run = try world.start(workflow)
    world.drain()
    #expect(held.value.count == count)
    return (world, run, held)
  }

  @Test("the last word counts, up to all of it; 0 says nothing; with its end an attempt's word is gone")
  func last() throws {
    let (world, run, held) = try pending(2)
    #expect(run.running() == [RunningTask(id: "t0"), RunningTask(id: "t1")])
    #expect(run.progress().perMille == 0 && run.progress().share == 0)
    held.value[0].heartbeat(0)
    held.value[1].heartbeat(250)
    held.value[1].heartbeat(0)
    #expect(run.running() == [RunningTask(id: "t0"), RunningTask(id: "t1", perMille: 250)])
    #expect(run.progress().share == 0.125)
    #expect(run.moment().tasks[0]?.perMille == nil && run.moment().tasks[1]?.perMille == 250)
    held.value[0].heartbeat(.max)
    held.value[1].heartbeat(1_000)
    #expect(run.progress().perMille == 2_000 && run.progress().share == 0.999)
    #expect(world.complete(held.value[1].token, Int(MILLRACE_DONE)))
    world.drain()
    #expect(run.running() == [RunningTask(id: "t0", perMille: 1_000)])
    #expect(run.progress().perMille == 1_000)
    #expect(world.complete(held.value[0].token, Int(MILLRACE_DONE)))
    world.drain()
    #expect(run.progress().share == 1 && run.progress().perMille == 0)
    #expect(run.said.isEmpty)
  }

  @Test("what is left is estimated from what a task says, also when none has ended yet")
  func estimate() throws {
    let (world, run, held) = try pending(2)
    world.pass(10 * ms)
    #expect(run.progress().estimatedRemaining == nil)
    held.value[0].heartbeat(250)
    #expect(run.progress().estimatedRemaining == nil, "nothing is known of the other")
    held.value[1].heartbeat(500)
    // 30 ms and 10 ms, two at a time.
    #expect(run.progress().estimatedRemaining == 20 * ms)
    run.cancel()
    world.drain()
    #expect(run.said.isEmpty)
  }

  @Test("who watches is told of a new word, and not of the same one again")
  func watched() throws {
    let (world, run, held) = try pending(1)
    let told = Left(0)
    held.value[0].heartbeat(100)
    run.watch { told.value += 1 }
    held.value[0].heartbeat(100)
    held.value[0].heartbeat(0)
    #expect(told.value == 0)
    held.value[0].heartbeat(101)
    #expect(told.value == 1)
    run.cancel()
    world.drain()
  }

  @Test("a word that comes too late is heard by nobody, and the next attempt begins without one")
  func late() throws {
    let world = try SteppedWorld()
    let run = Left<WorkflowRun?>(nil)
    world.handler("h") { [unowned world] call in
      #expect(run.value?.progress().perMille == 0)
      if call.number == 2 { return call.done("") }
      call.heartbeat(400)
      #expect(run.value?.progress().perMille == 400)
      world.clock.move(by: 3 * ms)
      world.turn()
      #expect(call.isCancelled && run.value?.said.isEmpty == true)
      call.heartbeat(500)
      return call.done("")
    }
    var workflow = Definition("w")
    workflow.task("t", handler: "h", retry: RetryPolicy(attempts: 2, initial: ms), timeouts: Timeouts(startToClose: 2 * ms))
    run.value = try world.start(workflow)
    world.drain()
    world.passToNextTimer()
    #expect(run.value?.status == .completed)
    #expect(run.value?.attempts().map(\.status) == [.timedOut, .completed])
    #expect(run.value?.said.isEmpty == true)
  }

  @Test("items say theirs")
  func items() throws {
    let world = try SteppedWorld()
    let held = Left<[HeldAttempt]>([])
    world.handler("h") { call in
      held.value.append(call.hold())
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w")
    workflow.task("each", handler: "h", foreach: .range(from: 0, to: 1))
    let run = try world.start(workflow)
    world.drain()
    held.value[1].heartbeat(300)
    #expect(run.running() == [RunningTask(id: "each"), RunningTask(id: "each[0]"), RunningTask(id: "each[1]", perMille: 300)])
    #expect(run.progress().perMille == 300)
    for attempt in held.value { #expect(world.complete(attempt.token, Int(MILLRACE_DONE))) }
    world.drain()
    #expect(run.status == .completed && run.progress().perMille == 0)
  }
}
