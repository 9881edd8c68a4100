/// How far a schedule has been followed: a value, small enough to be stored after each fire, and all that is needed to go on after a pause or a restart.
public struct ScheduleState: Sendable, Hashable {
  /// A clock set back by more than this was wrong before; the schedule goes on from the new time. Less, and no fire comes twice. Seconds: three hours.
  public static let correctedSeconds: Int64 = 3 * 3_600

  /// Every fire up to here has been started or passed over.
  public private(set) var handled: UTCTime

  /// As stored; or, for a schedule that begins, the time from which on it fires.
  public init(handled: UTCTime) { self.handled = handled }

  /// What is to be done at a look at the clock.
  public struct Look: Sendable, Hashable {
    /// On time: they start as `overlap` says. In order.
    public var fires: [UTCTime] = []
    /// Missed ones that are made up for: they start one after the other. In order, all before `fires`.
    public var madeUp: [UTCTime] = []
    /// Missed fires that are not made up for; counted up to `Schedule.maximumMadeUp`.
    public var passedOver = 0
    /// When to look again, nanoseconds since 1970; nil: nothing fires any more.
    public var wake: Int64?

    /// Nothing to do, and no need to look again.
    public init() {}
  }

  /// Looks at the clock: nanoseconds since 1970. Complexity: O(fires that are due), at most some thousands of them.
  public mutating func look(_ schedule: Schedule, name: String, now: Int64) -> Look {
    let seconds = now.quotient(by: 1_000_000_000)
    if handled.seconds > seconds + Self.correctedSeconds { handled = UTCTime(seconds: seconds) }
    var look = Look()
    let due = dueFires(schedule, name: name, now: now, &look)
    let missed = due.prefix { isMissed($0, schedule, name, now) }
    let inWindow = missed.drop { now - schedule.moment(of: $0, name: name) > Int64(clamping: schedule.catchUp) }
    switch schedule.missed {
    case .skip: break
    // The latest stands for all: if one is on time, that is it.
    case .one: if missed.count == due.count, let last = inWindow.last { look.madeUp = [last] }
    case .all: look.madeUp = Array(inWindow.suffix(Schedule.maximumMadeUp))
    }
    look.fires = Array(due[missed.endIndex...])
    if schedule.missed == .one, !missed.isEmpty, let last = look.fires.last { look.fires = [last] }
    look.passedOver = min(look.passedOver + due.count - look.fires.count - look.madeUp.count, Schedule.maximumMadeUp)
    if let last = due.last { handled = last }
    look.wake = schedule.next(after: handled).map { schedule.moment(of: $0, name: name) }
    return look
  }

  private func isMissed(_ fire: UTCTime, _ schedule: Schedule, _ name: String, _ now: Int64) -> Bool {
    now - schedule.moment(of: fire, name: name) > Schedule.onTimeSeconds * 1_000_000_000
  }

  /// The fires whose moment has come; of a long absence the latest, the others counted.
  private func dueFires(_ schedule: Schedule, name: String, now: Int64, _ look: inout Look) -> ArraySlice<UTCTime> {
    let limit = UTCTime(seconds: now.quotient(by: 1_000_000_000))
    var from = handled
    // A window before now, doubled until it holds enough: an absence of years by a schedule of seconds takes no longer.
    var window = Schedule.onTimeSeconds + Int64(schedule.jitter / 1_000_000_000) + 1
    while limit.seconds - window > handled.seconds {
      let start = UTCTime(seconds: limit.seconds - window)
      if count(schedule, after: start, to: limit, most: Schedule.maximumMadeUp) >= Schedule.maximumMadeUp {
        from = start
        look.passedOver = count(schedule, after: handled, to: start, most: Schedule.maximumMadeUp)
        break
      }
      window *= 2
    }
    var due: [UTCTime] = []
    while let fire = schedule.next(after: from), schedule.moment(of: fire, name: name) <= now {
      due.append(fire)
      from = fire
    }
    return due[...]
  }

  private func count(_ schedule: Schedule, after start: UTCTime, to end: UTCTime, most: Int) -> Int {
    var count = 0
    var last = start
    while count < most, let fire = schedule.next(after: last), fire <= end {
      count += 1
      last = fire
    }
    return count
  }
}

extension Schedule {
  /// When the run of a fire starts, jitter included, nanoseconds since 1970; from the year 2262 on, which these do not reach, their largest. The same at
  /// every call: a restart draws nothing anew.
  public func moment(of fire: UTCTime, name: String) -> Int64 {
    guard fire.seconds < Int64.max / 1_000_000_000 - Int64(LocalTime.day) else { return .max }
    let moment = fire.seconds * 1_000_000_000
    guard jitter > 0, let next = next(after: fire) else { return moment }
    let room = min(jitter, Self.maximumJitter, UInt64(next.seconds - fire.seconds) * 1_000_000_000)
    // FNV-1a over the name, so that workflows of one schedule spread.
    let seed = name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    var random = SeededRandom(seed: seed ^ UInt64(bitPattern: fire.seconds))
    return moment + Int64(random.next(upperBound: room))
  }

  /// The parameters of the run of a fire.
  public func parameters(of fire: UTCTime) -> [String: JSON] {
    let values = ["${schedule.time}": fire.description, "${schedule.date}": zone.date(fire).description]
    var result: [String: JSON] = [:]
    for parameter in parameters { result[parameter.name] = parameter.value.replacing(values) }
    return result
  }
}

extension JSON {
  /// With each of these texts replaced wherever it stands in a text of this value.
  fileprivate func replacing(_ values: [String: String]) -> JSON {
    switch self {
    case .string(let text) where text.utf8.contains(UInt8(ascii: "$")): .string(Self.replace(text, values))
    case .array(let elements): .array(elements.map { $0.replacing(values) })
    case .object(let members): .object(members.map { Member($0.name, $0.value.replacing(values)) })
    default: self
    }
  }

  private static func replace(_ text: String, _ values: [String: String]) -> String {
    var result = ""
    var rest = text[...]
    while let dollar = rest.firstIndex(of: "$") {
      result += rest[..<dollar]
      rest = rest[dollar...]
      if let (token, value) = values.first(where: { rest.hasPrefix($0.key) }) {
        result += value
        rest = rest.dropFirst(token.count)
      } else {
        let literal = rest.hasPrefix("$${") ? 3 : 1
        result += literal == 3 ? "${" : "$"
        rest = rest.dropFirst(literal)
      }
    }
    return result + rest
  }
}

extension Int64 {
  /// Rounded down; `divisor` is positive.
  fileprivate func quotient(by divisor: Int64) -> Int64 { Int64(Int(self).floored(by: Int(divisor))) }
}
