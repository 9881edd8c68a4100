import Foundation
import Millrace
import Testing

/// Durable queues of an engine.
@Suite struct EngineQueueTests {
  @Test("what was confirmed in an engine's durable queue is consumed by the next engine of its directory")
  func again() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-queues-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var configuration = Engine.Configuration()
    configuration.capacity = 10_000
    configuration.data = folder
    var queue = QueueConfiguration()
    queue.isDurable = true
    let name = try BrokerName("orders")
    do {
      let engine = try Engine(configuration)
      try engine.broker.declare(queue: name, queue)
      var publisher = try engine.broker.makePublisher()
      for text in ["a", "b"] { _ = try publisher.publish(Array(text.utf8).span, Envelope(to: name)) }
      let told = publisher.confirms
      let confirms = try #require(told)
      #expect(confirms.wait(for: 2, nanoseconds: 60_000_000_000) && confirms.failed.isEmpty)
      engine.shutdown()
    }
    let engine = try Engine(configuration)
    var receiver = try engine.broker.makeReceiver(name)
    var seen: [String] = []
    try receiver.receive { message in
      seen.append(String(decoding: message.copy(), as: UTF8.self))
      return .acknowledge
    }
    #expect(seen == ["a", "b"])
  }

  @Test("a durable queue is refused where nothing is kept, with what to do")
  func refused() throws {
    var configuration = Engine.Configuration()
    configuration.capacity = 10_000
    let engine = try Engine(configuration)
    var queue = QueueConfiguration()
    queue.isDurable = true
    let name = try BrokerName("orders")
    #expect(throws: BrokerError.noJournal(name)) { try engine.broker.declare(queue: name, queue) }
    engine.shutdown()
  }
}
