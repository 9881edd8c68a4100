internal import MillraceLog
internal import Testing

extension EventStorePromise {
  /// A stream of three appends, numbers 1 to 2, 3 to 5 and 6, and the receipts.
  private static func prepare(_ store: any EventStore, _ stream: StreamName) async throws -> [AppendReceipt.Stream] {
    [
      try await store.append(stream, .noStream, EventDraft.numbered(1...2)),
      try await store.append(stream, .exact(1), EventDraft.numbered(3...5)),
      try await store.append(stream, .any, EventDraft.numbered(6...6)),
    ]
  }

  static let repetitions = [
    EventStorePromise("an append that is repeated gives the receipt of the first time, and writes nothing") { world in
      try await world.withStore { store in
        let stream = StreamName.of("repeated")
        let receipts = try await prepare(store, stream)
        let end = try await store.end()
        let repetitions: [(expected: ExpectedVersion, numbers: ClosedRange<UInt64>, receipt: Int)] = [
          (.noStream, 1...2, 0), (.any, 1...2, 0), (.streamExists, 1...2, 0),
          (.exact(1), 3...5, 1), (.any, 3...5, 1), (.streamExists, 3...5, 1),
          (.exact(4), 6...6, 2), (.any, 6...6, 2), (.streamExists, 6...6, 2),
        ]
        for (expected, numbers, receipt) in repetitions {
          let again = try await store.append([StreamAppend(stream: stream, expected: expected, events: EventDraft.numbered(numbers))])
          #expect(again == AppendReceipt(streams: [receipts[receipt]], wasKnown: true), "\(expected) \(numbers)")
        }
        #expect(try await store.end() == end)
        #expect(try await store.readAll(.stream(stream)).numbers == [1, 2, 3, 4, 5, 6])
      }
    },
    EventStorePromise("what an append is repeated with beside its ids does not matter: the first time counts") { world in
      try await world.withStore { store in
        let stream = StreamName.of("repeated")
        try await store.append(stream, .noStream, tenant: "one", [.numbered(1, "first", "1")])
        let again = try await store.append([
          StreamAppend(stream: stream, expected: .noStream, tenant: "two", events: [.numbered(1, "second", "2")])
        ])
        #expect(again.wasKnown)
        let event = try #require(try await store.read(ReadRequest(.stream(stream))).events.first)
        #expect(event.type == "first" && event.payload == Array("1".utf8) && event.tenant == "one")
      }
    },
    EventStorePromise("some of the ids known, or all in another order, is refused with one that is known") { world in
      try await world.withStore { store in
        let stream = StreamName.of("partly")
        _ = try await prepare(store, stream)
        let end = try await store.end()
        let wrong: [(expected: ExpectedVersion, numbers: [UInt64])] = [
          (.any, [5, 90]), (.any, [90, 5]), (.streamExists, [90, 6]), (.any, [2, 1]), (.any, [1, 3]), (.any, [1, 2, 4]),
          (.noStream, [1, 90]),
          (.noStream, [2, 1]), (.exact(1), [3, 90]), (.exact(1), [3, 4, 90]), (.exact(1), [4, 3, 5]), (.exact(4), [6, 90]),
        ]
        for (expected, numbers) in wrong {
          let error = try await storeError { try await store.append(stream, expected, numbers.map { .numbered($0) }) }
          guard case .idsPartlyKnown(stream, let known) = error else {
            Issue.record("\(expected) \(numbers): \(String(describing: error))")
            continue
          }
          #expect(numbers.contains(known.low) && known.low <= 6, "\(expected) \(numbers): \(known)")
        }
        #expect(try await store.end() == end)
      }
    },
    EventStorePromise("with an exact version that is past and ids that are new, the version is wrong") { world in
      try await world.withStore { store in
        let stream = StreamName.of("past")
        _ = try await prepare(store, stream)
        let expectations: [ExpectedVersion] = [.exact(0), .exact(1), .exact(4), .noStream]
        for expected in expectations {
          let error = try await storeError { try await store.append(stream, expected, EventDraft.numbered(90...91)) }
          #expect(error == .wrongExpectedVersion(stream: stream, expected: expected, actual: 5))
        }
      }
    },
    EventStorePromise("the same ids in another stream are other events") { world in
      try await world.withStore { store in
        _ = try await prepare(store, .of("one"))
        let receipt = try await store.append([StreamAppend(stream: .of("two"), expected: .noStream, events: EventDraft.numbered(1...2))])
        #expect(!receipt.wasKnown && receipt.streams[0].firstVersion == 0)
        let both = try await store.append([
          StreamAppend(stream: .of("three"), events: EventDraft.numbered(1...2)),
          StreamAppend(stream: .of("four"), events: EventDraft.numbered(1...2)),
        ])
        #expect(!both.wasKnown)
        #expect(try await store.readAll(.all).numbers == [1, 2, 3, 4, 5, 6, 1, 2, 1, 2, 1, 2])
      }
    },
    EventStorePromise("an append that runs twice at once takes place once") { world in
      try await world.withStore { store in
        for round in 0..<30 as Range<UInt64> {
          let stream = StreamName.of("twice-\(round % 3)")
          let append = StreamAppend(stream: stream, events: EventDraft.numbered(round * 10...round * 10 + 2))
          async let one = store.append([append])
          async let two = store.append([append])
          let (first, second) = try await (one, two)
          #expect(first.streams == second.streams)
          #expect(first.wasKnown != second.wasKnown)
        }
        #expect(try await store.readAll(.all).count == 90)
      }
    },
    EventStorePromise("with `any`, an append is recognised among the last 100,000 events") { world in
      try await world.withStore { store in
        let first = try await store.append(.of("old"), EventDraft.numbered(1...2))
        var number: UInt64 = 10
        while number + 4096 < EventLimits.idWindow {
          try await store.append(.of("filler-\(number % 7)"), EventDraft.numbered(number...number + 4095))
          number += 4096
        }
        let again = try await store.append([StreamAppend(stream: .of("old"), events: EventDraft.numbered(1...2))])
        #expect(again == AppendReceipt(streams: [first], wasKnown: true))
      }
    },
    EventStorePromise("with an exact version or `noStream`, an append is recognised beyond the last 100,000 events") { world in
      try await world.withStore { store in
        let first = try await store.append(.of("old"), .noStream, EventDraft.numbered(1...2))
        let second = try await store.append(.of("old"), .exact(1), EventDraft.numbered(3...4))
        var number: UInt64 = 10
        while number < EventLimits.idWindow + 8192 {
          try await store.append(.of("filler-\(number % 7)"), EventDraft.numbered(number...number + 4095))
          number += 4096
        }
        let again = try await store.append([StreamAppend(stream: .of("old"), expected: .noStream, events: EventDraft.numbered(1...2))])
        #expect(again == AppendReceipt(streams: [first], wasKnown: true))
        let exact = try await store.append([StreamAppend(stream: .of("old"), expected: .exact(1), events: EventDraft.numbered(3...4))])
        #expect(exact == AppendReceipt(streams: [second], wasKnown: true))
      }
    },
  ]
}
