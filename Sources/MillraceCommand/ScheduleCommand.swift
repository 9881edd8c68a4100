internal import ArgumentParser
internal import CMillrace
internal import Millrace

struct ScheduleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schedule",
    abstract: "Shows when a definition's schedule fires.",
    discussion: """
      Examples:
        millrace workflow schedule nightly.yaml
        millrace workflow schedule nightly.yaml --next 10 --from 2026-03-28
        millrace workflow schedule nightly.yaml --from 2026-10-24T12:00Z -o json

      Times are printed as the clocks of the schedule's zone show them, with their offset, and in UTC.
      """)

  private static let counts = 1...10_000

  @Argument(help: "The definition of a workflow.", completion: .file(extensions: ["yaml", "yml", "json"]))
  var file: String

  @Option(name: .customLong("next"), help: ArgumentHelp("How many fires are shown.", valueName: "count"))
  var count = 5

  @Option(
    help: ArgumentHelp(
      "From when on: 2026-03-28 or 2026-03-28T09:00 by the clocks of the zone, or with Z or +01:00 behind. (default: now)",
      valueName: "time"))
  var from: String?

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    guard Self.counts.contains(count) else { throw ValidationError("--next is \(count): give 1 to \(Self.counts.upperBound)") }
  }

  func run() throws {
    let definition: Definition
    do throws(DefinitionError) {
      definition = try DefinitionReader().read(path: file).definition
    } catch {
      throw Refusal(.badData, "\(error)")
    }
    guard let schedule = definition.schedule else {
      throw Refusal(.badData, "\(file): '\(definition.name)' has no schedule; add 'schedule: { cron: \"30 4 * * *\" }' for one")
    }
    let begin = try begin(schedule)
    let fires = Array(schedule.fires(in: begin..<UTCTime.range.upperBound).prefix(count))
    switch format {
    case .json: try Output.result(Self.json(definition, schedule, fires))
    case .text: try Output.result(Self.text(definition, schedule, fires))
    }
  }

  private func begin(_ schedule: Schedule) throws(Refusal) -> UTCTime {
    guard let from else { return UTCTime(seconds: millrace_wall() / 1_000_000_000 + 1) }
    if let time = UTCTime(from, zone: schedule.zone) { return time }
    throw Refusal(.wrongUse, "--from is '\(from)': write 2026-03-28, 2026-03-28T09:00 or 2026-03-28T09:00Z, from 1970 to 9999")
  }

  private static func text(_ definition: Definition, _ schedule: Schedule, _ fires: [UTCTime]) -> String {
    if fires.isEmpty { return "\(definition.name): no fire from then on\n" }
    return fires.map { "\(weekday($0, schedule.zone)) \(schedule.zone.text($0))  \($0)\n" }.joined()
  }

  private static func weekday(_ time: UTCTime, _ zone: Zone) -> String {
    ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][zone.date(time).weekday]
  }

  private static func json(_ definition: Definition, _ schedule: Schedule, _ fires: [UTCTime]) -> JSON {
    .object([
      .init("workflow", .string(definition.name)),
      .init("zone", .string(schedule.zone.name)),
      .init("missed", .string(schedule.missed.rawValue)),
      .init("overlap", .string(schedule.overlap.rawValue)),
      .init(
        "fires",
        .array(
          fires.map { .object([.init("utc", .string("\($0)")), .init("local", .string(schedule.zone.text($0)))]) })),
    ])
  }
}
