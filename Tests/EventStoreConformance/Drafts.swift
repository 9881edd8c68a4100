public import MillraceLog

/// Numbers that are the same for the same seed: splitmix64.
public struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  public init(_ seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

extension EventDraft {
  /// An event with a number for its id.
  public static func numbered(_ number: UInt64, _ type: String = "happened", _ payload: String = "{}") -> EventDraft {
    EventDraft(id: EventID(high: 0x5eed, low: number), type: type, payload: Array(payload.utf8))
  }

  /// Events with the numbers of a range for ids.
  public static func numbered(_ numbers: ClosedRange<UInt64>, payload: String = "{}") -> [EventDraft] {
    numbers.map { .numbered($0, "happened", payload) }
  }
}

extension StreamName {
  /// A name that a test has written.
  static func of(_ text: String) -> StreamName {
    guard let name = try? StreamName(text) else { preconditionFailure("\(text) is no name for a stream") }
    return name
  }
}

extension [RecordedEvent] {
  /// The numbers of `EventDraft.numbered`.
  public var numbers: [UInt64] { map(\.id.low) }
  public var versions: [UInt64] { map(\.version) }
  public var positions: [UInt64] { map(\.position) }
}

/// Whether each is larger than the one before.
public func isGrowing(_ numbers: some Sequence<UInt64>) -> Bool {
  var last: UInt64?
  for number in numbers {
    if let last, number <= last { return false }
    last = number
  }
  return true
}
