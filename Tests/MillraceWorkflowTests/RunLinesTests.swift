import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000

/// How many runs of a workflow go on at once, on a virtual clock.
@Suite struct RunLinesTests {
  /// Handler `holds` waits for its token; `h` is done at once.
  private final class House {
    let world: SteppedWorld
    private let held = Left<[HeldAttempt]>([])
    let began = Left<[String]>([])

    init(capacity: Int = 1 << 16, timers: Int = 1 << 12) throws {
      world = try SteppedWorld(capacity: capacity, timers: timers)
      world.handler("holds") { [held, began] call in
        began.value.append(call.key)
        held.value.append(call.hold())
        return call.end(MILLRACE_PENDING)
      }
      world.handler("h") { [began] call in
        began.value.append(call.key)
        return call.done("")
      }
    }

    func start(_ concurrency: RunConcurrency, tasks: Int = 1, handler: String = "holds", cleanup: String? = nil) throws -> WorkflowRun {
      var workflow = Definition("w", concurrency: concurrency)
      for i in 0..<tasks { workflow.task("t\(i)", handler: handler) }
      if let cleanup { workflow.cleanup("c", handler: cleanup) }
      seed += 1
      let run = try world.start(workflow, seed: seed)
      world.drain()
      return run
    }

    private var seed: UInt64 = 0

    /// Ends the oldest attempt that waits.
    func finishOne() {
      _ = world.complete(held.value.removeFirst().token, MILLRACE_DONE)
      world.drain()
    }
  }

  private let queue = RunConcurrency(key: "k")

  @Test("a run waits until the one with its key has ended, cleanup included; it is CREATED, and says what it waits for")
  func queueing() throws {
    let house = try House()
    let first = try house.start(queue, cleanup: "holds")
    let second = try house.start(queue)
    let third = try house.start(queue)
    let other = try house.start(RunConcurrency(key: "other"))
    #expect([first, second, third, other].map(\.status) == [.running, .created, .created, .running])
    #expect(second.waitsFor?.description == "waits for key 'k', held by run \(first.id)")
    #expect(third.waitsFor == RunWait(key: "k", holder: first.id.description, ahead: 1))
    #expect(third.progress().waitsFor == third.waitsFor && first.progress().waitsFor == nil)
    #expect(second.elapsed == 0 && second.accounts == [0, 0, 0, 0])
    #expect(house.world.scheduler.admittedJobs <= 3, "who waits has nothing of the core's")
    house.world.pass(5 * ms)
    house.finishOne()
    #expect(second.status == .created, "the cleanup of the first is part of it")
    house.finishOne()
    house.finishOne()
    #expect(first.status == .completed)
    #expect([second, third].map(\.status) == [.running, .created])
    house.world.pass(ms)
    #expect(second.elapsed == ms)
    #expect(second.record(slots: 1, threads: 1).startedWall == Int64(5 * ms))
    house.finishOne()
    house.finishOne()
    #expect([second, third].map(\.status) == [.completed, .completed])
    #expect(house.world.host.activeRuns.isEmpty)
  }

  @Test("without a key the workflow's name is the key, and as many go on as the limit says")
  func limits() throws {
    let house = try House()
    let runs = try (0..<5).map { _ in try house.start(RunConcurrency(limit: 2)) }
    #expect(runs.map(\.status) == [.running, .running, .created, .created, .created])
    #expect(runs[4].waitsFor?.key == "w")
    house.finishOne()
    #expect(runs.map(\.status) == [.completed, .running, .running, .created, .created])
    // One that lets only one go on waits for both, and those behind it wait for it.
    let single = try house.start(RunConcurrency(limit: 1))
    let last = try house.start(RunConcurrency(limit: 2))
    for _ in 0..<3 { house.finishOne() }
    #expect([runs[4], single, last].map(\.status) == [.running, .created, .created])
    house.finishOne()
    #expect([single, last].map(\.status) == [.running, .running])
  }

  @Test("a run that waits can be cancelled: it ends at once, begins nothing, and the others move up")
  func cancel() throws {
    let house = try House()
    let runs = try (0..<3).map { _ in try house.start(queue, cleanup: "h") }
    runs[1].cancel()
    runs[1].cancel()
    #expect(runs[1].status == .cancelled && runs[1].accounts == [0, 0, 0, 2] && runs[1].reason == nil)
    #expect(runs[2].waitsFor?.ahead == 0)
    house.finishOne()
    #expect(runs.map(\.status) == [.completed, .cancelled, .running])
    #expect(!house.began.value.contains { $0.hasPrefix(runs[1].id.description) })
  }

  @Test("cancel_newer: a run that finds the key taken is cancelled at once, and says by whom")
  func newer() throws {
    let house = try House()
    let first = try house.start(queue)
    let second = try house.start(RunConcurrency(key: "k", whenFull: .cancelNewer))
    #expect(second.status == .cancelled)
    #expect(second.reason == "run \(first.id) has the key 'k', and the workflow says 'when_full: cancel_newer'")
    #expect(second.record(slots: 1, threads: 1).reason == second.reason)
    #expect(first.status == .running)
    house.finishOne()
    #expect(try house.start(RunConcurrency(key: "k", whenFull: .cancelNewer)).status == .running)
  }

  @Test(
    "cancel_older: those that have the key are cancelled, and the new one begins when they have cleaned up; of those that wait the last one stays"
  )
  func older() throws {
    let house = try House()
    let concurrency = RunConcurrency(key: "k", whenFull: .cancelOlder)
    let first = try house.start(concurrency, cleanup: "holds")
    let second = try house.start(concurrency)
    #expect(first.status == .running && second.status == .created)
    let third = try house.start(concurrency)
    #expect(second.status == .cancelled && third.status == .created)
    #expect(second.reason == "run \(third.id), which has the same key 'k', took its place")
    #expect(first.reason == "run \(second.id), which has the same key 'k', took its place")
    // The attempt of the first was ended, the one of its cleanup goes on.
    house.finishOne()
    #expect(third.status == .created)
    house.finishOne()
    #expect(first.status == .cancelled && third.status == .running)
  }

  @Test("cancel_older with a limit cancels no more than have to go")
  func olderOfSeveral() throws {
    let house = try House()
    let concurrency = RunConcurrency(key: "k", limit: 2, whenFull: .cancelOlder)
    let runs = try (0..<3).map { _ in try house.start(concurrency) }
    #expect(runs.map(\.status) == [.cancelled, .running, .running])
  }

  @Test("a full core is asked again, and a run that could never begin is refused")
  func full() throws {
    let house = try House(capacity: 4)
    let first = try house.start(queue)
    let second = try house.start(queue, tasks: 3)
    // Four of other runs: none is left for the second when its turn comes.
    var other = Definition("other")
    for i in 0..<3 { other.task("o\(i)", handler: "holds") }
    _ = try house.world.start(other)
    house.world.drain()
    house.finishOne()
    #expect(first.status == .completed && second.status == .created)
    #expect(second.waitsFor == RunWait(key: "k", holder: nil, ahead: 0))
    house.world.pass(RunLines.retryWait)
    #expect(second.status == .created)
    for _ in 0..<3 { house.finishOne() }
    house.world.pass(RunLines.retryWait)
    #expect(second.status == .running)
    #expect(throws: SubmitError.full(limit: 4)) { try house.start(queue, tasks: 5) }
    #expect(house.world.host.activeRuns.count == 1)
  }

  @Test("as many wait as the bound says, the next one is refused and leaves nothing behind; the end of the engine ends them all")
  func bound() throws {
    let house = try House()
    house.world.host.lines.maximumWaiting = 100
    var workflow = Definition("w", concurrency: RunConcurrency(key: "k"))
    workflow.task("t", handler: "holds")
    let compiled = try CompiledWorkflow(
      workflow, handlers: house.world.handlers, held: house.world.host.heldIndex, order: .fifo, keys: house.world.host.keys)
    var random = SeededRandom(seed: 1)
    let runs = try (0...101).map { i in
      try WorkflowRun(compiled, id: RunID(wall: 0, random: &random), wall: 0, seed: UInt64(i), host: house.world.host, ended: { _ in })
    }
    for run in runs.dropLast() { try run.start() }
    #expect(throws: RunLineFull(key: "k", limit: 100)) { try runs.last!.start() }
    house.world.drain()
    #expect(house.world.host.activeRuns.count == 101)
    house.world.host.endRuns()
    #expect(runs.dropLast().allSatisfy { $0.status == .cancelled })
    #expect(house.world.host.activeRuns.isEmpty)
  }

  @Test(
    "cancelled, a run leaves the lines of its tasks' keys at once, whoever holds them",
    arguments: [Timeouts(), Timeouts(scheduleToClose: .max >> 1)])
  func lines(timeouts: Timeouts) throws {
    let house = try House()
    house.world.handler("one", concurrency: 1) { call in call.done("") }
    var holder = Definition("holder")
    holder.task("t", handler: "holds", concurrencyKey: "db", concurrencyLimit: 2, concurrencyWeight: 2)
    let first = try house.world.start(holder)
    house.world.drain()
    var waiter = Definition("waiter", defaults: Policy(timeouts: timeouts))
    for i in 0..<5 { waiter.task("t\(i)", handler: "one", concurrencyKey: "db", concurrencyLimit: 2) }
    let second = try house.world.start(waiter)
    let third = try house.world.start(waiter)
    house.world.drain()
    second.cancel()
    house.world.drain()
    #expect(first.status == .running && second.status == .cancelled && third.status == .running)
    #expect(second.accounts == [0, 0, 0, 5])
    house.finishOne()
    #expect(third.status == .completed)
  }

  @Test("keys that nobody uses any more are given back: an engine has no end of customers")
  func manyKeys() throws {
    let house = try House()
    let keys = house.world.host.keys!
    func compile() throws -> CompiledWorkflow {
      var workflow = Definition("w", parameters: [.init("customer")])
      workflow.task(
        "t", handler: "h", concurrencyKey: "customer-${params.customer}", rate: RateLimit(key: "r-${params.customer}", limit: 1))
      return try CompiledWorkflow(
        workflow.resolve(parameters: ["customer": "new"]), handlers: house.world.handlers, held: house.world.host.heldIndex, order: .fifo,
        keys: keys)
    }
    var first: CompiledWorkflow? = try compile()
    #expect(keys.counts == (1, 1) && first?.limits.count == 1)
    first = nil
    #expect(keys.counts == (0, 0))
    for i in 0..<3 * Scheduler.maxLimits {
      let lease = KeyLease(keys)
      #expect(try lease.limit("customer-\(i)", 1) == 0, "always the same place")
    }
    // Those in use are bounded, and the refusal says so.
    var lease: KeyLease? = KeyLease(keys)
    for i in 0..<Scheduler.maxLimits { _ = try lease?.limit("customer-\(i)", 1) }
    let error = #expect(throws: CompileError.self) { try compile() }
    #expect(error?.description.hasPrefix("65536 concurrency keys and limited handlers are in use") == true)
    lease = KeyLease(keys)
    for i in 0..<KeyTable.maximumRates { _ = try lease?.rate(RateLimit(key: "r-\(i)", limit: 1)) }
    let another = #expect(throws: CompileError.self) { try compile() }
    #expect(another?.description.hasPrefix("65536 rates are in use") == true)
    #expect(keys.counts == (0, 65_536), "what was taken before the refusal is given back")
    lease = nil
    #expect(keys.counts == (0, 0))
  }
}
