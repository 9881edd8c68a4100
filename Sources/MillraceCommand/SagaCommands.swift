internal import ArgumentParser
internal import Millrace
internal import MillraceLog

/// Durable runs that are sagas.
struct SagaGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "saga",
    abstract: "Shows sagas, and says how those go on that are parked.",
    discussion: """
      Examples:
        millrace saga list
        millrace saga show 019a3c52
        millrace saga resume 019a3c52
        millrace saga skip 019a3c52 refund --reason 'refunded by hand'
        millrace saga force 019a3c52 --reason 'the bank says that it was paid'

      A saga is started with `millrace run FILE`, and is a run as others are: `millrace run show`, `cancel` and `resume` hold for it too.
      """,
    subcommands: [SagaListCommand.self, SagaShowCommand.self, SagaResumeCommand.self, SagaSkipCommand.self, SagaForceCommand.self])
}

struct SagaListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Lists durable sagas: those that are not over, or all.",
    discussion: """
      Examples:
        millrace saga list
        millrace saga list --all -o json
      """)

  @OptionGroup var data: DataOptions

  @Flag(help: "Those that are over, too.")
  var all = false

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let archive = try RunArchive(data)
    var sagas: [RecordedSaga] = []
    for id in try archive.ids(all: all) {
      if let saga = try RecordedSaga(id, archive) { sagas.append(saga) }
    }
    switch format {
    case .json: try Output.result(.object([.init("sagas", .array(sagas.map(\.json)))]))
    case .text:
      if sagas.isEmpty { return Output.note(all ? "there are no sagas in \(data.directory)" : "no saga in \(data.directory) is open") }
      let rows = sagas.map { saga in
        JSON.object([
          .init("saga", .string(saga.history.creation.run.description)), .init("name", .string(saga.history.creation.workflow)),
          .init("status", .string(saga.machine.status.rawValue)), .init("parked", .string(saga.parked.joined(separator: ", "))),
        ])
      }
      try Output.result(ResultTables.text(.object([.init("sagas", .array(rows))]), width: Output.width))
    }
  }
}

struct SagaShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Shows a durable saga: what has become of each step.",
    discussion: """
      Example:
        millrace saga show 019a3c52 -o json
      """)

  @Argument(help: "The id of the run, or what no other id begins with.")
  var id: String

  @OptionGroup var data: DataOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let archive = try RunArchive(data)
    let id = try archive.find(id)
    guard let saga = try RecordedSaga(id, archive) else { throw Refusal(.wrongUse, "run \(id) is no saga: `millrace run show` shows it") }
    switch format {
    case .json: try Output.result(saga.json)
    case .text:
      let facts: [JSON.Member] = [
        .init("saga", .string(id.description)), .init("name", .string(saga.history.creation.workflow)),
        .init("status", .string(saga.machine.status.rawValue)),
        .init("steps", .array(saga.steps.map { step in .object(step.map { .init($0.name, .string($0.value.string ?? "")) }) })),
      ]
      try Output.result(ResultTables.text(.object(facts), width: Output.width))
      if saga.machine.status.isParked {
        Output.note("parked: `millrace saga resume`, `skip` or `force` say how it goes on")
      }
    }
  }
}

/// A saga as its records tell it.
private struct RecordedSaga {
  let history: RunHistory
  let machine: SagaMachine

  /// nil: the run is none. Throws `Refusal`.
  init?(_ id: RunID, _ archive: RunArchive) throws {
    do {
      guard let history = try archive.log.history(of: id), history.creation.isSaga else { return nil }
      self.history = history
      machine = try history.saga(in: SagaPlan(archive.log.definition(history.creation.definition)))
    } catch let error as EventStoreError {
      throw Refusal(error)
    } catch {
      throw Refusal(.badData, "run \(id): \(error)")
    }
  }

  var parked: [String] { machine.parkedSteps.map { machine.plan.ids[$0] } }

  var steps: [[JSON.Member]] {
    machine.plan.ids.indices.map { step in
      let error = machine.error(of: step)
      return [
        .init("step", .string(machine.plan.ids[step])), .init("kind", .string("\(machine.plan.kind(of: step))")),
        .init("state", .string("\(machine.state(of: step))")),
        .init("error", error.map { .string($0.message.isEmpty ? $0.type : "\($0.type): \($0.message)") } ?? .null),
      ]
    }
  }

  var json: JSON {
    .object([
      .init("run", .string(history.creation.run.description)), .init("saga", .string(history.creation.workflow)),
      .init("status", .string(machine.status.rawValue)), .init("parked", .array(parked.map(JSON.string))),
      .init("cancelAsked", .bool(machine.isCancelled)), .init("steps", .array(steps.map(JSON.object))),
    ])
  }
}

/// What an operator says.
struct SagaVerbOptions: ParsableArguments {
  @OptionGroup var run: RunAskOptions

  /// `fact`: of a plan, by whom.
  func say(
    _ verb: String, _ members: [JSON.Member], done: String, _ fact: @escaping (SagaPlan, String) throws -> SagaFact
  ) throws {
    guard let who = run.asker else { throw Refusal(.wrongUse, "who says so is not known: give --by NAME") }
    try run.ask(verb, members, done: done) { id in
      try run.wish { wishes in try wishes.saga(id) { plan in try fact(plan, who) } }
      return "no process has it; it is recorded, and counts when it goes on, with \(run.resumption)"
    }
  }

  static func number(_ step: String, in plan: SagaPlan) throws -> Int {
    guard let number = plan.number(of: step) else { throw Refusal(.wrongUse, "the saga has no step '\(step.prefix(128))'") }
    return number
  }
}

struct SagaResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "Has what is parked of a saga run once more: one step, or all.",
    discussion: """
      Example:
        millrace saga resume 019a3c52
      """)

  @OptionGroup var options: SagaVerbOptions

  @Argument(help: "The step; without one all that is parked.")
  var step: String?

  func run() throws {
    try options.say("saga-resume", [.init("step", step.map(JSON.string) ?? .null)], done: "what is parked runs once more") { plan, who in
      .resumed(try step.map { try SagaVerbOptions.number($0, in: plan) }, by: who)
    }
  }
}

struct SagaSkipCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "skip",
    abstract: "Passes over what is parked at a step of a saga: it is not done, and is not to be.",
    discussion: """
      Example:
        millrace saga skip 019a3c52 refund --reason 'refunded by hand'
      """)

  @OptionGroup var options: SagaVerbOptions

  @Argument(help: "The step that is parked, or whose compensation is.")
  var step: String

  @Option(help: ArgumentHelp("Why, for whoever looks at the saga.", valueName: "text"))
  var reason: String

  func run() throws {
    try options.say("saga-skip", [.init("step", .string(step)), .init("reason", .string(reason))], done: "\(step) is passed over") {
      plan, who in
      .skipped(try SagaVerbOptions.number(step, in: plan), by: who, reason: reason)
    }
  }
}

struct SagaForceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "force",
    abstract: "Declares what is parked of a saga to be complete.",
    discussion: """
      Example:
        millrace saga force 019a3c52 --reason 'the bank says that it was paid'
      """)

  @OptionGroup var options: SagaVerbOptions

  @Option(help: ArgumentHelp("Why, for whoever looks at the saga.", valueName: "text"))
  var reason: String

  func run() throws {
    try options.say("saga-force", [.init("reason", .string(reason))], done: "what is parked is declared complete") { _, who in
      .forced(by: who, reason: reason)
    }
  }
}
