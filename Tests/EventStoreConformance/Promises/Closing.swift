internal import MillraceLog
internal import Synchronization
internal import Testing

extension EventStorePromise {
  static let closing = [
    EventStorePromise("a closed store refuses everything with `closed`") { world in
      let store = try await world.makeStore(TestWallClock())
      try await store.append(.of("a"), EventDraft.numbered(1...1))
      try await store.close()
      #expect(try await storeError { try await store.append(.of("a"), EventDraft.numbered(2...2)) } == .closed)
      #expect(try await storeError { try await store.read(ReadRequest(.all)) } == .closed)
      #expect(try await storeError { try await store.end() } == .closed)
      #expect(try await storeError { try await store.position(since: 0) } == .closed)
      #expect(try await storeError { try await store.wait(for: 0) } == .closed)
      #expect(try await storeError { try await store.wait(for: 9) } == .closed)
      #expect(try await storeError { try await store.setLimits(StreamLimits(), of: .of("a")) } == .closed)
      #expect(try await storeError { try await store.snapshot(of: .of("a"), reducer: "r") } == .closed)
      let snapshot = Snapshot(stream: .of("a"), reducer: "r", reducerVersion: 1, version: 0, state: [])
      #expect(try await storeError { try await store.save(snapshot) } == .closed)
    },
    EventStorePromise("closing ends what was accepted: every completion comes, once, before that of `close`") { world in
      let store = try await world.makeStore(TestWallClock())
      let counts = Counts()
      for number in 0..<500 as Range<UInt64> {
        store.append([StreamAppend(stream: .of("a-\(number % 7)"), events: EventDraft.numbered(number...number))]) { result in
          switch result {
          case .success: counts.appended.add(1, ordering: .relaxed)
          case .failure: counts.refused.add(1, ordering: .relaxed)
          }
        }
        if number % 10 == 0 { store.read(ReadRequest(.all)) { _ in counts.read.add(1, ordering: .relaxed) } }
      }
      store.await(1 << 40) { result in
        if result == .failure(.closed) { counts.waited.add(1, ordering: .relaxed) }
      }
      try await store.close()
      #expect(counts.appended.load(ordering: .relaxed) == 500 && counts.refused.load(ordering: .relaxed) == 0)
      #expect(counts.read.load(ordering: .relaxed) == 50)
      #expect(counts.waited.load(ordering: .relaxed) == 1)
    },
  ]

  private final class Counts: Sendable {
    let appended = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
    let read = Atomic<Int>(0)
    let waited = Atomic<Int>(0)
  }
}
