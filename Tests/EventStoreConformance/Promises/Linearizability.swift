internal import MillraceLog
internal import Testing

extension EventStorePromise {
  static let linearizability = [
    EventStorePromise("histories of concurrent appends are linearizable, stream by stream and over all") { world in
      try await world.withStore { store in
        let history = ConcurrentHistory(streams: 16)
        let callers = 64
        let each = world.operations / callers
        try await withThrowingTaskGroup(of: Void.self) { group in
          for caller in 0..<callers { group.addTask { try await history.run(store, caller: caller, operations: each) } }
          try await group.waitForAll()
        }
        let faults = history.faults()
        #expect(faults.isEmpty, "\(faults.prefix(5))")
        let events = try await store.readAll(.all, limit: 4096)
        #expect(events.count == history.appendedEvents)
        #expect(isGrowing(events.positions))
      }
    }
  ]
}
