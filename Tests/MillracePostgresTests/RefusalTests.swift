#if Postgres
  import EventStoreConformance
  import Foundation
  import MillraceLog
  import MillracePostgres
  import Testing

  /// What a store says to a server, a database or a configuration that it cannot work with.
  @Suite(.needsPostgres, .serialized) struct RefusalTests {
    /// The error of opening a store.
    private func refusal(_ configuration: PostgresConfiguration) throws -> EventStoreError? {
      do throws(EventStoreError) {
        let store = try PostgresEventStore(configuration)
        store.close { _ in }
        return nil
      } catch {
        return error
      }
    }

    private func expect(_ error: EventStoreError?, _ words: String..., location: SourceLocation = #_sourceLocation) {
      let text = error.map { "\($0)" } ?? "no error"
      for word in words { #expect(text.contains(word), "\(text)", sourceLocation: location) }
      #expect(!text.contains("hunter2"), "\(text)", sourceLocation: location)
    }

    @Test("a wrong password is refused with what to do, and no password is in any text, right or wrong")
    func password() throws {
      let server = try PostgresServer(access: "local all app scram-sha-256\nlocal all all trust\n")
      try server.sql("create role app login password 'right-hunter2'")
      try server.sql("create database app owner app")
      let place = "host=\(server.folder) user=app dbname=app"
      let wrong = try PostgresConfiguration("\(place) password=hunter2-wrong")
      expect(try refusal(wrong), "password", "app", "pg_hba.conf")
      expect(try refusal(try PostgresConfiguration(place)), "password")
      let right = try PostgresConfiguration("\(place) password=right-hunter2")
      #expect(try refusal(right) == nil)
      for configuration in [wrong, right] {
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(configuration)", String(reflecting: configuration), dumped] { #expect(!text.contains("hunter2"), "\(text)") }
      }
      let url = try PostgresConfiguration("postgresql://app:hunter2-wrong@/app?host=\(server.folder.replacing("/", with: "%2F"))")
      expect(try refusal(url), "password")
    }

    @Test(
      "a connection that cannot be read is refused without being repeated",
      arguments: [
        "postgresql://app:hunter2@host:port:1/db?x", "host=a password='hunter2", "hunter2", "postgresql://app:hunter2@[::1/db",
        "a\0hunter2",
      ])
    func connection(text: String) {
      let error = #expect(throws: EventStoreError.self) { try PostgresConfiguration(text) }
      expect(error, "postgresql://")
    }

    @Test("a server that is not there, a database that is not there, a name that is no schema: each is told apart, with what to do")
    func absent() throws {
      let server = try PostgresServer.shared.get()
      var away = try PostgresConfiguration("host=/nowhere-at-all user=postgres")
      away.connectTimeout = .seconds(2)
      expect(try refusal(away), "/nowhere-at-all", "does not work")
      expect(try refusal(try PostgresConfiguration(server.connection(database: "nothing"))), "nothing", "does not exist")
      for schema in ["", "Upper", "a-b", "1a", "a\"; drop", String(repeating: "a", count: 41)] {
        var configuration = try server.configuration()
        configuration.schema = schema
        expect(try refusal(configuration), "a-z")
      }
      var unmigrated = try server.configuration()
      unmigrated.migrates = false
      expect(try refusal(unmigrated), "migrates")
    }

    @Test("a schema that a newer program has made is refused by its number, when a store is opened and when it connects again")
    func newer() async throws {
      let server = try PostgresServer()
      let configuration = try server.configuration()
      let store = try PostgresEventStore(configuration)
      try await store.append(try StreamName("a"), [.numbered(1)])
      try server.sql("insert into \(configuration.schema).migrations (number, name) values (1000, 'of the future')")
      expect(try refusal(configuration), "version 1000", "newer")
      var reading = configuration
      reading.migrates = false
      expect(try refusal(reading), "version 1000", "newer")
      try await store.close()
      var impatient = configuration
      impatient.patience = .seconds(60)
      try server.sql("delete from \(configuration.schema).migrations where number = 1000")
      let again = try PostgresEventStore(impatient)
      try server.sql("insert into \(configuration.schema).migrations (number, name) values (1000, 'of the future')")
      try server.stop("fast")
      try server.start()
      let error = try await storeError { try await again.append(try StreamName("a"), [.numbered(2)]) }
      expect(error, "version 1000")
      try await again.close()
    }

    @Test("a server without fsync is refused, unless that is asked for")
    func fsync() throws {
      let server = try PostgresServer(settings: ["fsync = off"])
      var configuration = try server.configuration()
      expect(try refusal(configuration), "fsync")
      configuration.requiresSync = false
      #expect(try refusal(configuration) == nil)
    }

    @Test("a database of another encoding is refused")
    func encoding() throws {
      let server = try PostgresServer.shared.get()
      try server.sql("create database latin encoding 'LATIN1' locale 'C' template template0")
      expect(try refusal(try PostgresConfiguration(server.connection(database: "latin"))), "LATIN1", "UTF8")
    }

    @Test("a statement that waits for longer than it may is refused, nothing is appended, and the store goes on")
    func statementTimeout() async throws {
      let server = try PostgresServer.shared.get()
      var configuration = try server.configuration()
      configuration.statementTimeout = .milliseconds(300)
      let store = try PostgresEventStore(configuration)
      let stream = try StreamName("a")
      try await store.append(stream, [.numbered(1)])
      // Somebody holds the row that every append changes.
      let holder = Holder(server, "begin; update \(configuration.schema).head set position = position;", "rollback;")
      try holder.hold()
      let appends = (2...4 as ClosedRange<UInt64>).map { StreamAppend(stream: stream, events: [.numbered($0)]) }
      let errors = try await withThrowingTaskGroup(of: EventStoreError?.self) { group in
        for append in appends { group.addTask { try await storeError { try await store.append([append]) } } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      for error in errors { expect(error, "statement timeout", "statementTimeout") }
      #expect(errors.count == 3)
      // Reading goes on meanwhile.
      #expect(try await store.readAll(.all).numbers == [1])
      holder.release()
      try await store.append(stream, .exact(0), [.numbered(5)])
      #expect(try await store.readAll(.all).numbers == [1, 5])
      try await store.close()
    }

    @Test("more appends, reads and waits than the store takes are `busy`, and those that it took complete")
    func busy() async throws {
      let server = try PostgresServer.shared.get()
      var configuration = try server.configuration()
      configuration.queuedAppends = 10
      configuration.queuedReads = 5
      configuration.waits = 3
      let store = try PostgresEventStore(configuration)
      let stream = try StreamName("a")
      try await store.append(stream, [.numbered(0)])
      let holder = Holder(server, "begin; lock table \(configuration.schema).head;", "rollback;")
      try holder.hold()
      let outcomes = Outcomes()
      for number in 1...15 as ClosedRange<UInt64> {
        store.append([StreamAppend(stream: stream, events: [.numbered(number)])]) { outcomes.add("append", $0.map { _ in () }) }
      }
      for _ in 1...8 { store.end { outcomes.add("end", $0.map { _ in () }) } }
      for _ in 1...5 { store.await(1 << 40) { outcomes.add("wait", $0.map { _ in () }) } }
      #expect(outcomes.busy("append") == 5 && outcomes.busy("end") == 3 && outcomes.busy("wait") == 2)
      holder.release()
      try await store.close()
      #expect(outcomes.count("append") == 15 && outcomes.busy("append") == 5 && outcomes.done("append") == 10)
      #expect(outcomes.count("end") == 8 && outcomes.done("end") == 5)
      #expect(outcomes.count("wait") == 5)
    }

    @Test("a store larger than its room for bytes takes one append at a time")
    func bytes() async throws {
      let server = try PostgresServer.shared.get()
      var configuration = try server.configuration()
      configuration.queuedBytes = 1000
      let store = try PostgresEventStore(configuration)
      let payload = String(repeating: "x", count: 900)
      let outcomes = Outcomes()
      let holder = Holder(server, "begin; lock table \(configuration.schema).head;", "rollback;")
      try holder.hold()
      for number in 1...3 as ClosedRange<UInt64> {
        store.append([StreamAppend(stream: try StreamName("a"), events: [.numbered(number, "t", payload)])]) {
          outcomes.add("append", $0.map { _ in () })
        }
      }
      holder.release()
      try await store.close()
      #expect(outcomes.busy("append") == 2 && outcomes.done("append") == 1)
    }
  }
#endif
