#if Postgres
  import EventStoreConformance
  import MillraceLog
  import MillracePostgres
  import Testing

  /// What a caller learns when its connection is lost at the worst moment.
  @Suite(.needsPostgres, .serialized) struct LostConnectionTests {
    private static let stream = Result { try StreamName("cut-1") }

    /// A store behind a proxy, and one that connects to the server itself.
    private func withProxy(
      statementTimeout: Duration = .seconds(60),
      _ body: (CuttingProxy, PostgresEventStore, PostgresEventStore) async throws -> Void
    ) async throws {
      let server = try PostgresServer.shared.get()
      let proxy = try CuttingProxy(server)
      defer { proxy.close() }
      let direct = try server.configuration()
      var proxied = try server.configuration(host: proxy.folder, schema: direct.schema)
      proxied.statementTimeout = statementTimeout
      let witness = try PostgresEventStore(direct)
      let store = try PostgresEventStore(proxied)
      // Both connections stand: what follows on the first is appends only.
      _ = try await store.append(Self.stream.get(), .noStream, [.numbered(0)])
      _ = try await store.end()
      try await body(proxy, store, witness)
      try await store.close()
      try await witness.close()
    }

    @Test("an append whose answer is lost after the commit is found by its ids, and completes as what it is: appended now")
    func answerLost() async throws {
      try await withProxy { proxy, store, witness in
        let stream = try Self.stream.get()
        for round in 1...5 as ClosedRange<UInt64> {
          proxy.cut(.answerLost)
          let receipt = try await store.append([
            StreamAppend(stream: stream, expected: .exact(round * 2 - 2), events: EventDraft.numbered(round * 10...round * 10 + 1))
          ])
          #expect(!receipt.wasKnown && receipt.streams[0].firstVersion == round * 2 - 1)
          // Repeated by the caller, it is known.
          let again = try await store.append([StreamAppend(stream: stream, events: EventDraft.numbered(round * 10...round * 10 + 1))])
          #expect(again == AppendReceipt(streams: receipt.streams, wasKnown: true))
        }
        #expect(proxy.cuts == 5)
        #expect(try await witness.readAll(.stream(stream)).versions == Array(0...10))
      }
    }

    @Test("what was known before is told to be known, though the answer was lost")
    func knownBefore() async throws {
      try await withProxy { proxy, store, witness in
        let stream = try Self.stream.get()
        try await witness.append(stream, EventDraft.numbered(7...8))
        proxy.cut(.answerLost)
        let receipt = try await store.append([StreamAppend(stream: stream, events: EventDraft.numbered(7...8))])
        #expect(receipt.wasKnown)
        #expect(proxy.cuts == 1)
      }
    }

    @Test("an append that never reached the server, or in part, is made when there is a connection again")
    func requestLost() async throws {
      try await withProxy { proxy, store, witness in
        let stream = try Self.stream.get()
        var number = 1 as UInt64
        for cut in [CuttingProxy.Cut.requestLost, .requestHalved, .requestLost, .requestHalved] {
          proxy.cut(cut)
          let receipt = try await store.append([StreamAppend(stream: stream, expected: .exact(number - 1), events: [.numbered(number)])])
          #expect(!receipt.wasKnown && receipt.streams[0].firstVersion == number)
          number += 1
        }
        #expect(proxy.cuts == 4)
        #expect(try await witness.readAll(.stream(stream)).numbers == [0, 1, 2, 3, 4])
      }
    }

    @Test("a refusal whose answer is lost is a refusal")
    func refusalLost() async throws {
      try await withProxy { proxy, store, witness in
        let stream = try Self.stream.get()
        proxy.cut(.answerLost)
        let error = try await storeError { try await store.append(stream, .exact(5), EventDraft.numbered(7...8)) }
        #expect(error == .wrongExpectedVersion(stream: stream, expected: .exact(5), actual: 0))
        #expect(try await witness.readAll(.all).numbers == [0])
      }
    }

    @Test("an append that was overtaken while its outcome was open is still found, beyond the window of `any`")
    func overtaken() async throws {
      try await withProxy { proxy, store, witness in
        let stream = try Self.stream.get()
        proxy.shut(true)
        proxy.cut(.answerLost)
        async let receipt = store.append([StreamAppend(stream: stream, events: [.numbered(1)])])
        _ = try await witness.wait(for: 1)
        var number = 1000 as UInt64
        while number < 1000 + UInt64(EventLimits.idWindow) + 4096 {
          try await witness.append(try StreamName("filler-\(number % 3)"), EventDraft.numbered(number...number + 4095))
          number += 4096
        }
        proxy.shut(false)
        #expect(try await receipt.streams[0].firstPosition == 1)
        #expect(try await witness.readAll(.stream(stream)).numbers == [0, 1])
      }
    }

    @Test("a network that swallows everything is noticed, and the append completes over a new connection")
    func frozen() async throws {
      try await withProxy(statementTimeout: .milliseconds(500)) { proxy, store, witness in
        let stream = try Self.stream.get()
        proxy.cut(.frozen)
        let receipt = try await store.append([StreamAppend(stream: stream, expected: .exact(0), events: [.numbered(1)])])
        #expect(!receipt.wasKnown && receipt.streams[0].firstVersion == 1)
        #expect(try await witness.readAll(.stream(stream)).numbers == [0, 1])
      }
    }

    @Test("appends of many callers over connections that are cut again and again take place once each", arguments: [1, 2, 3] as [UInt64])
    func manyCuts(seed: UInt64) async throws {
      try await withProxy { proxy, store, witness in
        let running = SharedNumber(1)
        let callers = 16 as UInt64
        let each = 40 as UInt64
        try await withThrowingTaskGroup(of: Void.self) { group in
          for caller in 1...callers {
            group.addTask {
              let stream = try StreamName("caller-\(caller)")
              for number in 0..<each {
                let expected: ExpectedVersion = number == 0 ? .noStream : .exact(number - 1)
                let receipt = try await store.append([
                  StreamAppend(stream: stream, expected: expected, events: [.numbered(caller << 32 + number)])
                ])
                #expect(!receipt.wasKnown && receipt.streams[0].firstVersion == number)
              }
            }
          }
          group.addTask {
            var random = SeededNumbers(seed)
            let ways = [CuttingProxy.Cut.answerLost, .requestLost, .requestHalved]
            var cuts = 0
            // Again when the one before has happened: the callers' progress is the clock.
            while cuts < 8, running.value > 0 {
              proxy.cut(ways.randomElement(using: &random)!, after: Int.random(in: 0...6, using: &random))
              cuts += 1
              while proxy.cuts < cuts, running.value > 0 { await Task.yield() }
            }
          }
          for _ in 1...callers { try await group.next() }
          running.add(-1)
          try await group.waitForAll()
        }
        #expect(proxy.cuts > 3)
        for caller in 1...callers {
          #expect(try await witness.readAll(.stream(try StreamName("caller-\(caller)"))).numbers == (0..<each).map { caller << 32 + $0 })
        }
      }
    }

    @Test("a server that cannot be reached for longer than the patience: what was never sent is not there, what was sent is open")
    func patience() async throws {
      let server = try PostgresServer()
      let proxy = try CuttingProxy(server)
      defer { proxy.close() }
      var configuration = try server.configuration(host: proxy.folder)
      configuration.patience = .milliseconds(300)
      let store = try PostgresEventStore(configuration)
      let stream = try Self.stream.get()
      try await store.append(stream, [.numbered(0)])
      try server.stop()
      let error = try await storeError { try await store.append(stream, [.numbered(1)]) }
      switch error {
      case .unavailable(let text), .outcomeUnknown(let text): #expect(text.contains(proxy.folder), "\(text)")
      default: Issue.record("\(String(describing: error))")
      }
      let read = try await storeError { try await store.read(ReadRequest(.all)) }
      guard case .unavailable = read else {
        Issue.record("\(String(describing: read))")
        return
      }
      // The store lives on: each of its connections is tried again, sooner or later.
      try server.start()
      while try await storeError({ try await store.append(stream, [.numbered(1)]) }) != nil {}
      while try await storeError({ try await store.end() }) != nil {}
      #expect(try await store.readAll(.all).numbers == [0, 1])
      try await store.close()
    }
  }
#endif
