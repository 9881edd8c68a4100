internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillraceLog

/// A durable run of which something is asked: of the process that has it, or, where none has, by a record that takes effect when it goes on.
struct RunAskOptions: ParsableArguments {
  @Argument(help: "The id of the run, or what no other id begins with.")
  var run: String

  @OptionGroup var data: DataOptions

  @Option(help: ArgumentHelp("Who asks. (default: the user)", valueName: "name"))
  var by: String?

  var asker: String? {
    by ?? Self.user
  }

  static var user: String? {
    // unsafe: copied at once; the command's only thread.
    return unsafe getenv("USER").map { unsafe String(cString: $0) }
  }

  /// Tells `done` when the process that has the run did it; else calls `record` with the id, and tells what it says. `members`: of the request.
  func ask(_ verb: String, _ members: [JSON.Member], done: String, record: (RunID) throws -> String) throws {
    let archive = try RunArchive(data)
    let id = try archive.find(run)
    if let ended = try archive.run(id).history.ended { throw Refusal(.wrongUse, "run \(id) has ended: \(ended.rawValue)") }
    let request: [JSON.Member] = [
      .init("verb", .string(verb)), .init("run", .string(id.description)), .init("by", asker.map(JSON.string) ?? .null),
    ]
    if try ControlClient.ask(data.directory, request + members) != nil { return Output.note("run \(id): \(done)") }
    if let owner = archive.owner { throw Refusal(.tryAgain, "\(owner) has \(data.directory), and takes no commands: ask that program") }
    Output.note("run \(id): \(try record(id))")
  }

  /// Where no process has the directory. Throws `Refusal`.
  func wish(_ body: (RunWishes) throws -> Void) throws {
    let wishes: RunWishes
    do throws(EngineError) { wishes = try RunWishes(data.directory) } catch { throw Refusal(.tryAgain, "\(error)") }
    defer { wishes.close() }
    do { try body(wishes) } catch let error as EventStoreError { throw Refusal(error) } catch { throw Refusal(.wrongUse, "\(error)") }
  }

  var resumption: String { "`millrace run resume\(data.words)`" }
}

struct RunCancelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel",
    abstract: "Cancels a durable run, whether a process has it or not.",
    discussion: """
      Examples:
        millrace run cancel 019a3c52
        millrace run cancel 019a3c52 --reason 'the order was withdrawn'

      Where no process has the run, that is recorded, and `millrace run resume` cancels it: its cleanup tasks run then.
      """)

  @OptionGroup var options: RunAskOptions

  @Option(help: ArgumentHelp("Why, for whoever looks at the run.", valueName: "text"))
  var reason: String?

  func run() throws {
    try options.ask("cancel", [.init("reason", reason.map(JSON.string) ?? .null)], done: "it is being cancelled") { id in
      try options.wish { try $0.cancel(id, by: options.asker, because: reason) }
      return "no process has it; it is cancelled when it goes on, with \(options.resumption)"
    }
  }
}

struct RunSignalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "signal",
    abstract: "Sends a durable run a signal, whether a process has it or not.",
    discussion: """
      Examples:
        millrace run signal 019a3c52 release
        millrace run signal 019a3c52 build='{"version": "1.2"}'

      Where no process has the run, the signal is recorded, and is there when `millrace run resume` goes on.
      """)

  @OptionGroup var options: RunAskOptions

  @Argument(
    help: ArgumentHelp(
      "The signal's name, and JSON or text to come with it; of a child workflow's task TASK/NAME.", valueName: "name[=value]"),
    transform: AnswerOptions.signal)
  var signal: Assignment

  func run() throws {
    let members: [JSON.Member] = [.init("signal", .string(signal.name)), .init("payload", signal.json)]
    try options.ask("signal", members, done: "it has the signal \(signal.name)") { id in
      try options.wish { try $0.signal(id, signal.name, signal.json) }
      return "no process has it; it has the signal \(signal.name) when it goes on, with \(options.resumption)"
    }
  }
}

/// What is answered to an approval.
struct RunAnswerOptions: ParsableArguments {
  @OptionGroup var run: RunAskOptions

  @Argument(help: "The task that asks; of a child workflow's TASK/ID.")
  var task: String

  @Option(help: ArgumentHelp("Stands in the task's output, or its error.", valueName: "text"))
  var comment: String?

  func answer(_ verb: String, done: String) throws {
    let members: [JSON.Member] = [.init("task", .string(task)), .init("comment", comment.map(JSON.string) ?? .null)]
    try run.ask(verb, members, done: "task \(task) is \(done)") { _ in
      throw Refusal(
        .wrongUse,
        "no process has the run, and a question is answered while its task waits: go on with it, with \(run.resumption), and then answer")
    }
  }
}

struct RunApproveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "approve",
    abstract: "Says yes to a task of a durable run that waits for an approval.",
    discussion: """
      Example:
        millrace run approve 019a3c52 deploy --comment 'after the tests of Tuesday'
      """)

  @OptionGroup var options: RunAnswerOptions

  func run() throws { try options.answer("approve", done: "approved") }
}

struct RunRejectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reject",
    abstract: "Says no to a task of a durable run that waits for an approval: the task fails.",
    discussion: """
      Example:
        millrace run reject 019a3c52 deploy --comment 'not on a Friday'
      """)

  @OptionGroup var options: RunAnswerOptions

  func run() throws { try options.answer("reject", done: "rejected") }
}
