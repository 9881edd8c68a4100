#if Services
  import InMemoryLogging
  import InMemoryTracing
  import Instrumentation
  import Logging
  import MetricsTestKit
  import Millrace
  import MillraceTesting
  import Testing
  import Tracing

  @testable import MillraceServices

  @Suite struct InstrumentsTests {
    private static let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    /// A task that fails once and is tried again, one that completes, one that fails for good, and one behind it.
    private static func workflow() -> Definition {
      var workflow = Definition("orders", onFailure: .continue)
      let check = workflow.task("check", handler: "flaky", retry: RetryPolicy(attempts: 2))
      let charge = workflow.task("charge", handler: "broken", dependencies: [check])
      workflow.task("ship", handler: "flaky", dependencies: [charge])
      return workflow
    }

    private static func engine(_ instruments: Instruments) throws -> TestEngine {
      let engine = try TestEngine(observer: instruments)
      try engine.mock(
        "flaky", [.failing(TaskFailure("away", "nobody is there", retryAfter: .seconds(2))), .payload(.empty).after(.seconds(3))])
      try engine.mock("broken", [.failing(TaskFailure("declined", "no money", isRetryable: false))])
      return engine
    }

    // MARK: Metrics

    @Test("counters, meters and durations of a run have the names and outcomes that are promised, and what is active is 0 in the end")
    func metrics() throws {
      let metrics = TestMetrics()
      let engine = try Self.engine(Instruments(metrics: metrics))
      let run = try engine.start(Self.workflow())
      #expect(try metrics.expectMeter("millrace_tasks_unfinished").lastValue == 3)
      #expect(try metrics.expectMeter("millrace_workflows_active").lastValue == 1)
      #expect(try run.finish() == .failed)
      func total(_ name: String, _ outcome: String? = nil) throws -> Int64 {
        try metrics.expectCounter(name, outcome.map { [("outcome", $0)] } ?? []).totalValue
      }
      #expect(try total("millrace_workflows_started_total") == 1)
      #expect(try total("millrace_workflows_finished_total", "failed") == 1)
      #expect(try total("millrace_workflows_finished_total", "completed") == 0)
      #expect(try total("millrace_tasks_finished_total", "completed") == 1)
      #expect(try total("millrace_tasks_finished_total", "failed") == 1)
      #expect(try total("millrace_tasks_finished_total", "skipped") == 1)
      #expect(try total("millrace_attempts_finished_total", "completed") == 1)
      #expect(try total("millrace_attempts_finished_total", "failed") == 2)
      #expect(try total("millrace_retries_total") == 1)
      for meter in ["millrace_workflows_active", "millrace_tasks_unfinished", "millrace_attempts_active"] {
        #expect(try metrics.expectMeter(meter).lastValue == 0)
      }
      #expect(try metrics.expectTimer("millrace_workflow_duration_seconds").values == [5_000_000_000])
      #expect(try metrics.expectTimer("millrace_attempt_duration_seconds", [("handler", "flaky")]).values == [0, 3_000_000_000])
      #expect(try metrics.expectTimer("millrace_attempt_duration_seconds", [("handler", "broken")]).values == [0])
      #expect(try metrics.expectTimer("millrace_attempt_schedule_to_start_seconds", [("handler", "flaky")]).values == [0, 0])
      #expect(try metrics.expectTimer("millrace_attempt_schedule_to_start_seconds", [("handler", "broken")]).values == [0])
    }

    @Test("a run that is not taken is counted as refused, and leaves nothing behind")
    func refused() throws {
      let metrics = TestMetrics()
      var configuration = Engine.Configuration()
      configuration.instrument(with: Instruments(metrics: metrics))
      configuration.capacity = 2
      let engine = try Engine(configuration)
      try engine.register("flaky") { _ in .empty }
      var large = Definition("large")
      for i in 0..<3 { large.task("t\(i)", handler: "flaky") }
      #expect(throws: (any Error).self) { try engine.start(large) }
      #expect(try metrics.expectCounter("millrace_workflows_refused_total").totalValue == 1)
      #expect(try metrics.expectMeter("millrace_workflows_active").lastValue == 0)
      #expect(try metrics.expectMeter("millrace_tasks_unfinished").lastValue == 0)
    }

    // MARK: Traces

    @Test("a run is a span and each attempt a child of it, with names, attributes and errors; the caller's span is the parent")
    func spans() throws {
      let tracer = InMemoryTracer()
      let engine = try Self.engine(Instruments(tracer: tracer))
      let run = try tracer.withSpan("request") { _ in try engine.start(Self.workflow()) }
      try run.finish()
      let spans = tracer.popFinishedSpans()
      #expect(tracer.activeSpans.isEmpty)
      let request = try #require(spans.first { $0.operationName == "request" })
      let whole = try #require(spans.first { $0.operationName == "run orders" })
      #expect(whole.parentSpanID == request.spanID)
      #expect(whole.traceID == request.traceID)
      #expect(whole.status?.code == .error)
      #expect(whole.events.map(\.name) == ["retry"])
      #expect(whole.attributes.get("millrace.run.id") == .string(run.id))
      #expect(whole.attributes.get("millrace.status") == .string("FAILED"))
      let attempts = spans.filter { $0.operationName.hasPrefix("task ") }
      #expect(attempts.map(\.operationName) == ["task flaky", "task flaky", "task broken"])
      #expect(attempts.allSatisfy { $0.parentSpanID == whole.spanID && $0.kind == .internal })
      #expect(attempts.map { $0.attributes.get("millrace.attempt.number") } == [.int64(1), .int64(2), .int64(1)])
      #expect(attempts.map { $0.attributes.get("error.type") } == [.string("away"), nil, .string("declined")])
      #expect(attempts.map { $0.status?.message } == ["nobody is there", nil, "no money"])
    }

    @Test("spans that a handler makes are children of its attempt, in asynchronous handlers after they have waited as well")
    func children() async throws {
      let tracer = InMemoryTracer()
      var configuration = Engine.Configuration()
      configuration.instrument(with: Instruments(tracer: tracer))
      let engine = try Engine(configuration)
      try engine.register("bytes") { _ in
        tracer.withSpan("in bytes") { _ in .empty }
      }
      try engine.register("typed") { (_: JSON, _) in tracer.withSpan("in typed") { _ in 1 } }
      try engine.register("async") { (_: JSON, _) async -> Int in
        for _ in 0..<3 { await Task.yield() }
        return await tracer.withSpan("in async") { _ in
          await Task.yield()
          return 1
        }
      }
      for handler in ["bytes", "typed", "async"] {
        _ = try await engine.run(Definition("w", tasks: [TaskDefinition("t", handler: handler)]))
        let spans = tracer.popFinishedSpans()
        let attempt = try #require(spans.first { $0.operationName == "task \(handler)" })
        #expect(spans.first { $0.operationName == "in \(handler)" }?.parentSpanID == attempt.spanID)
      }
      await engine.drain(timeout: .seconds(60))
    }

    @Test("a tracer that speaks W3C Trace Context takes the trace that a run is started with, and handlers are told its spans")
    func propagation() throws {
      let tracer = W3CTracer()
      let engine = try TestEngine(observer: Instruments(tracer: tracer))
      try engine.register("trace") { (_: JSON, context) in [context.trace.map { "\($0)" }, ServiceContext.current?.w3c.map { "\($0)" }] }
      let given = try #require(TraceContext(Self.traceparent))
      let run = try engine.run(Definition("w", tasks: [TaskDefinition("t", handler: "trace")]), trace: given)
      let texts = try run.output(of: "t", as: [String?].self)
      let trace = try #require(texts[0].flatMap { TraceContext($0) })
      #expect(trace.traceID == given.traceID)
      #expect(trace.spanID != given.spanID)
      #expect(texts[1] == texts[0])
    }

    @Test("a tracer that speaks something else leaves the trace as it was")
    func foreign() throws {
      let engine = try TestEngine(observer: Instruments(tracer: InMemoryTracer()))
      try engine.register("trace") { (_: JSON, context) in context.trace.map { "\($0)" } }
      let run = try engine.run(Definition("w", tasks: [TaskDefinition("t", handler: "trace")]), trace: TraceContext(Self.traceparent))
      #expect(try run.output(of: "t", as: String?.self) == Self.traceparent)
    }

    // MARK: Logs

    private static func logger(_ level: Logger.Level = .trace) -> (Logger, InMemoryLogHandler) {
      let handler = InMemoryLogHandler()
      var logger = Logger(label: "test") { _ in handler }
      logger.logLevel = level
      return (logger, handler)
    }

    @Test("lines of a handler have run, workflow, task and attempt: by its context, by code deep inside, and after it has waited")
    func lines() async throws {
      let (logger, handler) = Self.logger(.info)
      var configuration = Engine.Configuration()
      configuration.instrument(with: Instruments(logger: logger))
      let engine = try Engine(configuration)
      @Sendable func deepInside() { Logger.current.info("deep") }
      try engine.register("typed") { (_: JSON, context) in
        context.logger.info("by context")
        deepInside()
        return 1
      }
      try engine.register("async") { (_: JSON, context) async -> Int in
        await Task.yield()
        context.logger.info("by context")
        deepInside()
        return 1
      }
      try engine.register("bytes") { call in
        call.context.logger.info("by context")
        deepInside()
        return .empty
      }
      for name in ["typed", "async", "bytes"] {
        handler.clear()
        let result = try await engine.run(Definition("orders", tasks: [TaskDefinition("check", handler: name)]))
        let lines = handler.entries.filter { $0.message == "by context" || $0.message == "deep" }
        let metadata: Logger.Metadata = ["run": "\(result.id)", "workflow": "orders", "task": "check", "attempt": "1"]
        #expect(lines.map(\.message) == ["by context", "deep"])
        #expect(lines.allSatisfy { $0.metadata == metadata })
      }
      await engine.drain(timeout: .seconds(60))
    }

    @Test("without instruments a handler's logger is the current one, with the same metadata")
    func withoutInstruments() async throws {
      let (logger, handler) = Self.logger()
      let engine = try TestEngine()
      try engine.register("typed") { (_: JSON, context) in
        withLogger(logger) { _ in context.logger.info("hello") }
        return 1
      }
      let run = try engine.run(Definition("orders", tasks: [TaskDefinition("check", handler: "typed")]))
      #expect(
        handler.entries.map(\.metadata) == [["run": "\(run.id)", "workflow": "orders", "task": "check", "attempt": "1"]])
    }

    @Test("runs, failed attempts and retries are lines of their own, with what went wrong")
    func story() throws {
      let (logger, handler) = Self.logger(.debug)
      let engine = try Self.engine(Instruments(logger: logger))
      let run = try engine.run(Self.workflow())
      #expect(
        handler.entries.map { "\($0.level) \($0.message)" } == [
          "debug workflow started", "warning attempt failed", "info retry scheduled", "warning attempt failed", "error workflow failed",
        ])
      #expect(
        handler.entries[1].metadata == [
          "run": "\(run.id)", "workflow": "orders", "task": "check", "attempt": "1", "handler": "flaky", "status": "FAILED",
          "duration": "0.0 seconds", "error.type": "away", "error.message": "nobody is there",
        ])
      #expect(handler.entries[4].metadata["duration"] == "5.0 seconds")
    }

    @Test("what plugins log in their calls has the attempt's metadata, and the level that they gave; what the engine reports has none")
    func plugins() {
      let (logger, handler) = Self.logger()
      let instruments = Instruments(logger: logger)
      var configuration = Engine.Configuration()
      configuration.instrument(with: instruments)
      configuration.log?(.warning, "of the engine")
      let run = instruments.runBegins(ObservedRun.sample)
      run?.attemptBegins(ObservedAttempt.sample)?.around { configuration.log?(.error, "of a plugin") }
      configuration.stalled?("a handler stalls")
      let lines = handler.entries.filter { $0.level >= .warning }
      #expect(lines.map { "\($0.level) \($0.message)" } == ["warning of the engine", "error of a plugin", "warning a handler stalls"])
      #expect(lines[0].metadata == [:] && lines[2].metadata == [:])
      #expect(lines[1].metadata == ["run": "r", "workflow": "w", "task": "t", "attempt": "2"])
    }
  }

  extension ObservedRun {
    static let sample = ObservedRun(id: "r", workflow: "w", tasks: 1)
  }

  extension ObservedAttempt {
    static let sample = ObservedAttempt(task: "t", handler: "h", number: 2)
  }

  // MARK: A tracer that speaks W3C Trace Context

  private enum W3CKey: ServiceContextKey { typealias Value = TraceContext }

  extension ServiceContext {
    fileprivate var w3c: TraceContext? {
      get { self[W3CKey.self] }
      set { self[W3CKey.self] = newValue }
    }
  }

  /// `InMemoryTracer` has words of its own for what it hands on.
  private struct W3CTracer: Tracer {
    private let inner = InMemoryTracer()

    func startSpan<Instant: TracerInstant>(
      _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind, at instant: @autoclosure () -> Instant,
      function: String, file fileID: String, line: UInt
    ) -> InMemorySpan {
      var context = context()
      let parent = context.w3c
      context.w3c = TraceContext(
        traceID: parent?.traceID ?? (1, .random(in: 1 ... .max)), spanID: .random(in: 1 ... .max), flags: parent?.flags ?? 1)
      return inner.startSpan(operationName, context: context, ofKind: kind, at: instant(), function: function, file: fileID, line: line)
    }

    func forceFlush() {}

    func extract<Carrier, Extract: Extractor>(_ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract)
    where Extract.Carrier == Carrier {
      context.w3c = extractor.extract(key: "traceparent", from: carrier).flatMap { TraceContext($0) }
    }

    func inject<Carrier, Inject: Injector>(_ context: ServiceContext, into carrier: inout Carrier, using injector: Inject)
    where Inject.Carrier == Carrier {
      if let trace = context.w3c { injector.inject("\(trace)", forKey: "traceparent", into: &carrier) }
    }
  }
#endif
