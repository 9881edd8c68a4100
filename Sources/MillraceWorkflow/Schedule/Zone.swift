/// A time zone of the system's tz database: what local clocks show at each moment.
///
/// Read from the compiled files (TZif, RFC 9636), not through Foundation: that would add its start-up to every command, and these are 2 KiB. `UTC` needs
/// no file. A zone is read once and does not change after; a new version of the database is seen by zones that are read later.
public final class Zone: Sendable, Hashable, CustomStringConvertible {
  /// Needs no file, and never changes.
  public static let utc = Zone(name: "UTC", starts: [], offsets: [0], rule: nil)

  /// Of the tz database, as `Europe/Berlin`; or `UTC`.
  public let name: String
  /// When the offset changes, seconds since 1970, ascending.
  let starts: [Int64]
  /// `offsets[0]` holds before the first change, `offsets[i + 1]` from `starts[i]` on.
  let offsets: [Int32]
  /// Goes on after the last change; nil: nothing changes any more.
  let rule: ZoneRule?

  init(name: String, starts: [Int64], offsets: [Int32], rule: ZoneRule?) {
    (self.name, self.starts, self.offsets, self.rule) = (name, starts, offsets, rule)
  }

  public var description: String { name }

  public static func == (a: Zone, b: Zone) -> Bool {
    a === b || (a.name == b.name && a.starts == b.starts && a.offsets == b.offsets && a.rule == b.rule)
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(name) }

  /// A stretch of time with one offset: `start ..< end`, seconds since 1970.
  struct Stretch {
    var start: Int64
    var end: Int64
    /// Seconds that local clocks are ahead of UTC.
    var offset: Int64
  }

  /// No offset is larger: RFC 9636 asks for -25 to 26 hours.
  static let largestOffset: Int64 = 26 * 3_600

  /// Complexity: O(log changes).
  func stretch(at moment: Int64) -> Stretch {
    var low = 0
    var high = starts.count
    while low < high {
      let middle = (low + high) / 2
      if starts[middle] <= moment { low = middle + 1 } else { high = middle }
    }
    let last = Int64(offsets[low])
    let start = low > 0 ? starts[low - 1] : .min
    if low < starts.count { return Stretch(start: start, end: starts[low], offset: last) }
    return rule?.stretch(at: moment, after: Stretch(start: start, end: .max, offset: last))
      ?? Stretch(start: start, end: .max, offset: last)
  }

  /// What local clocks show, seconds since 1970-01-01T00:00 of those clocks.
  func local(_ moment: Int64) -> Int64 { moment + stretch(at: moment).offset }

  /// The latest time that local clocks have shown up to this moment: they may have been put back since.
  func latestLocal(_ moment: Int64) -> Int64 {
    var stretch = stretch(at: moment)
    var latest = moment + stretch.offset
    let limit = moment - 2 * Self.largestOffset
    while stretch.start > limit {
      let end = stretch.start
      stretch = self.stretch(at: end - 1)
      latest = max(latest, end - 1 + stretch.offset)
    }
    return latest
  }

  /// When a local time comes.
  enum Arrival: Equatable {
    /// The first moment at which local clocks show it.
    case at(Int64)
    /// Local clocks jump over it at `change`, from `from` to `to`.
    case jumped(change: Int64, from: Int64, to: Int64)
  }

  /// The first moment at which local clocks show `local` or a later time.
  func arrival(of local: Int64) -> Arrival {
    var stretch = stretch(at: local - Self.largestOffset - 1)
    var shown = Int64.min
    while stretch.end != .max, stretch.end - 1 + stretch.offset < local {
      shown = max(shown, stretch.end + stretch.offset)
      stretch = self.stretch(at: stretch.end)
    }
    if stretch.start == .min || stretch.start + stretch.offset <= local { return .at(local - stretch.offset) }
    return .jumped(change: stretch.start, from: shown, to: stretch.start + stretch.offset)
  }

  /// Seconds that local clocks are ahead of UTC.
  public func offsetSeconds(at time: UTCTime) -> Int64 { stretch(at: time.seconds).offset }

  /// A moment as people there write it: `2026-03-29T03:00:00+02:00`.
  public func text(_ time: UTCTime) -> String {
    let offset = stretch(at: time.seconds).offset
    return LocalTime.text(Int(time.seconds + offset)) + LocalTime.offsetText(Int(offset))
  }

  /// The date there.
  public func date(_ time: UTCTime) -> CivilDate { CivilDate(number: Int(local(time.seconds)).floored(by: LocalTime.day)) }
}
