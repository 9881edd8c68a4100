import LogLoad
import MillraceLog

/// Appends with expected versions to few streams from several threads, and a mark before each append and after it.
///
/// | Mark | |
/// |---|---|
/// | `call NUMBER STREAM EXPECTED EVENTS` | the append begins: ids (NUMBER, 0...); EXPECTED is `any`, `none`, `some` or a version |
/// | `done NUMBER VERSION POSITION` | of its first event |
/// | `wrong NUMBER VERSION` | refused: the last version is this one, or `none` |
/// | `failed NUMBER` | anything else |
final class HistoryLoad: Sendable {
  static let streams = 4

  private let log: EventLog
  private let options: LoadOptions

  init(_ log: EventLog, _ options: LoadOptions) {
    self.log = log
    self.options = options
  }

  /// `options.count` appends of each thread, 0: without end, numbered from `options.from` on.
  func run() { onThreads(options.threads) { self.work($0) } }

  private func work(_ thread: Int) {
    var random = LoadRandom(UInt64(options.from + thread))
    var known = [UInt64?](repeating: nil, count: Self.streams)
    for turn in 0..<(options.count > 0 ? options.count : .max) {
      let number = UInt64(options.from + turn * options.threads + thread)
      let stream = random.below(Self.streams)
      let expected: ExpectedVersion =
        switch random.below(8) {
        case 0: .any
        case 1: .streamExists
        case 2: .noStream
        default: known[stream].map { .exact($0) } ?? .noStream
        }
      known[stream] = append(number, stream, expected, events: random.below(3) + 1) ?? known[stream]
    }
  }

  /// The last version, as far as the answer tells.
  private func append(_ number: UInt64, _ stream: Int, _ expected: ExpectedVersion, events: Int) -> UInt64? {
    let drafts = (0..<events).map { EventDraft(id: EventID(high: number, low: UInt64($0)), type: "counted", payload: []) }
    say("call \(number) \(stream) \(expected.mark) \(events)")
    let append = StreamAppend(stream: LoadAppend.stream(stream), expected: expected, events: drafts)
    let answer = waitFor { done in log.append([append], completion: done) }
    switch answer {
    case .success(let receipt) where !receipt.wasKnown:
      say("done \(number) \(receipt.streams[0].firstVersion) \(receipt.streams[0].firstPosition)")
      return receipt.streams[0].lastVersion
    case .failure(.wrongExpectedVersion(_, _, let actual)):
      say("wrong \(number) \(actual.map { "\($0)" } ?? "none")")
      return actual
    default:
      say("failed \(number)")
      return nil
    }
  }
}

extension ExpectedVersion {
  fileprivate var mark: String {
    switch self {
    case .any: "any"
    case .noStream: "none"
    case .streamExists: "some"
    case .exact(let version): "\(version)"
    }
  }
}

/// Numbers that are the same for the same seed: splitmix64.
private struct LoadRandom {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func below(_ limit: Int) -> Int {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return Int((z ^ (z >> 31)) % UInt64(limit))
  }
}
