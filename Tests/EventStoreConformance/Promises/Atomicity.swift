internal import MillraceLog
internal import Testing

extension EventStorePromise {
  static let atomicity = [
    EventStorePromise("an append over several streams takes place wholly, and its events stand together") { world in
      try await world.withStore { store in
        let receipt = try await store.append([
          StreamAppend(stream: .of("a-1"), expected: .noStream, tenant: "x", events: EventDraft.numbered(1...2)),
          StreamAppend(stream: .of("b-1"), expected: .any, events: EventDraft.numbered(3...3)),
          StreamAppend(stream: .of("a-2"), expected: .noStream, tenant: "y", events: EventDraft.numbered(4...6)),
        ])
        #expect(receipt.streams.map(\.firstVersion) == [0, 0, 0])
        #expect(receipt.streams.map(\.lastVersion) == [1, 0, 2])
        let events = try await store.readAll(.all)
        #expect(events.numbers == [1, 2, 3, 4, 5, 6])
        #expect(events.map(\.tenant) == ["x", "x", nil, "y", "y", "y"])
        #expect(receipt.streams.map(\.firstPosition) == [events[0], events[2], events[3]].map(\.position))
        #expect(receipt.streams.map(\.lastPosition) == [events[1], events[2], events[5]].map(\.position))
      }
    },
    EventStorePromise("an append over several streams is refused wholly if one of them is not as expected") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), EventDraft.numbered(1...1))
        let error = try await storeError {
          try await store.append([
            StreamAppend(stream: .of("a"), expected: .exact(0), events: EventDraft.numbered(2...2)),
            StreamAppend(stream: .of("b"), expected: .streamExists, events: EventDraft.numbered(3...3)),
            StreamAppend(stream: .of("c"), expected: .any, events: EventDraft.numbered(4...4)),
          ])
        }
        #expect(error == .wrongExpectedVersion(stream: .of("b"), expected: .streamExists, actual: nil))
        #expect(try await store.readAll(.all).numbers == [1])
        // It has left nothing behind: both are as new.
        try await store.append(.of("b"), .noStream, EventDraft.numbered(5...5))
        try await store.append(.of("c"), .noStream, EventDraft.numbered(6...6))
      }
    },
    EventStorePromise("an append over several streams that is repeated gives all receipts again; known in one stream only, it is refused") {
      world in
      try await world.withStore { store in
        let appends = [
          StreamAppend(stream: .of("a"), expected: .noStream, events: EventDraft.numbered(1...2)),
          StreamAppend(stream: .of("b"), expected: .any, events: EventDraft.numbered(3...3)),
        ]
        let first = try await store.append(appends)
        try await store.append(.of("a"), EventDraft.numbered(9...9))
        let again = try await store.append(appends)
        #expect(again == AppendReceipt(streams: first.streams, wasKnown: true))
        let partly = try await storeError {
          try await store.append([appends[0], StreamAppend(stream: .of("c"), events: EventDraft.numbered(4...4))])
        }
        guard case .idsPartlyKnown(appends[0].stream, _) = partly else {
          Issue.record("\(String(describing: partly))")
          return
        }
        #expect(try await store.readAll(.all).numbers == [1, 2, 3, 9])
      }
    },
    EventStorePromise("no reader sees a part of an append") { world in
      try await world.withStore { store in
        let rounds = 60 as UInt64
        try await withThrowingTaskGroup(of: Void.self) { group in
          for writer in 0..<3 as Range<UInt64> {
            group.addTask {
              for round in 0..<rounds {
                let first = (writer * rounds + round) * 10
                _ = try await store.append([
                  StreamAppend(stream: .of("left-\(writer)"), events: EventDraft.numbered(first...first + 2)),
                  StreamAppend(stream: .of("right-\(round % 5)"), events: EventDraft.numbered(first + 3...first + 4)),
                ])
              }
            }
          }
          group.addTask {
            var seen: [UInt64] = []
            while seen.count < 3 * Int(rounds) * 5 {
              seen = try await store.readAll(.all, limit: 4096).numbers
              #expect(seen.count % 5 == 0)
              for group in stride(from: 0, to: seen.count - seen.count % 5, by: 5) {
                #expect(Array(seen[group..<group + 5]) == (0..<5).map { seen[group] + $0 })
              }
            }
          }
          try await group.waitForAll()
        }
      }
    },
  ]
}
