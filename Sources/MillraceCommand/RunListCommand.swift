internal import ArgumentParser
internal import Millrace
internal import MillraceLog

struct RunListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Lists durable runs: those that are not over, or all.",
    discussion: """
      Examples:
        millrace run list
        millrace run list --all --data /var/lib/orders -o json

      While a process has the runs, too: it is not disturbed.
      """)

  @OptionGroup var data: DataOptions

  @Flag(help: "Those that are over, too.")
  var all = false

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let archive = try RunArchive(data)
    var tasks: [String: Int] = [:]
    var entries: [Entry] = []
    for id in try archive.ids(all: all) {
      do {
        guard let history = try archive.log.history(of: id) else { continue }
        let sha256 = history.creation.definition
        let count = try tasks[sha256] ?? { try Self.count(archive.log.definition(sha256).expanded) }()
        tasks[sha256] = count
        entries.append(Entry(history: history, tasks: count, isAttended: archive.isAttended, now: archive.now.wall))
      } catch let error as EventStoreError {
        throw Refusal(error)
      } catch {
        throw Refusal(.badData, "run \(id): \(error)")
      }
    }
    switch format {
    case .json:
      try Output.result(
        .object([.init("process", archive.owner.map(JSON.string) ?? .null), .init("runs", .array(entries.map(\.json)))]))
    case .text:
      if entries.isEmpty { return Output.note(all ? "there are no runs in \(data.directory)" : "no run in \(data.directory) is open") }
      try Output.result(ResultTables.text(.object([.init("runs", .array(entries.map(\.row)))]), width: Output.width))
    }
  }

  private static func count(_ definition: Definition) -> Int { definition.tasks.count + definition.cleanup.count }

  /// One run.
  private struct Entry {
    let history: RunHistory
    let tasks: Int
    let isAttended: Bool
    /// Nanoseconds since 1970.
    let now: Int64

    private func count(_ statuses: Set<TaskStatus>) -> Int { history.tasks.values.count { statuses.contains($0.status) } }

    private var state: String {
      if history.ended != nil { return "" }
      if history.quarantine != nil { return "in quarantine" }
      if !isAttended { return history.cancel == nil ? "no process" : "to be cancelled" }
      return history.cancel == nil ? "goes on" : "is being cancelled"
    }

    var json: JSON {
      let creation = history.creation
      return .object([
        .init("run", .string(creation.run.description)),
        .init("workflow", .string(creation.workflow)),
        .init("version", creation.version.map { .integer(Int64($0)) } ?? .null),
        .init("status", .string((history.ended ?? .running).rawValue)),
        .init("attended", .bool(history.ended == nil && isAttended)),
        .init("quarantined", .bool(history.quarantine != nil)),
        .init("cancelAsked", .bool(history.cancel != nil)),
        .init(
          "tasks",
          .object([
            .init("total", .integer(Int64(tasks))), .init("completed", .integer(Int64(count([.completed])))),
            .init("failed", .integer(Int64(count([.failed, .timedOut])))),
          ])),
        .init("resumptions", .integer(Int64(history.resumptions))),
        .init("startedWallNanoseconds", .integer(creation.wall)),
        .init("recordedWallNanoseconds", .integer(history.time)),
        .init("endedWallNanoseconds", history.endedAt.map(JSON.integer) ?? .null),
        .init("parent", creation.parent.map { .string($0.run.description) } ?? .null),
        .init("origin", creation.origin.map { .string($0.description) } ?? .null),
      ])
    }

    var row: JSON {
      .object([
        .init("run", .string(history.creation.run.description)),
        .init("workflow", .string(history.creation.workflow)),
        .init("status", .string((history.ended ?? .running).rawValue)),
        .init("tasks", .string("\(count([.completed])) of \(tasks)")),
        .init("started", .string("\(Quantity.nanoseconds(UInt64(max(0, now - history.creation.wall)))) ago")),
        .init("state", .string(state)),
      ])
    }
  }
}
