internal import ArgumentParser
internal import Millrace

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Shows what this machine offers to millrace, and what is missing.",
    discussion: """
      Examples:
        millrace doctor
        millrace doctor mine.yaml
        millrace doctor --plugins build/libmine.so
        millrace doctor -o json

      With a definition, also whether it can run here: cycles, handlers that are missing, timeouts that contradict each other.

      Exit code 0: all that a run needs is there. 69: something is missing; how to get it is told. 65: the definition cannot run.
      """)

  @Argument(help: "A definition that does not run as it should.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String?

  @OptionGroup var plugins: PluginOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let examination = try Examination(search: plugins.search, trust: plugins.trust(), isolation: plugins.isolation())
    let verdict = file.map { Verdict(file: $0, examination.reader) }
    switch format {
    case .json:
      let members = (examination.json.object ?? []) + (verdict.map { [.init("definition", $0.json)] } ?? [])
      try Output.result(.object(members))
    case .text:
      try Output.result(ResultTables.text(examination.tables, width: Output.width))
      try verdict?.tell()
    }
    let needed = examination.missing.filter(\.isNeeded)
    guard needed.isEmpty else {
      throw Refusal(.missing, "what every run needs is not all there: " + needed.map(\.part).joined(separator: ", "))
    }
    if let verdict, verdict.definition == nil { throw ExitCode(Exit.badData.rawValue) }
  }
}
