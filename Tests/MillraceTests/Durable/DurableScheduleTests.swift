import CMillrace
import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// Schedules that another process goes on with.
@Suite struct DurableScheduleTests {
  /// A wall clock that is set by the test.
  private final class Hands: @unchecked Sendable {
    private let monitor = Monitor()
    private var time: Int64

    init(_ seconds: Int64) { time = seconds * 1_000_000_000 }
    deinit { monitor.deallocate() }

    var now: Int64 { monitor.locked { time } }
    func set(_ seconds: Int64) { monitor.locked { time = seconds * 1_000_000_000 } }
  }

  private func workflow(_ missed: String, overlap: String = "allow") throws -> Definition {
    let text = """
      format: 1
      workflow: hourly
      durability: log
      schedule: { cron: "0 * * * *", zone: UTC, missed: \(missed), catchUp: 48h, overlap: \(overlap), parameters: { at: "${schedule.time}" } }
      parameters: { at: {} }
      tasks:
        - { id: tell, handler: tell, input: "${params.at}" }
      """
    return try DefinitionReader(handlers: ["tell"]).read(Array(text.utf8), name: "hourly.yaml").definition
  }

  private func life(_ store: MemoryEventStore, _ hands: Hands, _ told: Effects, door: Door? = nil) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.slots = 2
    configuration.threads = 2
    configuration.store = store
    configuration.wallClock = { hands.now }
    let engine = try Engine(configuration)
    try engine.register("tell", blocking: true) { (at: String, _: TaskContext) -> String in
      door?.pass()
      told.note(at)
      return at
    }
    return engine
  }

  /// Waits until so many runs are recorded as ended.
  private func wait(_ store: MemoryEventStore, _ ended: Int) {
    let deadline = Clock.monotonic.now + 60_000_000_000
    while store.all.count(where: { $0.type == "run-ended" }) < ended, Clock.monotonic.now < deadline { millrace_yield() }
  }

  @Test("what was missed between two processes is treated as the schedule says; no fire comes twice", arguments: ["skip", "one", "all"])
  func missed(policy: String) throws {
    let hour: Int64 = 3600
    let store = MemoryEventStore()
    let told = Effects()
    let hands = Hands(100 * hour + 1800)
    let first = try life(store, hands, told)
    let schedule = try first.schedule(workflow(policy))
    hands.set(101 * hour)
    schedule.checkClock()
    wait(store, 1)
    first.shutdown()
    #expect(told.all == ["1970-01-05T05:00:00Z": 1])

    // Three fires pass while no process is there.
    hands.set(104 * hour + 1800)
    let second = try life(store, hands, told)
    #expect(try second.resume().handles.isEmpty)
    let again = try second.schedule(workflow(policy))
    let expected = ["skip": 0, "one": 1, "all": 3][policy] ?? -1
    wait(store, 1 + expected)
    hands.set(105 * hour)
    again.checkClock()
    wait(store, 2 + expected)
    second.shutdown()
    let fires = store.all.filter { $0.type == "schedule-fired" }
    #expect(fires.count == 2 + expected && told.all.count == 2 + expected && told.all.values.allSatisfy { $0 == 1 }, "\(told.all)")
    #expect(told.count("1970-01-05T09:00:00Z") == 1)
  }

  @Test("a run that another process started counts as the schedule's own: a fire that may not overlap is passed over")
  func overlap() throws {
    let hour: Int64 = 3600
    let store = MemoryEventStore()
    let hands = Hands(100 * hour + 1800)
    let door = Door()
    let first = try life(store, hands, Effects(), door: door)
    let schedule = try first.schedule(workflow("all", overlap: "skip"))
    hands.set(101 * hour)
    schedule.checkClock()
    #expect(door.wait(for: 1))
    let cut = DurableWorld().store(store.all)
    door.open()
    first.shutdown()

    let told = Effects()
    let second = Door()
    let engine = try life(cut, hands, told, door: second)
    #expect(try engine.resume().handles.count == 1)
    let again = try engine.schedule(workflow("all", overlap: "skip"))
    #expect(again.activeRuns.count == 1)
    #expect(second.wait(for: 1))
    hands.set(102 * hour)
    again.checkClock()
    let deadline = Clock.monotonic.now + 60_000_000_000
    while again.passedOver == 0, Clock.monotonic.now < deadline { millrace_yield() }
    second.open()
    wait(cut, 1)
    #expect(again.passedOver == 1 && told.all == ["1970-01-05T05:00:00Z": 1])
    engine.shutdown()
  }
}
