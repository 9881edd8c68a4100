public import MillraceLog
internal import Synchronization

/// Appends of many callers, each with the moments at which it began and ended, and a checker.
///
/// A stream is a counter: an append with an exact version is a compare and set. The order of its versions is the only order in which they can have taken place;
/// the checker sees whether it agrees with what came before what, and whether each refusal saw a version that was the last one at some moment of its call.
public final class ConcurrentHistory: Sendable {
  public struct Operation: Sendable {
    let stream: Int
    let began: UInt64
    let ended: UInt64
    let expected: ExpectedVersion
    let outcome: Outcome

    /// The receipt, or the version that the refusal names; nil: no events.
    public enum Outcome: Sendable {
      case appended(AppendReceipt.Stream)
      case refused(UInt64?)
    }

    /// `began`, `ended`: of two operations, one that ended with a smaller number than another one began with came before it.
    public init(stream: Int, began: UInt64, ended: UInt64, expected: ExpectedVersion, outcome: Outcome) {
      self.stream = stream
      self.began = began
      self.ended = ended
      self.expected = expected
      self.outcome = outcome
    }
  }

  private let names: [StreamName]
  private let moments = Atomic<UInt64>(0)
  private let operations = Mutex<[Operation]>([])

  public init(streams: Int) { names = (0..<streams).map { StreamName.of("register-\($0)") } }

  // Order: sequentially consistent. A number drawn after another one's end is larger.
  private func moment() -> UInt64 { moments.add(1, ordering: .sequentiallyConsistent).newValue }

  /// So many appends of one caller, one after the other.
  public func run(_ store: any EventStore, caller: Int, operations count: Int) async throws {
    var random = SeededNumbers(UInt64(caller))
    var known = [UInt64?](repeating: nil, count: names.count)
    var mine: [Operation] = []
    for number in 0..<count {
      let stream = Int.random(in: 0..<names.count, using: &random)
      let expected: ExpectedVersion =
        switch Int.random(in: 0..<8, using: &random) {
        case 0..<2: .any
        case 2: .streamExists
        case 3: .noStream
        default: known[stream].map { .exact($0) } ?? .noStream
        }
      let first = (UInt64(caller) << 32) + UInt64(number) * 4
      let events = EventDraft.numbered(first...first + UInt64.random(in: 0...2, using: &random))
      let began = moment()
      let outcome: Operation.Outcome
      do {
        let receipt = try await store.append(names[stream], expected, events)
        known[stream] = receipt.lastVersion
        outcome = .appended(receipt)
      } catch EventStoreError.wrongExpectedVersion(_, _, let actual) {
        known[stream] = actual
        outcome = .refused(actual)
      }
      mine.append(Operation(stream: stream, began: began, ended: moment(), expected: expected, outcome: outcome))
    }
    operations.withLock { $0 += mine }
  }

  /// What was seen elsewhere.
  public func add(_ operation: Operation) { operations.withLock { $0.append(operation) } }

  /// Events of all appends that took place.
  public var appendedEvents: Int {
    operations.withLock { all in
      all.reduce(0) { sum, operation in
        guard case .appended(let receipt) = operation.outcome else { return sum }
        return sum + Int(receipt.lastVersion - receipt.firstVersion + 1)
      }
    }
  }

  /// What is wrong with the history, when all callers have ended.
  public func faults() -> [String] {
    let all = operations.withLock { $0 }
    var faults: [String] = []
    for stream in names.indices { faults += Self.faults(all.filter { $0.stream == stream }) }
    // Over all streams: what ended before another began stands before it.
    let placed = all.compactMap { operation -> (began: UInt64, ended: UInt64, position: UInt64)? in
      guard case .appended(let receipt) = operation.outcome else { return nil }
      return (operation.began, operation.ended, receipt.firstPosition)
    }
    faults += Self.realTimeFaults(placed.sorted { $0.position < $1.position }.map { ($0.began, $0.ended) }, "positions")
    return faults
  }

  /// In their order, none ended before one that stands before it began.
  private static func realTimeFaults(_ order: [(began: UInt64, ended: UInt64)], _ what: String) -> [String] {
    var latest: UInt64 = 0
    for (index, operation) in order.enumerated() {
      if operation.ended < latest { return ["\(what): the append at place \(index) ended before one before it began"] }
      latest = max(latest, operation.began)
    }
    return []
  }

  /// Of one stream.
  private static func faults(_ operations: [Operation]) -> [String] {
    var faults: [String] = []
    var appended: [(operation: Operation, receipt: AppendReceipt.Stream)] = []
    for operation in operations {
      if case .appended(let receipt) = operation.outcome { appended.append((operation, receipt)) }
    }
    appended.sort { $0.receipt.firstVersion < $1.receipt.firstVersion }
    var next: UInt64 = 0
    for (operation, receipt) in appended {
      if receipt.firstVersion != next { faults.append("version \(receipt.firstVersion) follows \(next)") }
      let isMet =
        switch operation.expected {
        case .any: true
        case .noStream: next == 0
        case .streamExists: next > 0
        case .exact(let version): version + 1 == next
        }
      if !isMet { faults.append("\(operation.expected) was appended at \(next)") }
      next = receipt.lastVersion + 1
    }
    faults += realTimeFaults(appended.map { ($0.operation.began, $0.operation.ended) }, "versions")
    // The last version is `actual` from when its append took place, after that began, until the next one's did, before that ended.
    var place: [UInt64: Int] = [:]
    for (index, one) in appended.enumerated() { place[one.receipt.lastVersion] = index }
    for operation in operations {
      guard case .refused(let actual) = operation.outcome else { continue }
      if case .exact(let version) = operation.expected, version == actual {
        faults.append("\(version) was refused as wrong, and was right")
      }
      let index = actual.flatMap { place[$0] } ?? -1
      if let actual, index < 0 {
        faults.append("a refusal names version \(actual), which no append has made the last")
        continue
      }
      if index >= 0, appended[index].operation.began > operation.ended { faults.append("a refusal names a version of later") }
      if index + 1 < appended.count, appended[index + 1].operation.ended < operation.began {
        faults.append("a refusal names version \(actual.map { "\($0)" } ?? "none"), which was past")
      }
    }
    return faults
  }
}
