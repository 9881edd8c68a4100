import CMillrace
import Glibc
import Millrace
import MillraceLog

/// `live DIRECTORY PLUGIN LEDGER RUNS [EPOCH]`: one life of a program that lives on what it has recorded in DIRECTORY: it goes on with what is there, starts runs of all kinds until RUNS
/// have been created in all its lives, and ends when all have ended. Says `created KIND RUN` when a run is recorded, `ended RUN STATUS` when it has ended. With EPOCH,
/// seconds since 1970, it follows schedules, by a clock that has run ten times as fast since then.
nonisolated func live(_ words: [String]) -> Int32 {
  let epoch = words.count == 5 ? Int64(words[4]) : nil
  guard words.count == 4 || epoch != nil, let wanted = Int(words[3]) else {
    put("usage: RunVictim live DIRECTORY PLUGIN LEDGER RUNS [EPOCH]\n", 2)
    return 64
  }
  alarm(120)
  do {
    var log = EventLog.Configuration()
    log.segmentBytes = 1 << 20
    log.firstSegmentBytes = 256 << 10
    let store = try EventLog(DirectoryStorage(words[0], way: .sync), log)
    defer { store.close() }
    var configuration = Engine.Configuration()
    configuration.store = store
    configuration.threads = 2
    configuration.slots = 16
    configuration.plugins = PluginSearch(paths: [words[1]])
    configuration.settings = ["ledger.directory": words[2]]
    if let epoch {
      let begin = epoch * 1_000_000_000
      configuration.wallClock = { begin + 10 * (millrace_wall() - begin) }
    }
    let engine = try Engine(configuration)
    defer { engine.shutdown() }
    if let problem = engine.pluginProblems.first { throw problem }
    for child in Life.children { try engine.deploy(child) }
    return try Life(engine, wanted, schedules: epoch == nil ? [] : Life.schedules).run()
  } catch {
    put("\(error)\n", 2)
    return 1
  }
}

struct Life {
  private let engine: Engine
  private let wanted: Int
  private let schedules: [Definition]

  init(_ engine: Engine, _ wanted: Int, schedules: [Definition]) {
    self.engine = engine
    self.wanted = wanted
    self.schedules = schedules
  }

  /// What is run: a workflow or saga for each kind, in turn.
  static let kinds: [(name: String, definition: Definition)] = [
    ("chain", chain), ("items", items), ("waits", waits), ("parent", parent), ("family", family), ("undone", saga(fails: true)),
    ("done", saga(fails: false)),
  ]

  private static let quick = RetryPolicy(attempts: 3, initial: 1_000_000, factor: 1, cap: 1_000_000)

  private static func workflow(_ name: String, _ body: (inout Definition) -> Void) -> Definition {
    var workflow = Definition(name)
    workflow.durability = .log
    body(&workflow)
    return workflow
  }

  private static let chain = workflow("chain") { workflow in
    var last: [TaskReference] = []
    for task in ["a", "b", "c", "d"] {
      last = [workflow.task(task, handler: task == "b" ? "ledger/flaky" : "ledger/do", dependencies: last, retry: quick)]
    }
    workflow.cleanup = [TaskDefinition("tidy", handler: "ledger/do")]
  }
  private static let items = workflow("items") { workflow in
    let each = workflow.task("each", handler: "ledger/flaky", foreach: .range(from: 1, to: 6), parallelism: 2, retry: quick)
    workflow.task("after", handler: "ledger/do", dependencies: [each])
  }
  private static let waits = workflow("waits") { workflow in
    let a = workflow.task("a", handler: "ledger/do")
    let pause = workflow.wait("pause", for: .lasting(.milliseconds(3)), dependencies: [a])
    let go = workflow.wait("go", for: .signal("go"), dependencies: [pause])
    workflow.task("b", handler: "ledger/do", dependencies: [go])
  }
  private static let parent = workflow("parent") { workflow in
    let child = workflow.workflow("child", named: "child")
    workflow.task("after", handler: "ledger/do", dependencies: [child])
  }
  private static let family = workflow("family") { workflow in
    let each = workflow.workflow("each", named: "child", foreach: .range(from: 1, to: 4), parallelism: 2)
    workflow.task("after", handler: "ledger/do", dependencies: [each])
  }
  static let children = [
    workflow("child") { workflow in
      let a = workflow.task("a", handler: "ledger/flaky", retry: quick)
      workflow.task("b", handler: "ledger/do", dependencies: [a])
    }
  ]
  /// A run each second: one for each fire, at once or one after the other; one for all that were missed.
  static let schedules = [scheduled("ticks", .all, .allow), scheduled("line", .all, .queue), scheduled("latest", .one, .skip)]
  private static func scheduled(_ name: String, _ missed: Schedule.Missed, _ overlap: Schedule.Overlap) -> Definition {
    workflow(name) { workflow in
      let a = workflow.task("a", handler: "ledger/do")
      workflow.task("b", handler: "ledger/flaky", dependencies: [a], retry: quick)
      var schedule = Schedule(.interval(seconds: 1, days: CalendarRule()))
      (schedule.missed, schedule.overlap) = (missed, overlap)
      workflow.schedule = schedule
    }
  }
  private static func saga(fails: Bool) -> Definition {
    var saga = Definition(saga: fails ? "undone" : "done", durability: .log)
    let root = saga.step("root", handler: "ledger/do", compensation: "ledger/do")
    let left = saga.step("left", handler: "ledger/flaky", dependencies: [root], compensation: "ledger/do", retry: quick)
    let right = saga.step("right", handler: "ledger/do", dependencies: [root], compensation: "ledger/do")
    let pivot = saga.step("pivot", handler: fails ? "ledger/fail" : "ledger/do", dependencies: [left, right], isPivot: true)
    saga.step("after", handler: "ledger/flaky", dependencies: [pivot], retry: quick)
    return saga
  }

  func run() throws -> Int32 {
    let resumed = try engine.resume()
    if let (run, reason) = resumed.problems.first {
      put("run \(run) does not go on: \(reason)\n", 2)
      return 1
    }
    var open = resumed.handles.filter { $0.definition.name != "child" }
    var created = try engine.recordedRuns().count { run in Life.kinds.contains { $0.name == run.workflow } }
    let followed = try schedules.map { try engine.schedule($0) }
    while created < wanted || !open.isEmpty {
      for schedule in followed { schedule.checkClock() }
      if created < wanted, open.count < 8 {
        let kind = Life.kinds[created % Life.kinds.count]
        let run = try engine.start(kind.definition)
        created += 1
        put("created \(kind.name) \(run.id)\n", 1)
        open.append(run)
        continue
      }
      for run in open where run.waits.contains(where: { $0.wait == .signal("go") }) { try run.signal("go") }
      open.removeAll { run in
        guard let status = run.wait(nanoseconds: 100_000) else { return false }
        put("ended \(run.id) \(status.rawValue)\n", 1)
        return true
      }
    }
    return 0
  }
}
