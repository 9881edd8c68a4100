internal import MillraceLog
internal import Testing

extension EventStorePromise {
  private static func snapshot(_ version: UInt64, _ state: String, reducer: String = "total", reducerVersion: UInt32 = 1) -> Snapshot {
    Snapshot(stream: .of("a"), reducer: reducer, reducerVersion: reducerVersion, version: version, state: Array(state.utf8))
  }

  static let snapshots = [
    EventStorePromise("a snapshot comes back as it was saved, for its stream and reducer only") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), EventDraft.numbered(1...3))
        let saved = Snapshot(stream: .of("a"), reducer: "total", reducerVersion: .max, version: 2, state: [0, 255, 1])
        try await store.save(saved)
        try await store.save(snapshot(1, "", reducer: "other"))
        #expect(try await store.snapshot(of: .of("a"), reducer: "total") == saved)
        #expect(try await store.snapshot(of: .of("a"), reducer: "other") == snapshot(1, "", reducer: "other"))
        #expect(try await store.snapshot(of: .of("b"), reducer: "total") == nil)
        #expect(try await store.snapshot(of: .of("a"), reducer: "none") == nil)
      }
    },
    EventStorePromise("a newer snapshot takes the place of an older one, and an older one does not") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), EventDraft.numbered(1...9))
        try await store.save(snapshot(3, "three"))
        try await store.save(snapshot(5, "five"))
        #expect(try await store.snapshot(of: .of("a"), reducer: "total") == snapshot(5, "five"))
        try await store.save(snapshot(4, "four"))
        #expect(try await store.snapshot(of: .of("a"), reducer: "total") == snapshot(5, "five"))
        try await store.save(snapshot(8, "eight", reducerVersion: 2))
        #expect(try await store.snapshot(of: .of("a"), reducer: "total") == snapshot(8, "eight", reducerVersion: 2))
      }
    },
    EventStorePromise("a snapshot of a version that the stream has not reached is refused") { world in
      try await world.withStore { store in
        #expect(
          try await storeError { try await store.save(snapshot(0, "x")) } == .snapshotAhead(stream: .of("a"), version: 0, actual: nil))
        try await store.append(.of("a"), EventDraft.numbered(1...3))
        #expect(
          try await storeError { try await store.save(snapshot(3, "x")) } == .snapshotAhead(stream: .of("a"), version: 3, actual: 2))
        #expect(
          try await storeError { try await store.save(snapshot(.max, "x")) } == .snapshotAhead(stream: .of("a"), version: .max, actual: 2))
        #expect(try await store.snapshot(of: .of("a"), reducer: "total") == nil)
        try await store.save(snapshot(2, "x"))
      }
    },
    EventStorePromise("a fold from a snapshot over the events after it gives what a fold over all gives") { world in
      try await world.withStore { store in
        var random = SeededNumbers(3)
        for number in 0..<50 as Range<UInt64> {
          try await store.append(.of("a"), [.numbered(number, "add", "\(Int.random(in: 0...99, using: &random))")])
          if number % 7 == 3 {
            let sum = fold(0, try await store.readAll(.stream(.of("a"))))
            try await store.save(snapshot(number, "\(sum)"))
          }
          let kept = try await store.snapshot(of: .of("a"), reducer: "total")
          let start = kept.map { Int(String(decoding: $0.state, as: UTF8.self)) ?? -1 } ?? 0
          let tail = try await store.read(ReadRequest(.stream(.of("a")), from: .at(kept.map { $0.version + 1 } ?? 0)))
          #expect(fold(start, tail.events) == fold(0, try await store.readAll(.stream(.of("a")))))
        }
      }
    },
  ]

  private static func fold(_ start: Int, _ events: [RecordedEvent]) -> Int {
    events.reduce(start) { $0 + (Int(String(decoding: $1.payload, as: UTF8.self)) ?? 0) }
  }
}
