import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000
private let s: UInt64 = 1_000_000_000

/// Starts of attempts at a rate, to the nanosecond, on a virtual clock.
@Suite struct RunRateTests {
  /// A world whose handler `h` writes down its task and the time.
  private final class Diary {
    let world: SteppedWorld
    private let written = Left<[(task: String, time: UInt64)]>([])

    init(slots: Int = 64, timers: Int = 1 << 12) throws {
      world = try SteppedWorld(slots: slots, timers: timers)
      let world = world
      world.handler("h") { [unowned world, written] call in
        written.value.append((call.task, world.now))
        return call.done("")
      }
      world.handler("flaky") { [unowned world, written] call in
        written.value.append((call.task, world.now))
        return call.number < 3 ? call.retry("flaky", after: 1) : call.done("")
      }
    }

    var starts: [(task: String, time: UInt64)] { written.value }
    var times: [UInt64] { starts.map(\.time) }
    var tasks: [String] { starts.map(\.task) }

    /// Lets time pass until no timer is left.
    func play() { while world.passToNextTimer() != nil {} }
  }

  private static func seconds(_ count: UInt64) -> [UInt64] { (0..<count).map { $0 * s } }

  private func workflow(_ tasks: Int, _ rate: RateLimit, name: String = "t", priority: (Int) -> Priority = { _ in .normal }) -> Definition {
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<tasks { workflow.task("\(name)\(i)", handler: "h", priority: priority(i), rate: rate) }
    return workflow
  }

  @Test("after a pause the burst starts at once, then one in every per / limit")
  func burst() throws {
    let diary = try Diary()
    let run = try diary.world.start(workflow(250, RateLimit(key: "api", limit: 100, per: s, burst: 10)))
    diary.world.drain()
    #expect(diary.times == Array(repeating: 0, count: 10))
    #expect(run.progress().running == 0, "those that wait do not run")
    diary.play()
    #expect(run.status == .completed)
    let expected: [UInt64] = (0..<250).map { (i: Int) -> UInt64 in i < 10 ? 0 : UInt64(i - 9) * 10 * ms }
    #expect(diary.times == expected)
    #expect(diary.tasks == (0..<250).map { "t\($0)" }, "first come, first started")
    #expect(diary.world.timers.count == 0)
  }

  @Test("a rate that does not divide its time is kept exactly: never early, and no drift")
  func fractions() throws {
    let diary = try Diary()
    _ = try diary.world.start(workflow(31, RateLimit(key: "api", limit: 3, per: s)))
    diary.world.drain()
    diary.play()
    // The k-th is due at k / 3 s, rounded up to a nanosecond.
    let expected: [UInt64] = (0..<31).map { (i: UInt64) -> UInt64 in (i * s + 2) / 3 }
    #expect(diary.times == expected)
  }

  @Test("higher priorities start first, then those that came first, whatever run they are of")
  func order() throws {
    let diary = try Diary()
    let rate = RateLimit(key: "api", limit: 1, per: s)
    _ = try diary.world.start(workflow(6, rate, name: "a") { $0 % 3 == 0 ? .low : .normal })
    diary.world.drain()
    _ = try diary.world.start(workflow(3, rate, name: "b") { $0 == 2 ? .critical : .normal })
    diary.world.drain()
    diary.play()
    #expect(diary.tasks == ["a1", "b2", "a2", "a4", "a5", "b0", "b1", "a0", "a3"])
    #expect(diary.times == Self.seconds(9))
  }

  @Test("every attempt is a start: retries stand in line as well")
  func retries() throws {
    let diary = try Diary()
    var workflow = Definition("w")
    for i in 0..<3 {
      workflow.task("t\(i)", handler: "flaky", retry: RetryPolicy(attempts: 3), rate: RateLimit(key: "api", limit: 1, per: s))
    }
    let run = try diary.world.start(workflow)
    diary.world.drain()
    diary.play()
    #expect(run.status == .completed)
    #expect(diary.times == Self.seconds(9))
    #expect(diary.tasks == ["t0", "t1", "t2", "t0", "t1", "t2", "t0", "t1", "t2"])
    #expect(run.attempts(0).map(\.number) == [1, 2, 3])
  }

  @Test("who waits for a rate holds neither slot nor permit")
  func holdsNothing() throws {
    let diary = try Diary(slots: 1)
    var workflow = workflow(3, RateLimit(key: "api", limit: 1, per: s))
    for i in 0..<3 {
      workflow.tasks[i].policy.concurrencyKey = "db"
      workflow.task("free\(i)", handler: "h", concurrencyKey: "db")
    }
    let run = try diary.world.start(workflow)
    diary.world.drain()
    #expect(diary.tasks == ["t0", "free0", "free1", "free2"])
    #expect(diary.world.scheduler.freeSlots == 1)
    diary.play()
    #expect(run.status == .completed)
    #expect(diary.tasks.suffix(2) == ["t1", "t2"])
  }

  @Test("what could not start for want of a slot does not start in a heap later")
  func noHeap() throws {
    let diary = try Diary(slots: 1)
    let held = Left<HeldAttempt?>(nil)
    diary.world.handler("holds") { call in
      held.value = call.hold()
      return call.end(MILLRACE_PENDING)
    }
    _ = try diary.world.start(workflow(6, RateLimit(key: "api", limit: 1, per: 10 * ms)))
    diary.world.drain()
    var holder = Definition("holder")
    holder.task("t", handler: "holds")
    _ = try diary.world.start(holder)
    diary.world.drain()
    for _ in 0..<20 { diary.world.pass(5 * ms) }
    #expect(diary.times == [0])
    #expect(diary.world.complete(held.value!.token, MILLRACE_DONE))
    diary.world.drain()
    diary.play()
    let expected: [UInt64] = [0, 100, 110, 120, 130, 140].map { (i: UInt64) -> UInt64 in i * ms }
    #expect(diary.times == expected)
    #expect(diary.tasks == (0..<6).map { "t\($0)" })
  }

  @Test("one that its condition skips, or whose input has no value, is no start")
  func noStart() throws {
    let diary = try Diary()
    var workflow = workflow(4, RateLimit(key: "api", limit: 1, per: s))
    workflow.tasks[0].condition = "${run.id == 'x'}"
    workflow.tasks[1].input = "${tasks.t0.output.x}"
    workflow.tasks[1].dependencies = ["t0"]
    let run = try diary.world.start(workflow.resolve())
    diary.world.drain()
    diary.play()
    #expect(diary.starts.map(\.task) == ["t2", "t3"])
    #expect(diary.times == [0, s])
    #expect(run.accounts == [2, 1, 1, 0])
  }

  @Test("cancelling ends those that wait at once, and those behind them of other runs come no later")
  func cancel() throws {
    let diary = try Diary()
    let rate = RateLimit(key: "api", limit: 1, per: s)
    let first = try diary.world.start(workflow(5, rate, name: "a"))
    diary.world.drain()
    let second = try diary.world.start(workflow(2, rate, name: "b"))
    diary.world.drain()
    diary.world.pass(s / 2)
    first.cancel()
    diary.world.drain()
    #expect(first.status == .cancelled && first.accounts == [1, 0, 0, 4])
    diary.play()
    #expect(second.status == .completed)
    #expect(diary.times == [0, s, 2 * s])
    #expect(diary.world.timers.count == 0)
  }

  @Test("cancelled while it is called and waits for a slot, a task lets the next one start")
  func cancelCalled() throws {
    let diary = try Diary(slots: 1)
    let held = Left<HeldAttempt?>(nil)
    diary.world.handler("holds") { call in
      held.value = call.hold()
      return call.end(MILLRACE_PENDING)
    }
    let rate = RateLimit(key: "api", limit: 1, per: s)
    let first = try diary.world.start(workflow(2, rate, name: "a"))
    let second = try diary.world.start(workflow(2, rate, name: "b"))
    var holder = Definition("holder")
    holder.task("t", handler: "holds")
    _ = try diary.world.start(holder)
    diary.world.drain()
    // Called, and in the core's queue.
    diary.world.pass(s)
    first.cancel()
    #expect(diary.world.complete(held.value!.token, MILLRACE_DONE))
    diary.world.drain()
    diary.play()
    #expect(first.status == .cancelled && second.status == .completed)
    #expect(diary.tasks == ["a0", "b0", "b1"])
    #expect(diary.times == [0, s, 2 * s])
  }

  @Test("schedule-to-start counts while a task waits for its rate, schedule-to-close as well: each at its nanosecond")
  func timeouts() throws {
    let diary = try Diary()
    var workflow = workflow(4, RateLimit(key: "api", limit: 1, per: s))
    workflow.tasks[1].policy.timeouts = Timeouts(scheduleToStart: s - 1)
    workflow.tasks[2].policy.timeouts = Timeouts(scheduleToClose: s)
    workflow.tasks[3].policy.timeouts = Timeouts(scheduleToStart: s)
    let run = try diary.world.start(workflow)
    diary.world.drain()
    diary.play()
    #expect(run.attempts(1).map(\.errorType) == [EngineErrorType.scheduleToStart])
    #expect(run.attempts(1).first?.end == s - 1)
    #expect(run.attempts(2).map(\.errorType) == [EngineErrorType.scheduleToClose])
    #expect(run.attempts(2).first?.end == s)
    #expect(run.accounts.reduce(0, +) == 4 && run.status == .failed)
    #expect(diary.world.timers.count == 0)
  }

  @Test("a rate outlives the runs that name it until it has recovered: runs one after the other are held to it")
  func remembered() throws {
    let diary = try Diary()
    let rate = RateLimit(key: "api", limit: 1, per: s)
    for _ in 0..<3 {
      let run = try diary.world.start(workflow(1, rate))
      diary.world.drain()
      diary.play()
      #expect(run.status == .completed)
    }
    #expect(diary.times == [0, s, 2 * s])
    #expect(diary.world.host.keys.counts.rates == 1)
    diary.world.pass(s)
    // Gone the next time that somebody gives it back.
    _ = try CompiledWorkflow(
      workflow(1, rate), handlers: diary.world.handlers, held: diary.world.host.heldIndex, order: .fifo, keys: diary.world.host.keys)
    #expect(diary.world.host.keys.counts.rates == 0)
  }

  @Test("with no timer to wait with, tasks fail and say so, and none is forgotten")
  func noTimer() throws {
    let diary = try Diary(timers: 1)
    var taken: [TimerHandle] = []
    while let timer = try? diary.world.timers.arm(shard: 1, due: .max - 1, value: 0, kind: TimerKind.line) { taken.append(timer) }
    let run = try diary.world.start(workflow(4, RateLimit(key: "api", limit: 1, per: s)))
    diary.world.drain()
    #expect(run.status == .failed && run.accounts == [1, 3, 0, 0])
    #expect(run.attempts(3).map(\.errorType) == [EngineErrorType.noTimer])
    for timer in taken { #expect(diary.world.timers.cancel(timer)) }
  }

  @Test("never more starts than the rate in any window, whatever comes and goes; and everybody gets an end", arguments: 0..<20)
  func checker(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    func draw(_ below: Int) -> Int { Int(random.next(upperBound: UInt64(below))) }
    let diary = try Diary(slots: 1 + draw(4))
    let burst = 1 + draw(5)
    let rate = RateLimit(key: "api", limit: 1 + draw(7), per: 1_000, burst: burst)
    var runs: [WorkflowRun] = []
    for _ in 0..<30 {
      var workflow = Definition("w", onFailure: .continue)
      for i in 0..<(1 + draw(8)) {
        workflow.task(
          "t\(i)", handler: draw(3) == 0 ? "flaky" : "h", priority: Priority(rawValue: UInt8(draw(4))),
          retry: RetryPolicy(attempts: 3),
          timeouts: draw(4) == 0 ? Timeouts(scheduleToStart: UInt64(1 + draw(4_000))) : Timeouts(),
          concurrencyKey: draw(3) == 0 ? "db" : nil, rate: draw(5) == 0 ? nil : rate)
      }
      // What has no rate does not count.
      for i in workflow.tasks.indices where workflow.tasks[i].policy.rate == nil { workflow.tasks[i].id = "free\(i)" }
      runs.append(try diary.world.start(workflow))
      diary.world.drain()
      for _ in 0..<draw(4) { diary.world.pass(UInt64(draw(700))) }
      if draw(4) == 0 { runs[draw(runs.count)].cancel() }
      diary.world.drain()
    }
    diary.play()
    for run in runs { #expect(run.status != .running && run.accounts.reduce(0, +) == run.definition.tasks.count) }
    let times = diary.starts.filter { !$0.task.hasPrefix("free") }.map(\.time)
    #expect(times.count > 20)
    for (i, time) in times.enumerated() {
      let inWindow = times[i...].prefix { $0 < time + rate.per }.count
      #expect(inWindow <= rate.limit + burst - 1)
    }
    #expect(diary.world.timers.count == 0 && diary.world.scheduler.freeSlots == diary.world.scheduler.configuration.slots)
  }
}
