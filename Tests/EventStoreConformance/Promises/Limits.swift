internal import MillraceLog
internal import Testing

extension EventStorePromise {
  static let limits = [
    EventStorePromise("a stream limited by count keeps the last ones, now and as it grows") { world in
      try await world.withStore { store in
        let stream = StreamName.of("a-1")
        try await store.append(stream, EventDraft.numbered(1...5))
        try await store.append(.of("a-2"), EventDraft.numbered(6...7))
        try await store.setLimits(StreamLimits(count: 3), of: stream)
        #expect(try await store.readAll(.stream(stream)).numbers == [3, 4, 5])
        #expect(try await store.readAll(.stream(stream), .backward, limit: 2).numbers == [5, 4, 3])
        #expect(try await store.readAll(.all).numbers == [3, 4, 5, 6, 7])
        #expect(try await store.readAll(.category("a")).numbers == [3, 4, 5, 6, 7])
        try await store.append(stream, EventDraft.numbered(8...9))
        #expect(try await store.readAll(.stream(stream)).numbers == [5, 8, 9])
        #expect(try await store.readAll(.all, .backward).numbers == [9, 8, 7, 6, 5])
      }
    },
    EventStorePromise("a stream limited by age keeps what is not older, by the wall clock") { world in
      let clock = TestWallClock()
      try await world.withStore(clock) { store in
        let stream = StreamName.of("a")
        for number in 1...4 as ClosedRange<UInt64> {
          try await store.append(stream, EventDraft.numbered(number...number))
          clock.move(by: 100)
        }
        // Their ages: 400, 300, 200, 100.
        try await store.setLimits(StreamLimits(age: 250), of: stream)
        #expect(try await store.readAll(.stream(stream)).numbers == [3, 4])
        #expect(try await store.readAll(.all).numbers == [3, 4])
        clock.move(by: 100)
        let page = try await store.read(ReadRequest(.stream(stream)))
        #expect(page.events.numbers == [4] && page.lastVersion == 3)
        clock.move(by: 1_000_000)
        #expect(try await store.readAll(.all).isEmpty)
        try await store.append(stream, .exact(3), EventDraft.numbered(5...5))
        #expect(try await store.readAll(.stream(stream)).numbers == [5])
      }
    },
    EventStorePromise("a stream with a first version keeps from there on") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), EventDraft.numbered(0...5))
        try await store.setLimits(StreamLimits(firstVersion: 4), of: .of("a"))
        let page = try await store.read(ReadRequest(.stream(.of("a"))))
        #expect(page.events.numbers == [4, 5] && page.lastVersion == 5)
        #expect(try await store.read(ReadRequest(.stream(.of("a")), from: .at(2), limit: 1)).events.numbers == [4])
        #expect(try await store.read(ReadRequest(.stream(.of("a")), .backward, from: .at(3))).events.isEmpty)
      }
    },
    EventStorePromise("versions go on after all events of a stream are gone") { world in
      try await world.withStore { store in
        let stream = StreamName.of("a")
        try await store.append(stream, EventDraft.numbered(1...3))
        try await store.setLimits(StreamLimits(firstVersion: 3), of: stream)
        let page = try await store.read(ReadRequest(.stream(stream)))
        #expect(page.events.isEmpty && page.isLast && page.lastVersion == 2 && page.next == 3)
        let error = try await storeError { try await store.append(stream, .noStream, EventDraft.numbered(9...9)) }
        #expect(error == .wrongExpectedVersion(stream: stream, expected: .noStream, actual: 2))
        let receipt = try await store.append(stream, .exact(2), EventDraft.numbered(4...4))
        #expect(receipt.firstVersion == 3)
        #expect(try await store.readAll(.stream(stream)).versions == [3])
      }
    },
    EventStorePromise("an append is recognised though its events are not read any more") { world in
      try await world.withStore { store in
        let first = try await store.append(.of("a"), EventDraft.numbered(1...3))
        try await store.setLimits(StreamLimits(firstVersion: 3), of: .of("a"))
        let again = try await store.append([StreamAppend(stream: .of("a"), events: EventDraft.numbered(1...3))])
        #expect(again == AppendReceipt(streams: [first], wasKnown: true))
      }
    },
    EventStorePromise("limits may be set before a stream has events, and take the place of those before") { world in
      try await world.withStore { store in
        let stream = StreamName.of("a")
        try await store.setLimits(StreamLimits(count: 2), of: stream)
        #expect(try await store.read(ReadRequest(.stream(stream))).lastVersion == nil)
        try await store.append(stream, .noStream, EventDraft.numbered(1...3))
        #expect(try await store.readAll(.stream(stream)).numbers == [2, 3])
        try await store.setLimits(StreamLimits(), of: stream)
        try await store.append(stream, EventDraft.numbered(4...8))
        #expect(try await store.readAll(.stream(stream)).numbers.suffix(5) == [4, 5, 6, 7, 8])
      }
    },
  ]
}
