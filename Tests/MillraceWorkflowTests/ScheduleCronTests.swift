import MillraceWorkflow
import Testing

/// What an expression fires at after a moment: all in UTC, so that only the calendar is looked at.
struct CronCase: Sendable, CustomTestStringConvertible {
  var text: String
  var after: String
  var fires: [String]

  init(_ text: String, _ after: String, _ fires: String...) { (self.text, self.after, self.fires) = (text, after, fires) }

  var testDescription: String { "\(text) after \(after)" }
}

/// A text that is refused, the column of what is wrong, and the message.
struct BrokenCron: Sendable, CustomTestStringConvertible {
  var text: String
  var column: Int?
  var message: String

  init(_ text: String, _ column: Int?, _ message: String) { (self.text, self.column, self.message) = (text, column, message) }

  var testDescription: String { text }
}

@Suite struct ScheduleCronTests {
  static let cases: [CronCase] = [
    CronCase("30 4 * * *", "2026-01-01T04:29:59", "2026-01-01T04:30:00", "2026-01-02T04:30:00"),
    CronCase("30 4 * * *", "2026-01-01T04:30:00", "2026-01-02T04:30:00"),
    CronCase("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00", "2026-01-01T00:02:00"),
    CronCase("*/20 * * * *", "2026-01-01T00:41:00", "2026-01-01T01:00:00", "2026-01-01T01:20:00", "2026-01-01T01:40:00"),
    CronCase("5/20 8 * * *", "2026-01-01T00:00:00", "2026-01-01T08:05:00", "2026-01-01T08:25:00", "2026-01-01T08:45:00"),
    CronCase("0 8-18/5 * * *", "2026-01-01T08:00:00", "2026-01-01T13:00:00", "2026-01-01T18:00:00", "2026-01-02T08:00:00"),
    CronCase("0,30 23 31 12 *", "2026-12-31T23:00:00", "2026-12-31T23:30:00", "2027-12-31T23:00:00"),
    CronCase("0 9 * * MON-FRI", "2026-11-27T09:00:00", "2026-11-30T09:00:00", "2026-12-01T09:00:00"),
    CronCase("0 9 * * mon,Wed", "2026-11-25T09:00:00", "2026-11-30T09:00:00", "2026-12-02T09:00:00"),
    CronCase("0 9 * * 7", "2026-11-25T09:00:00", "2026-11-29T09:00:00"),
    CronCase("0 9 * * 0", "2026-11-25T09:00:00", "2026-11-29T09:00:00"),
    CronCase(
      "0 9 * * FRI-SUN", "2026-11-25T09:00:00", "2026-11-27T09:00:00", "2026-11-28T09:00:00", "2026-11-29T09:00:00", "2026-12-04T09:00:00"),
    CronCase("0 0 * JAN,jul *", "2026-01-31T00:00:00", "2026-07-01T00:00:00"),
    // 29 February, and the year 2100 that has none.
    CronCase("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00", "2032-02-29T00:00:00"),
    CronCase("0 0 29 2 *", "2096-03-01T00:00:00", "2104-02-29T00:00:00"),
    CronCase("0 0 29 2 *", "1999-01-01T00:00:00", "2000-02-29T00:00:00"),
    CronCase("0 0 L 2 *", "2026-01-01T00:00:00", "2026-02-28T00:00:00", "2027-02-28T00:00:00", "2028-02-29T00:00:00"),
    // Month ends.
    CronCase("0 0 31 * *", "2026-03-31T00:00:00", "2026-05-31T00:00:00", "2026-07-31T00:00:00", "2026-08-31T00:00:00"),
    CronCase("0 0 30,31 * *", "2026-01-30T00:00:00", "2026-01-31T00:00:00", "2026-03-30T00:00:00"),
    CronCase(
      "0 0 L * *", "2026-01-01T00:00:00", "2026-01-31T00:00:00", "2026-02-28T00:00:00", "2026-03-31T00:00:00", "2026-04-30T00:00:00"),
    CronCase("0 0 L-2 * *", "2026-01-01T00:00:00", "2026-01-29T00:00:00", "2026-02-26T00:00:00"),
    CronCase("0 0 L-30 * *", "2026-01-01T00:00:00", "2026-03-01T00:00:00", "2026-05-01T00:00:00"),
    // Weekdays near a date: Saturday 15 August 2026, Sunday 15 November, Saturday 1 August, Sunday 31 May.
    CronCase("0 0 15W 8 *", "2026-01-01T00:00:00", "2026-08-14T00:00:00", "2027-08-16T00:00:00"),
    CronCase("0 0 15W 11 *", "2026-01-01T00:00:00", "2026-11-16T00:00:00"),
    CronCase("0 0 1W 8 *", "2026-01-01T00:00:00", "2026-08-03T00:00:00"),
    CronCase("0 0 31W 5 *", "2026-01-01T00:00:00", "2026-05-29T00:00:00"),
    CronCase("0 0 31W * *", "2026-02-01T00:00:00", "2026-03-31T00:00:00"),
    CronCase("0 0 LW * *", "2026-01-01T00:00:00", "2026-01-30T00:00:00", "2026-02-27T00:00:00", "2026-03-31T00:00:00"),
    CronCase("0 0 LW 5 *", "2026-01-01T00:00:00", "2026-05-29T00:00:00"),
    CronCase("0 0 * * FRI#2", "2026-01-01T00:00:00", "2026-01-09T00:00:00", "2026-02-13T00:00:00"),
    CronCase("0 0 * * MON#5", "2026-01-01T00:00:00", "2026-03-30T00:00:00", "2026-06-29T00:00:00"),
    CronCase("0 0 * * 5L", "2026-01-01T00:00:00", "2026-01-30T00:00:00", "2026-02-27T00:00:00", "2026-03-27T00:00:00"),
    CronCase("0 0 * * SUNL", "2026-05-01T00:00:00", "2026-05-31T00:00:00"),
    // Both day fields: one is enough; both if one begins with *.
    CronCase(
      "0 0 13 * FRI", "2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-13T00:00:00", "2026-01-16T00:00:00"),
    CronCase("0 0 */2 * FRI", "2026-01-01T00:00:00", "2026-01-09T00:00:00", "2026-01-23T00:00:00"),
    CronCase("0 0 ? * FRI", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
    CronCase("0 0 13 * ?", "2026-01-01T00:00:00", "2026-01-13T00:00:00"),
    CronCase("0 0 30 2 MON", "2026-01-01T00:00:00", "2026-02-02T00:00:00"),
    CronCase("@hourly", "2026-01-01T00:59:00", "2026-01-01T01:00:00"),
    CronCase("@daily", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
    CronCase("@midnight", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
    CronCase("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
    CronCase("@monthly", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
    CronCase(" @Yearly ", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
    CronCase("@annually", "2025-06-01T00:00:00", "2026-01-01T00:00:00"),
    CronCase("59\t23  31 12 *", "1970-01-01T00:00:00", "1970-12-31T23:59:00"),
  ]

  @Test("an expression fires at the times that its fields name", arguments: cases)
  func fires(_ example: CronCase) throws {
    let schedule = try Schedule.cron(example.text)
    var last = try #require(UTCTime(example.after))
    for fire in example.fires {
      last = try #require(schedule.next(after: last))
      #expect(last.description == fire + "Z")
    }
  }

  static let broken: [BrokenCron] = [
    BrokenCron("60 * * * *", 1, "'60' is no value for the field 'minute'"),
    BrokenCron("0 24 * * *", 3, "'24' is no value for the field 'hour'"),
    BrokenCron("0 0 0 * *", 5, "'0' is no value for the field 'day of month'"),
    BrokenCron("0 0 * 13 *", 7, "'13' is no value for the field 'month'"),
    BrokenCron("0 0 * * 8", 9, "'8' is no value for the field 'day of week'"),
    BrokenCron("0 0 * * MOO", 9, "'MOO' is no value for the field 'day of week'"),
    BrokenCron("0 0 * * MON-", 13, "'' is no value for the field 'day of week'"),
    BrokenCron("1,,2 * * * *", 3, "an empty element in the field 'minute'"),
    BrokenCron("22-2 * * * *", 1, "the range '22-2' runs backwards in the field 'minute'"),
    BrokenCron("*/0 * * * *", 2, "'/0' is no step for the field 'minute'"),
    BrokenCron("*/99 * * * *", 2, "'/99' is no step for the field 'minute'"),
    BrokenCron("0 0 L-31 * *", 5, "'L-31' is no day of month"),
    BrokenCron("0 0 32W * *", 5, "'32' is no value for the field 'day of month'"),
    BrokenCron("0 0 * * MON#6", 9, "'MON#6' names no week of a month"),
    BrokenCron("0 0 * * L", 9, "'L' alone means nothing as a day of week"),
    BrokenCron("0 0 * *", nil, "a cron expression has 5 fields, and this has 4"),
    BrokenCron("0 0 0 * * *", nil, "a cron expression has 5 fields, and this has 6; seconds and years are not read"),
    BrokenCron("", nil, "a cron expression has 5 fields, and this has 0"),
    BrokenCron(" @reboot", 2, "'@reboot' is no time"),
    BrokenCron("@every 5m", 1, "'@every' is no cron expression"),
    BrokenCron("@often", 1, "'@often' is no nickname"),
    BrokenCron("99999999999999999999 * * * *", 1, "'99999999999999999999' is no value for the field 'minute'"),
    BrokenCron("é,60 * * * *", 1, "'É' is no value for the field 'minute'"),
    BrokenCron("0 0 1,é,32 * *", 7, "'É' is no value for the field 'day of month'"),
    BrokenCron("H * * * *", 1, "'H' is no value for the field 'minute'"),
  ]

  @Test("a text that is no expression is refused with what is wrong, where, and what to write", arguments: broken)
  func refused(_ example: BrokenCron) {
    let error = #expect(throws: ScheduleError.self) { try Schedule.cron(example.text) }
    #expect(error?.message == example.message)
    #expect(error?.column == example.column)
    #expect(error?.fix.isEmpty == false)
  }

  @Test(
    "an expression without a day never fires, and is not searched for without end",
    arguments: ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31W 2 *"])
  func never(_ text: String) throws {
    #expect(try Schedule.cron(text).next(after: UTCTime(seconds: 0)) == nil)
  }

  @Test("nothing fires after the year 9999")
  func lastYear() throws {
    let daily = try Schedule.cron("@daily")
    let last = try #require(UTCTime("9999-12-30T00:00:00"))
    #expect(daily.next(after: last)?.description == "9999-12-31T00:00:00Z")
    #expect(daily.next(after: UTCTime(seconds: last.seconds + 86_400)) == nil)
    #expect(try Schedule.cron("* * * * *").next(after: UTCTime.range.upperBound) == nil)
  }

  @Test("any text is an expression or refused, and any expression is searched to an end")
  func anyText() {
    var random = SeededRandom(seed: 13)
    let alphabet = Array("0123456789*,-/LW#? MONFRIJAN@\t é")
    var read = 0
    for _ in 0..<20_000 {
      let fields = (0..<Int.random(in: 4...6, using: &random)).map { _ in
        String((0..<Int.random(in: 1...4, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "*" })
      }
      let text = Bool.random(using: &random) ? fields.joined(separator: " ") : "0 0 \(fields[0]) * \(fields[1])"
      do {
        let schedule = try Schedule.cron(text)
        read += 1
        if let fire = schedule.next(after: UTCTime(seconds: 0)) { #expect(schedule.next(after: fire).map { $0 > fire } ?? true) }
      } catch {
        #expect(!error.message.isEmpty && !error.fix.isEmpty)
        #expect(error.column.map { 1...text.unicodeScalars.count + 1 ~= $0 } ?? true, "\(text): \(error)")
      }
    }
    #expect(read > 20)
  }
}
