internal import ArgumentParser
internal import Millrace

struct RunShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Shows a durable run: as it is, or as it was at a position or at a moment.",
    discussion: """
      Examples:
        millrace run show 019a3c52
        millrace run show 019a3c52 --at 1204
        millrace run show 019a3c52 --at 2026-11-26T14:00:00Z -o json
        millrace run show 019a3c52 --report report

      An id may be shortened to what no other begins with. -o json prints what `--report` writes as run.json, and what the record alone tells as `durable`.
      """)

  @Argument(help: "The id of the run.")
  var id: String

  @OptionGroup var data: DataOptions

  @Option(
    name: .customLong("at"), help: ArgumentHelp("As it was after the event of this position, or at this time.", valueName: "position|time"),
    transform: RecordPlace.parse)
  var place: RecordPlace = .end

  @Option(help: ArgumentHelp("Tasks that are listed at most.", valueName: "count"))
  var tasks = 100

  @Option(help: ArgumentHelp("Write report.json, run.json and timeline.html there.", valueName: "dir"), completion: .directory)
  var report: String?

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    if tasks < 0 { throw ValidationError("--tasks is \(tasks): give 0 or more") }
  }

  func run() throws {
    let folder = try report.map(ReportFolder.init)
    let archive = try RunArchive(data)
    let run = try archive.run(try archive.find(id), at: place)
    let view = RecordedRunView(run: run, owner: place == .end ? archive.owner : nil)
    switch format {
    case .json: try Output.result(view.json)
    case .text: try Output.result(view.text(tasks: tasks, width: Output.width))
    }
    try folder?.write(RunOutcome(record: run.record))
  }
}

/// A recorded run for people, and as JSON.
private struct RecordedRunView {
  let run: RecordedRun
  /// The process that has it; nil: none, or it is shown as it was.
  let owner: String?

  private var history: RunHistory { run.history }

  var json: JSON {
    let creation = history.creation
    let cancel: JSON =
      history.cancel.map {
        .object([.init("by", $0.by.map(JSON.string) ?? .null), .init("reason", $0.reason.map(JSON.string) ?? .null)])
      } ?? .null
    let durable = JSON.object([
      .init("position", .integer(Int64(clamping: history.position))),
      .init("recordedWallNanoseconds", .integer(history.time)),
      .init("process", history.ended == nil ? owner.map(JSON.string) ?? .null : .null),
      .init("resumptions", .integer(Int64(history.resumptions))),
      .init("quarantine", history.quarantine.map { .array($0.map(JSON.string)) } ?? .null),
      .init("cancelAsked", cancel),
      .init("parameters", .object(creation.parameters)),
      .init("parent", creation.parent.map { .string($0.run.description) } ?? .null),
      .init("origin", creation.origin.map { .string($0.description) } ?? .null),
    ])
    return .object((RunSummary.record(run.record).object ?? []) + [.init("durable", durable)])
  }

  func text(tasks limit: Int, width: Int) -> String {
    var facts: [JSON.Member] = [
      .init("started", .string("\(UTCTime(seconds: history.creation.wall / 1_000_000_000))")),
      .init("lastRecord", .string("position \(history.position), \(UTCTime(seconds: history.time / 1_000_000_000))")),
    ]
    if history.ended == nil, let owner { facts.append(.init("process", .string(owner))) }
    if history.resumptions > 0 { facts.append(.init("resumptions", .string("\(history.resumptions)"))) }
    if let suspects = history.quarantine {
      facts.append(.init("quarantine", .string("its processes ended again and again; what ran then: \(suspects.joined(separator: ", "))")))
    }
    if let cancel = history.cancel {
      let words = [cancel.by.map { "by \($0)" }, cancel.reason].compactMap { $0 }.joined(separator: ": ")
      facts.append(.init("cancellation", .string("asked for" + (words.isEmpty ? "" : " \(words)"))))
    }
    if let parent = history.creation.parent { facts.append(.init("parent", .string("task \(parent.task) of run \(parent.run)"))) }
    if let origin = history.creation.origin { facts.append(.init("origin", .string("run \(origin)"))) }
    for parameter in history.creation.parameters { facts.append(.init("parameter \(parameter.name)", .string(parameter.value.text()))) }
    let rows = run.record.tasks.prefix(limit).map { JSON.object(row($0)) }
    if !rows.isEmpty { facts.append(.init("tasks", .array(Array(rows)))) }
    let more = run.record.tasks.count - rows.count
    return RunSummary.text(run.record) + "\n" + ResultTables.text(.object(facts), width: width)
      + (more > 0 ? "and \(more) more tasks: --tasks, or -o json\n" : "")
  }

  private func row(_ task: TaskRecord) -> [JSON.Member] {
    let last = task.attempts.last
    let took = last.map { Quantity.nanoseconds(($0.end ?? run.record.elapsed) - min($0.start, $0.end ?? run.record.elapsed)) } ?? ""
    return [
      .init("task", .string(task.id)), .init("status", .string(task.status.rawValue)),
      .init("attempts", .string("\(task.attempts.count)")), .init("began", .string(last.map { Quantity.nanoseconds($0.start) } ?? "")),
      .init("took", .string(took)), .init("note", .string(note(task))),
    ]
  }

  private func note(_ task: TaskRecord) -> String {
    if let cause = task.cause { return "for \(cause)" }
    if task.status == .running, let wait = task.wait { return "waits: \(wait.kind) \(wait.text)" }
    return [task.attempts.last?.errorType ?? "", task.attempts.last?.message ?? ""].filter { !$0.isEmpty }.joined(separator: ": ")
  }
}
