#if Postgres
  import EventStoreConformance
  import MillraceLog
  import MillracePostgres
  import Synchronization
  import Testing

  /// Where the events are whose appends were acknowledged.
  private final class Acknowledged: Sendable {
    private let known = Mutex<[UInt64: UInt64]>([:])

    var positions: [UInt64: UInt64] { known.withLock { $0 } }
    func keep(_ id: UInt64, _ position: UInt64) { known.withLock { $0[id] = position } }
  }

  /// A server that dies under load and comes back.
  @Suite(.needsPostgres, .serialized) struct RestartTests {
    @Test(
      "a server that is killed and started again in the middle of appends and of a subscriber: nothing lost, doubled or skipped",
      arguments: ["immediate", "fast"])
    func restart(mode: String) async throws {
      let server = try PostgresServer()
      let configuration = try server.configuration()
      // Two programs, as it were.
      let stores = [try PostgresEventStore(configuration), try PostgresEventStore(configuration)]
      let acknowledged = Acknowledged()
      let callers = 12 as UInt64
      let each = 150 as UInt64
      let total = callers * each
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<callers {
          group.addTask {
            let stream = try StreamName("caller-\(caller)")
            for number in 0..<each {
              let expected: ExpectedVersion = number == 0 ? .noStream : .exact(number - 1)
              let id = caller << 32 + number
              let receipt = try await stores[Int(caller % 2)].append([
                StreamAppend(stream: stream, expected: expected, events: [.numbered(id)])
              ])
              #expect(receipt.streams[0].firstVersion == number && !receipt.wasKnown)
              acknowledged.keep(id, receipt.streams[0].firstPosition)
            }
          }
        }
        for store in stores {
          group.addTask {
            var seen: [RecordedEvent] = []
            var next: UInt64 = 0
            while seen.count < Int(total) {
              _ = try await store.wait(for: next)
              let page = try await store.read(ReadRequest(.all, from: .at(next), limit: 11))
              seen += page.events
              next = try #require(page.next)
            }
            #expect(isGrowing(seen.positions))
            let all = try await store.readAll(.all, limit: 4096)
            #expect(seen == all)
          }
        }
        group.addTask {
          for round in 1...3 as ClosedRange<UInt64> {
            _ = try await stores[0].wait(for: total * round / 5)
            try server.stop(mode)
            try server.start()
          }
        }
        try await group.waitForAll()
      }
      let all = try await stores[0].readAll(.all, limit: 4096)
      #expect(all.count == Int(total))
      let positions = acknowledged.positions
      for event in all { #expect(positions[event.id.low] == event.position) }
      for store in stores { try await store.close() }
    }

    @Test("histories of concurrent appends are linearizable though the server is killed in their middle")
    func histories() async throws {
      let server = try PostgresServer()
      let store = try PostgresEventStore(try server.configuration())
      let history = ConcurrentHistory(streams: 8)
      let running = SharedNumber(32)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<32 {
          group.addTask {
            defer { running.add(-1) }
            try await history.run(store, caller: caller, operations: 200)
          }
        }
        group.addTask {
          var end: UInt64 = 0
          while running.value == 32 {
            // After some progress, again.
            _ = try await store.wait(for: end + 2000)
            if running.value < 32 { break }
            end = try await store.end()
            try server.stop()
            try server.start()
          }
        }
        for _ in 0..<32 { try await group.next() }
        group.cancelAll()
        // The one that kills may wait for events that nobody appends any more.
        _ = try await store.append(try StreamName("last"), EventDraft.numbered(1...2500))
        try await group.waitForAll()
      }
      let faults = history.faults()
      #expect(faults.isEmpty, "\(faults.prefix(5))")
      #expect(try await store.readAll(.all, limit: 4096).count == history.appendedEvents + 2500)
      try await store.close()
    }
  }
#endif
