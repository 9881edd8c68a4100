internal import ArgumentParser
internal import MillraceBench

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures throughput and latency, shows what was measured, and compares it.",
    discussion: """
      Examples:
        millrace bench list
        millrace bench run scheduler --rounds 20 --output before.json
        millrace bench run handler --plugin ./libmillrace-plugin-mine.so --handler resize --param width=640
        millrace bench report before.json --html before.html
        millrace bench compare before.json after.json
      """,
    subcommands: [BenchRunCommand.self, BenchListCommand.self, BenchReportCommand.self, BenchCompareCommand.self])
}

struct BenchListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "list", abstract: "The suites that can be measured.")

  func run() throws {
    let width = Suite.allCases.map(\.rawValue.count).max() ?? 0
    let lines = Suite.allCases.map { suite in
      suite.rawValue + String(repeating: " ", count: width - suite.rawValue.count + 2) + suite.summary + "\n"
    }
    try Output.result(lines.joined())
  }
}
