import CMillrace
import Foundation
import MillraceWorkflow
import Testing

@testable import Millrace

/// A hostile plugin in an engine, beside work of others.
@Suite(.enabled(if: BuiltPlugin.compiler != nil), .timeLimit(.minutes(5))) struct IsolationTests {
  private static let source = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "PluginChecks/hostile.c")

  /// An engine with the plugin, isolated as said. The folder keeps its file.
  private func world(
    _ isolation: PluginIsolation, _ change: (inout Engine.Configuration) -> Void = { _ in }
  ) throws -> (engine: Engine, notes: Notes, folder: Folder) {
    let folder = try Folder()
    let process = Process()
    process.executableURL = URL(filePath: try #require(BuiltPlugin.compiler, "no C compiler in /usr/bin: apt-get install gcc"))
    let headers = Self.source.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Sources/CMillrace/include").path
    process.arguments = ["-shared", "-fPIC", "-I", headers, "-o", folder.path + "/libmillrace-plugin-hostile.so", Self.source.path]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    let notes = Notes()
    var configuration = Engine.Configuration()
    configuration.slots = 8
    configuration.threads = 2
    configuration.capacity = 10_000
    configuration.tenants = ["hostile": 1, "others": 1]
    configuration.plugins = PluginSearch(paths: [folder.path])
    configuration.isolation = ["hostile": isolation]
    configuration.log = { _, line in notes.add(line) }
    change(&configuration)
    return (try Engine(configuration), notes, folder)
  }

  private func bounds(_ change: (inout IsolationBounds) -> Void = { _ in }) -> IsolationBounds {
    var bounds = IsolationBounds()
    (bounds.slots, bounds.attemptBytes, bounds.memory, bounds.helpers) = (3, 1 << 20, 64 << 20, 2)
    (bounds.firstWait, bounds.longestWait, bounds.grace, bounds.crashes) = (1_000_000, 1_000_000, 1_000_000, 1_000)
    change(&bounds)
    return bounds
  }

  private func one(_ handler: String, attempts: Int = 1) -> Definition {
    var definition = Definition("w", result: "a")
    definition.task(
      "a", handler: handler, retry: attempts > 1 ? RetryPolicy(attempts: attempts, initial: 1) : nil,
      timeouts: handler == "work" ? Timeouts() : Timeouts(startToClose: 300_000_000))
    return definition
  }

  /// A task of a handler, and the error that each of its attempts ends with.
  static let crimes: [(handler: String, type: String)] = [
    ("crash", "plugin-crashed"), ("exit", "plugin-crashed"), ("abort", "plugin-crashed"), ("overflow", "plugin-crashed"),
    ("inputs", "plugin-crashed"),
    ("garble", "plugin-crashed"), ("foreign", "plugin-crashed"), ("beyond", "bad-outcome"), ("others", "bad-outcome"),
    ("huge", "bad-outcome"),
    ("nothing", "bad-outcome"), ("hang", ""), ("stop", ""), ("scribble", ""), ("grow", "done"), ("shut", "done"), ("tokens", "done"),
    ("talk", "done"),
  ]

  @Test(
    "eighteen ways of doing harm in a process of its own: each ends in its attempts, with an error that says so; work of others goes on",
    arguments: ["process", "untrusted"])
  func harmless(_ how: String) async throws {
    if how == "untrusted", millrace_landlock_version() == 0 { return }
    let (engine, _, folder) = try world(how == "untrusted" ? .untrusted(bounds()) : .process(bounds()))
    #expect(engine.pluginProblems.isEmpty, "\(engine.pluginProblems)")
    try engine.register("work") { call in .text(call.taskID) }
    for crime in Self.crimes {
      var work = Definition("work")
      for index in 0..<40 { work.task("t\(index)", handler: "work") }
      let harm = try engine.start(one("hostile/\(crime.handler)", attempts: 2), tenant: "hostile")
      let others = try await engine.run(work, tenant: "others")
      #expect(others.record().tasks.allSatisfy { $0.status == .completed })
      _ = await harm.finished()
      let task = try #require(harm.record().tasks.first)
      switch crime.type {
      case "done": #expect(task.status == .completed, "\(crime.handler): \(task)")
      // A timeout has ended it; what of its process comes later is none of its business.
      case "": #expect(task.status == .timedOut || task.attempts.contains { $0.errorType == "plugin-crashed" }, "\(crime.handler): \(task)")
      default:
        #expect(
          task.status == .failed && task.attempts.allSatisfy { $0.errorType == crime.type && !$0.message.isEmpty },
          "\(crime.handler): \(task)")
        // `nothing` is what the engine takes for a fault of the handler's: not retried.
        #expect(task.attempts.count == (crime.handler == "nothing" ? 1 : 2))
      }
      // The same plugin serves again.
      let said = try engine.start(one("hostile/say", attempts: 10), tenant: "hostile")
      #expect(await said.finished() == .completed, "\(crime.handler): \(said.record().tasks)")
    }
    let processes = try #require(engine.plugins.first?.isolated).processes
    #expect(processes[0].crashes >= 14 && processes[0].state != .parked, "\(processes)")
    engine.shutdown()
    withExtendedLifetime(folder) {}
  }

  @Test("a definition's input, its dependencies' outputs and its secrets' places reach an isolated handler, and its output the next task")
  func flows() async throws {
    let (engine, _, folder) = try world(.process(bounds()))
    try engine.register("work") { _ in .text("from work") }
    var definition = Definition("w", result: "b")
    let work = definition.task("a", handler: "work")
    definition.task("b", handler: "hostile/say", dependencies: [work], input: ["x": 1])
    let text = try #require(try await engine.run(definition).payload(of: "b")?.text)
    #expect(text.hasSuffix(#"/b b 1 input={"x":1} a=from work"#), "\(text)")
    #expect(try await engine.run(one("hostile/delayed")).record().tasks[0].status == .completed)
    engine.shutdown()
    withExtendedLifetime(folder) {}
  }

  @Test("a cancelled run tells its isolated attempts to stop, and the process lives on")
  func cancels() async throws {
    let (engine, _, folder) = try world(.process(bounds { $0.grace = 60_000_000_000 }))
    var definition = Definition("w")
    definition.task("a", handler: "hostile/wait")
    let run = try engine.start(definition)
    let process = try #require(engine.plugins.first?.isolated?.processes.first?.process)
    run.cancel()
    #expect(await run.finished() == .cancelled)
    #expect(try await engine.run(one("hostile/say")).record().tasks[0].status == .completed)
    #expect(engine.plugins.first?.isolated?.processes.first?.process == process)
    engine.shutdown()
    #expect(kill(process, 0) == -1 && errno == ESRCH)
    withExtendedLifetime(folder) {}
  }

  @Test("a plugin that crashes too often is parked, is shown so, and answers at once; the engine's log has said it")
  func parks() async throws {
    let (engine, notes, folder) = try world(.process(bounds { $0.crashes = 2 }))
    let run = try engine.start(one("hostile/crash", attempts: 3))
    #expect(await run.finished() == .failed)
    let crashed = run.record().tasks[0]
    #expect(crashed.attempts.map(\.errorType) == ["plugin-crashed", "plugin-crashed", "plugin-parked"])
    let process = try #require(engine.plugins.first?.isolated?.processes.first)
    #expect(process.state == .parked && process.crashes == 2)
    #expect(
      notes.all.contains {
        $0.contains("plugin hostile: it ended 2 times within 60 s, the last time because its process was ended by signal 11")
      })
    engine.shutdown()
    withExtendedLifetime(folder) {}
  }

  @Test(
    "isolation of a plugin that is not there stops the engine from being made; one that cannot be isolated is a problem, and never runs in this process"
  )
  func refusals() throws {
    #expect { _ = try world(.process(bounds())) { $0.isolation["hostle"] = .untrusted() } } throws: {
      "\($0)".contains("no file libmillrace-plugin-hostle.so was found")
    }
    let (engine, _, folder) = try world(.process(bounds { $0.slots = 5_000 }))
    #expect(engine.plugins.isEmpty && engine.pluginProblems.map { "\($0)" }.first?.contains("slots is 5000, expected 1 to 1024") == true)
    engine.shutdown()
    withExtendedLifetime(folder) {}
  }
}
