import EventStoreConformance
import LogLoad
import MillraceLog

/// What `LogVictim history` said in all of its lives, as one history. Its marks came through one pipe, which kept them when it was killed: a mark that stands before
/// another one was written before it, so their places are the moments.
struct KilledHistory {
  private struct Call {
    let stream: Int
    let expected: ExpectedVersion
    let events: Int
    let began: UInt64
    /// Of a call without an answer: when its life ended.
    var ended = UInt64.max
    var answer: Answer?

    func operation(_ outcome: ConcurrentHistory.Operation.Outcome) -> ConcurrentHistory.Operation {
      ConcurrentHistory.Operation(stream: stream, began: began, ended: ended, expected: expected, outcome: outcome)
    }
  }

  private enum Answer: Equatable {
    case appended(version: UInt64, position: UInt64)
    case refused(UInt64?)
  }

  private var calls: [UInt64: Call] = [:]
  private var moment: UInt64 = 0
  private(set) var faults: [String] = []

  var count: Int { calls.count }
  var unanswered: Int { calls.values.count { $0.answer == nil } }

  /// The marks of one life.
  mutating func add(_ lines: [String]) {
    for line in lines {
      moment += 1
      if !take(line.split(separator: " ").map(String.init)) { faults.append(line) }
    }
    moment += 1
    for number in calls.keys where calls[number]!.ended == .max { calls[number]!.ended = moment }
  }

  private mutating func take(_ words: [String]) -> Bool {
    guard words.count >= 3, let number = UInt64(words[1]) else { return false }
    if words[0] == "call" {
      guard words.count == 5, let stream = Int(words[2]), let expected = Self.expected(words[3]), let events = Int(words[4]),
        calls[number] == nil
      else { return false }
      calls[number] = Call(stream: stream, expected: expected, events: events, began: moment)
      return true
    }
    guard calls[number] != nil, calls[number]!.answer == nil else { return false }
    calls[number]!.ended = moment
    switch words[0] {
    case "done":
      guard words.count == 4, let version = UInt64(words[2]), let position = UInt64(words[3]) else { return false }
      calls[number]!.answer = .appended(version: version, position: position)
    case "wrong": calls[number]!.answer = .refused(UInt64(words[2]))
    default: return false
    }
    return true
  }

  private static func expected(_ word: String) -> ExpectedVersion? {
    switch word {
    case "any": .any
    case "none": .noStream
    case "some": .streamExists
    default: UInt64(word).map { .exact($0) }
    }
  }

  /// What is wrong with all that was said, and with a log of which it was said. Appends without an answer may be there or not, whole.
  func complaints(about log: EventLog, streams: Int) throws -> [String] {
    var complaints = faults
    let history = ConcurrentHistory(streams: streams)
    var found = try appends(in: log, &complaints)
    for (number, call) in calls {
      let place = found.removeValue(forKey: number)
      if let place, place.events != call.events || place.stream != call.stream {
        complaints.append("append \(number) is not as it was made")
      }
      switch call.answer {
      case .appended(let version, let position)? where place?.version != version || place?.position != position:
        complaints.append("append \(number) was acknowledged at \(version), \(position), and stands at \(String(describing: place))")
      case .refused? where place != nil: complaints.append("append \(number) was refused, and is there")
      case .refused(let actual)?: history.add(call.operation(.refused(actual)))
      default: if let place { history.add(call.operation(.appended(place.receipt))) }
      }
    }
    if let number = found.keys.first { complaints.append("nobody has made append \(number)") }
    return complaints + history.faults()
  }

  /// Where an append's events stand: behind each other.
  private struct Place {
    let stream: Int
    let version: UInt64
    let position: UInt64
    var events = 1

    var receipt: AppendReceipt.Stream {
      let more = UInt64(events - 1)
      return AppendReceipt.Stream(
        firstVersion: version, lastVersion: version + more, firstPosition: position, lastPosition: position + more)
    }
  }

  private func appends(in log: EventLog, _ complaints: inout [String]) throws -> [UInt64: Place] {
    var found: [UInt64: Place] = [:]
    var next: UInt64 = 0
    while true {
      let page = try log.page(ReadRequest(.all, from: .at(next), limit: EventLimits.eventsInPage))
      for event in page.events {
        if event.position != next { complaints.append("position \(event.position) comes after \(next)") }
        next = event.position + 1
        let (number, index) = (event.id.high, Int(event.id.low))
        if index == 0, found[number] == nil {
          let stream = (0..<LoadAppend.streams).first { LoadAppend.stream($0) == event.stream } ?? -1
          found[number] = Place(stream: stream, version: event.version, position: event.position)
        } else if let place = found[number], index == place.events, event.position == place.position + UInt64(index),
          event.version == place.version + UInt64(index)
        {
          found[number]!.events += 1
        } else {
          complaints.append("event \(event.id) stands at \(event.position), apart from its append")
        }
      }
      if page.isLast { return found }
    }
  }
}
