internal import ArgumentParser

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Shows and compares what was measured.",
    discussion: """
      Examples:
        millrace bench report scheduler.json --html scheduler.html
        millrace bench compare before.json after.json
      """,
    subcommands: [BenchReportCommand.self, BenchCompareCommand.self])
}
