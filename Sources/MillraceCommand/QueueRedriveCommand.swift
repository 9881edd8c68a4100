internal import ArgumentParser
internal import Glibc
internal import Millrace

struct QueueRedriveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "redrive",
    abstract: "Sends dead letters back to where they died, or elsewhere.",
    discussion: """
      Examples:
        millrace queue redrive dead --dry-run
        millrace queue redrive dead --reason rejected --matching 'order.#' --rate 100
        millrace queue redrive dead --to orders --limit 10

      Each goes as it was when it died, and tells who sent it back. What finds no room, or no queue, stays where it stood.
      Exit code 1: some stayed. Ctrl-C ends it between two messages (exit code 130).
      """)

  enum Reason: String, ExpressibleByArgument, CaseIterable {
    case rejected, expired
    case maxLength = "max-length"
    case deliveryLimit = "delivery-limit"
  }

  @Argument(help: "The queue that the dead letters are in.")
  var queue: String

  @OptionGroup var data: DataOptions

  @Option(name: .customLong("to"), help: ArgumentHelp("All to this queue. (default: where each died last)", valueName: "queue"))
  var target: String?
  @Option(help: ArgumentHelp("Or to this exchange.", valueName: "name"))
  var exchange: String?
  @Option(help: ArgumentHelp("By this key; by the one that each had if it is left out.", valueName: "key"))
  var key: String?
  @Flag(help: "To where each died first.")
  var firstDeath = false
  @Option(help: "Only what died last for this reason.")
  var reason: Reason?
  @Option(help: ArgumentHelp("Only what died last in this queue.", valueName: "queue"))
  var diedIn: String?
  @Option(help: ArgumentHelp("Only what had a key like this then, as order.#.", valueName: "pattern"))
  var matching: String?
  @Option(
    name: .customLong("header"), help: ArgumentHelp("Only what has this header. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var headers: [Assignment] = []
  @Option(help: ArgumentHelp("Only the message of this id.", valueName: "text"))
  var id: String?
  @Option(help: ArgumentHelp("Only what died so long ago.", valueName: "time"))
  var olderThan: String?
  @Option(help: ArgumentHelp("Messages at most.", valueName: "count"))
  var limit: Int?
  @Option(help: ArgumentHelp("Messages a second, at most.", valueName: "count"))
  var rate: Int?
  @Flag(help: "Tells what would be done, and does nothing.")
  var dryRun = false
  @Option(help: ArgumentHelp("Who does it. (default: the user)", valueName: "name"))
  var by: String?
  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    if [target != nil, exchange != nil, firstDeath].filter({ $0 }).count > 1 {
      throw ValidationError("give one of --to, --exchange and --first-death")
    }
    if key != nil, exchange == nil { throw ValidationError("--key needs --exchange") }
    if let limit, limit < 1 { throw ValidationError("--limit is \(limit): give 1 or more") }
    if let rate, !(1...RedriveOptions.maxRate ~= rate) { throw ValidationError("--rate is \(rate): give 1 to \(RedriveOptions.maxRate)") }
    _ = try Assignment.table(headers, option: "--header", \.value)
    if let olderThan { _ = try QueueGroup.nanoseconds(olderThan, "--older-than") }
  }

  private func options() throws -> [JSON.Member] {
    var members: [JSON.Member] = [.init("queue", .string(queue)), .init("firstDeath", .bool(firstDeath)), .init("dryRun", .bool(dryRun))]
    for (name, text) in [
      ("toQueue", target), ("toExchange", exchange), ("key", key), ("reason", reason?.rawValue), ("diedIn", diedIn), ("matching", matching),
      ("id", id), ("by", by ?? RunAskOptions.user),
    ] { if let text { members.append(.init(name, .string(text))) } }
    for (name, number) in [("limit", limit), ("rate", rate)] { if let number { members.append(.init(name, .integer(Int64(number)))) } }
    if let olderThan {
      members.append(.init("olderThan", .integer(Int64(clamping: try QueueGroup.nanoseconds(olderThan, "--older-than")))))
    }
    if !headers.isEmpty { members.append(.init("headers", .object(headers.map { .init($0.name, $0.json) }))) }
    return members
  }

  func run() throws {
    let options = try options()
    let session = try QueueSession(data)
    defer { session.close() }
    let begun = try session.ask("queue-redrive", options)
    if dryRun { return try show(begun) }
    Signals.watch()
    var answer = begun
    while Signals.received == nil {
      answer = try session.ask("queue-step", [])
      session.serve()
      switch answer["state"]?.string {
      case "done":
        try tell(answer)
        if let failure = answer["failure"]?.string { throw Refusal(.tryAgain, "not all of them are on stable storage: \(failure)") }
        if (answer["stayed"]?.integer ?? 0) > 0 { throw ExitCode(Exit.failed.rawValue) }
        return
      case "at": session.wait(nanoseconds: UInt64(max(0, answer["nanoseconds"]?.integer ?? 0)))
      default: continue
      }
    }
    try tell(answer)
    if let signal = Signals.received { throw ExitCode(Signals.exit(after: signal).rawValue) }
  }

  private func show(_ preview: JSON) throws(Refusal) {
    let members = (preview.object ?? []).filter { $0.name != "ok" }
    if format == .json { return try Output.result(.object(members)) }
    let rows = (preview["letters"]?.array ?? []).map { letter in
      JSON.object([
        .init("message", .string(letter["id"]?.string ?? letter["key"]?.string ?? "")),
        .init("to", .string(letter["target"]?.string ?? "-")),
        .init("died", .string((letter["deaths"]?[0]).map { "\($0["reason"]?.string ?? "") in \($0["queue"]?.string ?? "")" } ?? "-")),
        .init("why it stays", .string(letter["stays"]?.string ?? "")),
      ])
    }
    let facts: [JSON.Member] = [
      .init("examined", preview["examined"] ?? .null), .init("matching", preview["matching"] ?? .null),
      .init("stay", preview["stay"] ?? .null),
      .init(
        "targets",
        .array((preview["targets"]?.object ?? []).map { .object([.init("target", .string($0.name)), .init("messages", $0.value)]) })),
      .init("letters", .array(rows)),
    ]
    try Output.result(ResultTables.text(.object(facts), width: Output.width))
  }

  private func tell(_ progress: JSON) throws(Refusal) {
    let names = ["total", "examined", "moved", "passed", "missed", "stayed", "confirmed", "reasons"]
    if format == .json {
      return try Output.result(.object((progress.object ?? []).filter { names.contains($0.name) }))
    }
    func number(_ name: String) -> Int64 { progress[name]?.integer ?? 0 }
    try Output.result(
      "\(number("moved")) of \(number("total")) moved, \(number("passed")) not meant, \(number("stayed")) stay, \(number("missed")) gone meanwhile\n"
    )
    for reason in (progress["reasons"]?.array ?? []).prefix(10) {
      Output.note("\(TerminalText.escaped(reason["message"]?.string ?? "")) stays: \(reason["reason"]?.string ?? "")")
    }
  }
}
