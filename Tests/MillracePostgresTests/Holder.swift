#if Postgres
  import Foundation
  import MillraceLog
  import Synchronization

  /// A session of psql that holds a lock until it is told to give it back.
  final class Holder {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let taking: String
    private let giving: String

    init(_ server: PostgresServer, _ taking: String, _ giving: String) {
      self.taking = taking
      self.giving = giving
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["psql", "-X", "-q", "-A", "-t", "-d", server.connection()]
      process.currentDirectoryURL = URL(fileURLWithPath: "/")
      process.standardInput = input
      process.standardOutput = output
    }

    /// Returns when it has the lock.
    func hold() throws {
      try process.run()
      try input.fileHandleForWriting.write(contentsOf: Data((taking + " select 'held';\n").utf8))
      while true {
        let bytes = output.fileHandleForReading.availableData
        if bytes.isEmpty { throw Failed("psql has ended") }
        if String(decoding: bytes, as: UTF8.self).contains("held") { return }
      }
    }

    func release() {
      try? input.fileHandleForWriting.write(contentsOf: Data((giving + "\n").utf8))
      input.fileHandleForWriting.closeFile()
      process.waitUntilExit()
    }
  }

  /// A number that tasks share.
  final class SharedNumber: Sendable {
    private let number: Atomic<Int>

    init(_ number: Int = 0) { self.number = Atomic(number) }

    var value: Int { number.load(ordering: .sequentiallyConsistent) }
    func add(_ difference: Int) { number.add(difference, ordering: .sequentiallyConsistent) }
  }

  /// What completions were called with, by what they belong to.
  final class Outcomes: Sendable {
    private let results = Mutex<[(what: String, error: EventStoreError?)]>([])

    func add(_ what: String, _ result: Result<Void, EventStoreError>) {
      let error: EventStoreError? = if case .failure(let error) = result { error } else { nil }
      results.withLock { $0.append((what, error)) }
    }

    func count(_ what: String) -> Int { results.withLock { $0.count { $0.what == what } } }
    func busy(_ what: String) -> Int { results.withLock { $0.count { $0.what == what && $0.error == .busy } } }
    func done(_ what: String) -> Int { results.withLock { $0.count { $0.what == what && $0.error == nil } } }
  }
#endif
