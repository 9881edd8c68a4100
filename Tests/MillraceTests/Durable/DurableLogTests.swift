import MillraceLog
import Testing

@testable import Millrace

/// Runs over a log of this machine's disk, which takes the events of their steps where they lie.
@Suite struct DurableLogTests {
  private static let steps = 5

  /// What a log has of so many runs at a time of a chain, and how often their handlers were called.
  private func events(_ runs: Int, _ configuration: EventLog.Configuration) throws -> (events: [RecordedEvent], effects: Effects) {
    let folder = try Folder()
    let log = try EventLog(DirectoryStorage(folder.path), configuration)
    defer { log.close() }
    let world = DurableWorld()
    let engine = try world.engine(over: log) { engine in
      try engine.register("note") { (_: JSON, context: TaskContext) -> String in
        world.effects.note(context.key)
        return context.key
      }
    }
    var chain = Definition("chain")
    chain.durability = .log
    var before: [TaskReference] = []
    for step in 1...Self.steps { before = [chain.task("step-\(step)", handler: "note", dependencies: before)] }
    let prepared = try engine.prepare(chain)
    let handles = try (0..<runs).map { _ in try engine.start(prepared) }
    for handle in handles { #expect(handle.wait() == .completed) }
    engine.shutdown()
    return (try log.page(ReadRequest(.category("run"), limit: EventLimits.eventsInPage)).events, world.effects)
  }

  private func check(_ events: [RecordedEvent], _ effects: Effects, runs: Int) throws {
    #expect(effects.all.count == runs * Self.steps && effects.all.values.allSatisfy { $0 == 1 })
    let streams = Dictionary(grouping: events, by: \.stream)
    #expect(streams.count == runs)
    for (stream, events) in streams {
      #expect(events.count == 2 + 2 * Self.steps, "\(stream)")
      #expect(events.first?.type == "run-created" && events.last?.type == "run-ended")
      #expect(events.last?.text == #"{"status":"COMPLETED"}"#)
      #expect(events.allSatisfy { $0.tenant == "default" && $0.contentType == EventDraft.json && $0.correlation == events[0].correlation })
      let completed = events.filter { $0.type == "task-completed" }
      for (step, event) in completed.enumerated() {
        let run = String(stream.description.dropFirst("run-".count))
        #expect(event.text.contains("\"task\":\"step-\(step + 1)\",\"attempt\":1,"))
        #expect(event.text.contains("\"output\":\"\(run)/step-\(step + 1)\""))
      }
      #expect(completed.count == Self.steps)
    }
  }

  @Test("a log has what any store has of a run")
  func whole() throws {
    let found = try events(3, EventLog.Configuration())
    try check(found.events, found.effects, runs: 3)
  }

  @Test("a log that takes few appends at a time has all of many runs nevertheless")
  func busy() throws {
    var configuration = EventLog.Configuration()
    configuration.capacity = 2
    let found = try events(50, configuration)
    // Begins that had to wait may stand behind what was waited for.
    #expect(found.effects.all.count == 50 * Self.steps && found.effects.all.values.allSatisfy { $0 == 1 })
    let types = Dictionary(grouping: found.events, by: \.type).mapValues(\.count)
    #expect(types == ["run-created": 50, "task-started": 250, "task-completed": 250, "run-ended": 50])
  }

  @Test("what a log seals is sealed of runs as well")
  func sealed() throws {
    var configuration = EventLog.Configuration()
    let seal = CountingSeal()
    configuration.seal = seal
    let found = try events(2, configuration)
    try check(found.events, found.effects, runs: 2)
    // The definition's parts besides.
    #expect(seal.calls.count("sealed") >= found.events.count)
  }

  /// Turns each byte over.
  private final class CountingSeal: PayloadSeal {
    let calls = Effects()

    func seal(_ payload: [UInt8], stream: StreamName, id: EventID) throws(EventStoreError) -> (key: UInt32, bytes: [UInt8]) {
      calls.note("sealed")
      return (7, payload.map { ~$0 })
    }

    func open(_ bytes: [UInt8], key: UInt32, stream: StreamName, id: EventID) throws(EventStoreError) -> [UInt8] { bytes.map { ~$0 } }
  }
}
