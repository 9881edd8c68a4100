import Foundation
import MillraceLog
import Testing

/// A directory of its own, removed at the end.
final class Folder: Sendable {
  let path: String
  init() { path = FileManager.default.temporaryDirectory.appendingPathComponent("millrace-log-\(UUID())").path }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite struct EventLogTests {
  private let folder = Folder()

  private func open(_ change: (inout EventLog.Configuration) -> Void = { _ in }) throws -> EventLog {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 1 << 20
    configuration.firstSegmentBytes = 256 << 10
    change(&configuration)
    return try EventLog(DirectoryStorage(folder.path), configuration)
  }

  @Test("what was appended is read back, after the log was opened again as well")
  func roundTrip() async throws {
    let context = EventContext(
      correlation: EventID(high: 1, low: 2), causation: EventID(high: 3, low: 4),
      trace: EventTrace(trace: EventID(high: 5, low: 6), span: 7, flags: 1))
    let draft = EventDraft(
      id: EventID(high: 9, low: 9), type: "order-placed", typeVersion: 3, contentType: "text/plain", payload: Array("hello".utf8),
      correlation: context.correlation, causation: context.causation, trace: context.trace)
    let name = try StreamName("order-1")
    var log = try open { $0.wallClock = { 1_000_000_007 } }
    let receipt = try await log.append([StreamAppend(stream: name, expected: .noStream, tenant: "acme", events: [draft])])
    #expect(receipt == AppendReceipt(streams: [.init(firstVersion: 0, lastVersion: 0, firstPosition: 0, lastPosition: 0)], wasKnown: false))
    let expected = RecordedEvent(
      position: 0, stream: name, version: 0, tenant: "acme", id: draft.id, type: "order-placed", typeVersion: 3, contentType: "text/plain",
      payload: draft.payload, correlation: context.correlation, causation: context.causation, trace: context.trace, time: 1_000_000_007)
    for _ in 0..<2 {
      for scope in [ReadRequest.Scope.stream(name), .category("order"), .all] {
        for direction in [ReadRequest.Direction.forward, .backward] {
          let page = try await log.read(ReadRequest(scope, direction))
          #expect(page.events == [expected], "\(scope) \(direction)")
          #expect(page.isLast)
        }
      }
      log.close()
      log = try open()
      #expect(log.recovery.wasClean)
      #expect(log.recovery.nextPosition == 1)
    }
    log.close()
  }

  @Test("thousands of appends go over many segments and are all there, in order, with their versions")
  func manySegments() async throws {
    var log = try open()
    let payload = Array(repeating: UInt8(7), count: 3000)
    await withTaskGroup(of: Void.self) { group in
      for writer in 0..<8 {
        group.addTask { [log] in
          for number in 0..<200 {
            let id = UInt64(writer * 1000 + number)
            do { _ = try await log.append("writer-\(writer)", .any, [id], payload: payload) } catch { Issue.record("\(error)") }
          }
        }
      }
    }
    for round in 0..<2 {
      #expect(try await log.end() == 1600)
      var next: UInt64 = 0
      var seen = 0
      while true {
        let page = try await log.read(ReadRequest(.all, from: .at(next), limit: 333))
        for (offset, event) in page.events.enumerated() { #expect(event.position == next + UInt64(offset)) }
        seen += page.events.count
        next = page.next!
        if page.isLast { break }
      }
      #expect(seen == 1600, "round \(round)")
      for writer in 0..<8 {
        let page = try await log.read(ReadRequest(.stream(StreamName("writer-\(writer)")), .backward, limit: 4096, bytes: 1 << 30))
        #expect(page.events.map(\.version) == (0..<200).reversed().map { UInt64($0) })
        #expect(page.events.map(\.id.low) == (0..<200).reversed().map { UInt64(writer * 1000 + $0) })
      }
      #expect(log.recovery.segments == (round == 0 ? 1 : 6) || round == 1 && log.recovery.segments > 3)
      log.close()
      log = try open()
    }
    log.close()
  }

  @Test("a second log in the same directory is refused with the owner's name")
  func locked() throws {
    let log = try open { $0.owner = "process 17 (first)" }
    #expect { try open() } throws: { "\($0)".contains("in use by process 17 (first)") }
    log.close()
    try open().close()
  }

  /// Not secret: shows only where the hook is called.
  private final class Turned: PayloadSeal {
    func seal(_ payload: [UInt8], stream: StreamName, id: EventID) throws(EventStoreError) -> (key: UInt32, bytes: [UInt8]) {
      (7, payload.map { ~$0 } + [UInt8(truncatingIfNeeded: id.low)])
    }
    func open(_ bytes: [UInt8], key: UInt32, stream: StreamName, id: EventID) throws(EventStoreError) -> [UInt8] {
      guard key == 7, bytes.last == UInt8(truncatingIfNeeded: id.low) else { throw .invalid("not what was sealed for event \(id)") }
      return bytes.dropLast().map { ~$0 }
    }
  }

  @Test("payloads are sealed on the disk and opened for readers who have the seal; others are told the key")
  func seals() async throws {
    let seal = Turned()
    let log = try open { $0.seal = seal }
    let payload = Array("nobody else reads this".utf8)
    _ = try await log.append("s", .any, [1, 2], payload: payload)
    #expect(try log.page(ReadRequest(.all)).events.map(\.payload) == [payload, payload])
    log.close()
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/00000000000000000001.log"))
    #expect(bytes.range(of: Data(payload)) == nil)
    #expect(bytes.range(of: Data(payload.map { ~$0 })) != nil)
    let reader = try LogReader(DirectoryStorage(folder.path, create: false, way: .sync))
    #expect { try reader.page(ReadRequest(.all)) } throws: { "\($0)".contains("sealed with key 7") }
    reader.seal = seal
    #expect(try reader.page(ReadRequest(.all)).events.map(\.payload) == [payload, payload])
  }
}
