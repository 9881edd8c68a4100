import MillraceWorkflow
import Testing

/// A schedule as it stands in a definition, and its first fires from 2026-01-01 on.
struct WrittenSchedule: Sendable, CustomTestStringConvertible {
  var text: String
  var fires: [String]

  init(_ text: String, _ fires: String...) { (self.text, self.fires) = (text, fires) }

  var testDescription: String { text }
}

@Suite struct ScheduleDefinitionTests {
  private static func read(_ schedule: String, parameters: String = "") throws -> Definition {
    let text = "format: 1\nworkflow: w\n\(parameters)schedule: \(schedule)\ntasks:\n  - { id: a, handler: shell/run }\n"
    return try DefinitionReader().read(Array(text.utf8), name: "w.yaml").definition
  }

  static let written: [WrittenSchedule] = [
    WrittenSchedule("\"30 4 * * *\"", "2026-01-01T04:30:00", "2026-01-02T04:30:00"),
    WrittenSchedule("\"@monthly\"", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
    WrittenSchedule("{ cron: \"0 9 * * MON\", zone: Europe/Berlin }", "2026-01-05T08:00:00"),
    WrittenSchedule("{ every: 15m }", "2026-01-01T00:00:00", "2026-01-01T00:15:00"),
    WrittenSchedule("{ every: 90s, start: \"2026-01-01T00:00:10Z\" }", "2026-01-01T00:00:10", "2026-01-01T00:01:40"),
    WrittenSchedule("{ every: 7h, start: 2026-01-01 }", "2026-01-01T00:00:00", "2026-01-01T07:00:00", "2026-01-01T14:00:00"),
    WrittenSchedule("{ every: 1d at 09:00 }", "2026-01-01T09:00:00", "2026-01-02T09:00:00"),
    WrittenSchedule("{ every: \"1d at 17:30, 09:00\" }", "2026-01-01T09:00:00", "2026-01-01T17:30:00", "2026-01-02T09:00:00"),
    WrittenSchedule("{ at: 09:00, zone: America/New_York }", "2026-01-01T14:00:00"),
    WrittenSchedule("{ at: [09:00, \"17:30:15\"] }", "2026-01-01T09:00:00", "2026-01-01T17:30:15"),
    WrittenSchedule("{ every: 3d, start: 2025-12-31 }", "2026-01-03T00:00:00", "2026-01-06T00:00:00"),
    WrittenSchedule("{ at: 09:00, weekdays: mon-fri }", "2026-01-01T09:00:00", "2026-01-02T09:00:00", "2026-01-05T09:00:00"),
    WrittenSchedule("{ at: 09:00, weekdays: [sat, Sunday] }", "2026-01-03T09:00:00", "2026-01-04T09:00:00", "2026-01-10T09:00:00"),
    WrittenSchedule(
      "{ at: 09:00, weekdays: fri-mon }", "2026-01-02T09:00:00", "2026-01-03T09:00:00", "2026-01-04T09:00:00", "2026-01-05T09:00:00",
      "2026-01-09T09:00:00"),
    WrittenSchedule(
      "{ monthdays: [15, last] }", "2026-01-15T00:00:00", "2026-01-31T00:00:00", "2026-02-15T00:00:00", "2026-02-28T00:00:00"),
    WrittenSchedule("{ monthdays: last-1 }", "2026-01-30T00:00:00", "2026-02-27T00:00:00"),
    WrittenSchedule("{ monthdays: 1-7, weekdays: mon, at: 08:00 }", "2026-01-05T08:00:00", "2026-02-02T08:00:00"),
    WrittenSchedule("{ months: [feb, nov-dec], monthdays: 31 }", "2026-12-31T00:00:00"),
    WrittenSchedule("{ every: 12h, weekdays: sun }", "2026-01-04T00:00:00", "2026-01-04T12:00:00", "2026-01-11T00:00:00"),
    WrittenSchedule(
      "{ at: 09:00, exclude: [2026-01-01, 2026-01-03..2026-01-05, 01-07] }", "2026-01-02T09:00:00", "2026-01-06T09:00:00",
      "2026-01-08T09:00:00"),
    WrittenSchedule("{ cron: \"0 0 29 2 *\", exclude: [\"2028-02-29\"] }", "2032-02-29T00:00:00"),
    WrittenSchedule("{ at: 09:00, start: 2026-02-01, end: \"2026-02-03T09:00\" }", "2026-02-01T09:00:00", "2026-02-02T09:00:00"),
    // A day of 23 hours still has one fire, and 24 hours are always 24.
    WrittenSchedule(
      "{ every: 1d, zone: Europe/Berlin, start: 2026-03-28 }", "2026-03-27T23:00:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
    WrittenSchedule(
      "{ every: 24h, zone: Europe/Berlin, start: 2026-03-28 }", "2026-03-27T23:00:00", "2026-03-28T23:00:00", "2026-03-29T23:00:00"),
  ]

  @Test("a schedule of a definition fires when it says", arguments: written)
  func fires(_ example: WrittenSchedule) throws {
    let schedule = try #require(try Self.read(example.text).schedule)
    let begin = try #require(UTCTime("2026-01-01"))
    let fires = schedule.fires(in: begin..<UTCTime.range.upperBound).prefix(example.fires.count).map(\.description)
    #expect(fires == example.fires.map { $0 + "Z" })
  }

  @Test("fires end with the schedule")
  func end() throws {
    let schedule = try #require(try Self.read("{ at: 09:00, start: 2026-02-01, end: 2026-02-03 }").schedule)
    #expect(Array(schedule.fires(in: UTCTime.range.lowerBound..<UTCTime.range.upperBound)).count == 2)
  }

  @Test("what is to happen to fires is read, and the parameters of a run know its time")
  func policies() throws {
    let text = """
      { at: 00:30, zone: Europe/Berlin, missed: all, catchUp: 2h, jitter: 30s, overlap: queue,
        parameters: { day: "${schedule.date}", note: ["at ${schedule.time}", "$${schedule.date}", 3] } }
      """
    let parameters = "parameters: { day: , note: { default: none } }\n"
    let schedule = try #require(try Self.read(text, parameters: parameters).schedule)
    #expect(schedule.missed == .all && schedule.overlap == .queue)
    #expect(schedule.catchUp == 7_200_000_000_000 && schedule.jitter == 30_000_000_000)
    let noon = try #require(UTCTime("2026-06-30T12:00"))
    let fire = try #require(schedule.next(after: noon))
    #expect(
      schedule.parameters(of: fire) == ["day": "2026-07-01", "note": ["at 2026-06-30T22:30:00Z", "${schedule.date}", 3]])
  }

  static let broken: [(text: String, printed: String)] = [
    (
      "\"0 0 30 2 *\"",
      "w.yaml:3:11: error: '0 0 30 2 *' never fires\n  fix: name a day that its months have, as 28 or L"
    ),
    (
      "{ cron: \"0 25 * * *\" }",
      "w.yaml:3:19: error: '25' is no value for the field 'hour' (character 3 of '0 25 * * *')\n  fix: write 0 to 23, a list, a range as 1-5, or a step as */5"
    ),
    (
      "{ cron: \"@daily\", at: 09:00 }",
      "w.yaml:3:29: error: 'at' beside 'cron'\n  fix: write all of it in the cron expression, or all of it without"
    ),
    ("{ zone: UTC }", "w.yaml:3:11: error: 'schedule' says no time\n  fix: add 'cron: \"30 4 * * *\"', 'every: 15m' or 'at: 09:00'"),
    (
      "{ at: 09:00, zone: Europe/Berln }",
      "w.yaml:3:30: error: the time zone 'Europe/Berln' is not in /usr/share/zoneinfo\n  fix: did you mean 'Europe/Berlin'?"
    ),
    ("{ at: 24:00 }", "w.yaml:3:17: error: '24:00' is no time of day\n  fix: write 09:00, or 09:00:30"),
    ("{ at: 09:00, weekday: mon }", "w.yaml:3:24: error: unknown key 'weekday' in 'schedule'\n  fix: did you mean 'weekdays'?"),
    ("{ weekdays: [mon, tueday] }", "w.yaml:3:29: error: 'tueday' is none of 'weekdays'\n  fix: write [mon-fri]"),
    ("{ monthdays: 32 }", "w.yaml:3:24: error: '32' is none of 'monthdays'\n  fix: write [1, 15, last]"),
    ("{ every: 2d }", "w.yaml:3:20: error: 'every: 2d' does not say from when on it counts\n  fix: add 'start: 2026-01-01'"),
    ("{ every: 250ms }", "w.yaml:3:20: error: 'every' is 250ms\n  fix: write whole seconds, at least 1s, or whole days"),
    ("{ every: 15 }", "w.yaml:3:20: error: 'every' must be text, not a number\n  fix: put it in quotes: \"15\""),
    (
      "{ every: 6h, at: 09:00 }",
      "w.yaml:3:28: error: 'at' beside an interval that is not of whole days\n  fix: write 'every: 1d', or leave 'at' out; 'start' says from when on"
    ),
    ("{ at: 09:00, missed: none }", "w.yaml:3:32: error: 'none' is no choice for 'missed'\n  fix: write skip, one or all"),
    (
      "{ at: 09:00, overlap: replace }",
      "w.yaml:3:33: error: 'replace' is no choice for 'overlap'\n  fix: write skip, queue, cancel or allow"
    ),
    (
      "{ at: 09:00, exclude: [25.12.2026] }",
      "w.yaml:3:34: error: '25.12.2026' is no date to exclude\n  fix: write 2026-12-25, 2026-12-24..2027-01-01, or 12-25 for every year"
    ),
    (
      "{ at: 09:00, start: 2026-02-30 }",
      "w.yaml:3:31: error: 'start' is '2026-02-30', which is no moment from 1970 to 9999\n  fix: write 2026-03-29, 2026-03-29T09:00 or 2026-03-29T09:00Z"
    ),
    ("{ at: 09:00, jitter: 2d }", "w.yaml:3:32: error: 'jitter' is longer than 1d\n  fix: write at most 1d"),
    (
      "{ at: 09:00, start: 2026-05-01, end: 2026-05-01 }",
      "w.yaml:3:11: error: the schedule never fires between its 'start' and 'end', on dates that are not excluded\n  fix: correct these dates"
    ),
    (
      "{ at: 09:00, parameters: { dya: 1 } }",
      "w.yaml:3:38: error: the parameter 'dya' is not declared\n  fix: declare it: 'parameters: { dya: { default: VALUE } }'"
    ),
    (
      "[]",
      "w.yaml:3:11: error: 'schedule' must be a map, not a list\n  fix: write 'schedule: { cron: \"30 4 * * *\", zone: Europe/Berlin }'"
    ),
  ]

  @Test("a schedule that is wrong is told with its place and what to write", arguments: broken)
  func faults(_ text: String, _ printed: String) {
    let error = #expect(throws: DefinitionError.self) { try Self.read(text) }
    #expect(error?.description == printed)
  }

  @Test("a parameter that a scheduled run would miss is a fault")
  func missingParameter() {
    let error = #expect(throws: DefinitionError.self) { try Self.read("\"@daily\"", parameters: "parameters: { day: }\n") }
    #expect(error?.faults.first?.code == .missing)
    #expect(error?.faults.first?.line == 4)
  }
}
