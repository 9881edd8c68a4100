internal import MillraceLog
internal import Testing

extension EventStorePromise {
  static let paging = [
    EventStorePromise("forward, events that come later follow from a last page's next, in every scope") { world in
      try await world.withStore { store in
        let scopes: [ReadRequest.Scope] = [.all, .category("a"), .stream(.of("a-1"))]
        var next: [UInt64] = [0, 0, 0]
        for round in 0..<5 as Range<UInt64> {
          try await store.append(.of("a-1"), EventDraft.numbered(round * 10...round * 10 + 1))
          for (index, scope) in scopes.enumerated() {
            let page = try await store.read(ReadRequest(scope, from: .at(next[index])))
            #expect(page.events.numbers == [round * 10, round * 10 + 1] && page.isLast)
            next[index] = try #require(page.next)
            let empty = try await store.read(ReadRequest(scope, from: .at(next[index])))
            #expect(empty.events.isEmpty && empty.isLast && empty.next == next[index])
          }
        }
      }
    },
    EventStorePromise("a start beyond the end is kept: what lies before it is not given later") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), EventDraft.numbered(1...2))
        let page = try await store.read(ReadRequest(.stream(.of("a")), from: .at(4)))
        #expect(page.events.isEmpty && page.isLast && page.next == 4 && page.lastVersion == 1)
        try await store.append(.of("a"), EventDraft.numbered(3...6))
        #expect(try await store.read(ReadRequest(.stream(.of("a")), from: .at(4))).events.numbers == [5, 6])
      }
    },
    EventStorePromise("a page ends when its payloads reach `bytes`, at most one event beyond, and holds one event at least") { world in
      try await world.withStore { store in
        try await store.append(.of("a"), EventDraft.numbered(1...4, payload: "1234567890"))
        for scope in [ReadRequest.Scope.all, .stream(.of("a")), .category("a")] {
          for (bytes, counts) in [(1, 1...1), (10, 1...1), (19, 1...2), (20, 2...2), (39, 3...4), (40, 4...4), (41, 4...4)] {
            for direction in [ReadRequest.Direction.forward, .backward] {
              let page = try await store.read(ReadRequest(scope, direction, bytes: bytes))
              #expect(counts.contains(page.events.count) && page.isLast == (page.events.count == 4), "\(scope), \(direction), \(bytes)")
            }
          }
        }
      }
    },
    EventStorePromise("a category is all up to the first dash, and nothing else") { world in
      try await world.withStore { store in
        for (index, name) in ["order", "order-1", "order-1-x", "orders-1", "orderly", "Order-1", "o", "-order", "order-"].enumerated() {
          try await store.append(.of(name), EventDraft.numbered(UInt64(index)...UInt64(index)))
        }
        #expect(try await store.readAll(.category("order")).numbers == [0, 1, 2, 8])
        #expect(try await store.readAll(.category("order"), .backward).numbers == [8, 2, 1, 0])
        #expect(try await store.readAll(.category("orders")).numbers == [3])
        #expect(try await store.readAll(.category("order-1")).isEmpty)
      }
    },
    EventStorePromise("a tenant's events are read without those of others, in every scope and direction") { world in
      try await world.withStore { store in
        for number in 0..<24 as Range<UInt64> {
          let tenant: String? = [nil, "one", "two"][Int(number % 3)]
          try await store.append(.of("a-\(number % 2)"), tenant: tenant, EventDraft.numbered(number...number))
        }
        let ones = (0..<24 as Range<UInt64>).filter { $0 % 3 == 1 }
        let scopes: [(ReadRequest.Scope, [UInt64])] = [
          (.all, ones), (.category("a"), ones), (.stream(.of("a-0")), ones.filter { $0 % 2 == 0 }),
        ]
        for (scope, numbers) in scopes {
          #expect(try await store.readAll(scope, limit: 3, tenant: "one").numbers == numbers)
          #expect(try await store.readAll(scope, .backward, limit: 3, tenant: "one").numbers == numbers.reversed())
          #expect(try await store.readAll(scope, tenant: "nobody").isEmpty)
        }
      }
    },
    EventStorePromise("the first position since a time is found, also when clocks have gone back") { world in
      let clock = TestWallClock(1000)
      try await world.withStore(clock) { store in
        var times: [Int64] = []
        var numbers = SeededNumbers(7)
        for number in 0..<3000 as Range<UInt64> where number % 3 == 0 {
          clock.move(by: Int64.random(in: -20...30, using: &numbers))
          try await store.append(.of("a"), EventDraft.numbered(number...number + 2))
          times += [clock.now, clock.now, clock.now]
        }
        let events = try await store.readAll(.all)
        #expect(events.map(\.time) == times)
        let end = try await store.end()
        for time in [Int64.min, 0, 1000, .max]
          + (0..<100).map({ _ in times[Int.random(in: 0..<times.count, using: &numbers)] + Int64.random(in: -2...2, using: &numbers) })
        {
          let wanted = events.first { $0.time >= time }?.position ?? end
          #expect(try await store.position(since: time) == wanted, "\(time)")
        }
      }
    },
  ]
}
