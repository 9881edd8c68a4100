import Foundation
import Millrace
import Testing

@Suite("Exit codes of millrace", .timeLimit(.minutes(5)))
struct CommandExitTests {
  @Test("1 when the work failed: attempts, cause and remedy are told")
  func failed() throws {
    let command = try Command()
    let file = try command.write("failing.yaml", Sample.fails)
    let ending = try command.run("run", file)
    #expect(ending.exit == 1)
    #expect(ending.output.contains("exit-3"))
    #expect(ending.output.contains("no such luck"))
    let object = try command.run("run", file, "-o", "json").object()
    #expect(object["status"] == "FAILED")
    #expect(object["tasks"] == ["completed": 0, "failed": 1, "skipped": 1, "cancelled": 0])
  }

  @Test("2 when nothing but a timeout ended it")
  func timedOut() throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("late.yaml", Sample.timesOut))
    #expect(ending.exit == 2)
    #expect(ending.output.contains("timed out"))
  }

  @Test(
    "64 for wrong use",
    arguments: [
      ["run"], ["run", "x.yaml", "--slots", "0"], ["run", "x.yaml", "--slots", "many"], ["run", "x.yaml", "--threads", "-1"],
      ["run", "x.yaml", "--order", "random"], ["run", "x.yaml", "--param", "novalue"], ["run", "x.yaml", "--param", "=1"],
      ["run", "x.yaml", "--param", "a=1", "--param", "a=2"], ["run", "x.yaml", "--time-scale", "-1"],
      ["run", "x.yaml", "--time-scale", "1", "--set", "replay.time-scale=2"], ["run", "x.yaml", "-o", "xml"], ["run", "x.yaml", "y.yaml"],
      ["nothing"], ["workflow", "graph", "x.yaml", "--format", "png"], ["plugin", "unknown"],
      ["run", "words.yaml", "--wait", "spin", "--threads", "56"], ["run", "words.yaml", "--threads", "1000000"],
      ["run", "words.yaml", "--param", "wrod=x"],
    ])
  func wrongUse(arguments: [String]) throws {
    let command = try Command()
    try command.write("words.yaml", Sample.works)
    let (process, output, errors) = try command.process(arguments)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    #expect(process.terminationStatus == 64)
    #expect(try String(contentsOfFile: output, encoding: .utf8).isEmpty)
    #expect(try !String(contentsOfFile: errors, encoding: .utf8).isEmpty)
  }

  @Test("65 for a definition that cannot run: every fault with its line")
  func badDefinition() throws {
    let command = try Command()
    let text = """
      format: 1
      workflow: broken
      tasks:
        - { id: a, handler: shell/run, dependencies: [c] }
        - { id: b, handler: shell/runn }
        - { id: b, handler: shell/run }
      """
    let ending = try command.run("run", try command.write("broken.yaml", text))
    #expect(ending.exit == 65)
    #expect(ending.output.isEmpty)
    for line in ["broken.yaml:4:", "broken.yaml:5:", "broken.yaml:6:", "shell/run"] { #expect(ending.errors.contains(line)) }
  }

  @Test("65 for a file that is not there, or a directory")
  func noFile() throws {
    let command = try Command()
    let missing = try command.run("run", "nosuch.yaml")
    #expect(missing.exit == 65)
    #expect(missing.errors.contains("nosuch.yaml"))
    #expect(missing.errors.contains("No such file"))
    let folder = try command.run("run", command.folder)
    #expect(folder.exit == 65)
    #expect(folder.errors.contains("directory"))
  }

  @Test("69 for a plugin that is named but not there")
  func missingPlugin() throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("words.yaml", Sample.works), "--plugins", "nosuch.so")
    #expect(ending.exit == 69)
    #expect(ending.errors.contains("nosuch.so"))
  }

  @Test("69 where no plugin is found at all, with the way to get them")
  func noPlugins() throws {
    let command = try Command()
    // Alone in a directory, it has no plugins beside it.
    try FileManager.default.copyItem(atPath: Command.program.path, toPath: command.file("millrace"))
    let (process, _, errors) = try command.process(["run", try command.write("words.yaml", Sample.works)])
    process.executableURL = URL(filePath: command.file("millrace"))
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 69)
    #expect(try String(contentsOfFile: errors, encoding: .utf8).contains("make build"))
  }
}
