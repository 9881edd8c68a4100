import EventStoreConformance
import Foundation
import MillraceLog
import MillraceTesting
import Testing

/// A queue of messages between the host's thread and the one that works on them.
private final class Desk: @unchecked Sendable {
  private let reports = Reports<GroupMessage>()
  func take(_ message: GroupMessage) { reports.tell(message) }
  func wait(for count: Int) async { await reports.wait(for: count) }
  func work(_ each: (GroupMessage) -> Void) { for message in reports.all { each(message) } }
}

@Suite struct ArticleTests {
  @Test("the program of docs/subscriptions.md is the one that is run here, and does what the article says")
  func program() async throws {
    let article = URL(filePath: #filePath).appending(path: "../../../../docs/subscriptions.md").standardized
    let parts = try String(contentsOf: article, encoding: .utf8).components(separatedBy: "```")
    let wanted = parts[1].dropFirst("swift\n".count).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    let source = try String(contentsOf: URL(filePath: #filePath), encoding: .utf8).components(separatedBy: "// The article's" + " program.")
    #expect(source.count == 4, "two parts, between lines that say so")
    let lines = (source[1].split(separator: "\n") + source[2].split(separator: "\n")).map { $0.trimmingCharacters(in: .whitespaces) }
    #expect(lines.filter { !$0.isEmpty && !$0.hasPrefix("await ") && !$0.hasPrefix("//") } == wanted)

    let store = MemoryEventStore()
    for (id, type) in ["order-placed", "order-lost", "order-placed"].enumerated() {
      let event = EventDraft(id: EventID(high: 0, low: UInt64(id)), type: type, payload: [])
      store.append([StreamAppend(stream: try StreamName("order-\(id)"), events: [event])]) { _ in }
    }
    // The article's program.
    let host = try SubscriptionHost(threads: 1)
    let group = try PersistentGroup(GroupDefinition("mailers", SubscriptionSource(.category("order"))), store: store, host: host)
    group.start { _ in }
    let desk = Desk()
    let consumer = group.connect("mailer-1", credit: 10) { notice in
      if case .message(let message) = notice { desk.take(message) }
    }
    // The article's program.
    await desk.wait(for: 3)
    desk.work { message in
      message.event.type == "order-placed" ? consumer.acknowledge(message) : consumer.refuse(message, .park("not for us"))
    }
    // The article's program.
    await withCheckedContinuation { continuation in group.stop { continuation.resume() } }
    #expect(group.status.settled == 2 && group.status.parked == 1)
    host.stop()
  }
}
