internal import MillraceLog
internal import Synchronization
internal import Testing

/// What the completion of a wait was called with.
private final class Told: Sendable {
  private let results = Mutex<[Result<UInt64, EventStoreError>]>([])

  func hear(_ result: Result<UInt64, EventStoreError>) { results.withLock { $0.append(result) } }
  var all: [Result<UInt64, EventStoreError>] { results.withLock { $0 } }

  /// Returns when it has been called.
  func beenCalled() async {
    while all.isEmpty { await Task.yield() }
  }
}

extension EventStorePromise {
  static let waits = [
    EventStorePromise("a wait for what is there is answered with the end") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), EventDraft.numbered(1...3))
        let end = try await store.end()
        for position in 0..<end { #expect(try await store.wait(for: position) == end) }
      }
    },
    EventStorePromise("a wait ends when an event with its position or a later one is committed, not before") { world in
      try await world.withStore { store in
        let end = try await store.end()
        let near = Told()
        let far = Told()
        store.await(end) { near.hear($0) }
        let farWait = store.await(end + 5) { far.hear($0) }
        #expect(near.all.isEmpty && far.all.isEmpty)
        try await store.append(.of("a"), EventDraft.numbered(1...2))
        await near.beenCalled()
        _ = try await store.append(.of("a"), EventDraft.numbered(3...3))
        _ = try await store.wait(for: end + 2)
        #expect(near.all.count == 1 && far.all.isEmpty)
        try await store.append(.of("a"), EventDraft.numbered(4...6))
        #expect(try await store.wait(for: end + 5) >= end + 6)
        await far.beenCalled()
        #expect(far.all.count == 1)
        farWait.cancel()
        #expect(far.all.count == 1)
      }
    },
    EventStorePromise("a wait that is given up ends with `cancelled`, once, and hears of nothing more") { world in
      try await world.withStore { store in
        let told = Told()
        let end = try await store.end()
        let wait = store.await(end) { told.hear($0) }
        wait.cancel()
        wait.cancel()
        #expect(told.all == [.failure(.cancelled)])
        try await store.append(.of("a"), EventDraft.numbered(1...1))
        _ = try await store.wait(for: end)
        #expect(told.all.count == 1)
      }
    },
    EventStorePromise("each of many waits that are given up while others append is answered exactly once") { world in
      try await world.withStore { store in
        let total = 200
        let tolds = (0..<total).map { _ in Told() }
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            for number in 0..<40 as Range<UInt64> { try await store.append(.of("a"), EventDraft.numbered(number...number)) }
          }
          group.addTask {
            for (index, told) in tolds.enumerated() {
              let end = try await store.end()
              let wait = store.await(end + UInt64(index % 3)) { told.hear($0) }
              if index % 2 == 0 { wait.cancel() }
            }
          }
          try await group.waitForAll()
        }
        try await store.append(.of("a"), EventDraft.numbered(100...110))
        for told in tolds {
          await told.beenCalled()
          #expect(told.all.count == 1)
        }
      }
    },
    EventStorePromise("a reader that waits and reads on sees every event once") { world in
      try await world.withStore { store in
        let total = 300 as UInt64
        async let appending: Void = {
          for number in 0..<total { try await store.append(.of("a-\(number % 3)"), EventDraft.numbered(number...number)) }
        }()
        var seen: [UInt64] = []
        var next: UInt64 = 0
        while seen.count < total {
          _ = try await store.wait(for: next)
          let page = try await store.read(ReadRequest(.all, from: .at(next)))
          seen += page.events.numbers
          next = try #require(page.next)
        }
        try await appending
        #expect(seen == Array(0..<total))
      }
    },
  ]
}
