internal import ArgumentParser
internal import Glibc
internal import Millrace

struct RunResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "Goes on with durable runs that are not over, and prints what came of them.",
    discussion: """
      Examples:
        millrace run resume
        millrace run resume 019a3c52
        millrace run resume --data /var/lib/orders -o json

      Completed tasks are not run again; what was under way is, with the same idempotency keys. The plugins are those that the runs began with.
      Ctrl-C suspends the runs (exit code 130). Exit code 1: a run failed, or does not go on; why, is told.
      """)

  @Argument(help: "Ids of runs, or what no other id begins with. (default: all that are not over)")
  var runs: [String] = []

  @OptionGroup var data: DataOptions

  @OptionGroup var engine: EngineOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let archive = try RunArchive(data)
    var ids: [RunID] = []
    for run in runs { try Self.add(archive.find(run), archive, to: &ids) }
    let session = try DurableSession(data, engine)
    if !runs.isEmpty { return try session.finish(session.each(ids) { try $0.resume($1) }, format) }
    let resumed: ResumedRuns
    do { resumed = try session.engine.resume() } catch { throw Refusal(.badData, "\(data.directory): \(error)") }
    try session.finish(resumed, format)
  }

  /// Behind the runs that its tasks have started and that are not over: it looks for them when it begins.
  private static func add(_ id: RunID, _ archive: RunArchive, to ids: inout [RunID]) throws(Refusal) {
    let run = try archive.run(id)
    for child in run.history.lastChildren.sorted(by: { $0.description < $1.description })
    where try archive.run(child).history.ended == nil {
      try add(child, archive, to: &ids)
    }
    if !ids.contains(id) { ids.append(id) }
  }
}

struct RunRetryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retry",
    abstract: "Has the tasks of a durable run that did not end well done again, and what did not run because of them.",
    discussion: """
      Example:
        millrace run retry 019a3c52

      The run keeps its id, and its tasks their idempotency keys; they have their attempts anew. A run in quarantine goes on.
      """)

  @Argument(help: "The id of the run, or what no other id begins with.")
  var id: String

  @OptionGroup var data: DataOptions

  @OptionGroup var engine: EngineOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let id = try RunArchive(data).find(id)
    let session = try DurableSession(data, engine)
    try session.finish(session.each([id]) { try $0.retry($1, by: RunAskOptions.user) }, format)
  }
}

struct RunForkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fork",
    abstract: "Starts a run that takes over what another one's tasks gave, and does the others anew.",
    discussion: """
      Examples:
        millrace run fork 019a3c52 --from merge
        millrace run fork 019a3c52

      The run has an id, and its tasks idempotency keys, of their own; the other run stays as it is. Without --from what has not completed is done.
      """)

  @Argument(help: "The id of the run, or what no other id begins with.")
  var id: String

  @Option(
    name: .customLong("from"),
    help: ArgumentHelp("A task that is done anew, and with it all that depend on it. May be repeated.", valueName: "task"))
  var tasks: [String] = []

  @OptionGroup var data: DataOptions

  @OptionGroup var engine: EngineOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let id = try RunArchive(data).find(id)
    let session = try DurableSession(data, engine)
    try session.finish(session.each([id]) { try $0.fork($1, from: tasks, by: RunAskOptions.user) }, format)
  }
}

/// An engine over a data directory, for runs that are there.
struct DurableSession {
  let engine: Engine
  private let data: DataOptions
  private let messages = Messages()

  init(_ data: DataOptions, _ options: EngineOptions) throws {
    self.data = data
    var configuration = try options.configuration(messages)
    configuration.data = data.directory
    engine = try Engine.made(configuration)
    engine.tellPluginProblems()
    Signals.watch()
  }

  /// Has each run go on. Throws what is wrong with the question, not with the run.
  func each(_ ids: [RunID], _ body: (Engine, String) throws -> WorkflowHandle) throws(Refusal) -> ResumedRuns {
    var runs = ResumedRuns()
    for id in ids {
      do { runs.handles.append(try body(engine, id.description)) } catch let error as RunVerbError {
        engine.shutdown()
        throw Refusal(.wrongUse, "\(error)")
      } catch { runs.problems.append((id.description, "\(error)")) }
    }
    return runs
  }

  /// Waits for runs that go on, and prints what came of them. Throws the command's exit code.
  func finish(_ runs: ResumedRuns, _ format: Output.Format) throws {
    for (run, reason) in runs.problems { Output.note("run \(run) does not go on: \(TerminalText.escaped(reason))") }
    for handle in runs.handles { Output.note("run \(handle.id) of \(handle.definition.name) goes on: \(Self.words(handle.progress()))") }
    if runs.handles.isEmpty, runs.problems.isEmpty { Output.note("no run in \(data.directory) is open") }
    let follower = RunFollower(engine, messages, data, directory: data.directory)
    let signal = runs.handles.isEmpty ? nil : follower.follow(runs.handles, nil)
    let outcomes = runs.handles.map { handle in
      let (record, resumption) = follower.record(handle)
      return RunOutcome(record: record, signal: signal, resumption: resumption)
    }
    engine.shutdown()
    for message in messages.take() { Output.note(message) }
    try print(outcomes, runs.problems, format)
    let open = outcomes.count { $0.resumption != nil }
    if open > 0 { Output.note("\(open == 1 ? "a run goes" : "\(open) runs go") on with: millrace run resume\(data.words)") }
    throw ExitCode(Self.exit(outcomes, runs.problems.isEmpty, signal).rawValue)
  }

  private static func exit(_ outcomes: [RunOutcome], _ isWhole: Bool, _ signal: Int32?) -> Exit {
    if let signal { return Signals.exit(after: signal) }
    if !isWhole { return .failed }
    let exits = outcomes.map(\.exit)
    return [.failed, .tryAgain, .stopped].first(where: exits.contains) ?? .done
  }

  private static func words(_ progress: Progress) -> String { "\(progress.completed) of \(progress.tasks) tasks completed" }

  private func print(_ outcomes: [RunOutcome], _ problems: [(run: String, reason: String)], _ format: Output.Format) throws(Refusal) {
    switch format {
    case .json:
      try Output.result(
        .object([
          .init("runs", .array(outcomes.map { RunSummary.json($0.record, bound: nil) })),
          .init("problems", .array(problems.map { .object([.init("run", .string($0.run)), .init("reason", .string($0.reason))]) })),
        ]))
    case .text:
      if outcomes.isEmpty { return }
      let rows = outcomes.map(\.record).map { record in
        JSON.object([
          .init("run", .string(record.run)), .init("workflow", .string(record.workflow)), .init("status", .string(record.status.rawValue)),
          .init("tasks", .string(record.countsInWords)), .init("attempts", .string("\(record.attemptCount)")),
        ])
      }
      try Output.result(ResultTables.text(.object([.init("runs", .array(rows))]), width: Output.width))
    }
  }
}
