package import MillraceLog

/// An append that its number tells wholly: whoever finds one of its events knows what all of them must be.
package struct LoadAppend {
  package let number: UInt64

  package init(_ number: UInt64) { self.number = number }

  package static let streams = 8
  package static func stream(_ number: Int) -> StreamName { LoadNames.streams[number] }
  /// The stream that has limits and snapshots.
  package static let limited = LoadNames.streams[0]

  /// One stream, or two in one of four; one to three events each.
  package var appends: [StreamAppend] {
    let first = Int(word(0) % UInt64(Self.streams))
    let count = word(1) % 4 == 0 ? 2 : 1
    return (0..<count).map { part in
      let events = Int(word(2 + part) % 3) + 1
      return StreamAppend(
        stream: Self.stream((first + part * 3) % Self.streams), tenant: number % 3 == 0 ? "tenant-\(number % 2)" : nil,
        events: (0..<events).map { event(part, $0) })
    }
  }

  /// `EventID.high` is the append's number; `low` tells the part and the event.
  private func event(_ part: Int, _ index: Int) -> EventDraft {
    let at = UInt64(part * 16 + index)
    let bytes = [0, 1, 7, 100, 500, 3000][Int(word(8 + at) % 6)]
    let start = Int(word(40 + at) % UInt64(LoadBytes.all.count - bytes))
    return EventDraft(
      id: EventID(high: number, low: at), type: "type-\(number % 3)", payload: Array(LoadBytes.all[start..<start + bytes]))
  }

  private func word(_ index: some BinaryInteger) -> UInt64 { LoadBytes.mixed(number &* 64 &+ UInt64(index)) }

  /// A snapshot of a stream at a version.
  package static func snapshot(of stream: StreamName, version: UInt64) -> Snapshot {
    Snapshot(
      stream: stream, reducer: "load", reducerVersion: 1, version: version,
      state: (0..<200).map { UInt8(truncatingIfNeeded: version &* 31 &+ $0) })
  }
}

private enum LoadBytes {
  /// What payloads are cut from. Made once: where nothing is optimised, a payload made byte by byte takes longer than its append.
  static let all: [UInt8] = {
    let words = (0..<UInt64(1 << 11)).map(mixed)
    return unsafe words.withUnsafeBytes { unsafe Array($0) }
  }()

  static func mixed(_ number: UInt64) -> UInt64 {
    var z = number &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

private enum LoadNames {
  static let streams: [StreamName] = (0..<LoadAppend.streams).map { number in
    do { return try StreamName("load-\(number)") } catch { preconditionFailure("\(error)") }
  }
}
