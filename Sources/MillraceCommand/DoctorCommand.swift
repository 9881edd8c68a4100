internal import ArgumentParser
internal import Millrace

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Shows what this machine offers to millrace, and what is missing.",
    discussion: """
      Examples:
        millrace doctor
        millrace doctor --plugins build/libmine.so
        millrace doctor -o json

      Exit code 0: all that a run needs is there. 69: something is missing; how to get it is told.
      """)

  @OptionGroup var plugins: PluginOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let examination = Examination(search: plugins.search)
    switch format {
    case .json: try Output.result(examination.json)
    case .text: try Output.result(ResultTables.text(examination.tables, width: Output.width))
    }
    let needed = examination.missing.filter(\.isNeeded)
    guard needed.isEmpty else {
      throw Refusal(.missing, "what every run needs is not all there: " + needed.map(\.part).joined(separator: ", "))
    }
  }
}
