internal import ArgumentParser
internal import Glibc
internal import Millrace

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Tells why a task did not run, or failed: the reason, what shows it, what to do.",
    discussion: """
      Examples:
        millrace run explain report
        millrace run explain report merge -o json
        millrace run explain 019a3c52 merge    # a durable run, whether a process has it or not
        kill -USR1 PID                         # a run that goes on tells the same of itself

      Without tasks: those that failed, or that the others wait for.
      """)

  /// Bytes of a record that is read, 64 MiB: some 200,000 tasks.
  static let limit = JSON.maximumBytes

  @Argument(help: "The directory of `millrace run --report`, or the run.json in it; or the id of a durable run.", completion: .file())
  var subject: String

  @Argument(help: "Ids of tasks.")
  var tasks: [String] = []

  @OptionGroup var data: DataOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    if try isRun { return try explainRun() }
    let record = try Self.read(subject)
    try print(record, moment: nil)
  }

  /// What is no file, and looks like an id.
  private var isRun: Bool {
    get throws(Refusal) {
      if data.given != nil { return true }
      let isID = !subject.isEmpty && subject.utf8.allSatisfy { $0 == UInt8(ascii: "-") || Character(UnicodeScalar($0)).isHexDigit }
      // unsafe: the path is used during the call.
      return unsafe access(subject, F_OK) != 0 && isID
    }
  }

  private func explainRun() throws {
    let archive = try RunArchive(data)
    let id = try archive.find(subject)
    let run = try archive.run(id)
    if archive.isAttended, run.history.ended == nil, let answer = try ask(id) { return try print(answer) }
    try print(run.record, moment: run.moment)
  }

  /// What the process that has the run says; nil: nothing, so that only the record tells.
  private func ask(_ id: RunID) throws(Refusal) -> JSON? {
    let request: [JSON.Member] = [
      .init("verb", "explain"), .init("run", .string(id.description)), .init("tasks", .array(tasks.map(JSON.string))),
    ]
    do throws(Refusal) { return try ControlClient.ask(data.directory, request) } catch {
      if error.exit == .wrongUse { throw error }
      Output.note("from the record alone: \(error.message)")
      return nil
    }
  }

  private func print(_ answer: JSON) throws(Refusal) {
    switch format {
    case .json: try Output.result(answer["explanations"] ?? .array([]))
    case .text: try Output.result(answer["text"]?.string ?? "")
    }
  }

  private func print(_ record: RunRecord, moment: RunMoment?) throws {
    let explanations = tasks.isEmpty ? record.explain(moment: moment) : try tasks.map { try Self.explanation($0, record, moment) }
    switch format {
    case .json: try Output.result(.array(explanations.map(\.json)))
    case .text:
      let nothing = "\(record.workflow) \(record.status.rawValue): there is nothing to explain\n"
      try Output.result(explanations.isEmpty ? nothing : explanations.map(\.text).joined(separator: "\n"))
    }
  }

  private static func explanation(_ task: String, _ record: RunRecord, _ moment: RunMoment?) throws(Refusal) -> Explanation {
    if let explanation = record.explain(task, moment: moment) { return explanation }
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
      throw Refusal(
        .badData,
        "\(path): \(refusal.message); give the directory of `millrace run --report DIR`, the run.json in it, or the id of a durable run")
    case .success(let bytes):
      do {
        return try RunRecord(JSON(parsing: bytes))
      } catch {
        throw Refusal(.badData, "\(file): \(error)")
      }
    }
  }
}
