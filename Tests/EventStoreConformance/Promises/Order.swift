internal import MillraceLog
internal import Testing

extension EventStorePromise {
  static let order = [
    EventStorePromise("nothing appears behind a reader while others append: what it has read is all there is") { world in
      try await world.withStore { store in
        try await follow(store, appenders: 6, rounds: 60)
      }
    }
  ]

  /// Readers of several scopes read on while others append; in the end each has seen exactly what a reading from the start gives.
  private static func follow(_ store: any EventStore, appenders: UInt64, rounds: UInt64) async throws {
    let total = appenders * rounds * 2
    try await withThrowingTaskGroup(of: Void.self) { group in
      for appender in 0..<appenders {
        group.addTask {
          for round in 0..<rounds {
            let first = (appender * rounds + round) * 2
            let tenant: String? = appender % 2 == 0 ? "even" : nil
            try await store.append(
              .of("\(appender % 3 == 0 ? "third" : "other")-\(round % 4)"), tenant: tenant, EventDraft.numbered(first...first + 1))
          }
        }
      }
      let scopes: [(ReadRequest.Scope, String?)] = [
        (.all, nil), (.all, nil), (.category("third"), nil), (.all, "even"), (.stream(.of("other-1")), nil),
      ]
      for (scope, tenant) in scopes {
        group.addTask {
          var seen: [RecordedEvent] = []
          var request = ReadRequest(scope, limit: 7, tenant: tenant)
          while true {
            let end = try await store.end()
            let page = try await store.read(request)
            seen += page.events
            request.start = .at(try #require(page.next))
            if page.isLast {
              if end >= total { break }
              _ = try await store.wait(for: end)
            }
          }
          #expect(isGrowing(seen.positions))
          let all = try await store.readAll(scope, limit: 4096, tenant: tenant)
          #expect(seen == all)
        }
      }
      try await group.waitForAll()
    }
    #expect(try await store.readAll(.all, limit: 4096).numbers.sorted() == Array(0..<total))
  }
}
