import CMillrace
import Foundation
import MillracePluginKit
import Synchronization
import Testing

/// The kit against a host, in this process: no shared object needed. One test at a time, for a process is meant to hold one kit per plugin.
@Suite(.serialized) struct PluginKitTests {
  /// Runs `body` as the one handler of a plugin.
  private func run(_ host: TestHost, _ attempt: TestAttempt, _ body: @escaping Handler.Body) -> TestOutcome {
    let plugin = Plugin("kit", version: "1", summary: "for tests") { Handler("only", summary: "for tests", body) }
    // The description is never freed.
    return unsafe host.run(plugin.entry(MILLRACE_ABI_VERSION)!.pointee.handlers[0]!, attempt)
  }

  @Test("a plugin describes itself as the header says, and refuses another interface") func describes() throws {
    let plugin = Plugin("kit", version: "1.0", summary: "for tests", configurationSchema: "{ }") {
      Handler("a", summary: "first", inputSchema: "{}", outputSchema: "[]", blocking: true, exclusive: true, concurrency: 5) { _ in .empty }
      Handler("b", summary: "second") { _ in .empty }
    }
    #expect(unsafe plugin.entry(MILLRACE_ABI_VERSION + 1) == nil)
    let description = try unsafe #require(plugin.entry(MILLRACE_ABI_VERSION)).pointee
    #expect(unsafe description.size == 80 && description.abi_version == 1 && description.handler_count == 2)
    #expect(unsafe description.flags == UInt32(MILLRACE_PLUGIN_STAYS) && String(cString: description.name) == "kit")
    let first = try unsafe #require(description.handlers[0]).pointee
    #expect(unsafe first.size == 64 && String(cString: first.name) == "a" && String(cString: first.input_schema) == "{}")
    #expect(unsafe String(cString: first.output_schema) == "[]" && String(cString: description.configuration_schema) == "{ }")
    #expect(unsafe first.flags == UInt32(MILLRACE_BLOCKING | MILLRACE_EXCLUSIVE) && first.concurrency == 5)
    #expect(unsafe description.handlers[1]!.pointee.input_schema == nil && description.handlers[1]!.pointee.output_schema == nil)
  }

  @Test(
    "a handler of batches ends each attempt as it says, is known to the host by its table, and runs a batch of one where it is called alone"
  )
  func batches() throws {
    let plugin = Plugin("kit", version: "1", summary: "for tests") {
      Handler("alone", summary: "for tests") { _ in .empty }
      Handler("several", summary: "for tests", blocking: true, concurrency: 3, most: 16) { batch in
        for index in 0..<batch.count {
          batch.run(index) { call throws(HandlerError) in
            let text = try call.text(ofInput: 0)
            if text == "bad" { throw .failed("bad", "it is bad") }
            return .text("\(batch.count) \(text)")
          }
        }
      }
      Handler("silent", summary: "for tests", most: 2) { _ in }
    }
    let description = try unsafe #require(plugin.entry(MILLRACE_ABI_VERSION)).pointee
    let found = try unsafe #require(description.extension(MILLRACE_BATCH))
    let table = unsafe found.assumingMemoryBound(to: millrace_batch.self).pointee
    #expect(unsafe table.size == 16 && table.handler_count == 2)
    let entry = try unsafe #require(table.handlers[0]).pointee
    #expect(unsafe entry.size == 32 && entry.most == 16 && String(cString: entry.name) == "several" && entry.run != nil)
    #expect(unsafe description.handlers[1]!.pointee.flags == UInt32(MILLRACE_BLOCKING) && description.handlers[1]!.pointee.concurrency == 3)
    #expect(unsafe description.extension(MILLRACE_STATE) == nil)
    let host = TestHost()
    #expect(unsafe host.run(description.handlers[1]!, TestAttempt(host, json: "a")).output == Array("1 a".utf8))
    let bad = unsafe host.run(description.handlers[1]!, TestAttempt(host, json: "bad"))
    #expect(bad.status == UInt32(MILLRACE_FAILED) && bad.type == "bad")
    #expect(unsafe host.run(description.handlers[2]!, TestAttempt(host)).status == .max)
    host.end()
    let none = Plugin("kit", version: "1", summary: "for tests") { Handler("alone", summary: "for tests") { _ in .empty } }
    #expect(unsafe none.entry(MILLRACE_ABI_VERSION)!.pointee.extension(MILLRACE_BATCH) == nil)
  }

  @Test("what a plugin keeps is handed over in as many bytes as the host has, and a refusal has its reason") func state() throws {
    let kept = Mutex<[UInt8]>(Array(1...200))
    let plugin = Plugin(
      "kit", version: "1", summary: "for tests",
      state: PluginState(format: 7) { () throws(HandlerError) in
        let bytes = kept.withLock { $0 }
        if bytes.isEmpty { throw .failed("empty", "there is nothing") }
        return bytes
      } load: { format, bytes throws(HandlerError) in
        if format != 7 { throw .failed("format", "format \(format) is not known") }
        kept.withLock { $0 = bytes }
      }
    ) { Handler("only", summary: "for tests") { _ in .empty } }
    let description = try unsafe #require(plugin.entry(MILLRACE_ABI_VERSION)).pointee
    #expect(unsafe description.extension("millrace.none/1") == nil)
    let found = try unsafe #require(description.extension(MILLRACE_STATE))
    let table = unsafe found.assumingMemoryBound(to: millrace_state.self).pointee
    #expect(table.size == 24 && table.format == 7)
    var room = [UInt8](repeating: 0, count: 256)
    #expect(unsafe table.save(&room, 199) == 200 && room.allSatisfy { $0 == 0 }, "too little room: nothing is written")
    #expect(unsafe table.save(&room, 256) == 200 && Array(room.prefix(201)) == Array(1...200) + [0])
    var message = [CChar](repeating: 1, count: 20)
    #expect(unsafe table.load(8, room, 3, &message, 20) == -1)
    #expect(String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) == "format 8 is not kno")
    #expect(kept.withLock { $0.count } == 200)
    #expect(unsafe table.load(7, nil, 0, &message, 20) == 0 && kept.withLock { $0.isEmpty })
    let host = TestHost()
    _ = unsafe description.`init`(host.table, nil, 0)
    #expect(unsafe table.save(&room, 256) == -1)
    #expect(host.lines == ["3 the state was not saved: there is nothing"])
    #expect(unsafe table.load(7, [9, 8] as [UInt8], 2, nil, 0) == 0 && kept.withLock { $0 } == [9, 8])
    let without = Plugin("kit", version: "1", summary: "for tests") { Handler("only", summary: "for tests") { _ in .empty } }
    #expect(try unsafe #require(without.entry(MILLRACE_ABI_VERSION)).pointee.extension(MILLRACE_STATE) == nil)
    host.end()
  }

  @Test("inputs, settings, clock, log and heartbeat reach the handler") func reads() {
    let host = TestHost(settings: ["kit.key": "value"])
    let attempt = TestAttempt(
      host,
      [
        .init(name: "input", bytes: Array(#"{"a":[1,true]}"#.utf8)),
        .init(name: "before", bytes: Array("text".utf8), type: UInt32(MILLRACE_TEXT)),
        .init(name: "raw", bytes: [0xff], type: UInt32(MILLRACE_BYTES)),
      ])
    let outcome = run(host, attempt) { call throws(HandlerError) in
      #expect(call.inputCount == 3 && call.attemptNumber == 1 && call.taskKey == "run-1/a" && call.taskID == "a" && call.deadline == nil)
      let (member, name, type, text) = (
        try call.json(ofInput: 0)["a"], try call.inputName(1), try call.inputType(1), try call.text(ofInput: 1)
      )
      #expect(member == .array([.integer(1), .bool(true)]) && name == "before" && type == .text && text == "text")
      let count = try call.withBytes(ofInput: 2) { $0.count }
      #expect(count == 1)
      #expect(call.host.setting("kit.key") == "value" && call.host.setting("kit.none") == nil && call.host.now == TestHost.clock)
      #expect(call.host.name == "tests" && !call.isCancelled)
      call.host.log(.warning, "careful")
      call.heartbeat(perMille: 2_000)
      return .text(try call.text(ofInput: 2))
    }
    #expect(outcome.status == UInt32(MILLRACE_FAILED) && outcome.type == "bad-input" && outcome.message == "input 2 is not UTF-8")
    #expect(host.lines == ["2 careful"] && attempt.progress == [1_000])
    let beyond = run(host, attempt) { call throws(HandlerError) in .json("\(try call.inputName(3))") }
    #expect(beyond.type == "bad-input" && beyond.message == "there is no input 3: the task has 3")
    host.end()
  }

  @Test("a message reaches the host with all that it says, and is written in the host's memory") func publishes() {
    let host = TestHost(post: TestPost())
    var message = Message(exchange: "shop", key: "order.new")
    message.id = "i"
    message.contentType = "text/plain"
    message.replyTo = ""
    message.headers = [("kind", "x"), ("colour", "blau\u{e9}")]
    message.delay = .nanoseconds(5)
    message.timeToLive = .zero
    message.priority = 0
    message.isPersistent = false
    let whole = run(host, TestAttempt(host)) { [message] call throws(HandlerError) in .text("\(try call.publish(message, "hello") ?? -1)") }
    #expect(whole.text == "3")
    let plain = run(host, TestAttempt(host)) { call throws(HandlerError) in
      let count = try call.publish(Message(to: "orders"), bytes: 2) { bytes in
        bytes[0] = UInt8(ascii: "a")
        bytes[1] = UInt8(ascii: "b")
      }
      return .text("\(count ?? -1) \(try call.host.randomBytes(3)) \(try call.host.randomBytes(0))")
    }
    #expect(plain.text == "3 [90, 90, 90] []")
    #expect(
      host.post?.lines == [
        "claim 5 shop,order.new,i,text/plain,-, kind,x,colour,blau\u{e9} [88, 3, 5, 1, 0]", "publish hello",
        "claim 2 -,orders,-,-,-,-  [88, 0, 0, 0, 0]", "publish ab",
      ])
    let cut = run(host, TestAttempt(host)) { call throws(HandlerError) in .text("\(try call.publish(Message(to: "a\0b"), "") ?? -1)") }
    #expect(cut.type == "bad-message" && host.post?.lines.count == 4)
    host.end()
  }

  @Test(
    "a message that is refused is dropped once, and fails or retries by its code",
    arguments: [
      (0, 1, "nil", UInt32(MILLRACE_DONE)), (0, 2, "unroutable", UInt32(MILLRACE_FAILED)), (0, 3, "not-published", UInt32(MILLRACE_RETRY)),
      (4, 0, "not-published", UInt32(MILLRACE_RETRY)), (5, 0, "bad-message", UInt32(MILLRACE_FAILED)),
      (6, 0, "no-exchange", UInt32(MILLRACE_FAILED)), (7, 0, "too-large", UInt32(MILLRACE_FAILED)),
      (8, 0, "not-published", UInt32(MILLRACE_RETRY)), (9, 0, "cancelled", UInt32(MILLRACE_CANCELLED)),
      (0, 10, "not-published", UInt32(MILLRACE_RETRY)), (0, 99, "not-published", UInt32(MILLRACE_RETRY)),
    ])
  func refusals(_ claim: Int, _ publish: Int, _ word: String, _ status: UInt32) {
    let host = TestHost(post: TestPost(claim: claim, publish: publish))
    let outcome = run(host, TestAttempt(host)) { call throws(HandlerError) in
      .text(try call.publish(Message(to: "orders"), "x").map { "\($0)" } ?? "nil")
    }
    #expect(outcome.status == status && (status == UInt32(MILLRACE_DONE) ? outcome.text : outcome.type) == word)
    #expect(host.post?.lines.filter { $0 == "drop x" }.count == (publish > 1 ? 1 : 0))
    host.end()
  }

  @Test("without a broker or randomness of the host the attempt says so") func withoutExtensions() {
    let host = TestHost()
    let message = run(host, TestAttempt(host)) { call throws(HandlerError) in .text("\(try call.publish(Message(to: "a"), "") ?? 0)") }
    #expect(message.type == "no-broker")
    let random = run(host, TestAttempt(host)) { call throws(HandlerError) in .bytes(try call.host.randomBytes(1)) }
    #expect(random.type == "no-random")
    host.end()
  }

  @Test("outputs arrive with their type; claims are written in place and may be shortened") func writes() {
    let host = TestHost()
    let json = run(host, TestAttempt(host)) { _ in .json("[1]") }
    #expect(json.status == UInt32(MILLRACE_DONE) && json.text == "[1]" && json.outputType == UInt32(MILLRACE_JSON))
    let bytes = run(host, TestAttempt(host)) { _ in .bytes([1, 2]) }
    #expect(bytes.output == [1, 2] && bytes.outputType == UInt32(MILLRACE_BYTES))
    #expect(run(host, TestAttempt(host)) { _ in .empty }.output == [])
    let claimed = run(host, TestAttempt(host)) { call throws(HandlerError) in
      var claim = try call.claim(bytes: 16, as: .text)
      claim.withBytes { bytes in
        for index in 0..<3 { bytes[index] = UInt8(ascii: "x") }
      }
      return claim.output(length: 3)
    }
    #expect(claimed.text == "xxx" && claimed.outputType == UInt32(MILLRACE_TEXT))
    let large = run(host, TestAttempt(host)) { call throws(HandlerError) in try call.claim(bytes: 17 << 20, as: .bytes).output(length: 0) }
    #expect(large.type == "too-large")
    host.end()
  }

  @Test("errors arrive with kind, type, message, wait and details; long texts end at a whole character") func fails() {
    let host = TestHost()
    let failed = run(host, TestAttempt(host)) { _ throws(HandlerError) in throw .failed("bad", "why", details: .json("{}")) }
    #expect(
      failed.status == UInt32(MILLRACE_FAILED) && failed.type == "bad" && failed.message == "why" && failed.details == Array("{}".utf8))
    let retry = run(host, TestAttempt(host)) { _ throws(HandlerError) in throw .retry("busy", "later", after: .milliseconds(1500)) }
    #expect(retry.status == UInt32(MILLRACE_RETRY) && retry.retryAfter == 1_500_000_000)
    let cancelled = run(host, TestAttempt(host)) { _ throws(HandlerError) in throw .cancelled }
    #expect(cancelled.status == UInt32(MILLRACE_CANCELLED))
    for shift in 0..<4 {
      let text = String(repeating: "a", count: shift) + String(repeating: "\u{1F600}", count: 2_000)
      let long = run(host, TestAttempt(host)) { _ throws(HandlerError) in throw .failed(text, text) }
      #expect(text.hasPrefix(long.message) && (4_092...4_095).contains(long.message.utf8.count))
      #expect(text.hasPrefix(long.type) && (60...63).contains(long.type.utf8.count))
    }
    #expect(run(host, TestAttempt(host)) { _ throws(HandlerError) in throw .failed("a", "b\0c") }.message == "b c")
    host.end()
  }

  @Test("a pending attempt is completed once, later, from any thread; dropping its completion fails it") func completes() {
    final class Box: Sendable {
      let completion = Mutex<Completion?>(nil)
    }
    let host = TestHost()
    let box = Box()
    let attempt = TestAttempt(host)
    let pending = run(host, attempt) { call throws(HandlerError) in
      try call.later { completion in
        var kept: Completion? = consume completion
        box.completion.withLock { swap(&$0, &kept) }
      }
    }
    #expect(pending.status == UInt32(MILLRACE_PENDING) && host.ended(1) == nil)
    DispatchQueue.concurrentPerform(iterations: 1) { _ in
      let completion = box.completion.withLock { $0.take() }
      #expect(completion?.finish(.text("done")) == true)
    }
    #expect(host.ended(1)?.text == "done" && host.ended(1)?.status == UInt32(MILLRACE_DONE) && host.ended(1)?.delay == nil)

    _ = run(host, attempt) { call throws(HandlerError) in try call.later { $0.fail(.retry("busy", "x"), after: .seconds(2)) } }
    #expect(host.ended(2)?.status == UInt32(MILLRACE_RETRY) && host.ended(2)?.delay == 2_000_000_000)
    _ = run(host, attempt) { call throws(HandlerError) in try call.later { _ in } }
    #expect(host.ended(3)?.status == UInt32(MILLRACE_FAILED) && host.ended(3)?.type == "abandoned")
    _ = run(host, attempt) { call throws(HandlerError) in
      try call.later { completion in _ = completion.finish(.bytes([UInt8](repeating: 0, count: 17 << 20))) }
    }
    #expect(host.ended(4)?.type == "too-large")
    host.end()
  }

  @Test("starting may refuse with a reason; stopping is called at the end") func starts() throws {
    final class Count: Sendable { let stops = Atomic(0) }
    let count = Count()
    let host = TestHost(settings: ["kit.fail": "no"])
    let plugin = Plugin(
      "kit", version: "1", summary: "s",
      starting: { host throws(HandlerError) in
        host.log(.notice, "starting")
        if host.setting("kit.fail") != nil { throw .failed("no", "kit.fail is set") }
      },
      stopping: { count.stops.add(1, ordering: .relaxed) },
      handlers: { Handler("a", summary: "s") { _ in .empty } })
    let description = try unsafe #require(plugin.entry(MILLRACE_ABI_VERSION)).pointee
    var message = [CChar](repeating: 1, count: 8)
    #expect(unsafe description.`init`(host.table, &message, message.count) != 0)
    #expect(message.map(UInt8.init(bitPattern:)) == Array("kit.fai\0".utf8))
    #expect(host.lines == ["1 starting"] && count.stops.load(ordering: .relaxed) == 0)

    let willing = TestHost()
    #expect(unsafe description.`init`(willing.table, &message, message.count) == 0)
    unsafe description.`deinit`()
    #expect(willing.lines == ["1 starting"] && count.stops.load(ordering: .relaxed) == 1)
    willing.end()
    host.end()
  }
}

@Suite struct PluginJSONTests {
  private func parse(_ text: String) throws(JSONFault) -> JSON { try JSON(parsing: text.utf8Span.span) }

  @Test("values are read as written") func reads() throws {
    #expect(
      try parse(#" {"a" : [1, -2.5e1, "x\u00e9\ud83d\ude00\n", true, null, {}] , "b":9223372036854775807} "#)
        == .object([
          .init(name: "a", value: .array([.integer(1), .number(-25), .string("x\u{e9}\u{1f600}\n"), .bool(true), .null, .object([])])),
          .init(name: "b", value: .integer(.max)),
        ]))
    #expect(try parse("9223372036854775808") == .number(9_223_372_036_854_775_808))
    #expect(try parse(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)).array?.count == 1)
  }

  @Test(
    "what is not JSON is refused with its place",
    arguments: [
      ("", 0), ("[1,]", 3), (#"{"a":1,}"#, 7), ("01", 1), ("-", 1), ("1.", 2), ("1e", 2), ("tru", 3), ("[1 2]", 3), ("\"a", 2),
      ("\"\u{1}\"", 1),
      (#""\x""#, 3), (#""\ud800""#, 7), (#""\udc00""#, 7), (#""\u12g4""#, 5), ("1e999", 0), ("nulll", 4), (#"{1:2}"#, 1),
      (String(repeating: "[", count: 65), 64),
    ]) func refuses(_ text: String, _ offset: Int)
  {
    #expect(throws: JSONFault.self) { try parse(text) }
    do throws(JSONFault) { _ = try parse(text) } catch { #expect(error.offset == offset, "\(text): \(error)") }
  }

  @Test("bytes that are not UTF-8 are refused") func notUTF8() {
    let bytes: [UInt8] = [0x22, 0xff, 0x22]
    #expect(throws: JSONFault.self) { try JSON(parsing: bytes.span) }
  }

  @Test("what is written is read back") func writes() throws {
    let nasty = "quote\" back\\ line\n nul\u{0} tab\t \u{1f} \u{e9} \u{1f600}"
    var json = JSONWriter()
    json.beginObject()
    json.name(nasty)
    json.beginArray()
    json.value(nasty)
    json.value(-7)
    json.value(true)
    json.null()
    json.beginObject()
    json.endObject()
    json.endArray()
    json.name("b")
    json.value(UInt64.max)
    json.endObject()
    let parsed = try JSON(parsing: json.bytes.span)
    #expect(parsed[nasty] == .array([.string(nasty), .integer(-7), .bool(true), .null, .object([])]))
    #expect(parsed["b"] == .number(Double(UInt64.max)))
  }
}
