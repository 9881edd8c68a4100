import MillraceLog
import MillraceSimulation
import Testing

@Suite struct VersionTests {
  private func open() throws -> EventLog {
    var configuration = EventLog.Configuration()
    configuration.hasThreads = false
    return try EventLog(SimulatedDisk(), configuration)
  }

  @Test("an append takes place only if its streams are as expected, and else nowhere")
  func expectations() async throws {
    let log = try open()
    defer { log.close() }
    func refused(_ expected: ExpectedVersion, _ actual: UInt64?, _ stream: String, id: UInt64) async throws {
      let name = try StreamName(stream)
      await #expect(throws: EventStoreError.wrongExpectedVersion(stream: name, expected: expected, actual: actual)) {
        try await log.append(stream, expected, [id])
      }
    }
    try await refused(.streamExists, nil, "s", id: 1)
    try await refused(.exact(0), nil, "s", id: 1)
    _ = try await log.append("s", .noStream, [1])
    try await refused(.noStream, 0, "s", id: 2)
    try await refused(.exact(1), 0, "s", id: 2)
    #expect(try await log.append("s", .exact(0), [2]).streams[0].firstVersion == 1)
    try await refused(.exact(0), 1, "s", id: 3)
    #expect(try await log.append("s", .streamExists, [3]).streams[0].firstVersion == 2)
    // Over two streams, of which the second is not as expected.
    let parts = try ["new", "s"].enumerated().map { index, name in
      StreamAppend(
        stream: try StreamName(name), expected: .noStream,
        events: [EventDraft(id: EventID(high: 1, low: UInt64(index)), type: "t", payload: [])])
    }
    await #expect(throws: EventStoreError.self) { try await log.append(parts) }
    #expect(try await log.end() == 3)
    #expect(try log.page(ReadRequest(.stream(StreamName("new")))).lastVersion == nil)
  }

  @Test("an append that is repeated is answered as the first time", arguments: [ExpectedVersion.any, .streamExists, .noStream, .exact(1)])
  func repetitions(_ expected: ExpectedVersion) async throws {
    let log = try open()
    defer { log.close() }
    if expected != .noStream { _ = try await log.append("s", .any, [1, 2]) }
    let first = try await log.append("s", expected, [8, 9])
    _ = try await log.append("s", .any, [10])
    let again = try await log.append("s", expected, [8, 9])
    #expect(again.wasKnown && !first.wasKnown && again.streams == first.streams)
    await #expect(throws: EventStoreError.self) { try await log.append("s", expected, [9, 20]) }
    #expect(try await log.end() == (expected == .noStream ? 3 : 5))
  }
}
