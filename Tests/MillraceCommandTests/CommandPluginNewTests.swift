import Foundation
import Millrace
import Testing

/// `plugin new`: projects that build and pass their own test at once. That of Swift, which builds MillracePluginKit, is in `Tests/Outside`.
@Suite(.timeLimit(.minutes(5))) struct CommandPluginNewTests {
  private static let cargo = ["/root/.cargo/bin/cargo", "/usr/bin/cargo"].first { FileManager.default.isExecutableFile(atPath: $0) }
  private static let languages = ["c", "cpp"] + (cargo == nil ? [] : ["rust"])

  @Test("a project builds and passes its own test and the checks, of every language and of odd names", arguments: languages)
  func builds(_ language: String) throws {
    let command = try Command()
    let name = language == "c" ? "-0-" : "mine-\(language)"
    let ending = try command.run("plugin", "new", "--lang", language, "--", name)
    #expect(ending.exit == 0 && ending.output == "\(name): written; `cd \(name) && make test` builds and checks it\n", "\(ending.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: command.folder).filter { $0.hasPrefix(".") } == [])
    let header = Command.packageRoot.appending(path: "Sources/CMillrace/include/millrace/plugin.h")
    #expect(try command.read("\(name)/include/millrace/plugin.h") == String(contentsOf: header, encoding: .utf8))
    let make = Process()
    make.executableURL = URL(filePath: "/usr/bin/make")
    make.arguments = ["-C", "./" + name, "test", "MILLRACE=\(Command.program.path)", "CHECKS=--calls 100", "CARGO=\(Self.cargo ?? "")"]
    make.currentDirectoryURL = URL(filePath: command.folder)
    make.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": ProcessInfo.processInfo.environment["HOME"] ?? "/"]
    let log = try command.write("log", "")
    make.standardOutput = try FileHandle(forWritingTo: URL(filePath: log))
    make.standardError = make.standardOutput
    try make.run()
    make.waitUntilExit()
    let text = try command.read("log")
    #expect(make.terminationStatus == 0, "\(text)")
    #expect(text.contains("the handler works\n") && text.contains("0 errors, 0 warnings\n") && !text.contains("warning:"), "\(text)")
    let list = try command.run("plugin", "list", "--plugins", "./\(name)/build/libmillrace-plugin-\(name).so", "-o", "json")
    let plugins = try list.object()["plugins"]?.array ?? []
    #expect(plugins.contains { $0["name"]?.string == name && $0["handlers"]?[0]?["name"]?.string == "\(name)/count" }, "\(list.output)")
  }

  @Test("the project of Swift names Millrace by its path or its URL") func swift() throws {
    let command = try Command()
    let root = Command.packageRoot.path
    #expect(try command.run("plugin", "new", "mine", "--lang", "swift", "--millrace", root).exit == 0)
    #expect(
      try command.read("mine/Package.swift").contains(
        ".package(name: \"millrace\", path: \"\(Command.packageRoot.resolvingSymlinksInPath().path)\")"))
    #expect(try command.read("mine/Sources/Handlers/Plugin.swift").contains("Plugin(\"mine\","))
    #expect(try command.run("plugin", "new", "far", "--lang", "swift", "--millrace", "https://example.org/millrace").exit == 0)
    #expect(try command.read("far/Package.swift").contains(".package(url: \"https://example.org/millrace\", from: \"\(Engine.version)\")"))
  }

  @Test("what is there is not written over; a name that is none, a language without what it needs: nothing is written") func refusals()
    throws
  {
    let command = try Command()
    try command.write("taken", "mine")
    try FileManager.default.createDirectory(atPath: command.file("empty"), withIntermediateDirectories: false)
    for name in ["taken", "empty"] {
      let ending = try command.run("plugin", "new", name, "--lang", "c")
      #expect(ending.exit == 64 && ending.errors == "millrace: \(name) is there already: choose another name, or remove it\n")
    }
    #expect(try command.read("taken") == "mine")
    let wrong = [
      ["Mine", "--lang", "c"], ["a/b", "--lang", "c"], ["..", "--lang", "c"], ["", "--lang", "c"], ["a_b", "--lang", "cpp"],
      [String(repeating: "a", count: 128), "--lang", "c"], ["mine", "--lang", "perl"], ["mine"], ["mine", "--lang", "swift"],
      ["mine", "--lang", "c", "--millrace", "/"], ["mine", "--lang", "swift", "--millrace", command.folder],
    ]
    for arguments in wrong {
      let (process, _, _) = try command.process(["plugin", "new"] + arguments)
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 64, "\(arguments)")
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: command.folder)
    #expect(names.allSatisfy { $0 == "taken" || $0 == "empty" || UUID(uuidString: $0) != nil }, "\(names)")
  }
}
