import CMillrace
import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// Schedules that another process goes on with.
@Suite(.timeLimit(.minutes(5))) struct DurableScheduleTests {
  private func workflow(_ missed: String, overlap: String = "allow", catchUp: String = "48h") throws -> Definition {
    let text = """
      format: 1
      workflow: hourly
      durability: log
      schedule: { cron: "0 * * * *", zone: UTC, missed: \(missed), catchUp: \(catchUp), overlap: \(overlap), parameters: { at: "${schedule.time}" } }
      parameters: { at: {} }
      tasks:
        - { id: tell, handler: tell, input: "${params.at}" }
      """
    return try DefinitionReader(handlers: ["tell"]).read(Array(text.utf8), name: "hourly.yaml").definition
  }

  private func life(_ store: any EventStore, _ clocks: MachineClocks, _ told: Effects, door: Door? = nil) throws -> Engine {
    try clocks.engine(store) { engine in
      try engine.register("tell", blocking: true) { (at: String, _: TaskContext) -> String in
        door?.pass()
        told.note(at)
        return at
      }
      try engine.register("do") { (_: JSON, _: TaskContext) -> Int in 1 }
    }
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
    let clocks = MachineClocks(wall: 100 * hour + 1800)
    let first = try life(store, clocks, told)
    let schedule = try first.schedule(workflow(policy))
    clocks.set(wall: 101 * hour)
    schedule.checkClock()
    wait(store, 1)
    first.shutdown()
    #expect(told.all == ["1970-01-05T05:00:00Z": 1])

    // Three fires pass while no process is there.
    clocks.set(wall: 104 * hour + 1800)
    let second = try life(store, clocks, told)
    #expect(try second.resume().handles.isEmpty)
    let again = try second.schedule(workflow(policy))
    let expected = ["skip": 0, "one": 1, "all": 3][policy] ?? -1
    wait(store, 1 + expected)
    clocks.set(wall: 105 * hour)
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
    let clocks = MachineClocks(wall: 100 * hour + 1800)
    let door = Door()
    let first = try life(store, clocks, Effects(), door: door)
    let schedule = try first.schedule(workflow("all", overlap: "skip"))
    clocks.set(wall: 101 * hour)
    schedule.checkClock()
    #expect(door.wait(for: 1))
    let cut = DurableWorld().store(store.all)
    door.open()
    first.shutdown()

    let told = Effects()
    let second = Door()
    let engine = try life(cut, clocks, told, door: second)
    #expect(try engine.resume().handles.count == 1)
    let again = try engine.schedule(workflow("all", overlap: "skip"))
    #expect(again.activeRuns.count == 1)
    #expect(second.wait(for: 1))
    clocks.set(wall: 102 * hour)
    again.checkClock()
    let deadline = Clock.monotonic.now + 60_000_000_000
    while again.passedOver == 0, Clock.monotonic.now < deadline { millrace_yield() }
    second.open()
    wait(cut, 1)
    #expect(again.passedOver == 1 && told.all == ["1970-01-05T05:00:00Z": 1])
    engine.shutdown()
  }

  /// The clock says so many hours; what is due has begun.
  private func look(_ hours: Int64, _ engine: Engine, _ schedule: ScheduledWorkflow, _ clocks: MachineClocks) throws {
    clocks.set(wall: hours * 3600)
    schedule.checkClock()
    try engine.settle()
  }

  /// Of the Nth hour.
  private func name(_ hour: Int64) -> String { UTCTime(seconds: hour * 3600).description }

  @Test("a clock that was set back between two processes, by three hours at most, starts no fire a second time", arguments: [false, true])
  func back(reboots: Bool) throws {
    let store = MemoryEventStore()
    let told = Effects()
    let clocks = MachineClocks(wall: 100 * 3600 + 1800)
    let first = try life(store, clocks, told)
    let schedule = try first.schedule(workflow("all"))
    for hour: Int64 in [101, 102] { try look(hour, first, schedule, clocks) }
    wait(store, 2)
    first.shutdown()
    clocks.pass(wall: -5400, boot: 60, reboots: reboots)
    let second = try life(store, clocks, told)
    #expect(try second.resume().handles.isEmpty)
    let again = try second.schedule(workflow("all"))
    for hour: Int64 in [101, 102, 103] { try look(hour, second, again, clocks) }
    wait(store, 3)
    second.shutdown()
    #expect(told.all == [name(101): 1, name(102): 1, name(103): 1])
  }

  @Test("a clock that was set back by more was wrong before: the schedule goes on from the new time, in the process after that as well")
  func wrongBefore() throws {
    let store = MemoryEventStore()
    let told = Effects()
    let clocks = MachineClocks(wall: 105 * 3600 + 1800)
    let first = try life(store, clocks, told)
    try look(106, first, first.schedule(workflow("all")), clocks)
    wait(store, 1)
    first.shutdown()
    clocks.set(wall: 100 * 3600 + 1800)
    let second = try life(store, clocks, told)
    let corrected = try second.schedule(workflow("all"))
    try second.settle()
    try look(101, second, corrected, clocks)
    wait(store, 2)
    second.shutdown()
    let third = try life(store, clocks, told)
    try look(102, third, third.schedule(workflow("all")), clocks)
    wait(store, 3)
    third.shutdown()
    #expect(told.all == [name(106): 1, name(101): 1, name(102): 1])
  }

  @Test(
    "a clock that was set forward makes up for no more than the catch-up says, and not again when it is set back", arguments: [false, true])
  func forward(reboots: Bool) throws {
    let store = MemoryEventStore()
    let told = Effects()
    let clocks = MachineClocks(wall: 100 * 3600 + 1800)
    let first = try life(store, clocks, told)
    try look(101, first, first.schedule(workflow("all", catchUp: "2h")), clocks)
    wait(store, 1)
    first.shutdown()
    clocks.pass(wall: 5 * 3600 + 1800, boot: 60, reboots: reboots)
    let second = try life(store, clocks, told)
    let made = try second.schedule(workflow("all", catchUp: "2h"))
    wait(store, 3)
    try second.settle()
    #expect(made.passedOver == 3)
    second.shutdown()
    #expect(told.all == [name(101): 1, name(105): 1, name(106): 1])
    clocks.pass(wall: -2 * 3600, boot: 60, reboots: reboots)
    let third = try life(store, clocks, told)
    let again = try third.schedule(workflow("all", catchUp: "2h"))
    for hour: Int64 in [105, 106, 107] { try look(hour, third, again, clocks) }
    wait(store, 4)
    third.shutdown()
    #expect(told.all == [name(101): 1, name(105): 1, name(106): 1, name(107): 1])
  }

  /// How often each hour stands in the schedule's stream.
  private func fires(_ store: MemoryEventStore) throws -> [Int64: Int] {
    var fires: [Int64: Int] = [:]
    for event in store.all where event.type == "schedule-fired" {
      fires[try #require(JSON(parsing: event.text)["seconds"]?.integer) / 3600, default: 0] += 1
    }
    return fires
  }

  @Test("what is filled in is beside the schedule: the next process goes on from where the schedule was", arguments: [1, 2])
  func filledIn(filled: Int) throws {
    let store = MemoryEventStore()
    let told = Effects()
    let clocks = MachineClocks(wall: 100 * 3600 + 1800)
    let first = try life(store, clocks, told)
    let schedule = try first.schedule(workflow("all"))
    try look(101, first, schedule, clocks)
    wait(store, 1)
    #expect(try schedule.backfill(UTCTime(seconds: 10 * 3600)..<UTCTime(seconds: 12 * 3600)) == 2)
    wait(store, 3)
    first.shutdown()
    // As a crash leaves it after so many of them.
    let events = store.all
    let last = try #require(events.indices.filter { events[$0].type == "schedule-fired" }.dropFirst(filled).first)
    let cut = DurableWorld().store(events[...last])
    let second = try life(cut, clocks, told)
    _ = try second.resume()
    let again = try second.schedule(workflow("all"))
    try look(102, second, again, clocks)
    wait(cut, 2 + filled)
    second.shutdown()
    #expect(again.passedOver == 0)
    #expect(try fires(cut) == (filled == 2 ? [10: 1, 11: 1, 101: 1, 102: 1] : [10: 1, 101: 1, 102: 1]))
  }

  /// Three hours are missed, and a fourth comes while the first of them runs.
  private func busy(_ overlap: Schedule.Overlap) throws -> MemoryEventStore {
    let store = MemoryEventStore()
    let clocks = MachineClocks(wall: 100 * 3600 + 1800)
    let first = try life(store, clocks, Effects())
    _ = try first.schedule(workflow("all", overlap: overlap.rawValue))
    first.shutdown()
    clocks.set(wall: 103 * 3600 + 1800)
    let door = Door()
    let second = try life(store, clocks, Effects(), door: door)
    let schedule = try second.schedule(workflow("all", overlap: overlap.rawValue))
    #expect(door.wait(for: 1))
    try look(104, second, schedule, clocks)
    door.open()
    wait(store, overlap == .skip ? 3 : 4)
    second.shutdown()
    return store
  }

  @Test("whatever record is the last before a crash, no fire is lost and none comes twice", arguments: Schedule.Overlap.allCases)
  func everyPrefix(overlap: Schedule.Overlap) throws {
    let events = try busy(overlap).all
    let begin = try #require(events.firstIndex { $0.type == "schedule-followed" })
    // What follows these is appended with them.
    for count in begin + 1...events.count where !["definition-part", "run-created"].contains(events[count - 1].type) {
      let store = DurableWorld().store(events.prefix(count))
      let clocks = MachineClocks(wall: 104 * 3600)
      let engine = try life(store, clocks, Effects())
      _ = try engine.resume()
      let schedule = try engine.schedule(workflow("all", overlap: overlap.rawValue))
      // Its own fire may be passed over where a run goes on: it is on time.
      let expected: Set<Int64> = overlap == .skip ? [101, 102, 103] : [101, 102, 103, 104]
      let deadline = Clock.monotonic.now + 60_000_000_000
      func isDone() throws -> Bool {
        let fires = try fires(store)
        return expected.isSubset(of: fires.keys) && store.all.count { $0.type == "run-ended" } == fires.values.reduce(0, +)
      }
      while try !isDone(), Clock.monotonic.now < deadline { millrace_yield() }
      schedule.checkClock()
      try engine.settle()
      engine.shutdown()
      let all = try fires(store)
      #expect(try isDone() && all.values.allSatisfy { $0 == 1 }, "after \(count) of \(events.count) events: \(all)")
    }
  }

  @Test("a fire whose run is recorded while its engine is shut down is started by the next one")
  func shutDown() throws {
    let kept = MemoryEventStore()
    let store = FailingStore(kept, after: .max, .closed)
    let (recorded, door, told) = (Door(), Door(), Effects())
    store.meets = { appends in
      guard appends.contains(where: { $0.stream.category == "schedule" && $0.events[0].type == "schedule-fired" }) else { return }
      door.pass()
    }
    let clocks = MachineClocks(wall: 100 * 3600 + 1800)
    let first = try life(store, clocks, told)
    let schedule = try first.schedule(workflow("all"))
    clocks.set(wall: 101 * 3600)
    schedule.checkClock()
    #expect(door.wait(for: 1))
    let isApart = OwnThread.run {
      first.shutdown()
      recorded.open()
    }
    #expect(isApart)
    // Once the core takes nothing more.
    while first.runtime.scheduler.isStopping == false { millrace_yield() }
    door.open()
    #expect(recorded.pass())
    let second = try life(kept, clocks, told)
    let resumed = try second.resume()
    #expect(resumed.handles.count == 1 && resumed.handles.first?.wait() == .completed)
    let again = try second.schedule(workflow("all"))
    again.checkClock()
    try second.settle()
    second.shutdown()
    #expect(told.all == [name(101): 1])
    #expect(try fires(kept) == [101: 1])
  }
}
