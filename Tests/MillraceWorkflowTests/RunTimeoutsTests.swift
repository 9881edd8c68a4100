import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000

/// Every timeout at its nanosecond, on a virtual clock.
@Suite struct RunTimeoutsTests {
  private func workflow(
    _ timeouts: Timeouts, retry: RetryPolicy? = nil, onFailure: Definition.OnFailure = .continue
  ) -> Definition {
    var workflow = Definition("w", onFailure: onFailure)
    workflow.task("t", handler: "h", retry: retry, timeouts: timeouts)
    return workflow
  }

  /// One attempt whose handler lets `passes` go by, then says that it is done.
  private func busy(_ passes: UInt64, _ timeouts: Timeouts, flags: Int = 0) throws -> (SteppedWorld, WorkflowRun) {
    let world = try SteppedWorld()
    world.handler("h", flags: flags) { [unowned world] call in
      world.clock.move(by: passes)
      world.turn()
      return call.done("late or not")
    }
    let run = try world.start(workflow(timeouts))
    world.drain()
    if flags != 0 { world.runBlocking() }
    return (world, run)
  }

  @Test(
    "start-to-close ends an attempt at its nanosecond and not one before, on a worker and in the pool",
    arguments: [0, Int(MILLRACE_BLOCKING)])
  func startToClose(flags: Int) throws {
    let (_, inTime) = try busy(5 * ms - 1, Timeouts(startToClose: 5 * ms), flags: flags)
    #expect(inTime.status == .completed)
    #expect(inTime.text("t") == "late or not")

    let (world, late) = try busy(5 * ms, Timeouts(startToClose: 5 * ms), flags: flags)
    #expect(late.status == .failed)
    #expect(late.accounts == [0, 1, 0, 0])
    #expect(late.text("t") == nil)
    #expect(late.attempts().map(\.status) == [.timedOut])
    #expect(late.attempts().map(\.errorType) == [EngineErrorType.startToClose])
    #expect(late.progress().running == 0)
    #expect(world.timers.count == 0)
    #expect(world.scheduler.freeSlots == 64)
  }

  @Test("a handler that gives up when its time is over, before the timer is looked at, has timed out; a nanosecond earlier it has failed")
  func givesUp() throws {
    for (passes, status) in [(5 * ms - 1, TaskStatus.failed), (5 * ms, .timedOut)] {
      let world = try SteppedWorld()
      world.handler("h", flags: Int(MILLRACE_BLOCKING)) { [unowned world] call in
        world.clock.move(by: passes)
        return call.end(MILLRACE_FAILED, "gave-up")
      }
      let run = try world.start(workflow(Timeouts(startToClose: 5 * ms)))
      world.drain()
      world.runBlocking()
      #expect(run.attempts().map(\.status) == [status])
      #expect(run.attempts().map(\.errorType) == [status == .failed ? "gave-up" : EngineErrorType.startToClose])
      #expect(world.timers.count == 0)
    }
  }

  @Test("start-to-close of a pending attempt: timed out at once, what its token says later is refused and changes nothing")
  func startToClosePending() throws {
    let world = try SteppedWorld()
    let token = Left<millrace_token>(0)
    world.handler("h") { call in
      token.value = call.token()
      return call.end(MILLRACE_PENDING)
    }
    let run = try world.start(workflow(Timeouts(startToClose: 5 * ms)))
    world.drain()
    world.pass(5 * ms - 1)
    #expect(run.status == .running)
    #expect(run.progress().running == 1)
    world.pass(1)
    #expect(run.status == .failed)
    #expect(run.attempts().map(\.errorType) == [EngineErrorType.startToClose])
    #expect(run.attempts()[0].lane == -1)
    let before = run.accounts
    #expect(world.host.abandonedAttempts == 1)
    #expect(!world.complete(token.value, Int(MILLRACE_DONE)))
    #expect(world.host.abandonedAttempts == 0)
    world.drain()
    #expect(run.accounts == before)
    #expect(run.attempts().count == 1)
    #expect(world.timers.count == 0)
  }

  @Test("a timed-out attempt is retried, with a timeout of its own; the late result of the first changes nothing")
  func retryAfterTimeout() throws {
    let world = try SteppedWorld()
    world.handler("h") { [unowned world] call in
      if call.number == 1 {
        world.clock.move(by: 5 * ms)
        world.turn()
        #expect(call.isCancelled)
        return call.done("first")
      }
      world.clock.move(by: 5 * ms - 1)
      world.turn()
      #expect(!call.isCancelled)
      return call.done("second")
    }
    let run = try world.start(workflow(Timeouts(startToClose: 5 * ms), retry: RetryPolicy(attempts: 2, initial: ms)))
    world.drain()
    #expect(run.status == .running)
    world.passToNextTimer()
    #expect(run.status == .completed)
    #expect(run.text("t") == "second")
    #expect(run.attempts().map(\.status) == [.timedOut, .completed])
    #expect(run.attempts().map(\.number) == [1, 2])
    #expect(run.progress().attempts == 2)
  }

  @Test("schedule-to-start ends a task that waits in its queue, at its nanosecond, without a retry and without a call")
  func scheduleToStart() throws {
    let world = try SteppedWorld(slots: 1)
    let calls = Left(0)
    world.handler("long") { [unowned world] call in
      // Everything else waits for the only slot meanwhile.
      world.clock.move(by: 7 * ms)
      world.turn()
      return call.done("")
    }
    world.handler("h") { call in
      calls.value += 1
      return call.done("")
    }
    var workflow = Definition("w", onFailure: .continue)
    workflow.task("long", handler: "long")
    let policy = RetryPolicy(attempts: 5, initial: ms)
    let late = workflow.task("late", handler: "h", retry: policy, timeouts: Timeouts(scheduleToStart: 7 * ms))
    workflow.task("in-time", handler: "h", retry: policy, timeouts: Timeouts(scheduleToStart: 7 * ms + 1))
    workflow.task("after", handler: "h", dependencies: [late])
    let run = try world.start(workflow)
    world.drain()
    #expect(run.status == .failed)
    let tasks = run.record(slots: 1, threads: 1).tasks
    #expect(tasks.map(\.status) == [.completed, .timedOut, .completed, .skipped])
    #expect(tasks[1].attempts.map(\.errorType) == [EngineErrorType.scheduleToStart])
    #expect(tasks[1].attempts.map(\.number) == [1])
    #expect(tasks[3].cause == "late")
    #expect(calls.value == 1)
    #expect(run.accounts == [2, 1, 1, 0])
    #expect(run.progress().attempts == 2)
    #expect(world.timers.count == 0)
  }

  @Test("schedule-to-start counts until a thread of the pool begins, and no longer")
  func scheduleToStartInThePool() throws {
    for (wait, expected) in [(5 * ms - 1, TaskStatus.completed), (5 * ms, .timedOut)] {
      let world = try SteppedWorld()
      let calls = Left(0)
      world.handler("h", flags: Int(MILLRACE_BLOCKING)) { [unowned world] call in
        calls.value += 1
        world.clock.move(by: 50 * ms)
        world.turn()
        return call.done("")
      }
      let run = try world.start(workflow(Timeouts(scheduleToStart: 5 * ms), retry: RetryPolicy()))
      world.drain()
      world.pass(wait)
      world.runBlocking()
      #expect(run.record(slots: 1, threads: 1).tasks[0].status == expected)
      #expect(calls.value == (expected == .completed ? 1 : 0))
      #expect(world.scheduler.freeSlots == 64)
      #expect(run.progress().running == 0)
    }
  }

  @Test("schedule-to-close ends a running attempt, a pending one, and a queued task; all attempts and waits count")
  func scheduleToClose() throws {
    let (_, running) = try busy(5 * ms, Timeouts(scheduleToClose: 5 * ms))
    #expect(running.attempts().map(\.errorType) == [EngineErrorType.scheduleToClose])
    #expect(running.attempts().map(\.status) == [.timedOut])
    let (_, inTime) = try busy(5 * ms - 1, Timeouts(scheduleToClose: 5 * ms))
    #expect(inTime.status == .completed)

    let world = try SteppedWorld(slots: 1)
    world.handler("h") { call in
      _ = call.token()
      return call.end(MILLRACE_PENDING)
    }
    var two = Definition("w", onFailure: .continue)
    two.task("pending", handler: "h", retry: RetryPolicy(), timeouts: Timeouts(scheduleToClose: 5 * ms))
    two.task("queued", handler: "h", retry: RetryPolicy(), timeouts: Timeouts(scheduleToClose: 4 * ms))
    let run = try world.start(two)
    world.drain()
    world.pass(4 * ms)
    #expect(run.record(slots: 1, threads: 1).tasks.map(\.status) == [.running, .timedOut])
    world.pass(ms)
    #expect(run.status == .failed)
    #expect(run.attempts(0).map(\.errorType) == [EngineErrorType.scheduleToClose])
    #expect(run.attempts(1).map(\.errorType) == [EngineErrorType.scheduleToClose])
    #expect(run.accounts == [0, 2, 0, 0])
    #expect(world.scheduler.freeSlots == 1)
  }

  @Test("schedule-to-close is one for all attempts: no retry whose wait would end after it, and the message says so")
  func noRetryAfterClose() throws {
    let world = try SteppedWorld()
    world.handler("h") { [unowned world] call in
      world.clock.move(by: 4 * ms)
      world.turn()
      // The second attempt begins at 4 + 4: the next wait would end at 16, with schedule-to-close at 15.
      return call.retry(after: call.number == 1 ? 4 * ms : 4 * ms)
    }
    let run = try world.start(workflow(Timeouts(scheduleToClose: 15 * ms), retry: RetryPolicy(attempts: 9)))
    world.drain()
    #expect(world.passToNextTimer() == 4 * ms)
    #expect(run.status == .failed)
    #expect(run.attempts().map(\.status) == [.failed, .failed])
    #expect(run.attempts().map(\.errorType) == ["flaky", "flaky"])
    #expect(run.attempts()[1].message.contains("not retried: the wait before attempt 3 would end after schedule-to-close"))
    #expect(world.timers.count == 0)
  }

  @Test("a retry overlaps the late code of the attempt before, unless the handler is exclusive", arguments: [false, true])
  func overlap(isExclusive: Bool) throws {
    let world = try SteppedWorld()
    let lines = Lines()
    world.handler("h", flags: Int(MILLRACE_BLOCKING) | (isExclusive ? Int(MILLRACE_EXCLUSIVE) : 0)) { [unowned world] call in
      lines.append("\(call.number) in")
      if call.number == 1 {
        world.pass(5 * ms)
        #expect(call.isCancelled)
        // The wait before the second attempt ends as well.
        world.pass(ms)
        if !isExclusive { world.runBlocking(thread: 1) }
        #expect(world.pool.isEmpty)
        // Its slot stays taken until it returns.
        #expect(world.scheduler.freeSlots == 63)
      }
      lines.append("\(call.number) out")
      return call.done("\(call.number)")
    }
    let run = try world.start(workflow(Timeouts(startToClose: 5 * ms), retry: RetryPolicy(attempts: 2, initial: ms)))
    world.drain()
    world.runBlocking()
    if isExclusive { world.runBlocking() }
    #expect(lines.all == (isExclusive ? ["1 in", "1 out", "2 in", "2 out"] : ["1 in", "2 in", "2 out", "1 out"]))
    #expect(run.status == .completed)
    #expect(run.text("t") == "2")
    #expect(run.accounts == [1, 0, 0, 0])
    #expect(run.attempts().map(\.status) == [.timedOut, .completed])
    #expect(world.scheduler.freeSlots == 64)
    #expect(run.slow.isEmpty)
  }

  @Test("schedule-to-close ends a task whose retry waits for the late code of an exclusive handler; the run ends while that goes on")
  func closeWhileBlocked() throws {
    let world = try SteppedWorld()
    let left = Left<WorkflowRun?>(nil)
    world.handler("h", flags: Int(MILLRACE_BLOCKING) | Int(MILLRACE_EXCLUSIVE)) { [unowned world] call in
      world.pass(5 * ms)
      world.pass(ms)
      #expect(left.value?.status == .running)
      world.pass(14 * ms)
      #expect(left.value?.status == .failed)
      return call.done("late")
    }
    let run = try world.start(
      workflow(Timeouts(startToClose: 5 * ms, scheduleToClose: 20 * ms), retry: RetryPolicy(attempts: 2, initial: ms)))
    left.value = run
    world.drain()
    world.runBlocking()
    #expect(run.attempts().map(\.errorType) == [EngineErrorType.startToClose, EngineErrorType.scheduleToClose])
    #expect(run.attempts().map(\.number) == [1, 2])
    #expect(run.accounts == [0, 1, 0, 0])
    #expect(run.text("t") == nil)
    #expect(run.slow.isEmpty)
    #expect(world.timers.count == 0)
  }

  @Test("a heartbeat keeps an attempt alive; the first gap that is too long ends it, once")
  func heartbeat() throws {
    let world = try SteppedWorld()
    world.handler("h") { [unowned world] call in
      for _ in 0..<10 {
        world.clock.move(by: 3 * ms - 1)
        world.turn()
        #expect(!call.isCancelled)
        call.heartbeat()
      }
      if call.number == 2 { return call.done("alive") }
      world.clock.move(by: 3 * ms)
      world.turn()
      #expect(call.isCancelled)
      // Too late to come back to life.
      call.heartbeat()
      world.turn()
      return call.done("dead")
    }
    let run = try world.start(workflow(Timeouts(heartbeat: 3 * ms), retry: RetryPolicy(attempts: 2, initial: ms)))
    world.drain()
    world.passToNextTimer()
    #expect(run.status == .completed)
    #expect(run.text("t") == "alive")
    #expect(run.attempts().map(\.status) == [.timedOut, .completed])
    #expect(run.attempts()[0].errorType == EngineErrorType.heartbeat)
    #expect(world.timers.count == 0)
  }

  @Test("a pending attempt is kept alive by its holder's heartbeats")
  func heartbeatPending() throws {
    let world = try SteppedWorld()
    let held = Left<HeldAttempt?>(nil)
    world.handler("h") { call in
      held.value = call.hold()
      return call.end(MILLRACE_PENDING)
    }
    let run = try world.start(workflow(Timeouts(heartbeat: 3 * ms)))
    world.drain()
    for _ in 0..<5 {
      world.pass(3 * ms - 1)
      held.value?.heartbeat()
    }
    #expect(run.status == .running)
    world.pass(3 * ms - 1)
    #expect(run.status == .running)
    world.pass(1)
    #expect(run.status == .failed)
    #expect(run.attempts().map(\.errorType) == [EngineErrorType.heartbeat])
  }

  @Test("a timeout is one of the error types that a policy may name as not retryable")
  func nonRetryableTimeout() throws {
    let world = try SteppedWorld()
    world.handler("h") { [unowned world] call in
      world.clock.move(by: 2 * ms)
      world.turn()
      return call.done("")
    }
    let retry = RetryPolicy(attempts: 3, nonRetryable: [EngineErrorType.startToClose])
    let run = try world.start(workflow(Timeouts(startToClose: ms), retry: retry))
    world.drain()
    #expect(run.status == .failed)
    #expect(run.attempts().count == 1)
  }

  @Test("an attempt that ends in time leaves no timer behind")
  func noTimersLeft() throws {
    let world = try SteppedWorld()
    world.handler("h") { call in call.number < 3 ? call.retry(after: ms) : call.done("x") }
    let hour: UInt64 = 3_600_000_000_000
    let run = try world.start(
      workflow(
        Timeouts(scheduleToStart: hour, startToClose: hour, scheduleToClose: hour, heartbeat: hour), retry: RetryPolicy(attempts: 3)))
    world.drain()
    world.passToNextTimer()
    world.passToNextTimer()
    #expect(run.status == .completed)
    #expect(world.timers.count == 0)
    #expect(run.slow.isEmpty)
  }

  @Test("without a timer to be had, a retry fails with the reason, and so does a heartbeat that cannot be watched")
  func noTimer() throws {
    let world = try SteppedWorld(timers: 1)
    world.handler("h") { call in call.retry(after: ms) }
    // The shared shard's only timer.
    let taken = try world.timers.arm(shard: 1, due: .max, value: 0, kind: TimerKind.startToClose)
    let run = try world.start(workflow(Timeouts(), retry: RetryPolicy(attempts: 3)))
    world.drain()
    #expect(run.status == .failed)
    #expect(run.attempts()[0].message.contains("not retried: no timer"))
    let watched = try world.start(workflow(Timeouts(heartbeat: ms)))
    world.drain()
    #expect(watched.status == .failed)
    #expect(watched.attempts().map(\.errorType) == [EngineErrorType.noTimer])
    #expect(world.timers.cancel(taken))
  }

  @Test("while no slot is free whole runs may expire in the queue, again and again, up to the capacity; the loop never waits for memory")
  func expiredInQueue() throws {
    let world = try SteppedWorld(slots: 1, capacity: 8_193, timers: 1 << 14)
    let held = Left<HeldAttempt?>(nil)
    world.handler("holds", concurrency: 1) { call in
      held.value = call.hold()
      return call.end(MILLRACE_PENDING)
    }
    world.handler("h") { call in call.done("") }
    var holder = Definition("holder")
    holder.task("t", handler: "holds")
    let first = try world.start(holder)
    world.drain()
    var many = Definition("many", onFailure: .continue)
    for i in 0..<8_192 { many.task("t\(i)", handler: "h", timeouts: Timeouts(scheduleToStart: ms)) }
    let run = try world.start(many)
    world.pass(ms)
    #expect(run.status == .failed)
    #expect(run.accounts == [0, 8_192, 0, 0])
    // Their records are still in the queue.
    #expect(throws: SubmitError.full(limit: 8_193)) { try world.start(many) }
    #expect(world.complete(held.value!.token, Int(MILLRACE_DONE)))
    world.drain()
    #expect(first.status == .completed)
    let again = try world.start(many)
    world.drain()
    #expect(again.status == .completed)
    #expect(world.scheduler.freeSlots == 1)
  }
}
