import Foundation
import Millrace
import Testing

/// `plugin check`: faults are found and named, and nothing is said of what is good.
@Suite(.timeLimit(.minutes(10))) struct CommandPluginCheckTests {
  private static let options = ["--seed", "7", "--calls", "200", "--patience", "1", "--timeout", "60"]

  private func check(_ command: Command, _ file: String, _ more: [String] = [], _ options: [String] = Self.options) throws -> Command.Ending
  {
    let (process, output, errors) = try command.process(["plugin", "check", file] + options + more)
    try process.run()
    process.waitUntilExit()
    return Command.Ending(
      exit: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOfFile: output, encoding: .utf8), errors: try String(contentsOfFile: errors, encoding: .utf8))
  }

  /// What one fault shows besides its own name.
  private static let companions: [String: Set<String>] = [
    // A thread that is still there uses what has gone.
    "host-after-deinit": ["thread-left", "unmapped-code"],
    "other-host": ["host-after-deinit"],
    // Or finds its code gone.
    "thread-left": ["unmapped-code"],
    // Whoever writes too late does so for as long as he is.
    "late-memory": ["past-claim", "thread-left"],
    "wrong-abi": ["malformed"],
  ]

  @Test("a plugin with one fault: it is found, and called by its name, and no other is", arguments: CheckedPlugins.broken)
  func broken(_ source: String) throws {
    let command = try Command()
    let code = String(source.prefix { $0 != "." })
    let ending = try check(command, CheckedPlugins.build(command, "broken/" + source), ["-o", "json"])
    let result = try ending.object()
    let findings = result["findings"]?.array ?? []
    let finding = try #require(findings.first { $0["code"]?.string == code }, "\(ending.output)")
    let isError = finding["severity"] == "error"
    #expect(ending.exit == (isError ? 1 : 0) && ending.errors.isEmpty, "\(ending.errors)")
    #expect(finding["what"]?.string?.isEmpty == false && finding["fix"]?.string?.isEmpty == false)
    #expect(finding["again"]?.string?.hasPrefix("millrace plugin check \(command.file("checked.so")) --only ") == true)
    let others = Set(findings.compactMap { $0["code"]?.string }).subtracting([code]).subtracting(Self.companions[code] ?? [])
    #expect(others.isEmpty, "\(ending.output)")
  }

  @Test("a good plugin: nothing is found, and what a call costs is told", arguments: CheckedPlugins.good)
  func good(_ source: String) throws {
    let command = try Command()
    let ending = try check(command, CheckedPlugins.build(command, "good/" + source), ["-o", "json"])
    let result = try ending.object()
    #expect(ending.exit == 0 && ending.errors.isEmpty && result["findings"] == [], "\(ending.output)\(ending.errors)")
    let checks = result["checks"]?.array ?? []
    #expect(checks.count >= 17 && checks.allSatisfy { $0["state"] == "passed" })
    let figures = try #require(result["figures"]?[0])
    #expect((figures["calls"]?.integer ?? 0) >= 20 && (figures["medianNanoseconds"]?.integer ?? 0) > 0)
    #expect((figures["p99Nanoseconds"]?.integer ?? 0) >= (figures["medianNanoseconds"]?.integer ?? .max))
    #expect((figures["allocations"]?.double ?? -1) >= 0)
  }

  @Test("the plugins that are shipped, in Swift and in C, have no errors", arguments: ["files", "bench"])
  func shipped(_ name: String) throws {
    let command = try Command()
    let file = Command.program.deletingLastPathComponent().appending(path: "libmillrace-plugin-\(name).so").path
    let ending = try check(command, file, ["-o", "json"])
    #expect(ending.exit == 0, "\(ending.output)\(ending.errors)")
    #expect(try ending.object()["errors"] == 0)
  }

  @Test("a seed shows the same crash again, with the same input and nothing before it; another seed, another input") func seeds() throws {
    let command = try Command()
    let file = try CheckedPlugins.build(command, "fuzz-crash.c")
    func crash(_ seed: String) throws -> JSON {
      let ending = try check(command, file, ["--only", "fuzz", "-o", "json"], ["--seed", seed, "--calls", "20000"])
      #expect(ending.exit == 1, "\(ending.output)")
      return try #require(try ending.object()["findings"]?[0], "\(ending.output)")
    }
    let first = try crash("11")
    #expect(first["code"] == "crash" && first["check"] == "fuzz" && first["handler"] == "checked/run")
    #expect(first["what"]?.string?.contains("SIGABRT in call ") == true && first["input"]?.string?.contains("%s") == true)
    #expect(try crash("11") == first)
    #expect(try crash("12")["input"] != first["input"])
  }

  @Test("text for people: what, the input, what to do, and the command that shows it again") func text() throws {
    let command = try Command()
    let file = try CheckedPlugins.build(command, "broken/past-claim.c")
    let ending = try check(command, file, ["--only", "output-bounds"])
    #expect(ending.exit == 1)
    #expect(
      ending.output.hasPrefix(
        """
        error: past-claim checked/run: wrote 1 byte past the end of a claim of 16 bytes: ended by SIGSEGV in call 1 with an input by its schema
          input: '{}'
          do:    write no more than was claimed
          again: millrace plugin check \(file) --only output-bounds --handler checked/run --seed 7 --calls 200

        """), "\(ending.output)")
    #expect(ending.output.hasSuffix("\(file): 2 checks with seed 7, 1 error, 0 warnings\n"), "\(ending.output)")
  }

  @Test("settings and inputs of the user's own reach the plugin; only the handlers that are named are called") func own() throws {
    let command = try Command()
    let file = try CheckedPlugins.build(command, "good/refuses.c")
    let input = try command.write("input.json", "{\"mine\":true}")
    let ending = try check(
      command, file, ["--only", "cost", "--input", input, "--set", "checked.word=x", "--handler", "checked/run", "-o", "json"])
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(try ending.object()["figures"]?[0]?["handler"] == "checked/run")
    let broken = try check(
      command, CheckedPlugins.build(command, "broken/bad-status.c"), ["--input", input, "--set", "checked.word=a b", "-o", "json"])
    let again = try broken.object()["findings"]?[0]?["again"]?.string ?? ""
    #expect(
      again.hasSuffix(" --only output-bounds --handler checked/run --seed 7 --calls 200 --set 'checked.word=a b' --input \(input)"),
      "\(again)")
    let wrong = try check(command, file, ["--handler", "checked/walk"])
    #expect(wrong.exit == 64 && wrong.errors == "millrace: --handler checked/walk: the plugin has checked/run\n")
  }

  @Test("wrong use ends with 64, what is no plugin with 65") func refusals() throws {
    let command = try Command()
    let text = try command.write("text.so", "no plugin")
    for file in [text, command.file("absent.so"), command.folder] {
      let ending = try check(command, file)
      #expect(ending.exit == 65 && ending.output.isEmpty && ending.errors.hasPrefix("millrace: plugin \(file): "), "\(ending.errors)")
    }
    for wrong in [["--calls", "0"], ["--only", "luck"], ["--timeout", "0"], ["--patience", "nan"], ["--seed", "-1"]] {
      #expect(try check(command, text, wrong, []).exit == 64)
    }
    let ending = try check(command, CheckedPlugins.build(command, "good/refuses.c"), ["--input", command.file("absent.json")])
    #expect(ending.exit == 65 && ending.errors.hasPrefix("millrace: --input "), "\(ending.errors)")
  }
}
