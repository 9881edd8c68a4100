import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000

/// Held work that a test has in hand: what has begun and is not over.
private final class Desk: HeldWork, @unchecked Sendable {
  let word = "desk"
  /// Whether it is asked to stop, or ends at once.
  let isAsked: Bool
  /// Done before `begin` returns.
  var atOnce: (@Sendable (HeldTask) -> Void)?
  private let monitor = Monitor()
  private var begun: [HeldTask] = []
  private var asked: [String] = []

  init(isAsked: Bool = false) { self.isAsked = isAsked }
  deinit { monitor.deallocate() }

  func begin(_ task: HeldTask) -> HeldStop? {
    monitor.locked { begun.append(task) }
    atOnce?(task)
    if !isAsked { return nil }
    return { [self] in monitor.locked { asked.append(task.definition.id) } }
  }

  var tasks: [HeldTask] { monitor.locked { begun } }
  var stops: [String] { monitor.locked { asked } }
}

private func text(_ text: String) -> HeldEnding { .output(Array(text.utf8), contentType: UInt32(MILLRACE_TEXT)) }

/// Tasks whose work the run does itself, on one thread and a virtual clock.
@Suite struct RunHeldTests {
  private func world(_ desk: Desk, slots: Int = 1) throws -> SteppedWorld {
    let world = try SteppedWorld(slots: slots)
    world.held("desk", desk)
    world.handler("echo") { call in call.done(call.input(1)) }
    return world
  }

  private func workflow(_ timeouts: Timeouts = Timeouts(), retry: RetryPolicy? = nil, _ onFailure: Definition.OnFailure = .continue)
    -> Definition
  {
    var workflow = Definition("w", onFailure: onFailure)
    let held = workflow.task("held", handler: "desk", retry: retry, timeouts: timeouts)
    workflow.task("after", handler: "echo", dependencies: [held])
    return workflow
  }

  @Test("a held task is RUNNING without a slot and a job, and its dependents get what concludes it; a second word is refused")
  func output() throws {
    let desk = Desk()
    let world = try world(desk)
    var workflow = workflow()
    workflow.task("beside", handler: "echo", dependencies: [])
    let run = try world.start(workflow)
    world.drain()
    #expect(world.scheduler.freeSlots == 1)
    #expect(run.runningTasks() == ["held"])
    #expect(run.accounts == [1, 0, 0, 0])
    #expect(run.progress().running == 1)
    let record = run.record(slots: 1, threads: 1).tasks[0]
    #expect(record.handler == "desk")
    #expect(record.attempts.map(\.status) == [.running])
    #expect(record.attempts[0].lane == -1)

    world.pass(5 * ms)
    #expect(desk.tasks[0].conclude(text("hello")))
    #expect(!desk.tasks[0].conclude(text("again")))
    world.drain()
    #expect(run.status == .completed)
    #expect(run.text("held") == "hello")
    #expect(run.text("after") == "hello")
    #expect(run.progress().running == 0)
    #expect(run.attempts().map(\.end) == [5 * ms])
    #expect(!desk.tasks[0].conclude(.cancelled))
    #expect(world.timers.count == 0)
  }

  @Test("ten thousand are held with one slot, and each is concluded by itself")
  func many() throws {
    let desk = Desk()
    let world = try world(desk)
    var workflow = Definition("w")
    for i in 0..<10_000 { workflow.task("t\(i)", handler: "desk") }
    let run = try world.start(workflow)
    world.drain()
    #expect(desk.tasks.count == 10_000)
    #expect(run.progress().running == 10_000)
    for (i, task) in desk.tasks.enumerated() where i > 0 { #expect(task.conclude(text("\(i)"))) }
    world.drain()
    #expect(run.accounts == [9_999, 0, 0, 0])
    #expect(run.runningTasks() == [desk.tasks[0].definition.id])
    #expect(desk.tasks[0].conclude(text("")))
    world.drain()
    #expect(run.status == .completed)
  }

  @Test("what is concluded before it has begun counts, and a condition skips without it")
  func atOnce() throws {
    let desk = Desk(isAsked: true)
    desk.atOnce = { task in
      #expect(task.conclude(text("at once")))
      #expect(!task.conclude(text("twice")))
    }
    let world = try world(desk)
    var workflow = workflow()
    workflow.task("never", handler: "desk", when: "${run.id == \"\"}")
    workflow.task("input", handler: "desk", input: ["id": "${run.workflow}"])
    let run = try world.start(workflow.resolve())
    world.drain()
    #expect(run.status == .completed)
    #expect(run.text("after") == "at once")
    #expect(desk.tasks.map { String(decoding: $0.input, as: UTF8.self) } == ["null", "{\"id\":\"w\"}"])
    #expect(desk.stops == [])
    #expect(run.accounts == [3, 0, 1, 0])
  }

  @Test("an error fails it, is retried by its policy, and begins anew; what was concluded before is of no use then")
  func retries() throws {
    let desk = Desk()
    let world = try world(desk)
    let run = try world.start(workflow(retry: RetryPolicy(attempts: 2, initial: ms)))
    world.drain()
    #expect(desk.tasks[0].conclude(.failed(type: "flaky", message: "no", isRetryable: true)))
    world.drain()
    #expect(run.progress().running == 0)
    world.passToNextTimer()
    #expect(desk.tasks.map(\.attempt) == [1, 2])
    #expect(!desk.tasks[0].conclude(text("late")))
    #expect(desk.tasks[1].conclude(text("second")))
    world.drain()
    #expect(run.status == .completed)
    #expect(run.text("after") == "second")
    #expect(run.attempts().map(\.errorType) == ["flaky", ""])

    let failing = try world.start(workflow())
    world.drain()
    #expect(desk.tasks[2].conclude(.failed(type: "bad", message: "never", isRetryable: true)))
    world.drain()
    #expect(failing.status == .failed)
    #expect(failing.accounts == [0, 1, 1, 0])
  }

  @Test("start-to-close and schedule-to-close end it at their nanosecond, the first with a retry")
  func timeouts() throws {
    let desk = Desk()
    let world = try world(desk)
    let run = try world.start(
      workflow(Timeouts(startToClose: 5 * ms, scheduleToClose: 20 * ms), retry: RetryPolicy(attempts: 2, initial: 10 * ms)))
    world.drain()
    world.pass(5 * ms - 1)
    #expect(run.runningTasks() == ["held"])
    world.pass(1)
    #expect(run.attempts().map(\.errorType) == [EngineErrorType.startToClose])
    #expect(!desk.tasks[0].conclude(text("late")))
    while desk.tasks.count < 2 { #expect(world.passToNextTimer() != nil) }
    world.pass(5 * ms)
    #expect(run.status == .failed)
    #expect(run.attempts().map(\.status) == [.timedOut, .timedOut])
    #expect(world.timers.count == 0)

    let closing = try world.start(workflow(Timeouts(scheduleToClose: 7 * ms)))
    world.drain()
    world.pass(7 * ms)
    #expect(closing.attempts().map(\.errorType) == [EngineErrorType.scheduleToClose])
    #expect(closing.status == .failed)
    #expect(world.timers.count == 0)
  }

  @Test("schedule-to-start holds for what waits for a slot, and ends nothing that is held")
  func scheduleToStart() throws {
    let desk = Desk()
    let world = try world(desk)
    let run = try world.start(workflow(Timeouts(scheduleToStart: ms)))
    world.pass(ms)
    world.drain()
    #expect(run.attempts().map(\.errorType) == [EngineErrorType.scheduleToStart])
    let begun = try world.start(workflow(Timeouts(scheduleToStart: ms)))
    world.drain()
    world.pass(ms)
    #expect(desk.tasks.last?.conclude(text("x")) == true)
    world.drain()
    #expect(begun.status == .completed)
  }

  @Test("cancelling ends at once what nobody needs to be told; work that is asked ends its task when it has stopped")
  func cancels() throws {
    let desk = Desk()
    let quick = try world(desk)
    let run = try quick.start(workflow(Timeouts(startToClose: ms)))
    quick.drain()
    run.cancel()
    quick.drain()
    #expect(run.status == .cancelled)
    #expect(run.attempts().map(\.status) == [.cancelled])
    #expect(!desk.tasks[0].conclude(text("late")))
    #expect(quick.timers.count == 0)

    let asked = Desk(isAsked: true)
    let slow = try world(asked)
    let stopping = try slow.start(workflow())
    let keeping = try slow.start(workflow())
    slow.drain()
    stopping.cancel()
    stopping.cancel()
    keeping.cancel()
    slow.drain()
    #expect(asked.stops == ["held", "held"])
    #expect(stopping.status == .running)
    #expect(asked.tasks[0].conclude(.cancelled))
    // Work that ends well nevertheless is completed.
    #expect(asked.tasks[1].conclude(text("done")))
    slow.drain()
    #expect(stopping.status == .cancelled)
    #expect(stopping.accounts == [0, 0, 0, 2])
    #expect(keeping.accounts == [1, 0, 0, 1])
  }

  @Test("a timeout asks the work to stop, and the task has timed out whatever that says then")
  func asksAtTimeout() throws {
    let desk = Desk(isAsked: true)
    let world = try world(desk)
    let run = try world.start(workflow(Timeouts(startToClose: 5 * ms)))
    world.drain()
    world.pass(5 * ms)
    #expect(desk.stops == ["held"])
    #expect(run.status == .running)
    world.pass(2 * ms)
    #expect(desk.tasks[0].conclude(text("after all")))
    world.drain()
    #expect(run.attempts().map(\.status) == [.timedOut])
    #expect(run.attempts().map(\.end) == [7 * ms])
    #expect(run.status == .failed)
  }

  @Test("the first failure stops what is held; a run that is stopped while one begins asks it when it has begun")
  func failsFast() throws {
    let desk = Desk(isAsked: true)
    let world = try world(desk)
    var workflow = Definition("w")
    workflow.task("a", handler: "desk")
    workflow.task("b", handler: "desk")
    let run = try world.start(workflow)
    world.drain()
    #expect(desk.tasks[0].conclude(.failed(type: "x", message: "", isRetryable: false)))
    world.drain()
    #expect(desk.stops == [desk.tasks[1].definition.id])
    #expect(desk.tasks[1].conclude(.cancelled))
    world.drain()
    #expect(run.accounts == [0, 1, 0, 1])

    let stopper = Desk(isAsked: true)
    stopper.atOnce = { task in
      task.run.cancel()
      #expect(stopper.stops == [])
    }
    let second = try self.world(stopper)
    let stopped = try second.start(self.workflow())
    second.drain()
    #expect(stopper.stops == ["held"])
    #expect(stopper.tasks[0].conclude(.cancelled))
    second.drain()
    #expect(stopped.status == .cancelled)
  }

  @Test("an engine that ends cancels what is held; a late word changes nothing")
  func abandons() throws {
    let desk = Desk(isAsked: true)
    var world: SteppedWorld? = try world(desk)
    let run = try world!.start(workflow(Timeouts(startToClose: ms)))
    world!.drain()
    world = nil
    #expect(run.status == .cancelled)
    #expect(run.accounts == [0, 0, 0, 2])
    #expect(!desk.tasks[0].conclude(text("late")))
    #expect(run.accounts == [0, 0, 0, 2])
  }

  @Test("an output that is too large fails the task, and an expression without a value does as well")
  func refusals() throws {
    let desk = Desk()
    let world = try world(desk)
    var workflow = Definition("w", onFailure: .continue)
    workflow.task("large", handler: "desk")
    workflow.task("wrong", handler: "desk", input: ["x": "${run.id.nothing}"])
    let run = try world.start(workflow.resolve())
    world.drain()
    #expect(desk.tasks.count == 1)
    #expect(desk.tasks[0].conclude(.output([UInt8](repeating: 0, count: Int(MILLRACE_INLINE_BYTES) + 1), contentType: 0)))
    world.drain()
    #expect(run.attempts(0).map(\.errorType) == ["too-large"])
    #expect(run.attempts(1).map(\.errorType) == [EngineErrorType.expression])
    #expect(run.status == .failed)
  }

  @Test("many threads conclude, one cancels, time passes: each task is ended by exactly one of them")
  func races() async throws {
    for round in 0..<20 {
      let desk = Desk(isAsked: round % 2 == 1)
      if round % 2 == 0 { desk.atOnce = { task in if task.attempt % 3 == 0 { task.conclude(text("begin")) } } }
      let world = try SteppedWorld(slots: 2)
      world.held("desk", desk)
      var workflow = Definition("w", onFailure: .continue)
      let count = 400
      for i in 0..<count {
        workflow.task(
          "t\(i)", handler: "desk", retry: i % 4 == 0 ? RetryPolicy(attempts: 2, initial: 1) : nil,
          timeouts: Timeouts(startToClose: i % 3 == 0 ? ms : nil, scheduleToClose: i % 5 == 0 ? 2 * ms : nil))
      }
      let run = try world.start(workflow)
      let won = Lines()
      await withTaskGroup(of: Void.self) { group in
        for thread in 0..<3 {
          group.addTask {
            while run.status == .running {
              for task in desk.tasks {
                let isLast = (task.attempt + thread) % 2 == 0
                let ending = isLast ? text("\(thread)") : HeldEnding.failed(type: "x", message: "", isRetryable: true)
                if task.conclude(ending), isLast { won.append(task.definition.id) }
              }
              await Task.yield()
            }
          }
        }
        group.addTask {
          while run.status == .running {
            world.pass(ms / 8)
            if round % 4 >= 2, desk.tasks.count > count / 2 { run.cancel() }
            await Task.yield()
          }
        }
      }
      let progress = run.progress()
      #expect(progress.finished == count)
      #expect(progress.running == 0)
      #expect(world.timers.count == 0)
      #expect(world.scheduler.freeSlots == 2)
      // A timeout may take the place of an output that was told after it; nothing is completed twice, or without a word.
      let completed = Set((0..<count).map { "t\($0)" }.filter { run.text($0) != nil && run.text($0) != "begin" })
      #expect(completed.isSubset(of: Set(won.all)))
      for task in run.record(slots: 1, threads: 1).tasks {
        let numbers = task.attempts.map(\.number)
        #expect(numbers == Array(Set(numbers)).sorted())
        #expect(task.attempts.count { $0.status == .completed } <= 1)
      }
    }
  }
}

/// The states of a held attempt: every order of every event.
@Suite struct HeldStateTests {
  private enum Event: CaseIterable { case begun, begunQuiet, conclude, stop, timeout }

  @Test("in every order of events a held attempt is finished at most once, asked at most once, and never after it is over")
  func exhaustive() {
    var sequences: [[Event]] = [[]]
    for length in 1...6 {
      sequences += sequences.filter { $0.count == length - 1 }.flatMap { head in Event.allCases.map { head + [$0] } }
    }
    #expect(sequences.count == 19_531)
    for events in sequences { check(events) }
  }

  private func check(_ events: [Event]) {
    var state = HeldState()
    var (finished, asked, begun, told) = (0, 0, false, 0)
    for event in events {
      if [.begun, .begunQuiet].contains(event), begun { continue }
      let action: HeldState.Action
      switch event {
      case .begun: action = state.begun({})
      case .begunQuiet: action = state.begun(nil)
      case .conclude: action = state.conclude(.output([], contentType: 0))
      case .stop: action = state.stop(.runStops)
      case .timeout: action = state.stop(.timeout("t"))
      }
      if [.begun, .begunQuiet].contains(event) { begun = true }
      // A word that is taken is the only one.
      if event == .conclude, !action.isRefused { told += 1 }
      let isOver = finished > 0
      switch action {
      case .finish:
        finished += 1
        #expect(begun, "\(events)")
      case .ask:
        asked += 1
        #expect(begun, "\(events)")
      case .none: #expect(!isOver, "\(events)")
      case .refused: continue
      }
      #expect(!isOver, "\(events)")
    }
    #expect(finished <= 1 && asked <= 1 && told <= 1, "\(events)")
    // Whatever comes, it can be ended.
    if !begun { if case .finish = state.begun(nil) { finished += 1 } }
    if finished == 0, case .finish = state.conclude(.cancelled) { finished += 1 }
    #expect(finished == 1, "\(events)")
  }
}

extension HeldState.Action {
  fileprivate var isRefused: Bool { if case .refused = self { true } else { false } }
}
