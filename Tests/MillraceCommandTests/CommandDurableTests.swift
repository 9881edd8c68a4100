import Foundation
import Glibc
import Millrace
import Testing

/// Durable runs: of a process that is killed, told to stop, or spoken to by others.
@Suite("Durable runs by the command", .timeLimit(.minutes(4)))
struct CommandDurableTests {
  private typealias Going = CommandSignalTests.Going

  /// `second` waits at a gate; each task leaves a line in `effects`.
  private static func steps(_ command: Command, more: String = "") -> String {
    let folder = command.folder
    return """
      format: 1
      workflow: steps
      durability: log
      result: third
      tasks:
        - { id: first, handler: shell/run, input: { command: "echo first >> \(folder)/effects" } }
        - { id: second, handler: shell/run, dependencies: [first], input: { command: "echo second >> \(folder)/effects; cat \(folder)/gate" } }
        - { id: third, handler: shell/run, dependencies: [second], input: { command: "echo third >> \(folder)/effects" } }
      \(more)
      """
  }

  private static func makeGate(_ command: Command) {
    // unsafe: the path is used during the call.
    #expect(unsafe mkfifo(command.file("gate"), 0o600) == 0)
  }

  /// Returns when a task stands at the gate. Closing the descriptor lets it through.
  private static func standsAtGate(_ command: Command) throws -> Int32 {
    // unsafe: the path is used during the call.
    let gate = unsafe open(command.file("gate"), O_WRONLY | O_CLOEXEC)
    try #require(gate >= 0)
    return gate
  }

  /// The only open run, as `run list` tells it.
  private static func listed(_ command: Command, _ arguments: String...) throws -> JSON {
    let (process, output, _) = try command.process(["run", "list", "-o", "json"] + arguments)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let runs = try JSON(parsing: String(contentsOfFile: output, encoding: .utf8))["runs"]?.array ?? []
    #expect(runs.count == 1)
    return try #require(runs.first)
  }

  private static func statuses(_ record: JSON) -> [String: String] {
    Dictionary(uniqueKeysWithValues: (record["tasks"]?.array ?? []).map { ($0["id"]?.string ?? "", $0["status"]?.string ?? "") })
  }

  /// A run that stands at its gate, whose process is killed.
  private static func killed(_ command: Command, more: String = "") throws -> String {
    makeGate(command)
    let run = try Going(command, steps(command, more: more), [])
    let gate = try standsAtGate(command)
    let going = try listed(command)
    #expect(going["attended"] == true)
    #expect(going["tasks"] == ["total": .integer(more.isEmpty ? 3 : 4), "completed": 1, "failed": 0])
    kill(run.process.processIdentifier, SIGKILL)
    run.process.waitUntilExit()
    close(gate)
    return try #require(going["run"]?.string)
  }

  @Test("a run whose process was killed is listed, shown and explained, and goes on: what was completed is not done again")
  func crash() throws {
    let command = try Command()
    let id = try Self.killed(command)
    let left = try Self.listed(command)
    #expect(left["run"] == .string(id) && left["attended"] == false && left["status"] == "RUNNING")
    let shown = try command.run("run", "show", String(id.prefix(14)), "-o", "json").object()
    #expect(Self.statuses(shown) == ["first": "COMPLETED", "second": "PENDING", "third": "PENDING"])
    #expect(shown["durable"]?["process"]?.isNull == true)
    let explained = try command.run("run", "explain", id, "third", "-o", "json")
    let explanation = try #require(try JSON(parsing: explained.output)[0])
    #expect(explanation["reason"] == "no-process" && explanation["blockedBy"] == "second")
    #expect(explanation["remedy"]?.string?.contains("millrace run resume") == true)

    var resumed = try Going(command, arguments: ["run", "resume", "-o", "json"])
    let gate = try Self.standsAtGate(command)
    #expect(try Self.listed(command)["attended"] == true)
    let second = try command.run("run", "resume")
    #expect(second.exit == 75 && second.errors.contains("in use by"), "\(second.errors)")
    close(gate)
    #expect(try resumed.end() == 0, "\(resumed.lines)")
    let result = try JSON(parsing: String(contentsOfFile: resumed.output, encoding: .utf8))
    #expect(result["runs"]?[0]?["status"] == "COMPLETED" && result["problems"] == [])
    #expect(try command.read("effects") == "first\nsecond\nsecond\nthird\n")
    #expect(try Self.listed(command, "--all")["status"] == "COMPLETED")
    let again = try command.run("run", "resume")
    #expect(again.exit == 0 && again.errors.contains("no run in .millrace is open"))
  }

  @Test("plugin list tells which builds durable runs need: of those that failed, not of those that completed")
  func kept() throws {
    let command = try Command()
    func ran(_ shell: String, exit: Int32) throws {
      let file = try command.write(
        "one.yaml",
        "format: 1\nworkflow: one\ndurability: log\n" + "tasks: [{ id: only, handler: shell/run, input: { command: \"\(shell)\" } }]\n")
      #expect(try command.run("run", file, "--data", "data").exit == exit)
    }
    func kept() throws -> JSON {
      let ending = try command.run("plugin", "list", "--data", "data", "-o", "json")
      #expect(ending.exit == 0, "\(ending.errors)")
      let builds = try ending.object()["kept"]?.array ?? []
      #expect(builds.count == 1 && builds.first?["plugin"] == "shell")
      return try #require(builds.first)
    }
    try ran("true", exit: 0)
    var build = try kept()
    #expect(build["runCount"] == 0 && build["resumableCount"] == 0 && build["sinceWallNanoseconds"] == .null)
    try ran("false", exit: 1)
    build = try kept()
    #expect(build["runCount"] == 0 && build["resumableCount"] == 1 && build["sinceWallNanoseconds"]?.integer != nil)
    let path = try #require(build["path"]?.string)
    let sha256 = try #require(build["sha256"]?.string)
    #expect(path == "data/builds/" + sha256 + ".so")
    #expect(try command.run("plugin", "list", "--data", "data").output.contains("0, 1 ended badly"))
    #expect(try command.run("plugin", "list", "--data", "nowhere").exit == 69)
  }

  @Test("plugin list tells what the process that has the directory has loaded, and how many of its runs have each build")
  func running() throws {
    let command = try Command()
    Self.makeGate(command)
    var run = try Going(command, Self.steps(command), [])
    let gate = try Self.standsAtGate(command)
    let listed = try command.run("plugin", "list", "--data", ".millrace", "-o", "json").object()
    let builds = try #require(listed["running"]?.array)
    let shell = try #require(builds.first { $0["plugin"] == "shell" })
    #expect(shell["role"] == "current" && shell["percent"] == .null && shell["runCount"] == 1 && shell["isolation"] == "in-process")
    #expect(shell["sha256"] == listed["kept"]?[0]?["sha256"] && shell["staysMapped"] == false)
    #expect(builds.filter { $0["runCount"] == 0 }.count == builds.count - 1)
    let table = try command.run("plugin", "list", "--data", ".millrace").output
    #expect(table.contains("current") && table.contains(" ago"))
    close(gate)
    #expect(try run.end() == 0, "\(run.lines)")
    #expect(try command.run("plugin", "list", "--data", ".millrace", "-o", "json").object()["running"] == nil)
  }

  @Test("a file that cannot be read is told, and no data directory is made for it")
  func noDirectory() throws {
    let command = try Command()
    let ending = try command.run("run", "nothing.yaml", "--data", "data")
    #expect(
      ending.exit == 65 && ending.errors.contains("nothing.yaml") && !ending.errors.contains("which is new"),
      "\(ending.exit) \(ending.errors)")
    // unsafe: the path is used during the call.
    #expect(unsafe access(command.file("data"), F_OK) != 0)
    let file = try command.write(
      "one.yaml",
      "format: 1\nworkflow: one\ndurability: log\n" + "tasks: [{ id: only, handler: shell/run, input: { command: \"true\" } }]\n")
    let unusable = try command.run("run", file, "--data", "one.yaml")
    #expect(unusable.exit == 75 && unusable.errors.contains("Not a directory\n  fix: give durable runs a directory"), "\(unusable.errors)")
  }

  @Test("a run is shown as it was at a position and at a moment")
  func past() throws {
    let command = try Command()
    let file = try command.write(
      "one.yaml",
      "format: 1\nworkflow: one\ndurability: log\n" + "tasks: [{ id: only, handler: shell/run, input: { command: \"true\" } }]\n")
    let ran = try command.run("run", file, "--data", "data", "-o", "json")
    #expect(ran.exit == 0, "\(ran.errors)")
    #expect(ran.errors.contains("durable runs are recorded in data, which is new"))
    let id = try #require(try ran.object()["run"]?.string)
    let events = try command.run("stream", "read", "data/log", "run-" + id, "-o", "json").output.split(separator: "\n")
    let completed = try #require(try events.map { try JSON(parsing: String($0)) }.first { $0["type"] == "task-completed" })
    let position = try #require(completed["position"]?.integer)
    func status(_ at: Int64) throws -> [String: String] {
      try Self.statuses(command.run("run", "show", id, "--data", "data", "--at", "\(at)", "-o", "json").object())
    }
    #expect(try status(position) == ["only": "COMPLETED"])
    #expect(try status(position - 1) == ["only": "RUNNING"])
    #expect(try status(position - 2) == ["only": "PENDING"])
    let early = try command.run("run", "show", id, "--data", "data", "--at", "2020-01-01T00:00:00Z")
    #expect(early.exit == 64 && early.errors.contains("was not there yet"))
    let late = try command.run("run", "show", id, "--data", "data", "--at", "2200-01-01T00:00:00Z", "-o", "json")
    #expect(try late.object()["status"] == "COMPLETED")
    #expect(try command.run("run", "show", id, "--data", "data", "--at", "yesterday").exit == 64)
    let text = try command.run("run", "show", id, "--data", "data")
    #expect(text.exit == 0 && text.output.contains("one COMPLETED") && text.output.contains("only"))
  }

  @Test("Examples/approval.yaml waits for a yes through the end of its process")
  func approval() throws {
    let command = try Command()
    let example = Command.packageRoot.appending(path: "Examples/approval.yaml").path
    var run = try Going(command, arguments: ["run", example, "--signal", #"build={"version": "1.2"}"#])
    #expect(try run.see("Deploy 1.2 to production?"), "\(run.lines)")
    kill(run.process.processIdentifier, SIGKILL)
    run.process.waitUntilExit()
    let id = try #require(try Self.listed(command)["run"]?.string)
    var resumed = try Going(command, arguments: ["run", "resume", "-o", "json"])
    #expect(try resumed.see("task ok waits for an approval"), "\(resumed.lines)")
    #expect(try command.run("run", "approve", id, "ok", "--by", "ann").exit == 0)
    #expect(try resumed.end() == 0, "\(resumed.lines)")
    let shown = try command.run("run", "show", id, "-o", "json").object()
    #expect(Self.statuses(shown) == ["build": "COMPLETED", "ok": "COMPLETED", "deploy": "COMPLETED"])
  }

  @Test("Ctrl-C suspends a durable run, and tells how it goes on")
  func interrupt() throws {
    let command = try Command()
    Self.makeGate(command)
    var run = try Going(command, Self.steps(command), ["-o", "json"])
    let gate = try Self.standsAtGate(command)
    run.send(SIGINT)
    #expect(try run.see("suspending"), "\(run.lines)")
    // The task is ended by its handler, which is asked to stop: one that came through the gate now would be recorded.
    #expect(try run.end() == 130)
    close(gate)
    let id = try #require(try Self.listed(command)["run"]?.string)
    #expect(run.lines.contains { $0.contains("run \(id) goes on with: millrace run resume") }, "\(run.lines)")
    #expect(try JSON(parsing: String(contentsOfFile: run.output, encoding: .utf8))["status"] == "RUNNING")
    var resumed = try Going(command, arguments: ["run", "resume", id])
    close(try Self.standsAtGate(command))
    #expect(try resumed.end() == 0, "\(resumed.lines)")
    #expect(try command.read("effects") == "first\nsecond\nsecond\nthird\n")
  }

  private static let tidy = "cleanup:\n  - { id: tidy, handler: shell/run, input: { command: \"true\" } }"

  @Test("a run that no process has is cancelled when it goes on, its cleanup included")
  func cancelWithoutProcess() throws {
    let command = try Command()
    let id = try Self.killed(command, more: Self.tidy)
    let cancelled = try command.run("run", "cancel", id, "--by", "ann", "--reason", "withdrawn")
    #expect(cancelled.exit == 0 && cancelled.errors.contains("no process has it; it is cancelled when it goes on"), "\(cancelled.errors)")
    #expect(try Self.listed(command)["cancelAsked"] == true)
    let shown = try command.run("run", "show", id, "-o", "json").object()
    #expect(shown["durable"]?["cancelAsked"] == ["by": "ann", "reason": "withdrawn"])
    let resumed = try command.run("run", "resume", "-o", "json")
    #expect(resumed.exit == 2, "\(resumed.errors)")
    let after = try command.run("run", "show", id, "-o", "json").object()
    #expect(after["status"] == "CANCELLED" && after["reason"] == "withdrawn")
    #expect(Self.statuses(after) == ["first": "COMPLETED", "second": "CANCELLED", "third": "CANCELLED", "tidy": "COMPLETED"])
    let again = try command.run("run", "cancel", id)
    #expect(again.exit == 64 && again.errors.contains("has ended: CANCELLED"))
  }

  @Test("the process that has a run is asked to cancel it, and tells why in the end")
  func cancelWithProcess() throws {
    let command = try Command()
    Self.makeGate(command)
    var run = try Going(command, Self.steps(command), ["-o", "json"])
    let gate = try Self.standsAtGate(command)
    let id = try #require(try Self.listed(command)["run"]?.string)
    let live = try command.run("run", "explain", id, "third", "-o", "json")
    #expect(try JSON(parsing: live.output)[0]?["reason"] == "dependency", "\(live.errors)")
    let cancelled = try command.run("run", "cancel", id, "--reason", "withdrawn")
    #expect(cancelled.exit == 0 && cancelled.errors.contains("it is being cancelled"), "\(cancelled.errors)")
    close(gate)
    #expect(try run.end() == 2, "\(run.lines)")
    #expect(try JSON(parsing: String(contentsOfFile: run.output, encoding: .utf8))["status"] == "CANCELLED")
    #expect(try command.run("run", "show", id, "-o", "json").object()["reason"] == "withdrawn")
    #expect(!FileManager.default.fileExists(atPath: command.file(".millrace/control")))
  }

  private static let asks = """
    format: 1
    workflow: asks
    durability: log
    result: go
    tasks:
      - { id: go, wait: { signal: release } }
      - { id: ok, wait: { approval: "Deploy?" }, dependencies: [go] }
      - { id: sure, wait: { approval: "Really?" }, dependencies: [ok] }
    """

  @Test("signals and approvals reach the process that has the run; without one a signal is recorded, and an approval refused")
  func answers() throws {
    let command = try Command()
    var run = try Going(command, Self.asks, [])
    #expect(try run.see("task go waits for the signal release: `millrace run signal"), "\(run.lines)")
    let id = try #require(try Self.listed(command)["run"]?.string)
    kill(run.process.processIdentifier, SIGKILL)
    run.process.waitUntilExit()

    let unknown = try command.run("run", "signal", id, "relase")
    #expect(unknown.exit == 64 && unknown.errors.contains("did you mean 'release'?"), "\(unknown.errors)")
    let sent = try command.run("run", "signal", id, "release={\"version\": 2}")
    #expect(sent.exit == 0 && sent.errors.contains("when it goes on"), "\(sent.errors)")
    let early = try command.run("run", "approve", id, "ok")
    #expect(early.exit == 64 && early.errors.contains("go on with it"), "\(early.errors)")

    var resumed = try Going(command, arguments: ["run", "resume"])
    #expect(try resumed.see("task ok waits for an approval"), "\(resumed.lines)")
    let wrong = try command.run("run", "approve", id, "go")
    #expect(wrong.exit == 64 && wrong.errors.contains("waits for no approval"), "\(wrong.errors)")
    let yes = try command.run("run", "approve", String(id.prefix(18)), "ok", "--by", "ann", "--comment", "fine")
    #expect(yes.exit == 0, "\(yes.errors)")
    #expect(try resumed.see("task sure waits for an approval"), "\(resumed.lines)")
    #expect(try command.run("run", "reject", id, "sure").exit == 0)
    #expect(try resumed.end() == 1, "\(resumed.lines)")
    let shown = try command.run("run", "show", id, "-o", "json").object()
    #expect(Self.statuses(shown) == ["go": "COMPLETED", "ok": "COMPLETED", "sure": "FAILED"])
    #expect(shown["tasks"]?[1]?["wait"] == ["approval": "Deploy?", "approved": true, "by": "ann", "comment": "fine"])
    #expect(shown["signals"]?[0]?["task"] == "go")
  }

  @Test("a run that failed is done again from there, and forked from a task, with effects of their own")
  func again() throws {
    let command = try Command()
    let definition = """
      format: 1
      workflow: again
      durability: log
      tasks:
        - { id: one, handler: shell/run, input: { command: "echo one >> \(command.folder)/effects" } }
        - { id: two, handler: shell/run, dependencies: [one], input: { command: "echo two >> \(command.folder)/effects; test -e \(command.folder)/mended" } }
      """
    let ran = try command.run("run", try command.write("again.yaml", definition), "-o", "json")
    #expect(ran.exit == 1, "\(ran.errors)")
    let id = try #require(try ran.object()["run"]?.string)
    try command.write("mended", "")
    let retried = try command.run("run", "retry", id, "-o", "json")
    #expect(retried.exit == 0, "\(retried.errors)")
    #expect(try retried.object()["runs"]?[0]?["status"] == "COMPLETED")
    #expect(try command.read("effects") == "one\ntwo\ntwo\n")
    let forked = try command.run("run", "fork", id, "--from", "two", "-o", "json")
    #expect(forked.exit == 0, "\(forked.errors)")
    let other = try #require(try forked.object()["runs"]?[0]?["run"]?.string)
    #expect(other != id)
    #expect(try command.run("run", "show", other, "-o", "json").object()["durable"]?["origin"] == .string(id))
    #expect(try command.read("effects") == "one\ntwo\ntwo\ntwo\n")
    for (arguments, words) in [(["retry", id], "is over: COMPLETED"), (["fork", id, "--from", "three"], "has no task 'three'")] {
      let (process, _, errors) = try command.process(["run"] + arguments)
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 64)
      #expect(try String(contentsOfFile: errors, encoding: .utf8).contains(words))
    }
  }

  @Test("what is not there is told: no directory, no such run, an id that several begin with")
  func missing() throws {
    let command = try Command()
    #expect(try command.run("run", "list").exit == 69)
    #expect(try command.run("run", "resume", "--data", "nowhere").exit == 69)
    let file = try command.write(
      "one.yaml",
      "format: 1\nworkflow: one\ndurability: log\n" + "tasks: [{ id: only, handler: shell/run, input: { command: \"true\" } }]\n")
    for _ in 0..<2 { #expect(try command.run("run", file).exit == 0) }
    let unknown = try command.run("run", "show", "ffff")
    #expect(unknown.exit == 64 && unknown.errors.contains("no run in .millrace has an id that begins with 'ffff'"))
    let several = try command.run("run", "show", "0")
    #expect(several.exit == 64 && several.errors.contains("2 runs have ids that begin with '0'"))
    let plain = try command.run("run", try command.write("words.yaml", Sample.works), "--data", ".millrace")
    #expect(plain.exit == 0 && plain.errors.contains("does not say 'durability: log'"), "\(plain.errors)")
  }
}
