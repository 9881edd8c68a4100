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

  @Option(name: .customShort("o"), help: "How the result is printed.")
  var format: Output.Format = .text

  func run() throws {
    let examination = Examination(search: plugins.search)
    switch format {
    case .json: try Output.result(examination.json)
    case .text: try Output.result(ResultTables.text(examination.tables, width: Output.width))
    }
    for finding in examination.missing where finding.isNeeded { Output.note("\(finding.part) is missing: \(finding.remedy)") }
    if examination.missing.contains(where: \.isNeeded) { throw ExitCode(Exit.missing.rawValue) }
  }
}
