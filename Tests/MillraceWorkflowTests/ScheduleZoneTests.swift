import Foundation
import MillraceWorkflow
import Testing

/// Fires of a local schedule after a moment: local times with their offset.
struct ZoneCase: Sendable, CustomTestStringConvertible {
  var zone: String
  var cron: String
  var after: String
  var fires: [String]

  init(_ zone: String, _ cron: String, _ after: String, _ fires: String...) {
    (self.zone, self.cron, self.after, self.fires) = (zone, cron, after, fires)
  }

  var testDescription: String { "\(cron) in \(zone) after \(after)" }
}

@Suite struct ScheduleZoneTests {
  static let cases: [ZoneCase] = [
    // Times of day. Berlin jumps from 02:00 to 03:00 on 29 March, and comes back to 02:00 at 03:00 on 25 October.
    ZoneCase(
      "Europe/Berlin", "30 2 * * *", "2026-03-27T12:00:00", "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00",
      "2026-03-30T02:30:00+02:00"),
    ZoneCase("Europe/Berlin", "30 2,3 * * *", "2026-03-28T12:00:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"),
    ZoneCase("Europe/Berlin", "0,10,20 2 * * *", "2026-03-28T12:00:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"),
    ZoneCase("Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"),
    ZoneCase("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"),
    ZoneCase(
      "Europe/Berlin", "30 1,2,3 * * *", "2026-10-24T12:00:00", "2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00",
      "2026-10-25T03:30:00+01:00"),
    ZoneCase("America/New_York", "30 2 * * *", "2026-03-08T00:00:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"),
    ZoneCase("America/New_York", "30 1 * * *", "2026-10-31T12:00:00", "2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"),
    // The clock that runs.
    ZoneCase(
      "Europe/Berlin", "*/30 2-3 * * *", "2026-03-28T20:00:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00",
      "2026-03-30T02:00:00+02:00"),
    ZoneCase(
      "Europe/Berlin", "30 * * * *", "2026-10-24T23:00:00", "2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00",
      "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"),
    ZoneCase("Europe/Berlin", "@hourly", "2026-03-29T00:00:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"),
    // Half an hour: Lord Howe, southern summer. 4 October 2026 02:00 -> 02:30; 5 April 2026 02:00 -> 01:30.
    ZoneCase("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00", "2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"),
    ZoneCase("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00:00", "2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"),
    ZoneCase(
      "Australia/Lord_Howe", "*/15 1 * * *", "2026-04-04T13:50:00", "2026-04-05T01:00:00+11:00", "2026-04-05T01:15:00+11:00",
      "2026-04-05T01:30:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30",
      "2026-04-06T01:00:00+10:30"),
    // The southern hemisphere.
    ZoneCase("Australia/Sydney", "30 2 * * *", "2026-10-03T00:00:00", "2026-10-04T03:00:00+11:00", "2026-10-05T02:30:00+11:00"),
    ZoneCase("Australia/Sydney", "30 2 * * *", "2026-04-04T00:00:00", "2026-04-05T02:30:00+11:00", "2026-04-06T02:30:00+10:00"),
    // Midnight is left out: Chile, and Cairo.
    ZoneCase("America/Santiago", "0 0 * * *", "2026-09-05T12:00:00", "2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"),
    ZoneCase("Africa/Cairo", "30 0 * * *", "2026-04-23T12:00:00", "2026-04-24T01:00:00+03:00", "2026-04-25T00:30:00+03:00"),
    // Midnight comes twice, so that the day before goes on: Santiago, 4 April 2026 24:00 -> 23:00.
    ZoneCase("America/Santiago", "30 23 * * *", "2026-04-04T12:00:00", "2026-04-04T23:30:00-03:00", "2026-04-05T23:30:00-04:00"),
    // Zones whose clocks are left alone.
    ZoneCase("Asia/Kolkata", "30 2 * * *", "2026-03-28T00:00:00", "2026-03-29T02:30:00+05:30"),
    ZoneCase("Asia/Tokyo", "0 0 1 * *", "2026-03-15T00:00:00", "2026-04-01T00:00:00+09:00"),
    ZoneCase("Asia/Kathmandu", "0 9 * * *", "2026-01-01T00:00:00", "2026-01-01T09:00:00+05:45"),
    ZoneCase("UTC", "30 2 * * *", "2026-03-29T00:00:00", "2026-03-29T02:30:00+00:00"),
    // Apia crossed the date line: after 29 December 2011 came the 31st.
    ZoneCase("Pacific/Apia", "0 9 * * *", "2011-12-29T12:00:00", "2011-12-29T09:00:00-10:00", "2011-12-31T09:00:00+14:00"),
    ZoneCase("Pacific/Apia", "0 9 30 * *", "2011-12-01T00:00:00", "2012-01-30T09:00:00+14:00"),
    ZoneCase("Pacific/Apia", "0 * * * *", "2011-12-30T08:30:00", "2011-12-29T23:00:00-10:00", "2011-12-31T00:00:00+14:00"),
    ZoneCase("Pacific/Apia", "0 0 31 12 *", "2011-12-01T00:00:00", "2011-12-31T00:00:00+14:00"),
    // Summer time the wrong way round: Dublin's winter is the deviation.
    ZoneCase("Europe/Dublin", "30 1 * * *", "2026-03-28T12:00:00", "2026-03-29T02:00:00+01:00", "2026-03-30T01:30:00+01:00"),
    // Ramadan stops Moroccan summer time, and the file lists it until 2087.
    ZoneCase("Africa/Casablanca", "30 2 * * *", "2026-02-14T12:00:00", "2026-02-15T02:30:00+01:00", "2026-02-16T02:30:00+00:00"),
    // A rule by weekday beyond the end of the list: America/New_York in 2400.
    ZoneCase("America/New_York", "30 2 * * *", "2400-03-11T12:00:00", "2400-03-12T03:00:00-04:00"),
    // Troll jumps two hours; at its station the 29 March 2026 has no 01:00 to 03:00.
    ZoneCase("Antarctica/Troll", "15 2 * * *", "2026-03-28T12:00:00", "2026-03-29T03:00:00+02:00"),
  ]

  @Test("a local time that is left out, or comes twice, is one fire; the clock that runs is followed as it runs", arguments: cases)
  func fires(_ example: ZoneCase) throws {
    let zone = try Zone.named(example.zone)
    let schedule = try Schedule.cron(example.cron, zone: zone)
    var last = try #require(UTCTime(example.after))
    for fire in example.fires {
      last = try #require(schedule.next(after: last))
      #expect(zone.text(last) == fire)
    }
  }

  @Test(
    "the offsets of a zone are those of another implementation, at moments of many years",
    arguments: [
      "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Australia/Sydney", "America/Santiago", "Asia/Kolkata", "Africa/Monrovia",
      "Pacific/Apia", "America/Sao_Paulo", "Asia/Tehran", "Europe/Dublin", "Antarctica/Troll", "Asia/Gaza", "America/St_Johns",
    ])
  func offsets(_ name: String) throws {
    let zone = try Zone.named(name)
    let other = try #require(TimeZone(identifier: name))
    var differences = 0
    for hour in stride(from: 0, to: 56 * 366 * 24, by: 37) {
      let moment = UTCTime(seconds: Int64(hour * 3_600 + 1_800))
      let expected = Int64(other.secondsFromGMT(for: Date(timeIntervalSince1970: Double(moment.seconds))))
      if zone.offsetSeconds(at: moment) != expected { differences += 1 }
    }
    #expect(differences == 0)
  }

  @Test("a name leads to no other file, and an unknown one is answered by the nearest")
  func names() throws {
    for name in ["../etc/passwd", "/etc/passwd", "Europe//Berlin", "", "Europe/Ber lin", "a/b/c/d/e", String(repeating: "x", count: 65)] {
      let error = #expect(throws: ScheduleError.self) { try Zone.named(name) }
      #expect(error?.message.contains("is no name of a time zone") == true)
    }
    let error = #expect(throws: ScheduleError.self) { try Zone.named("Europe/Berln") }
    #expect(error?.fix == "did you mean 'Europe/Berlin'?")
    #expect(throws: ScheduleError.self) { try Zone.named("Europe") }
    #expect(throws: ScheduleError.self) { try Zone.named("tzdata.zi") }
    #expect(try Zone.named("UTC") == .utc)
    #expect(try Zone.named("Etc/GMT+5").text(UTCTime(seconds: 0)) == "1969-12-31T19:00:00-05:00")
  }

  @Test("a damaged zone is refused or read, and then searched to an end")
  func damaged() throws {
    var random = SeededRandom(seed: 5)
    let whole = [UInt8](try Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/Europe/Berlin")))
    let sound = try #require(Zone.read(whole, name: "sound"))
    #expect(sound == (try Zone.named("Europe/Berlin")) || sound.text(UTCTime(seconds: 0)) == "1970-01-01T01:00:00+01:00")
    var read = 0
    for round in 0..<600 {
      var bytes = whole
      if round % 3 == 0 { bytes.removeLast(Int.random(in: 1..<whole.count, using: &random)) }
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      guard let zone = Zone.read(bytes, name: "damaged") else { continue }
      read += 1
      for cron in ["30 2 * * *", "*/7 * 29 2 *"] {
        let schedule = try Schedule.cron(cron, zone: zone)
        var last = UTCTime(seconds: 0)
        for _ in 0..<20 {
          guard let fire = schedule.next(after: last) else { break }
          #expect(fire > last)
          last = fire
        }
      }
    }
    #expect(read > 20)
  }
}
