import MillraceCore
import MillraceLog
import MillraceTesting
import Testing

@testable import Millrace
@testable import MillraceWorkflow

/// What is done with runs that are recorded: done again, forked, resumed by themselves, put in quarantine; and what waits go by.
@Suite struct DurableVerbTests {
  private func workflow(_ tasks: [String], version: Int? = nil, policy: VersionPolicy = .pinned) -> Definition {
    var workflow = Definition("steps", result: tasks.last)
    workflow.durability = .log
    workflow.version = version
    workflow.versionPolicy = policy
    var last: [TaskReference] = []
    for task in tasks { last = [workflow.task(task, handler: "step", dependencies: last, input: .string(task))] }
    return workflow
  }

  /// `fails`: tasks whose handler fails now.
  private func register(_ engine: Engine, _ effects: Effects, fails: Set<String> = []) throws {
    try engine.register("step") { (name: String, context: TaskContext) throws -> String in
      effects.note(context.key)
      if fails.contains(name) { throw TaskFailure("broken", "for now", isRetryable: false) }
      return name
    }
  }

  @Test("a run that failed is done again from where it failed, with the same keys and a fresh allowance")
  func retry() throws {
    let store = MemoryEventStore()
    let world = DurableWorld()
    let first = try world.engine(over: store) { try register($0, world.effects, fails: ["b"]) }
    let run = try first.start(workflow(["a", "b", "c"]))
    #expect(run.wait() == .failed)
    #expect(try first.resume().handles.isEmpty)
    first.shutdown()

    let second = try world.engine(over: store) { try register($0, world.effects) }
    let again = try second.retry(run.id, by: "ann")
    #expect(again.id == run.id && again.wait() == .completed)
    #expect(world.effects.all == ["\(run.id)/a": 1, "\(run.id)/b": 2, "\(run.id)/c": 1])
    #expect(again.record().tasks.first { $0.id == "b" }?.attempts.map(\.status) == [.failed, .completed])
    #expect(throws: RunVerbError.over(run: run.id, status: .completed)) { try second.retry(run.id) }
    #expect(throws: RunVerbError.self) { try second.retry("00000000-0000-7000-8000-000000000000") }
    second.shutdown()
    let ends = store.all.filter { $0.type == "run-ended" }.map(\.text)
    #expect(ends == [#"{"status":"FAILED"}"#, #"{"status":"COMPLETED"}"#])
  }

  @Test("a fork takes over what is not asked for anew, has an id and keys of its own, and leaves the other run as it was")
  func fork() throws {
    let store = MemoryEventStore()
    let world = DurableWorld()
    let engine = try world.engine(over: store) { try register($0, world.effects) }
    let run = try engine.start(workflow(["a", "b", "c", "d"]))
    #expect(run.wait() == .completed)
    let before = store.all.filter { $0.stream.description.hasSuffix(run.id) }
    let fork = try engine.fork(run.id, from: ["c"])
    #expect(fork.wait() == .completed && fork.id != run.id && fork.result == "d")
    let own = world.effects.all.filter { $0.key.hasPrefix(fork.id) }
    #expect(own == ["\(fork.id)/c": 1, "\(fork.id)/d": 1])
    let after = store.all.filter { $0.stream.description.hasSuffix(run.id) }
    #expect(after == before)
    #expect(throws: RunVerbError.unknownTask(run: run.id, task: "z")) { try engine.fork(run.id, from: ["z"]) }
    engine.shutdown()
  }

  /// A store as it is after a run that waits in the middle was left.
  private func left(_ definition: Definition, _ world: DurableWorld, _ store: MemoryEventStore) throws -> String {
    let engine = try world.engine(over: store) { try register($0, world.effects) }
    let run = try engine.start(definition)
    while run.waits.isEmpty { _ = run.wait(nanoseconds: 200_000) }
    engine.shutdown()
    #expect(run.wait() == .running && run.reason?.contains("resumed") == true)
    return run.id
  }

  @Test("an engine that is shut down leaves its durable runs to the next one, and cancels the others")
  func suspension() throws {
    let store = MemoryEventStore()
    let world = DurableWorld()
    var waiting = workflow(["a"])
    let go = waiting.wait("go", for: .signal("go"), dependencies: [TaskReference(id: "a")])
    waiting.task("b", handler: "step", dependencies: [go], input: "b")
    let id = try left(waiting, world, store)
    #expect(!store.all.contains { $0.type == "run-ended" || $0.type == "run-cancel-asked" })
    let engine = try world.engine(over: store) { try register($0, world.effects) }
    let run = try engine.resume(id)
    #expect(throws: RunVerbError.active(run: id)) { try engine.resume(id) }
    try run.signal("go")
    #expect(run.wait() == .completed)
    #expect(world.effects.all == ["\(id)/a": 1, "\(id)/b": 1])
    engine.shutdown()
  }

  @Test("a run that is left, or cancelled, while it waits holds nothing of its engine", arguments: [true, false])
  func letGo(isLeft: Bool) throws {
    weak var host: TaskHost?
    var waiting = Definition("waits", durability: .log)
    waiting.wait("signal", for: .signal("go"))
    waiting.wait("time", for: .lasting(.seconds(3600)))
    waiting.wait("answer", for: .approval("Shall it?"))
    try {
      let engine = try DurableWorld().engine(over: MemoryEventStore()) { host = $0.host }
      let run = try engine.start(waiting)
      while run.waits.count < 3 { _ = run.wait(nanoseconds: 200_000) }
      if !isLeft {
        run.cancel()
        _ = run.wait()
      }
      engine.shutdown()
      #expect(run.status == (isLeft ? .running : .cancelled))
    }()
    #expect(host == nil)
  }

  @Test(
    "a run whose processes end again and again in the same task is put in quarantine, and goes on, or is cancelled, when somebody says so",
    arguments: [true, false])
  func quarantine(isRetried: Bool) throws {
    let world = DurableWorld()
    var poisoned = workflow(["a", "poison"])
    poisoned.cleanup = [TaskDefinition("tidy", handler: "step", input: "tidy")]
    // As it is when the process ends in the task: again and again, from what was there.
    var events: [RecordedEvent] = []
    var id = ""
    for life in 0..<4 {
      let store = world.store(events)
      let door = Door()
      let engine = try world.engine(over: store) { engine in
        try engine.register("step") { (name: String, context: TaskContext) throws -> String in
          world.effects.note(context.key)
          if name == "poison" { door.pass() }
          return name
        }
      }
      if life == 0 {
        id = try engine.start(poisoned).id
      } else if life < 3 {
        #expect(try engine.resume().handles.map(\.id) == [id])
      } else {
        let found = try engine.resume()
        #expect(found.handles.isEmpty && found.problems.map(\.run) == [id])
        #expect(found.problems.first?.reason.contains("poison") == true)
        #expect(try engine.resume().problems.count == 1)
        #expect(store.all.count { $0.type == "run-quarantined" } == 1)
        door.open()
        if isRetried {
          #expect(try engine.retry(id, by: "ann").wait() == .completed)
        } else {
          let journal = try RunJournal(try #require(engine.durable).runs, try #require(RunID(id)), tenant: "default")
          try journal.record(.cancelAsked(by: "ann", reason: "it is no good"))
          let run = try engine.resume(id)
          #expect(run.wait() == .cancelled)
          #expect(run.record().tasks.map(\.status) == [.completed, .cancelled, .completed])
        }
        engine.shutdown()
        continue
      }
      #expect(door.wait(for: 1))
      events = store.all
      door.open()
      engine.shutdown()
    }
    #expect(world.effects.count("\(id)/a") == 1 && world.effects.count("\(id)/poison") == (isRetried ? 4 : 3))
  }

  @Test("a run that only waits, or was left in order, may be taken over any number of times")
  func noQuarantine() throws {
    let world = DurableWorld()
    for isOrderly in [true, false] {
      var store = MemoryEventStore()
      var waiting = workflow(["a"])
      waiting.wait("go", for: .signal("go"), dependencies: [TaskReference(id: "a")])
      let id = try left(waiting, world, store)
      for _ in 0..<6 {
        if !isOrderly { store = world.store(store.all.filter { $0.type != "run-suspended" }) }
        let engine = try world.engine(over: store) { try register($0, world.effects) }
        let run = try engine.resume(id)
        while run.waits.isEmpty { _ = run.wait(nanoseconds: 200_000) }
        engine.shutdown()
      }
    }
  }

  @Test(
    "a pinned run ends with its version; one that may goes over to the new one, and what is over stays so",
    arguments: VersionPolicy.allCases)
  func versions(policy: VersionPolicy) throws {
    let store = MemoryEventStore()
    let world = DurableWorld()
    var old = workflow(["a"], version: 1, policy: policy)
    let go = old.wait("go", for: .signal("go"), dependencies: [TaskReference(id: "a")])
    old.task("b", handler: "step", dependencies: [go], input: "old")
    old.result = "b"
    let id = try left(old, world, store)
    var new = workflow(["first", "a"], version: 2, policy: policy)
    let gone = new.wait("go", for: .signal("go"), dependencies: [TaskReference(id: "a")])
    new.task("b", handler: "step", dependencies: [gone], input: "new")
    new.result = "b"
    for _ in 0..<2 {
      let engine = try world.engine(over: store) { engine in
        try register(engine, world.effects)
        try engine.deploy(new)
      }
      let run = try engine.resume(id)
      while run.waits.isEmpty { _ = run.wait(nanoseconds: 200_000) }
      engine.shutdown()
    }
    let engine = try world.engine(over: store) { engine in
      try register(engine, world.effects)
      try engine.deploy(new)
    }
    let run = try engine.resume(id)
    try run.signal("go")
    #expect(run.wait() == .completed)
    let isUpgraded = policy == .upgradeAtStepBoundary
    #expect(run.result == .string(isUpgraded ? "new" : "old"))
    #expect(run.record().workflowVersion == (isUpgraded ? 2 : 1))
    #expect(world.effects.count("\(id)/a") == 1 && world.effects.count("\(id)/first") == (isUpgraded ? 1 : 0))
    engine.shutdown()
    #expect(store.all.count { $0.type == "run-upgraded" } == (isUpgraded ? 1 : 0))
  }

  @Test("a workflow that asks for a log is refused where there is none, and so is resuming")
  func noStore() throws {
    let engine = try Engine()
    try register(engine, Effects())
    #expect(throws: EngineError.self) { try engine.start(workflow(["a"])) }
    #expect(throws: EngineError.self) { try engine.resume() }
    engine.shutdown()
  }

  @Test("a log that forgets is no place for runs")
  func retention() throws {
    let folder = try Folder()
    var settings = EventLog.Configuration()
    settings.retention = Retention(bytes: 1 << 30)
    let log = try EventLog(DirectoryStorage(folder.path, way: .sync), settings)
    defer { log.close() }
    var configuration = Engine.Configuration()
    configuration.store = log
    #expect(throws: EngineError.self) { try Engine(configuration) }
  }

  @Test("in a directory of its own an engine leaves runs to the next process, one at a time")
  func directory() throws {
    let folder = try Folder()
    let effects = Effects()
    var configuration = Engine.Configuration()
    configuration.data = folder.path + "/data"
    var waiting = workflow(["a"])
    waiting.wait("go", for: .signal("go"), dependencies: [TaskReference(id: "a")])
    let first = try Engine(configuration)
    try register(first, effects)
    let run = try first.start(waiting)
    while run.waits.isEmpty { _ = run.wait(nanoseconds: 200_000) }
    #expect(throws: EngineError.self) { try Engine(configuration) }
    first.shutdown()
    let second = try Engine(configuration)
    try register(second, effects)
    let resumed = try second.resume()
    #expect(resumed.handles.map(\.id) == [run.id])
    try resumed.handles.first?.signal("go")
    #expect(resumed.handles.first?.wait() == .completed)
    second.shutdown()
    #expect(effects.all == ["\(run.id)/a": 1])
  }
}
