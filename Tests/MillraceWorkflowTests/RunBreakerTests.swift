import CMillrace
import MillraceBroker
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000
private let s: UInt64 = 1_000_000_000

/// A breaker before tasks, to the nanosecond, on a virtual clock.
@Suite struct RunBreakerTests {
  /// A world whose handler `call` writes down its task and the time, and fails until `works`.
  private final class Shop {
    let world: SteppedWorld
    private let written = Left<[(task: String, time: UInt64)]>([])
    private let open = Left<UInt64>(0)

    /// It works from then on.
    init(worksAt: UInt64, slots: Int = 64, timers: Int = 1 << 12) throws {
      world = try SteppedWorld(slots: slots, timers: timers)
      open.value = worksAt
      let world = world
      world.handler("call") { [unowned world, written, open] call in
        written.value.append((call.task, world.now))
        return world.now < open.value ? call.retry("away", after: 1) : call.done("")
      }
      world.handler("other") { call in call.done("") }
    }

    var calls: [(task: String, time: UInt64)] { written.value }

    func play() { while world.passToNextTimer() != nil {} }
  }

  private func policy(window: Int = 4, openFor: UInt64 = 10 * s, longest: UInt64 = 40 * s, canaries: Int = 2) -> BreakerPolicy {
    var configuration = BreakerMachine.Configuration()
    (configuration.window, configuration.openFor, configuration.longestOpen) = (window, openFor, longest)
    configuration.canaries = canaries
    return BreakerPolicy("shop", breaker: configuration)
  }

  private func workflow(
    _ tasks: Int, attempts: Int = 100, _ policy: BreakerPolicy, priority: (Int) -> Priority = { _ in .normal }
  ) -> Definition {
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<tasks {
      workflow.task(
        "t\(i)", handler: "call", priority: priority(i), retry: RetryPolicy(attempts: attempts, initial: 1, factor: 1, cap: 1),
        breaker: policy)
    }
    return workflow
  }

  @Test("four failures open it; canaries go when its time is over, each time twice as long; two successes let all go, in order")
  func course() throws {
    let shop = try Shop(worksAt: 50 * s, slots: 1)
    let run = try shop.world.start(workflow(20, policy()))
    shop.world.drain()
    shop.play()
    #expect(run.status == .completed)
    // Four at once, then one canary that fails at 10 s, at 30 s, and at 70 s the shop works.
    let seconds = shop.calls.map { $0.time / s }
    #expect(seconds.count { $0 == 0 } == 4)
    #expect(seconds.count { $0 == 10 } == 1 && seconds.count { $0 == 30 } == 1)
    #expect(seconds.allSatisfy { [0, 10, 30, 70].contains($0) })
    #expect(seconds.count { $0 == 70 } == 20)
    // No attempt was charged to those that were only parked.
    #expect((0..<20).count { run.attempts($0).count <= 1 } >= 14)
    #expect(shop.world.timers.count == 0)
    #expect(run.breakers.isEmpty || run.breakers.allSatisfy { $0.state == .closed })
  }

  @Test("who is parked holds no slot, is PENDING, and leaves by cancellation and by schedule-to-close without an attempt")
  func leaves() throws {
    let shop = try Shop(worksAt: .max, slots: 1)
    var workflow = workflow(8, attempts: 2, policy(openFor: 1_000 * s, longest: 1_000 * s))
    workflow.tasks[7].policy.timeouts = Timeouts(scheduleToClose: 5 * s)
    workflow.task("free", handler: "other")
    let run = try shop.world.start(workflow)
    shop.world.drain()
    #expect(run.progress().running == 0)
    #expect(run.progress().completed == 1)
    #expect(run.breakers.first?.parked ?? 0 > 0)
    _ = shop.world.passToNextTimer()
    #expect(run.attempts(7).allSatisfy { $0.errorType == EngineErrorType.scheduleToClose || $0.errorType == "away" })
    run.cancel()
    shop.world.drain()
    #expect(run.status == .cancelled)
    #expect(run.breakers.allSatisfy { $0.parked == 0 })
  }

  @Test("critical tasks are called before others that were parked before them")
  func priorities() throws {
    let shop = try Shop(worksAt: 5 * s, slots: 1)
    var opener = workflow(4, attempts: 1, policy())
    opener.onFailure = .continue
    let first = try shop.world.start(opener)
    shop.world.drain()
    #expect(first.status == .failed)
    let run = try shop.world.start(workflow(6, policy()) { $0 == 5 ? .critical : .normal })
    shop.world.drain()
    shop.play()
    #expect(run.status == .completed)
    #expect(shop.calls.map(\.task).dropFirst(4).first == "t5")
  }

  @Test("items of a list are parked one by one, and all are done when the destination works again")
  func items() throws {
    let shop = try Shop(worksAt: 50 * s)
    var workflow = Definition("w", onFailure: .continue)
    workflow.task(
      "each", handler: "call", input: "${item}", foreach: .range(from: 0, to: 29), parallelism: 10,
      retry: RetryPolicy(attempts: 100, initial: 1, factor: 1, cap: 1), breaker: policy())
    let run = try shop.world.start(workflow)
    shop.world.drain()
    #expect(run.breakers.first?.state == .open)
    shop.play()
    #expect(run.status == .completed)
    #expect(run.breakers.allSatisfy { $0.state == .closed && $0.parked == 0 })
    #expect(Set(shop.calls.filter { $0.time >= 50 * s }.map(\.task)) == Set((0..<30).map { "each[\($0)]" }))
  }

  @Test("a breaker in a record is read back as it was, with a retry budget and without")
  func recorded() {
    let plain = policy(window: 64, openFor: 3, longest: 5, canaries: 1_000)
    var budgeted = plain
    budgeted.retryBudget = .init(ratio: 0.25, least: 7, per: 9 * s)
    #expect(BreakerPolicy(canonical: plain.canonical) == plain)
    #expect(BreakerPolicy(canonical: budgeted.canonical) == budgeted)
    #expect(BreakerPolicy(canonical: ["shop"]) == nil)
  }
}

extension WorkflowRun {
  fileprivate var breakers: [BreakerState] { host.keys.breakerStates }
}
