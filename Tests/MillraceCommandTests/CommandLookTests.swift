import Foundation
import Millrace
import Testing

@Suite("millrace workflow, plugin, doctor", .timeLimit(.minutes(5)))
struct CommandLookTests {
  @Test("check finds the example correct")
  func checkExample() throws {
    let example = Command.packageRoot.appending(path: "Examples/package-census.yaml").path
    let ending = try Command().run("workflow", "check", example)
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.contains("correct"))
    #expect(ending.output.contains("39 tasks"))
  }

  @Test("check -o json tells every fault with its code and place")
  func checkFaults() throws {
    let command = try Command()
    let text = """
      format: 1
      workflow: cycle
      tasks:
        - { id: a, handler: shell/run, input: { command: "true" }, dependencies: [b] }
        - { id: b, handler: shell/run, input: { command: "true" }, dependencies: [a] }
        - { id: c, handler: shel/run }
      """
    let ending = try command.run("workflow", "check", try command.write("cycle.yaml", text), "-o", "json")
    #expect(ending.exit == 65)
    let object = try ending.object()
    #expect(object["correct"] == false)
    let faults = object["faults"]?.array ?? []
    #expect(Set(faults.compactMap { $0["code"]?.string }) == ["cycle", "unknown-handler"])
    #expect(faults.allSatisfy { ($0["line"]?.integer ?? 0) > 3 && $0["fix"]?.string?.isEmpty == false })
  }

  @Test("check without plugins leaves the names of handlers open, and says so")
  func checkWithoutPlugins() throws {
    let command = try Command()
    try FileManager.default.copyItem(atPath: Command.program.path, toPath: command.file("millrace"))
    let (process, output, errors) = try command.process(["workflow", "check", try command.write("words.yaml", Sample.works)])
    process.executableURL = URL(filePath: command.file("millrace"))
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(try String(contentsOfFile: output, encoding: .utf8).contains("correct"))
    #expect(try String(contentsOfFile: errors, encoding: .utf8).contains("not checked"))
  }

  @Test("graph draws text and SVG, to standard output or whole into a file")
  func graph() throws {
    let command = try Command()
    let file = try command.write("words.yaml", Sample.works)
    let text = try command.run("workflow", "graph", file)
    #expect(text.exit == 0, "\(text.errors)")
    #expect(text.output.contains("say"))
    let svg = try command.run("workflow", "graph", file, "--format", "svg", "--output", "words.svg")
    #expect(svg.exit == 0, "\(svg.errors)")
    #expect(svg.output.isEmpty)
    #expect(try command.read("words.svg").hasPrefix("<svg"))
    #expect(try command.run("workflow", "graph", file, "--format", "svg").output == command.read("words.svg"))
    #expect(try command.run("workflow", "graph", file, "--output", "no/such/folder.txt").exit == 64)
  }

  @Test("plugin list shows the five plugins of the package and their handlers")
  func plugins() throws {
    let ending = try Command().run("plugin", "list", "-o", "json")
    #expect(ending.exit == 0, "\(ending.errors)")
    let plugins = try ending.object()["plugins"]?.array ?? []
    #expect(Set(plugins.compactMap { $0["name"]?.string }) == ["bench", "debian", "files", "replay", "shell"])
    let handlers = plugins.flatMap { $0["handlers"]?.array ?? [] }
    #expect(handlers.contains { $0["name"] == "shell/run" && $0["blocking"] == true })
    #expect(handlers.contains { $0["name"] == "replay/task" && $0["blocking"] == false })
    #expect(plugins.allSatisfy { $0["sha256"]?.string?.utf8.count == 64 })
    let text = try Command().run("plugin", "list")
    #expect(text.output.contains("debian/split"))
  }

  @Test("plugin list tells why a file was refused, with exit code 65")
  func refused() throws {
    let command = try Command()
    let file = try command.write("broken.so", "this is no plugin")
    let ending = try command.run("plugin", "list", "--plugins", file, "-o", "json")
    #expect(ending.exit == 65)
    #expect(try ending.object()["refused"]?[0]?["path"] == .string(file))
    #expect(ending.errors.contains("not an ELF"))
  }

  @Test("of the plugins that are found only those on the list are loaded; a list that cannot be used ends the command with 69")
  func listed() throws {
    let command = try Command()
    let found = try Command().run("plugin", "list", "-o", "json").object()["plugins"]?.array ?? []
    let bench = try #require(found.first { $0["name"] == "bench" })
    let list = try command.write("allowed", "# one of them\n\(try #require(bench["sha256"]?.string))  bench\n")
    let ending = try command.run("plugin", "list", "--plugin-list", list, "-o", "json")
    #expect(ending.exit == 65)
    #expect(try ending.object()["plugins"]?.array?.map { $0["name"] } == ["bench"])
    #expect(ending.errors.contains("its build is not among those that may be loaded: its SHA-256 is "))
    #expect(try command.run("doctor", "--plugin-list", list).output.contains("plugin replay"), "it is missing")
    let file = try command.write("endless.yaml", Sample.endless)
    let run = try command.run("run", file, "--plugin-list", list)
    #expect(run.exit == 65 && run.errors.contains("unknown handler 'replay/task'"), "\(run.errors)")
    let wrong = try command.run("plugin", "list", "--plugin-list", try command.write("wrong", "bench\n"))
    #expect(wrong.exit == 69 && wrong.errors.contains("line 1 does not begin with a SHA-256"), "\(wrong.errors)")
    let key = try command.run("plugin", "list", "--plugin-key", list)
    #expect(key.exit == 69 && key.errors.contains("there is no public key in it"), "\(key.errors)")
  }

  @Test("a plugin whose settings are not as it says is refused before the run, with the name of the setting")
  func settings() throws {
    let command = try Command()
    let file = try command.write("endless.yaml", Sample.endless)
    let misspelled = try command.run("run", file, "--set", "replay.mood=wait")
    #expect(misspelled.exit == 65)
    #expect(misspelled.errors.contains("'mood'") && misspelled.errors.contains("its settings are not as replay"), "\(misspelled.errors)")
    let wrong = try command.run("run", file, "--set", "replay.mode=sleep")
    #expect(wrong.errors.contains("mode of plugin 'replay'") && wrong.errors.contains("one of burn, wait"), "\(wrong.errors)")
    let text = try command.run("run", file, "--set", "replay.time-scale=fast")
    #expect(text.errors.contains("time-scale of plugin 'replay'") && text.errors.contains("a number"), "\(text.errors)")
  }

  @Test("doctor shows that Swift's memory comes from jemalloc, and the machine")
  func doctor() throws {
    let ending = try Command().run("doctor", "-o", "json")
    #expect(ending.exit == 0, "\(ending.errors)")
    let object = try ending.object()
    #expect(object["allocator"]?["swiftUsesJemalloc"] == true)
    let before = object["allocator"]?["allocatedBeforeBytes"]?.integer ?? .max
    let after = object["allocator"]?["allocatedAfterBytes"]?.integer ?? 0
    #expect(after - before >= 64 << 20)
    #expect(object["versions"]?["millrace"] == .string(Engine.version))
    #expect((object["processors"]?["granted"]?.integer ?? 0) >= 1)
    #expect((object["clock"]?["resolutionNanoseconds"]?.integer ?? 0) >= 1)
    #expect(object["plugins"]?.array?.count == 5)
    let text = try Command().run("doctor")
    #expect(text.exit == 0)
    for word in ["Jemalloc", "granted", "Membarrier", "Plugins", "Missing"] { #expect(text.output.contains(word)) }
  }

  @Test("doctor says why time zones cannot be had", arguments: [(nil, "is not in"), ("no zone", "cannot be read as a time zone")])
  func doctorWithoutZones(file: String?, reason: String) throws {
    let command = try Command()
    try FileManager.default.createDirectory(atPath: command.file("zones/Europe"), withIntermediateDirectories: true)
    if let file { _ = try command.write("zones/Europe/London", file) }
    let (process, output, _) = try command.process(["doctor", "-o", "json"])
    process.environment?["TZDIR"] = command.file("zones")
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let missing = try JSON(parsing: Array(Data(contentsOf: URL(filePath: output))))["missing"]?.array ?? []
    let zones = try #require(missing.first { $0["part"] == "tzdata" })
    #expect(zones["get"]?.string?.contains(reason) == true, "\(zones)")
  }

  @Test("doctor ends with 69 where no plugin is found, and says how to get them")
  func doctorWithoutPlugins() throws {
    let command = try Command()
    try FileManager.default.copyItem(atPath: Command.program.path, toPath: command.file("millrace"))
    let (process, output, _) = try command.process(["doctor"])
    process.executableURL = URL(filePath: command.file("millrace"))
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 69)
    #expect(try String(contentsOfFile: output, encoding: .utf8).contains("make build"))
  }

  @Test(
    "every command has help with examples",
    arguments: [
      [], ["run"], ["workflow"], ["workflow", "check"], ["workflow", "graph"], ["workflow", "schedule"], ["workflow", "import"], ["plugin"],
      ["plugin", "list"], ["doctor"], ["bench"],
      ["bench", "run"], ["bench", "report"], ["bench", "compare"],
    ])
  func help(command words: [String]) throws {
    let command = try Command()
    let (process, output, _) = try command.process(words + ["--help"])
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let text = try String(contentsOfFile: output, encoding: .utf8)
    #expect(text.contains("Examples:"))
    #expect(text.contains("millrace " + words.joined(separator: " ")))
  }

  @Test("--version prints the version of the engine")
  func version() throws {
    let ending = try Command().run("--version")
    #expect(ending.exit == 0)
    #expect(ending.output == Engine.version + "\n")
  }
}
