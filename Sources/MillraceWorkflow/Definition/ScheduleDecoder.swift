/// The part of a definition that says when runs start by themselves.
extension DefinitionDecoder {
  private static let scheduleKeys = [
    "cron", "every", "at", "weekdays", "monthdays", "months", "zone", "start", "end", "exclude", "missed", "catchUp", "jitter", "overlap",
    "parameters",
  ]
  private static let dayKeys = ["at", "weekdays", "monthdays", "months"]

  /// nil (and a fault) if it cannot be followed. `schedule: "30 4 * * *"` is short for `schedule: { cron: "30 4 * * *" }`.
  mutating func schedule(_ value: Located, of parameters: [Definition.Parameter]) -> Schedule? {
    let before = faults.errors
    if value.string != nil {
      return rule(cron: value).flatMap { judged(Schedule($0), value, parameters, faultsBefore: before) }
    }
    guard let entries = map(value, "'schedule'", Self.scheduleKeys, fix: "write 'schedule: { cron: \"30 4 * * *\", zone: Europe/Berlin }'")
    else { return nil }
    let zone = value["zone"].map { self.zone($0) } ?? .utc
    let start = value["start"].flatMap { moment($0, "'start'", zone) }
    let end = value["end"].flatMap { moment($0, "'end'", zone) }
    guard let rule = rule(value, entries) else { return nil }
    var schedule = Schedule(rule, zone: zone, start: start, end: end)
    for entry in entries { scheduleField(entry, &schedule) }
    return judged(schedule, value, parameters, faultsBefore: before)
  }

  private mutating func scheduleField(_ entry: Located.Entry, _ schedule: inout Schedule) {
    let longest = Schedule.maximumJitter
    switch entry.name {
    case "exclude": exclude(entry.value, &schedule)
    case "missed": schedule.missed = choice(entry.value, "'missed'", "skip, one or all") ?? schedule.missed
    case "overlap": schedule.overlap = choice(entry.value, "'overlap'", "skip, queue, cancel or allow") ?? schedule.overlap
    case "catchUp": schedule.catchUp = duration(entry.value, "'catchUp'") ?? schedule.catchUp
    case "jitter":
      schedule.jitter = duration(entry.value, "'jitter'") ?? 0
      guard schedule.jitter > longest else { return }
      faults.add(
        .badDuration, "'jitter' is longer than \(DurationText.text(longest))", fix: "write at most 1d", at: entry.value.position)
    case "parameters":
      guard case .map(let given) = entry.value.content else {
        return wrongType(entry.value, "'parameters'", "a map of names", fix: "write 'parameters: { day: \"${schedule.date}\" }'")
      }
      schedule.parameters = given.map { JSON.Member($0.name, $0.value.json) }
    default: break
    }
  }

  private mutating func choice<Choice: RawRepresentable<String>>(_ value: Located, _ label: String, _ choices: String) -> Choice? {
    guard let text = text(value, label) else { return nil }
    if let choice = Choice(rawValue: text) { return choice }
    faults.add(.badValue, "'\(text.prefix(80))' is no choice for \(label)", fix: "write \(choices)", at: value.position)
    return nil
  }

  // MARK: The rule

  private mutating func rule(_ value: Located, _ entries: [Located.Entry]) -> Schedule.Rule? {
    guard let cron = value["cron"] else { return calendar(value, entries) }
    for entry in entries where entry.name == "every" || Self.dayKeys.contains(entry.name) {
      faults.add(
        .badValue, "'\(entry.name)' beside 'cron'", fix: "write all of it in the cron expression, or all of it without", at: entry.position)
    }
    return rule(cron: cron)
  }

  private mutating func rule(cron value: Located) -> Schedule.Rule? {
    guard let text = text(value, "'cron'") else { return nil }
    do throws(ScheduleError) {
      return .cron(try CronExpression(text))
    } catch {
      let place = error.column.map { " (character \($0) of '\(text.prefix(60))')" } ?? ""
      faults.add(.badSchedule, error.message + place, fix: error.fix, at: value.position)
      return nil
    }
  }

  private mutating func calendar(_ value: Located, _ entries: [Located.Entry]) -> Schedule.Rule? {
    guard entries.contains(where: { $0.name == "every" || Self.dayKeys.contains($0.name) }) else {
      faults.add(
        .missing, "'schedule' says no time", fix: "add 'cron: \"30 4 * * *\"', 'every: 15m' or 'at: 09:00'", at: value.position)
      return nil
    }
    let before = faults.errors
    var times = value["at"].map { self.times($0) } ?? []
    var every = Every.days(1)
    if let field = value["every"] { every = self.every(field, &times) ?? every }
    let weekdays = value["weekdays"].map { names($0, "'weekdays'", example: "mon-fri") { Self.weekdays($0) } }
    let monthDays = value["monthdays"].map { names($0, "'monthdays'", example: "1, 15, last") { Self.monthDays($0) } }
    let months = value["months"].map { names($0, "'months'", example: "jan, jul") { Self.months($0) } }
    if times.count > CalendarRule.maximumTimes {
      faults.add(
        .limit, "\(times.count) times of day; at most \(CalendarRule.maximumTimes) are read",
        fix: "write 'every: 15m', or a cron expression",
        at: value.position)
    }
    guard faults.errors == before else { return nil }
    switch every {
    case .days(let count):
      if count > 1, value["start"] == nil {
        faults.add(
          .missing, "'every: \(count)d' does not say from when on it counts", fix: "add 'start: 2026-01-01'", at: value["every"]?.position)
        return nil
      }
      return .calendar(CalendarRule(everyDays: count, times: times, months: months, weekdays: weekdays, monthDays: monthDays))
    case .seconds(let seconds):
      if !times.isEmpty {
        faults.add(
          .badValue, "'at' beside an interval that is not of whole days",
          fix: "write 'every: 1d', or leave 'at' out; 'start' says from when on",
          at: value["at"]?.position ?? value["every"]?.position)
        return nil
      }
      return .interval(seconds: seconds, days: CalendarRule(months: months, weekdays: weekdays, monthDays: monthDays))
    }
  }

  private enum Every {
    case days(Int)
    case seconds(Int64)
  }

  /// `15m`, `1d`, `1d at 09:00, 17:30`.
  private mutating func every(_ value: Located, _ times: inout [Int]) -> Every? {
    guard var text = text(value, "'every'") else { return nil }
    if let at = text.firstRange(of: " at ") {
      if !times.isEmpty {
        faults.add(.badValue, "times of day both in 'every' and in 'at'", fix: "write them in one place", at: value.position)
      }
      for part in text[at.upperBound...].split(separator: ",") {
        time(String(part).trimmed, at: value.position).map { times.append($0) }
      }
      text = String(text[..<at.lowerBound]).trimmed
    }
    let length: UInt64
    do throws(DurationSyntaxError) {
      length = try DurationText.nanoseconds(text)
    } catch {
      faults.add(.badDuration, "'every': \(error.message)", fix: error.fix, at: value.position)
      return nil
    }
    // `d` alone counts days of the calendar, of 23 to 25 hours; all else is time that passes.
    if text.hasSuffix("d") {
      let days = Int(length / 86_400_000_000_000)
      if 1...CalendarRule.maximumEveryDays ~= days { return .days(days) }
    } else if length >= 1_000_000_000, length.isMultiple(of: 1_000_000_000) {
      return .seconds(Int64(length / 1_000_000_000))
    }
    faults.add(.badDuration, "'every' is \(text)", fix: "write whole seconds, at least 1s, or whole days", at: value.position)
    return nil
  }

  private mutating func times(_ value: Located) -> [Int] {
    texts(value, "'at'", example: "[\"09:00\", \"17:30\"]").compactMap { time($0.string ?? "", at: $0.position) }
  }

  private mutating func time(_ text: String, at position: Position) -> Int? {
    if let time = ScheduleText.time(text) { return time }
    faults.add(.badSchedule, "'\(text.prefix(40))' is no time of day", fix: "write 09:00, or 09:00:30", at: position)
    return nil
  }

  /// One text, or a list of texts and numbers.
  private mutating func texts(_ value: Located, _ label: String, example: String) -> [Located] {
    if value.string != nil { return [value] }
    return list(value, label, "texts", fix: "write \(label.dropFirst().dropLast()): \(example)")
  }

  private mutating func names(_ value: Located, _ label: String, example: String, _ read: (String) -> [Int]?) -> [Int] {
    let elements = value.scalar?.integer == nil ? texts(value, label, example: "[\(example)]") : [value]
    return elements.flatMap { element -> [Int] in
      let text = element.string ?? element.json.text()
      let parts = text.split(separator: ",").map { String($0).trimmed }
      let found = parts.map(read)
      if !parts.isEmpty, !found.contains(where: { $0 == nil }) { return found.flatMap { $0 ?? [] } }
      faults.add(.badSchedule, "'\(text.prefix(40))' is none of \(label)", fix: "write [\(example)]", at: element.position)
      return []
    }
  }

  private static func weekdays(_ text: String) -> [Int]? { ScheduleText.range(text, of: 7, from: 0) { ScheduleText.weekday($0) } }

  private static func months(_ text: String) -> [Int]? { ScheduleText.range(text, of: 12, from: 1) { ScheduleText.month($0) } }

  /// `15`, `last`, `last-2`, `1-7`.
  private static func monthDays(_ text: String) -> [Int]? {
    if text == "last" { return [-1] }
    if text.hasPrefix("last-") { return Int(text.dropFirst(5)).flatMap { 1...30 ~= $0 ? [-1 - $0] : nil } }
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard 1...2 ~= ends.count, let first = ends[0], let last = ends[ends.count - 1], 1...31 ~= first, first...31 ~= last else { return nil }
    return Array(first...last)
  }

  // MARK: Zone and dates

  private mutating func zone(_ value: Located) -> Zone {
    guard let name = text(value, "'zone'") else { return .utc }
    do throws(ScheduleError) {
      return try Zone.named(name)
    } catch {
      faults.add(.badSchedule, error.message, fix: error.fix, at: value.position)
      return .utc
    }
  }

  private mutating func moment(_ value: Located, _ label: String, _ zone: Zone) -> UTCTime? {
    guard let text = text(value, label) else { return nil }
    if let moment = ScheduleText.moment(text, zone: zone) { return moment }
    faults.add(
      .badSchedule, "\(label) is '\(text.prefix(40))', which is no moment from 1970 to 9999",
      fix: "write 2026-03-29, 2026-03-29T09:00 or 2026-03-29T09:00Z", at: value.position)
    return nil
  }

  private mutating func exclude(_ value: Located, _ schedule: inout Schedule) {
    let elements = texts(value, "'exclude'", example: "[2026-12-24..2027-01-01, 05-01]")
    guard elements.count <= Exclusions.maximumCount else {
      return faults.add(
        .limit, "\(elements.count) dates are excluded; at most \(Exclusions.maximumCount) may be",
        fix: "write ranges: 2026-12-24..2027-01-01",
        at: value.position)
    }
    for element in elements {
      let text = element.string ?? ""
      let ends = text.split(separator: "..", omittingEmptySubsequences: false)
      if let day = ScheduleText.yearlyDate(text) {
        schedule.excludeYearly(month: day.month, day: day.day)
      } else if 1...2 ~= ends.count, let first = ScheduleText.date(ends[0]), let last = ScheduleText.date(ends[ends.count - 1]),
        first <= last
      {
        schedule.exclude(first, through: last)
      } else {
        faults.add(
          .badSchedule, "'\(text.prefix(40))' is no date to exclude",
          fix: "write 2026-12-25, 2026-12-24..2027-01-01, or 12-25 for every year",
          at: element.position)
      }
    }
  }

  // MARK: The whole

  /// What can only be judged when all of it is known, and nothing of it was wrong.
  private mutating func judged(_ schedule: Schedule, _ value: Located, _ parameters: [Definition.Parameter], faultsBefore: Int) -> Schedule?
  {
    guard faults.errors == faultsBefore else { return nil }
    if schedule.next(after: UTCTime(seconds: -1)) == nil {
      let isShort = schedule.start != nil || schedule.end != nil || !schedule.exclusions.isEmpty
      let text = (value["cron"] ?? value).string.map { "'\($0.prefix(60))'" } ?? "the schedule"
      faults.add(
        .badSchedule, "\(text) never fires\(isShort ? " between its 'start' and 'end', on dates that are not excluded" : "")",
        fix: isShort ? "correct these dates" : "name a day that its months have, as 28 or L",
        at: (value["cron"] ?? value).position)
    }
    checkParameters(schedule, value, parameters)
    return schedule
  }

  private mutating func checkParameters(_ schedule: Schedule, _ value: Located, _ parameters: [Definition.Parameter]) {
    let declared = Set(parameters.map(\.name))
    for entry in value["parameters"]?.entries ?? [] where !declared.contains(entry.name) {
      faults.addUnknownParameter(entry.name, among: declared, &nearest, at: entry.position)
    }
    for parameter in parameters where parameter.fallback == nil && !schedule.parameters.contains(where: { $0.name == parameter.name }) {
      faults.add(
        .missing, "the parameter '\(parameter.name)' has no default, and the schedule does not give it",
        fix: "add 'parameters: { \(parameter.name): VALUE }' to 'schedule'", at: value.position)
    }
  }
}

extension String {
  /// Without spaces at both ends.
  fileprivate var trimmed: String {
    var rest = self[...]
    while rest.first == " " { rest.removeFirst() }
    while rest.last == " " { rest.removeLast() }
    return String(rest)
  }
}
