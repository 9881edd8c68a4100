import Foundation
import Millrace
import Testing

@Suite("millrace run", .timeLimit(.minutes(5)))
struct CommandRunTests {
  @Test("prints the result and the run on standard output, all else on standard error")
  func streams() throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("words.yaml", Sample.works))
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.contains("hello"))
    #expect(ending.output.contains("words COMPLETED"))
    #expect(ending.errors.contains("2 tasks"))
    #expect(!ending.errors.contains("COMPLETED"))
  }

  @Test("-o json prints one object with the promised members in their order")
  func json() throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("words.yaml", Sample.works), "--slots", "3", "--threads", "1", "-o", "json")
    #expect(ending.exit == 0, "\(ending.errors)")
    let object = try ending.object()
    #expect(
      object.object?.map(\.name) == [
        "run", "workflow", "status", "tasks", "attempts", "makespanSeconds", "boundSeconds", "recordedMakespanSeconds", "slots", "threads",
      ])
    #expect(object["tasks"] == ["completed": 2, "failed": 0, "skipped": 0, "cancelled": 0])
    #expect(object["tasks"]?.object?.map(\.name) == ["completed", "failed", "skipped", "cancelled"])
    #expect(object["workflow"] == "words")
    #expect(object["status"] == "COMPLETED")
    #expect(object["attempts"] == 2)
    #expect(object["slots"] == 3)
    #expect(object["threads"] == 1)
    #expect(object["recordedMakespanSeconds"]?.isNull == true)
    #expect((object["makespanSeconds"]?.double ?? 0) > 0)
    #expect((object["boundSeconds"]?.double ?? 0) > 0)
    #expect(ending.output.split(separator: "\n").count == 1)
  }

  @Test(
    "a parameter is JSON where it reads as JSON, else text",
    arguments: [("word=good day", "good day\n"), ("word=\"7\"", "7\n"), ("word=a=b", "a=b\n")])
  func parameters(given: String, said: String) throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("words.yaml", Sample.works), "--param", given, "--report", "out")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try JSON(parsing: command.read("out/report.json"))["stdout"] == .string(said))
  }

  @Test("a number as a parameter reaches the task as a number")
  func numbers() throws {
    let command = try Command()
    let definition = """
      format: 1
      workflow: number
      parameters: { length: { default: 1 } }
      result: replayed
      tasks: [{ id: replayed, handler: replay/task, input: { seconds: "${params.length}" } }]
      """
    let ending = try command.run("run", try command.write("n.yaml", definition), "--param", "length=0", "--report", "out")
    #expect(ending.exit == 0, "\(ending.output)")
    #expect(try JSON(parsing: command.read("out/report.json"))["seconds"] == 0)
  }

  @Test("a trace runs whole, and its bound is Graham's for the recorded durations", .enabled(if: Command.hasTraces, Command.noTraces))
  func trace() throws {
    let command = try Command()
    let file = Command.traces + "/montage-chameleon-2mass-05d-001.json"
    let ending = try command.run("run", file, "--slots", "64", "--time-scale", "0.001", "--set", "replay.mode=wait", "-o", "json")
    #expect(ending.exit == 0, "\(ending.errors)")
    let object = try ending.object()
    #expect(object["tasks"] == ["completed": 1738, "failed": 0, "skipped": 0, "cancelled": 0])
    let definition = try DefinitionReader().read(path: file).definition
    #expect(object["recordedMakespanSeconds"]?.double == definition.recordedMakespanSeconds)
    let indices = Dictionary(uniqueKeysWithValues: definition.tasks.enumerated().map { ($1.id, $0) })
    let bound = Bound.graham(
      durations: definition.tasks.map { ($0.recordedSeconds ?? 0) * 0.001 },
      dependencies: definition.tasks.map { task in task.dependencies.compactMap { indices[$0] } }, slots: 64
    ).bound
    #expect(abs((object["boundSeconds"]?.double ?? 0) - bound) < 1e-9)
  }

  @Test("a trace is told with its makespan beside the recorded one and Graham's bound", .enabled(if: Command.hasTraces, Command.noTraces))
  func traceInWords() throws {
    let file = Command.traces + "/montage-chameleon-2mass-005d-001.json"
    let ending = try Command().run("run", file, "--slots", "64", "--time-scale", "0.001", "--set", "replay.mode=wait")
    #expect(ending.exit == 0, "\(ending.errors)")
    let lines = ending.output.split(separator: "\n").drop { $0 != "Makespan" }
    #expect(lines.count == 4)
    for words in ["this run", "recorded ", "Graham\u{2019}s bound"] { #expect(lines.contains { $0.contains(words) }) }
  }

  @Test(
    "every order of ready tasks and every way to wait runs a workflow", arguments: ["fifo", "deadline", "critical-path"],
    ["park", "adaptive"])
  func orders(order: String, wait: String) throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("words.yaml", Sample.works), "--order", order, "--wait", wait, "-o", "json")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try ending.object()["status"] == "COMPLETED")
  }

  @Test("lines of plugins and refused plugin files are told on standard error, and do not end the run")
  func refusedPlugin() throws {
    let command = try Command()
    try FileManager.default.createDirectory(atPath: command.file("plugins"), withIntermediateDirectories: false)
    try command.write("plugins/libmillrace-plugin-broken.so", "this is no plugin")
    let ending = try command.run("run", try command.write("words.yaml", Sample.works), "--plugins", "plugins", "-o", "json")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.errors.contains("libmillrace-plugin-broken.so"))
    #expect(try ending.object()["status"] == "COMPLETED")
  }
}
