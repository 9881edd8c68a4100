import CMillraceEmbedding
import Synchronization
import Testing

@testable import MillraceEmbedding

@Suite struct EngineFunctionTests {
  static let greeting = """
    format: 1
    workflow: greeting
    parameters:
      who: { description: Whom to greet, default: you }
    result: hello
    tasks:
      - id: hello
        handler: echo
        input: { to: "${params.who}" }
    """

  @Test("a workflow in YAML runs with a handler of C, and its output and record are given")
  func run() throws {
    let engine = try CEngine()
    #expect(engine.register("echo", echo).code == 0)
    let (said, workflow) = engine.prepare(Self.greeting)
    #expect(said.message == "")
    let first = engine.run(workflow)
    #expect(first.status == MILLRACE_RUN_COMPLETED)
    #expect(engine.output(first.run).text == #"{"to":"you"}"#)
    let second = engine.run(workflow, #"{"who": "世界"}"#)
    #expect(engine.output(second.run, of: "hello").text == #"{"to":"世界"}"#)
    var id = [CChar](repeating: 0, count: Int(MILLRACE_RUN_ID_BYTES))
    #expect(call { unsafe millrace_run_id(second.run, &id, $0) }.code == 0)
    var record = unsafe sized(millrace_bytes.self)
    #expect(call { unsafe millrace_run_record(second.run, &record, $0) }.code == 0)
    let text = unsafe String(cString: record.data.assumingMemoryBound(to: CChar.self))
    unsafe millrace_bytes_free(&record)
    #expect(unsafe record.data == nil)
    unsafe millrace_bytes_free(&record)
    #expect(text.contains(String(decoding: id.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)) && text.contains("COMPLETED"))
    #expect(millrace_workflow_release(workflow, nil) == 0)
    #expect(millrace_run_release(first.run, nil) == 0)
    #expect(millrace_run_release(second.run, nil) == 0)
  }

  @Test("the metrics count what became of runs")
  func metrics() throws {
    let engine = try CEngine()
    #expect(engine.register("echo", echo).code == 0)
    #expect(engine.register("fail", { _, _, _ in UInt32(MILLRACE_FAILED) }).code == 0)
    let good = engine.prepare(Self.greeting).workflow
    let bad = engine.prepare("format: 1\nworkflow: bad\ntasks: [{ id: a, handler: fail }]").workflow
    for _ in 0..<3 { #expect(engine.run(good).status == MILLRACE_RUN_COMPLETED) }
    #expect(engine.run(bad).status == MILLRACE_RUN_FAILED)
    var metrics = unsafe sized(millrace_metrics.self)
    #expect(call { unsafe millrace_engine_metrics(engine.handle, &metrics, $0) }.code == 0)
    #expect((metrics.runs_started, metrics.runs_completed, metrics.runs_failed, metrics.runs_cancelled) == (4, 3, 1, 0))
    #expect((metrics.threads, metrics.slots) == (2, 2))
    // A caller of an earlier version has a shorter struct, and nothing is written behind it.
    metrics.size = 8
    metrics.threads = 0
    metrics.slots = 77
    #expect(call { unsafe millrace_engine_metrics(engine.handle, &metrics, $0) }.code == 0)
    #expect((metrics.threads, metrics.slots) == (2, 77))
  }

  @Test("who started a run is told of its end once, and may release it there")
  func finished() async throws {
    let engine = try CEngine()
    #expect(engine.register("echo", echo).code == 0)
    let workflow = engine.prepare(Self.greeting).workflow
    let heard = Heard()
    var start = unsafe sized(millrace_start.self)
    unsafe start.context = heard.context
    unsafe start.finished = { context, run, status in
      let heard = unsafe Heard.from(context)
      heard.value.store(UInt64(status), ordering: .relaxed)
      if millrace_run_release(run, nil) == 0 { heard.count.wrappingAdd(1, ordering: .releasing) }
    }
    var run = millrace_run()
    for _ in 0..<50 { #expect(call { unsafe millrace_run_start(workflow, &start, &run, $0) }.code == 0) }
    #expect(await eventually { heard.count.load(ordering: .acquiring) == 50 })
    #expect(heard.value.load(ordering: .relaxed) == MILLRACE_RUN_COMPLETED)
    #expect(millrace_run_release(run, nil) == MILLRACE_BAD_HANDLE)
  }

  @Test("a run that is cancelled ends so, and a wait that is too short says that it goes on")
  func cancelled() throws {
    let engine = try CEngine()
    let workflow = engine.prepare("format: 1\nworkflow: waiting\ntasks: [{ id: a, wait: { signal: go } }]")
    #expect(workflow.said.message == "")
    var run = millrace_run()
    #expect(call { unsafe millrace_run_start(workflow.workflow, nil, &run, $0) }.code == 0)
    let late = call { unsafe millrace_run_wait(run, 1_000_000, nil, $0) }
    #expect(late.code == MILLRACE_TIMED_OUT && late.message.contains("RUNNING"))
    #expect(engine.output(run, of: "a").said.code == MILLRACE_NOT_READY)
    #expect(call { unsafe millrace_run_signal(run, "stop", "1", 1, $0) }.code == MILLRACE_NOT_FOUND)
    #expect(call { unsafe millrace_run_cancel(run, "no longer wanted", $0) }.code == 0)
    var status: UInt32 = 0
    #expect(call { unsafe millrace_run_wait(run, .max, &status, $0) }.code == 0)
    #expect(status == MILLRACE_RUN_CANCELLED)
    // Another one gets its signal.
    #expect(call { unsafe millrace_run_start(workflow.workflow, nil, &run, $0) }.code == 0)
    #expect(call { unsafe millrace_run_signal(run, "go", "[1]", 3, $0) }.message == "")
    #expect(call { unsafe millrace_run_wait(run, .max, &status, $0) }.code == 0)
    #expect(engine.output(run, of: "a").text == "[1]")
  }

  @Test("events tell of a run, its attempts, its retry and its end, with the errors")
  func events() throws {
    let heard = EventLog()
    let engine = try CEngine { configuration in
      unsafe configuration.context = unsafe heard.context
      unsafe configuration.event = { context, event in unsafe EventLog.from(context).add(event!.pointee) }
    }
    #expect(
      engine.register(
        "twice",
        { _, call, outcome in
          if unsafe call!.pointee.attempt_number == 2 { return UInt32(MILLRACE_DONE) }
          unsafe withUnsafeMutableBytes(of: &outcome!.pointee.error_type) { unsafe $0.copyBytes(from: "busy".utf8) }
          return UInt32(MILLRACE_RETRY)
        }
      ).code == 0)
    let workflow = engine.prepare("format: 1\nworkflow: w\ntasks: [{ id: a, handler: twice, retry: { attempts: 2, initial: 1ms } }]")
    #expect(engine.run(workflow.workflow).status == MILLRACE_RUN_COMPLETED)
    #expect(
      heard.lines == [
        "0 w - 0 RUNNING ", "2 w a 1 RUNNING ", "3 w a 1 FAILED busy", "4 w a 1 FAILED ", "2 w a 2 RUNNING ", "3 w a 2 COMPLETED ",
        "5 w a 0 COMPLETED ", "1 w - 0 COMPLETED ",
      ])
  }

  @Test("an engine that is drained takes no more runs; one that is destroyed leaves runs to be read")
  func ends() throws {
    let engine = try CEngine()
    #expect(engine.register("echo", echo).code == 0)
    let workflow = engine.prepare(Self.greeting).workflow
    let run = engine.run(workflow).run
    #expect(call { unsafe millrace_engine_drain(engine.handle, 60_000_000_000, $0) }.message == "")
    var other = millrace_run()
    #expect(call { unsafe millrace_run_start(workflow, nil, &other, $0) }.code == MILLRACE_CLOSED)
    #expect(call { unsafe millrace_engine_destroy(engine.handle, $0) }.message == "")
    #expect(call { unsafe millrace_engine_destroy(engine.handle, $0) }.code == MILLRACE_BAD_HANDLE)
    #expect(call { unsafe millrace_workflow_release(workflow, $0) }.code == MILLRACE_BAD_HANDLE)
    #expect(engine.output(run).text == #"{"to":"you"}"#)
    #expect(millrace_run_release(run, nil) == 0)
    #expect(engine.output(run).said.code == MILLRACE_BAD_HANDLE)
  }

  @Test("messages are published, handled by functions of C, answered, and refused where there is no room")
  func messages() async throws {
    let engine = try CEngine()
    var queue = unsafe sized(millrace_queue.self)
    unsafe queue.flags = UInt32(MILLRACE_QUEUE_REJECTS)
    unsafe queue.max_messages = 2
    #expect(call { unsafe millrace_queue_declare(engine.handle, "orders", &queue, $0) }.message == "")
    #expect(call { unsafe millrace_queue_declare(engine.handle, "orders", nil, $0) }.code == MILLRACE_EXISTS)
    #expect(call { unsafe millrace_queue_declare(engine.handle, "answers", nil, $0) }.code == 0)
    #expect(call { unsafe millrace_exchange_declare(engine.handle, "shop", UInt32(MILLRACE_EXCHANGE_TOPIC), $0) }.code == 0)
    #expect(call { unsafe millrace_bind(engine.handle, "shop", "order.*", "orders", $0) }.code == 0)
    func publish(_ text: String, exchange: String = "shop", key: String = "order.new") -> (said: Said, queues: UInt32) {
      var reached: UInt32 = 99
      let said = unsafe withCTexts([exchange, key, text, "answers"]) { texts in
        var message = unsafe sized(millrace_message.self)
        unsafe message.content_type = UInt32(MILLRACE_TEXT)
        unsafe message.exchange = texts[0]
        unsafe message.key = texts[1]
        unsafe message.payload = UnsafeRawPointer(texts[2])
        unsafe message.length = UInt64(text.utf8.count)
        unsafe message.reply_to = texts[3]
        return call { unsafe millrace_publish(engine.handle, &message, &reached, $0) }
      }
      return (said, reached)
    }
    #expect(publish("1").queues == 1)
    #expect(publish("22").queues == 1)
    #expect(publish("333").said.code == MILLRACE_FULL)
    #expect(publish("4", key: "other.new").queues == 0)
    #expect(publish("5", exchange: "nowhere").said.code == MILLRACE_NOT_FOUND)
    var figures = unsafe sized(millrace_queue_metrics.self)
    #expect(call { unsafe millrace_queue_read(engine.handle, "orders", &figures, $0) }.code == 0)
    #expect((figures.ready, figures.bytes) == (2, 3))
    let heard = Heard()
    var handler = unsafe CEngine.handler(
      "count",
      { context, call, _ in
        let call = unsafe call!.pointee
        var input = unsafe sized(millrace_input.self)
        _ = unsafe call.host.pointee.input(call.attempt, 0, &input)
        unsafe Heard.from(context).value.wrappingAdd(input.payload.length, ordering: .relaxed)
        unsafe Heard.from(context).count.wrappingAdd(1, ordering: .releasing)
        return UInt32(MILLRACE_DONE)
      })
    unsafe handler.context = unsafe heard.context
    var echoing = unsafe CEngine.handler("answer", echo)
    var subscriptions = [millrace_subscription(), millrace_subscription()]
    #expect(call { unsafe millrace_subscribe(engine.handle, "orders", &echoing, nil, &subscriptions[0], $0) }.message == "")
    #expect(call { unsafe millrace_subscribe(engine.handle, "answers", &handler, nil, &subscriptions[1], $0) }.message == "")
    #expect(await eventually { heard.count.load(ordering: .acquiring) == 2 })
    #expect(heard.value.load(ordering: .relaxed) == 3)
    #expect(call { unsafe millrace_unsubscribe(subscriptions[1], $0) }.code == 0)
    #expect(call { unsafe millrace_unsubscribe(subscriptions[1], $0) }.code == MILLRACE_BAD_HANDLE)
    #expect(
      call { unsafe millrace_subscribe(engine.handle, "nothing", &handler, nil, &subscriptions[1], $0) }.code == MILLRACE_NOT_FOUND)
    var metrics = unsafe sized(millrace_metrics.self)
    #expect(call { unsafe millrace_engine_metrics(engine.handle, &metrics, $0) }.code == 0)
    #expect((metrics.published, metrics.refused) == (2, 1))
  }
}

/// Lines of what an engine told.
final class EventLog: Sendable {
  private let texts = Mutex<[String]>([])

  var lines: [String] { texts.withLock { $0 } }
  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  static func from(_ context: UnsafeMutableRawPointer?) -> EventLog {
    unsafe Unmanaged<EventLog>.fromOpaque(context!).takeUnretainedValue()
  }

  func add(_ event: millrace_event) {
    let workflow = unsafe String(cString: event.workflow)
    let task = unsafe event.task.map { unsafe String(cString: $0) } ?? "-"
    let line =
      unsafe "\(event.kind) \(workflow) \(task) \(event.attempt) \(String(cString: event.status)) \(String(cString: event.error_type))"
    texts.withLock { $0.append(line) }
  }
}
