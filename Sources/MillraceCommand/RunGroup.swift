internal import ArgumentParser
internal import Millrace

/// `millrace run FILE` is `millrace run start FILE`.
struct RunGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs a workflow and prints its result; explains runs.",
    discussion: """
      Examples:
        millrace run Examples/package-census.yaml --report report
        millrace run explain report
        millrace run explain report merge
        millrace run start --help

      `millrace run FILE` is `millrace run start FILE`, with all its options.
      """,
    subcommands: [RunCommand.self, ExplainCommand.self], defaultSubcommand: RunCommand.self)
}

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Tells why a task did not run, or failed: the reason, what shows it, what to do.",
    discussion: """
      Examples:
        millrace run explain report
        millrace run explain report merge -o json
        kill -USR1 PID          # a run that goes on tells the same of itself

      Without tasks: those that failed, or that the others waited for.
      """)

  /// Bytes of a record that is read, 64 MiB: some 200,000 tasks.
  static let limit = JSON.maximumBytes

  @Argument(help: "The directory of `millrace run --report`, or the run.json in it.", completion: .file())
  var report: String

  @Argument(help: "Ids of tasks.")
  var tasks: [String] = []

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let record = try Self.read(report)
    let explanations = tasks.isEmpty ? record.explain() : try tasks.map { try Self.explanation($0, record) }
    switch format {
    case .json: try Output.result(.array(explanations.map(\.json)))
    case .text:
      let nothing = "\(record.workflow) \(record.status.rawValue): there is nothing to explain\n"
      try Output.result(explanations.isEmpty ? nothing : explanations.map(\.text).joined(separator: "\n"))
    }
  }

  private static func explanation(_ task: String, _ record: RunRecord) throws(Refusal) -> Explanation {
    if let explanation = record.explain(task) { return explanation }
    var names = NearestName()
    let nearest = names.nearest(to: task, among: record.tasks.lazy.map(\.id))
    let advice = nearest.map { "; did you mean '\($0)'?" } ?? ": `run.json` lists them"
    throw Refusal(.wrongUse, "workflow \(record.workflow) has no task '\(task)'" + advice)
  }

  private static func read(_ path: String) throws(Refusal) -> RunRecord {
    var (file, found) = (path + "/run.json", FileBytes.read(path + "/run.json", limit: limit))
    if case .failure = found { (file, found) = (path, FileBytes.read(path, limit: limit)) }
    switch found {
    case .failure(let refusal):
      throw Refusal(.badData, "\(path): \(refusal.message); give the directory of `millrace run --report DIR`, or the run.json in it")
    case .success(let bytes):
      do {
        return try RunRecord(JSON(parsing: bytes))
      } catch {
        throw Refusal(.badData, "\(file): \(error)")
      }
    }
  }
}
