import CMillrace
import Foundation
import MillracePluginKit
import Testing

@testable import MillracePlugins

/// The plugin `files` through the real loader, beside the programs that everybody has.
@Suite(
  .enabled(if: FileManager.default.fileExists(atPath: Workshop.filesPlugin), "libmillrace-plugin-files.so is not beside the test program"))
struct FilesPluginTests {
  /// Loaded once for all tests: a Swift plugin stays in the process anyway.
  struct Loaded {
    let host: TestHost
    let plugin: LoadedPlugin

    init() throws {
      host = TestHost()
      var loader = unsafe PluginLoader(host: host.table)
      plugin = try loader.load(Workshop.filesPlugin)
    }

    func run(_ name: String, _ attempt: TestAttempt) throws -> TestOutcome {
      let handler = try #require(plugin.handlers.first { $0.qualifiedName == name })
      return unsafe host.run(handler.pointer, attempt)
    }

    func run(_ name: String, _ input: String, _ dependencies: [String] = []) throws -> TestOutcome {
      try run(name, TestAttempt(host, json: input, dependencies: dependencies))
    }

    func end() {
      plugin.unload()
      host.end()
    }
  }

  private func parse(_ outcome: TestOutcome) throws -> JSON {
    #expect(outcome.status == UInt32(MILLRACE_DONE) && outcome.outputType == UInt32(MILLRACE_JSON), "\(outcome.type): \(outcome.message)")
    return try JSON(parsing: outcome.output.span)
  }

  private func quoted(_ paths: [String]) -> String { #"{"files":["# + paths.map { "\"\($0)\"" }.joined(separator: ",") + "]}" }

  /// Files of many kinds, sorted by path.
  private func texts(_ workshop: Workshop) throws -> [String] {
    var random = SplitMix(state: 7)
    let long = (0..<700_000).map { _ in Array(" \n\tabcdefgh".utf8).randomElement(using: &random)! }
    let bodies: [(String, [UInt8])] = [
      ("a-empty", []), ("b-line", Array("one line\n".utf8)), ("c-open", Array("no newline at the end".utf8)),
      ("d-blank", Array(" \n\n \t \n".utf8)),
      ("e-spaces", Array("a b\rc\u{b}d\u{c}e\n".utf8)), ("f-long", long),
      ("g-deep/\u{e9}\"quote\\.txt", Array("x y\nlonger line here\n".utf8)),
    ]
    return try bodies.map { try workshop.write("texts/" + $0, $1) }
  }

  @Test("it is loaded as a Swift plugin that stays") func loads() throws {
    let files = try Loaded()
    #expect(files.plugin.name == "files" && files.plugin.stays)
    #expect(files.plugin.handlers.map(\.qualifiedName) == ["files/list", "files/hash", "files/statistics"])
    for handler in files.plugin.handlers {
      #expect(handler.flags == UInt32(MILLRACE_BLOCKING))
      let schema = try JSON(parsing: #require(handler.inputSchema).utf8Span.span)
      #expect(schema["properties"] != nil)
    }
    files.end()
  }

  @Test("it can be unloaded and loaded again while the process goes on with casts and types") func again() throws {
    for _ in 0..<3 {
      let files = try Loaded()
      _ = try parse(files.run("files/list", #"{"directory":"/usr/include"}"#))
      files.end()
      let value: Any = [1, 2, 3]
      #expect((value as? any Collection)?.count == 3)
    }
  }

  @Test("list: what find lists, with sizes, sorted, links not followed") func lists() throws {
    let workshop = try Workshop()
    let paths = try texts(workshop)
    try FileManager.default.createSymbolicLink(atPath: workshop.file("texts/link"), withDestinationPath: paths[0])
    try FileManager.default.createSymbolicLink(atPath: workshop.file("texts/loop"), withDestinationPath: workshop.path)
    let files = try Loaded()
    let output = try parse(files.run("files/list", #"{"directory":"\#(workshop.file("texts"))","recursive":true}"#))
    let found = try workshop.run("/usr/bin/find", [workshop.file("texts"), "-type", "f", "-printf", "%p %s\n"]).split(separator: "\n").map(
      String.init)
    let listed = try #require(output["files"]?.array).map { "\($0["path"]?.string ?? "") \($0["bytes"]?.integer ?? -1)" }
    #expect(listed == found.sorted())
    #expect(output["count"] == .integer(7) && output["missing"] == .array([]) && output["unreadable"] == .array([]))

    let flat = try parse(files.run("files/list", #"{"directory":"\#(workshop.file("texts"))","pattern":"[a-c]-*"}"#))
    #expect(flat["files"]?.array?.compactMap { $0["path"]?.string } == Array(paths[..<3]))
    files.end()
  }

  @Test("list: names that are not UTF-8 are counted, not listed") func unnameable() throws {
    let workshop = try Workshop()
    try workshop.run("/bin/sh", ["-c", #"touch good "$(printf 'bad\377')""#])
    let files = try Loaded()
    let output = try parse(files.run("files/list", #"{"directory":"\#(workshop.path)"}"#))
    #expect(output["count"] == .integer(1) && output["unnameable"] == .integer(1))
    files.end()
  }

  @Test("hash: what sha256sum says") func hashes() throws {
    let workshop = try Workshop()
    let paths = try texts(workshop).filter { !$0.contains("quote") }
    let files = try Loaded()
    let output = try parse(files.run("files/hash", quoted(paths)))
    let sums = try workshop.run("/usr/bin/sha256sum", paths).split(separator: "\n").map(String.init)
    #expect(sums == output["files"]?.array?.map { "\($0["sha256"]?.string ?? "")  \($0["path"]?.string ?? "")" })
    #expect(output["count"] == .integer(Int64(paths.count)))
    files.end()
  }

  @Test("statistics: what wc says") func counts() throws {
    let workshop = try Workshop()
    let paths = try texts(workshop).filter { !$0.contains("quote") }
    let files = try Loaded()
    let output = try parse(files.run("files/statistics", quoted(paths)))
    let words = try workshop.run("/usr/bin/wc", ["-l", "-w", "-c"] + paths).split(separator: "\n").map {
      $0.split(separator: " ").map(String.init)
    }
    for (file, expected) in zip(try #require(output["files"]?.array), words) {
      #expect(["lines", "words", "bytes"].map { "\(file[$0]?.integer ?? -1)" } + [file["path"]?.string ?? ""] == expected)
    }
    #expect(["lines", "words", "bytes"].map { "\(output[$0]?.integer ?? -1)" } == Array(try #require(words.last)[..<3]))
    // wc -L counts columns: the same as bytes where there are neither tabs nor control characters.
    let longest = try workshop.run("/usr/bin/awk", ["{ if (length > longest) longest = length } END { print longest }", paths[5]])
    #expect(output["files"]?.array?[5]["longestLine"]?.integer == Int64(longest.dropLast()))
    #expect(output["files"]?.array?[2]["longestLine"] == .integer(21))
    files.end()
  }

  @Test("hash takes the files that a dependency listed; one that vanished since is reported") func chains() throws {
    let workshop = try Workshop()
    let paths = try texts(workshop)
    let files = try Loaded()
    let listed = try files.run("files/list", #"{"directory":"\#(workshop.file("texts"))","recursive":true}"#).text
    try FileManager.default.removeItem(atPath: paths[1])
    for handler in ["files/hash", "files/statistics"] {
      let output = try parse(files.run(handler, "null", [listed]))
      #expect(output["files"]?.array?.compactMap { $0["path"]?.string } == Array(paths[..<1]) + Array(paths[2...]))
      #expect(output["missing"] == .array([.string(paths[1])]))
    }
    files.end()
  }

  @Test("a file cut off while it is read ends where it ends") func shrinks() throws {
    let workshop = try Workshop()
    let path = try workshop.write("large", Data(count: 8 << 20))
    let files = try Loaded()
    let cutter = Thread { for step in (0..<8).reversed() { unsafe truncate(path, off_t(step << 20)) } }
    cutter.start()
    let output = try parse(files.run("files/hash", quoted([path])))
    let bytes = try #require(output["bytes"]?.integer)
    #expect((0...8 << 20).contains(bytes))
    while !cutter.isFinished { sched_yield() }
    files.end()
  }

  struct Failure: Sendable, CustomTestStringConvertible {
    let handler: String
    let input: String
    let type: String
    let message: String
    var testDescription: String { "\(handler) \(input)" }
  }

  static let failures = [
    Failure(handler: "files/list", input: #"{"directory":"/no/such"}"#, type: "not-found", message: "/no/such: No such file or directory"),
    Failure(
      handler: "files/list", input: #"{"directory":"/etc/passwd"}"#, type: "not-a-directory", message: "/etc/passwd: Not a directory"),
    Failure(
      handler: "files/list", input: #"{"directory":"/usr/include","limit":2}"#, type: "too-many",
      message: "/usr/include holds more than 2 files: raise"),
    Failure(
      handler: "files/list", input: #"{"directory":"/usr","limit":0}"#, type: "bad-input", message: #""limit" is 0, expected 1 to 1000000"#),
    Failure(
      handler: "files/list", input: #"{"directory":"/usr","recursive":1}"#, type: "bad-input", message: #""recursive" is not true or false"#
    ),
    Failure(
      handler: "files/list", input: #"{"folder":"/usr"}"#, type: "bad-input",
      message: #"input 0 has an unknown member "folder"; known: directory,"#),
    Failure(handler: "files/list", input: "[1]", type: "bad-input", message: "input 0 is not an object"),
    Failure(handler: "files/list", input: "{", type: "bad-input", message: "input 0 is not JSON: byte 1: expected a member's name"),
    Failure(handler: "files/hash", input: #"{"files":["/no/such"]}"#, type: "not-found", message: "/no/such: No such file or directory"),
    Failure(handler: "files/hash", input: #"{"files":["/dev/zero"]}"#, type: "not-a-file", message: "/dev/zero is not a regular file"),
    Failure(handler: "files/hash", input: #"{"files":[7]}"#, type: "bad-input", message: "file 0 of input 0 is not a path"),
    Failure(handler: "files/statistics", input: "{}", type: "bad-input", message: #"input 0 has no "files", and no dependency lists any"#),
  ]

  @Test("what cannot be done has its type and message", arguments: failures) func fails(_ failure: Failure) throws {
    let files = try Loaded()
    let outcome = try files.run(failure.handler, failure.input)
    #expect(
      outcome.status == UInt32(MILLRACE_FAILED) && outcome.type == failure.type && outcome.message.hasPrefix(failure.message), "\(outcome)")
    files.end()
  }

  @Test("what this user may not read is not-permitted", .enabled(if: geteuid() != 0, "root may read everything")) func permission() throws {
    let workshop = try Workshop()
    let path = try workshop.write("secret/file", [])
    unsafe chmod(workshop.file("secret"), 0)
    defer { unsafe chmod(workshop.file("secret"), 0o700) }
    let files = try Loaded()
    #expect(try files.run("files/list", #"{"directory":"\#(workshop.file("secret"))"}"#).type == "not-permitted")
    #expect(try files.run("files/hash", quoted([path])).type == "not-permitted")
    #expect(
      try parse(files.run("files/list", #"{"directory":"\#(workshop.path)","recursive":true}"#))["unreadable"]
        == .array([.string(workshop.file("secret"))]))
    files.end()
  }

  @Test("cancellation is seen between entries, files and blocks; progress is told") func cancels() throws {
    let workshop = try Workshop()
    let paths = try texts(workshop)
    let files = try Loaded()
    for (handler, input, checks) in [
      ("files/list", #"{"directory":"\#(workshop.path)","recursive":true}"#, 2), ("files/hash", quoted([paths[5]]), 2),
      ("files/statistics", quoted(Array(paths[..<6])), 5),
    ] {
      let attempt = TestAttempt(files.host, json: input)
      attempt.cancel(afterChecks: checks)
      #expect(try files.run(handler, attempt).status == UInt32(MILLRACE_CANCELLED))
    }
    let attempt = TestAttempt(files.host, json: quoted(Array(paths[..<4])))
    _ = try files.run("files/hash", attempt)
    #expect(attempt.progress == [0, 250, 500, 750])
    files.end()
  }

  @Test("an output above 16 MiB is too-large") func tooLarge() throws {
    let workshop = try Workshop()
    let path = try workshop.write("small", [])
    let files = try Loaded()
    let name = workshop.path + String(repeating: "/.", count: 1_900) + "/small"
    #expect(FileManager.default.fileExists(atPath: name) && FileManager.default.fileExists(atPath: path))
    let outcome = try files.run("files/hash", quoted(Array(repeating: name, count: 4_400)))
    #expect(outcome.type == "too-large" && outcome.message.contains("the limit is 16777216"), "\(outcome.status) \(outcome.message)")
    files.end()
  }
}
