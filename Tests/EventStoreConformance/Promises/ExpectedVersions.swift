internal import MillraceLog
internal import Testing

extension EventStorePromise {
  /// Events in the stream, what is expected, whether it is appended.
  private static let table: [(events: UInt64, expected: ExpectedVersion, isAppended: Bool)] = [
    (0, .any, true), (0, .noStream, true), (0, .streamExists, false), (0, .exact(0), false), (0, .exact(7), false),
    (0, .exact(.max), false),
    (1, .any, true), (1, .noStream, false), (1, .streamExists, true), (1, .exact(0), true), (1, .exact(1), false), (1, .exact(.max), false),
    (3, .any, true), (3, .noStream, false), (3, .streamExists, true), (3, .exact(0), false), (3, .exact(1), false), (3, .exact(2), true),
    (3, .exact(3), false), (3, .exact(.max), false),
  ]

  static let expectedVersions = [
    EventStorePromise("an append takes place where the stream is as expected, and is refused with the actual version elsewhere") { world in
      try await world.withStore { store in
        for (index, row) in table.enumerated() {
          let stream = StreamName.of("row-\(index)")
          let number = UInt64(index) * 100
          if row.events > 0 { try await store.append(stream, EventDraft.numbered(number...number + row.events - 1)) }
          let new = EventDraft.numbered(number + 50...number + 51)
          let before = try await store.end()
          if row.isAppended {
            let receipt = try await store.append(stream, row.expected, new)
            #expect(receipt.firstVersion == row.events && receipt.lastVersion == row.events + 1, "row \(index)")
            #expect(receipt.firstPosition == before, "row \(index)")
          } else {
            let error = try await storeError { try await store.append(stream, row.expected, new) }
            let actual = row.events == 0 ? nil : row.events - 1
            #expect(error == .wrongExpectedVersion(stream: stream, expected: row.expected, actual: actual), "row \(index)")
            #expect(try await store.end() == before, "row \(index)")
          }
          let page = try await store.read(ReadRequest(.stream(stream)))
          let count = row.events + (row.isAppended ? 2 : 0)
          #expect(UInt64(page.events.count) == count && page.lastVersion == (count == 0 ? nil : count - 1), "row \(index)")
        }
      }
    },
    EventStorePromise("of many that expect the same version one is appended, and the others learn the version that it made") { world in
      try await world.withStore { store in try await contend(store) }
    },
  ]

  private static func contend(_ store: any EventStore) async throws {
    let stream = StreamName.of("contended")
    for round in 0..<20 as Range<UInt64> {
      let expected: ExpectedVersion = round == 0 ? .noStream : .exact(round - 1)
      let outcomes = try await withThrowingTaskGroup(of: (AppendReceipt.Stream?, EventStoreError?).self) { group in
        for rival in 0..<8 as Range<UInt64> {
          group.addTask {
            do {
              return (try await store.append(stream, expected, [.numbered(round * 8 + rival)]), nil)
            } catch let error as EventStoreError {
              return (nil, error)
            }
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      for (receipt, error) in outcomes {
        if let receipt { #expect(receipt.firstVersion == round) }
        if let error { #expect(error == .wrongExpectedVersion(stream: stream, expected: expected, actual: round)) }
      }
      #expect(outcomes.count { $0.0 != nil } == 1)
    }
    let versions = try await store.readAll(.stream(stream)).versions
    #expect(versions == Array(0..<20))
  }
}
