import Foundation
import MillraceBroker
import Testing

@testable import Millrace

/// A handler of a plugin in C consumes messages: it reads them where their publisher wrote them, and ends them as it ends tasks.
@Suite(.timeLimit(.minutes(5))) struct PluginConsumeTests {
  /// `reads/look` ends as the first byte of its input says, and logs each call: that byte, where the input lies, and whether there is a deadline.
  private static let source = #"""
    #include <millrace/plugin.h>
    #include <stdio.h>
    #include <string.h>

    static uint32_t run(void *context, const millrace_call *call, millrace_outcome *outcome) {
      (void)context;
      millrace_input input = {.size = sizeof input};
      char line[128];
      if (call->host->input(call->attempt, 0, &input) != 0 || input.payload.length == 0) return outcome->status = MILLRACE_FAILED;
      const char word = *(const char *)input.bytes;
      (void)snprintf(line, sizeof line, "%c %zu %d", word, (size_t)input.bytes, call->deadline != 0);
      call->host->log(call->host, MILLRACE_LOG_NOTICE, line);
      switch (word) {
        case 'r': /* at once, then as the queue says */
          outcome->retry_after = 1;
          return outcome->status = MILLRACE_RETRY;
        case 'f':
          (void)strcpy(outcome->error_type, "hopeless");
          return outcome->status = MILLRACE_FAILED;
        case 't': /* until its time is over, or the engine stops */
          while (!call->host->cancelled(call->attempt)) {}
          return outcome->status = MILLRACE_CANCELLED;
        case 'c': return outcome->status = MILLRACE_CANCELLED;
        default: return outcome->status = MILLRACE_DONE;
      }
    }

    static const millrace_handler look = {.size = sizeof look, .name = "look", .summary = "looks", .flags = MILLRACE_BLOCKING, .run = run};
    static const millrace_handler *const handlers[] = {&look};
    static const millrace_plugin plugin = {
        .size = sizeof plugin, .abi_version = MILLRACE_ABI_VERSION, .name = "reads", .version = "1",
        .summary = "reads messages", .handlers = handlers, .handler_count = 1};
    MILLRACE_MANIFEST();
    MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version);
    const millrace_plugin *millrace_plugin_entry(uint32_t version) { return version == MILLRACE_ABI_VERSION ? &plugin : NULL; }
    """#

  /// What was logged of messages that begin with this byte.
  private func calls(_ word: String, of built: BuiltPlugin) -> [String] { built.notes.all.filter { $0.hasPrefix(word + " ") } }

  @Test("the address that it sees is the publisher's, in each of four queues") func byPointer() async throws {
    let bed = try BuiltPlugin(Self.source)
    let names = (0..<4).map { "queue-\($0)" }
    let all = try bed.engine.broker.declare(exchange: BrokerName("all"), .fanout)
    for name in names {
      try queue(name, on: bed.engine)
      try bed.engine.broker.bind(Binding(BrokerName("all"), to: .queue(BrokerName(name))))
      try bed.engine.consume(name, handler: "reads/look")
    }
    var publisher = try bed.engine.broker.makePublisher()
    var draft = try publisher.claim(100_000, Envelope(to: all))
    draft.withBytes { $0[0] = UInt8(ascii: "d") }
    let address = unsafe UInt(bitPattern: draft.payload.baseAddress)
    guard case .accepted(let receipt) = publisher.publish(draft) else {
      Issue.record("a message was refused")
      return
    }
    #expect(receipt.queues == 4)
    #expect(await bed.notes.reach(4))
    #expect(bed.notes.all == Array(repeating: "d \(address) 0", count: 4))
    for name in try names.map({ try BrokerName($0) }) {
      #expect(try await eventually { try bed.engine.broker.statistics(of: name).left == [.acknowledged: 1] })
    }
    bed.engine.shutdown()
  }

  @Test("done, retry, failed, cancelled and a time that is over end the message as they end a task") func outcomes() async throws {
    let bed = try BuiltPlugin(Self.source)
    let work = try BrokerName("work")
    try queue("dead", on: bed.engine)
    try queue("work", on: bed.engine) {
      $0.deliveryLimit = 2
      $0.deadLetters = (try? BrokerName("dead")).map { .queue($0) }
    }
    var options = ConsumeOptions()
    options.timeout = .milliseconds(20)
    let consumer = try bed.engine.consume("work", handler: "reads/look", options)
    for word in ["d", "r", "f", "t"] { try await bed.engine.publish(.text(word), to: "work") }
    // Two failures are let pass, the third is one too many; what is hopeless is not tried again.
    #expect(try await eventually { try bed.engine.broker.statistics(of: BrokerName("dead")).ready == 3 })
    let expected: [QueueExit: UInt64] = [.acknowledged: 1, .rejected: 1, .deliveryLimit: 2]
    #expect(try await eventually { try bed.engine.broker.statistics(of: work).left == expected })
    #expect(
      calls("d", of: bed).count == 1 && calls("f", of: bed).count == 1 && calls("r", of: bed).count == 3 && calls("t", of: bed).count == 3)
    #expect(bed.notes.all.allSatisfy { $0.hasSuffix(" 1") }, "each call has a deadline")
    var reasons: [String] = []
    var receiver = try bed.engine.broker.makeReceiver(BrokerName("dead"))
    try receiver.receive { message in
      reasons.append("\(String(decoding: message.copy(), as: UTF8.self)) \(message.deaths.last.map { "\($0.reason)" } ?? "")")
      return .acknowledge
    }
    #expect(reasons.sorted() == ["f rejected", "r deliveryLimit", "t deliveryLimit"])
    // Stopped by itself: it goes back, and nothing has failed.
    try await bed.engine.publish(.text("c"), to: "work")
    #expect(await eventually { calls("c", of: bed).count > 3 })
    consumer.close()
    #expect(try await eventually { try bed.engine.broker.statistics(of: work).unacknowledged == 0 })
    #expect(try bed.engine.broker.statistics(of: work).ready == 1)
    bed.engine.shutdown()
  }

  @Test("a message of a higher priority is handled before those that wait") func priorities() async throws {
    let bed = try BuiltPlugin(Self.source) { $0.slots = 1 }
    try queue("work", on: bed.engine)
    for (word, priority) in [("l", 0), ("n", 1), ("h", 2), ("x", 3)] {
      try await bed.engine.publish(.text(word), to: "work") { $0.priority = UInt8(priority) }
    }
    var options = ConsumeOptions()
    options.concurrency = 1
    try bed.engine.consume("work", handler: "reads/look", options)
    #expect(await bed.notes.reach(4))
    #expect(bed.notes.all.map { String($0.prefix(1)) } == ["x", "h", "n", "l"])
    bed.engine.shutdown()
  }
}
