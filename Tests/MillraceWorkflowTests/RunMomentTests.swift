import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

/// What unfinished tasks wait for, at a nanosecond of a virtual clock.
@Suite struct RunMomentTests {
  @Test("a wait between attempts tells when it ends, and how many attempts there are; what runs is among the holders with its age")
  func waits() throws {
    let world = try SteppedWorld()
    world.handler("flaky") { call in call.number == 1 ? call.retry(after: 5_000) : call.done("ok") }
    let held = Left<HeldAttempt?>(nil)
    world.handler("pends") { call in
      held.value = call.hold()
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w")
    workflow.task("flaky", handler: "flaky", retry: RetryPolicy(attempts: 4))
    workflow.task("pends", handler: "pends", concurrencyKey: "k")
    let run = try world.start(workflow)
    world.drain()
    world.clock.move(by: 1_000)
    let moment = run.moment()
    #expect(moment.tasks[0]?.retryAt == 5_000 && moment.tasks[0]?.attempts == 4)
    #expect(moment.tasks[1]?.retryAt == nil && moment.tasks[1]?.concurrencyKey == "k")
    #expect(moment.holders.map(\.task) == ["pends"] && moment.holders.first?.age == 1_000)
    #expect(!moment.isStopping)
    world.pass(4_000)
    let token = try #require(held.value?.token)
    #expect(world.complete(token, MILLRACE_DONE))
    world.drain()
    #expect(run.status == .completed)
    #expect(run.moment().tasks.isEmpty && run.moment().holders.isEmpty)
  }
}
