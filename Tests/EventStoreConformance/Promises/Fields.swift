internal import MillraceLog
internal import Testing

extension EventStorePromise {
  static let fields = [
    EventStorePromise("an event comes back with all that it was appended with") { world in
      let clock = TestWallClock(-5)
      try await world.withStore(clock) { store in
        let stream = StreamName.of("ordér-17")
        let id = EventID(high: .max, low: 1)
        let draft = EventDraft(
          id: id, type: "order-pläced", typeVersion: .max, contentType: "application/octet-stream", payload: [0, 255, 10, 39, 92],
          correlation: EventID(high: 1, low: .max), causation: EventID(high: 0, low: 0),
          trace: EventTrace(trace: EventID(high: 1 << 63, low: 2), span: .max, flags: 255))
        let receipt = try await store.append([StreamAppend(stream: stream, tenant: "acme", events: [draft])])
        let event = try #require(try await store.read(ReadRequest(.stream(stream))).events.first)
        #expect(
          event
            == RecordedEvent(
              position: receipt.streams[0].firstPosition, stream: stream, version: 0, tenant: "acme", id: id, type: draft.type,
              typeVersion: .max, contentType: draft.contentType, payload: draft.payload, correlation: draft.correlation,
              causation: draft.causation, trace: draft.trace, time: -5))
        for scope in [ReadRequest.Scope.all, .category("ordér")] {
          #expect(try await store.read(ReadRequest(scope)).events == [event])
        }
      }
    },
    EventStorePromise("what an event may be without stays nil, and a payload may be empty") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), [EventDraft(id: EventID(high: 0, low: 0), type: "t", payload: [])])
        let event = try #require(try await store.read(ReadRequest(.all)).events.first)
        #expect(event.tenant == nil && event.correlation == nil && event.causation == nil && event.trace == nil)
        #expect(event.payload.isEmpty && event.contentType == EventDraft.json && event.typeVersion == 1)
      }
    },
    EventStorePromise("a payload of 16 MiB goes in and comes out") { world in
      try await world.withStore { store in
        var numbers = SeededNumbers(16)
        let block = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &numbers) }
        let payload = (0..<EventLimits.payload / block.count).flatMap { _ in block }
        try await store.append(.of("large"), [EventDraft(id: EventID(high: 0, low: 1), type: "t", payload: payload)])
        let page = try await store.read(ReadRequest(.all, limit: 1, bytes: 1))
        #expect(page.events.first?.payload == payload)
      }
    },
    EventStorePromise("versions begin at 0 and have no gaps; positions grow over all streams") { world in
      try await world.withStore { store in
        let receipts = [
          try await store.append(.of("a"), EventDraft.numbered(1...2)), try await store.append(.of("b"), EventDraft.numbered(3...3)),
          try await store.append(.of("a"), EventDraft.numbered(4...6)),
        ]
        #expect(receipts.map(\.firstVersion) == [0, 0, 2])
        #expect(receipts.map(\.lastVersion) == [1, 0, 4])
        let events = try await store.readAll(.all)
        #expect(events.numbers == [1, 2, 3, 4, 5, 6])
        #expect(isGrowing(events.positions))
        #expect(events.versions == [0, 1, 0, 2, 3, 4])
        for (receipt, range) in zip(receipts, [0...1, 2...2, 3...5]) {
          #expect(receipt.firstPosition == events[range.lowerBound].position)
          #expect(receipt.lastPosition == events[range.upperBound].position)
        }
        if store.hasDensePositions { #expect(events.positions == Array(0..<6)) }
        #expect(try await store.end() == events[5].position + 1)
      }
    },
    EventStorePromise("an empty store has nothing, and ends at 0") { world in
      try await world.withStore { store in
        #expect(try await store.end() == 0)
        #expect(try await store.position(since: .min) == 0)
        for scope in [ReadRequest.Scope.all, .category("a"), .stream(.of("a"))] {
          for direction in [ReadRequest.Direction.forward, .backward] {
            let page = try await store.read(ReadRequest(scope, direction))
            #expect(page.events.isEmpty && page.isLast && page.lastVersion == nil)
            #expect(page.next == (direction == .forward ? 0 : nil))
          }
        }
        #expect(try await store.snapshot(of: .of("a"), reducer: "r") == nil)
      }
    },
  ]
}
