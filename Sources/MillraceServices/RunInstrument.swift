#if Services
  internal import Logging
  internal import Millrace
  internal import Tracing

  /// What is logged, counted and traced of one run.
  final class RunInstrument: RunObserver {
    private let run: ObservedRun
    private let metrics: EngineMetrics?
    private let tracer: (any Tracer)?
    private let logger: Logger?
    private let span: (any Span)?
    /// Of the caller of `start`, with the run's span.
    private let context: ServiceContext
    let trace: TraceContext?

    init(_ run: ObservedRun, _ instruments: Instruments) {
      self.run = run
      metrics = instruments.metrics
      tracer = instruments.tracer
      var logger = instruments.logger
      logger?[metadataKey: "run"] = "\(run.id)"
      logger?[metadataKey: "workflow"] = "\(run.workflow)"
      self.logger = logger
      var context = ServiceContext.current ?? .topLevel
      if let tracer {
        if let given = run.trace { TraceHeaders.extract(given, into: &context, by: tracer) }
        let span = tracer.startAnySpan("run \(run.workflow)", context: context, ofKind: .internal)
        span.updateAttributes {
          $0["millrace.run.id"] = run.id
          $0["millrace.workflow.name"] = run.workflow
          $0["millrace.workflow.tasks"] = run.tasks
        }
        context = span.context
        self.span = span
        trace = TraceHeaders.trace(of: context, by: tracer)
      } else {
        span = nil
        trace = nil
      }
      self.context = context
      metrics?.runBegan(tasks: run.tasks)
      logger?.debug("workflow started", metadata: ["tasks": "\(run.tasks)"])
    }

    func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)? {
      metrics?.attemptBegan(handler: attempt.handler, after: attempt.scheduleToStart)
      var logger = logger
      logger?[metadataKey: "task"] = "\(attempt.task)"
      logger?[metadataKey: "attempt"] = "\(attempt.number)"
      logger?.trace("attempt begins", metadata: ["handler": "\(attempt.handler)"])
      guard let tracer else {
        return AttemptInstrument(handler: attempt.handler, metrics: metrics, logger: logger, span: nil, context: context, trace: nil)
      }
      let span = tracer.startAnySpan("task \(attempt.handler)", context: context, ofKind: .internal)
      span.updateAttributes {
        $0["millrace.run.id"] = run.id
        $0["millrace.workflow.name"] = run.workflow
        $0["millrace.task.id"] = attempt.task
        $0["millrace.handler.name"] = attempt.handler
        $0["millrace.attempt.number"] = attempt.number
      }
      return AttemptInstrument(
        handler: attempt.handler, metrics: metrics, logger: logger, span: span, context: span.context,
        trace: TraceHeaders.trace(of: span.context, by: tracer))
    }

    func retryScheduled(_ attempt: ObservedAttempt, after wait: Duration) {
      metrics?.retryScheduled()
      span?.addEvent(
        SpanEvent(name: "retry", attributes: ["millrace.task.id": .string(attempt.task), "millrace.retry.wait": .string("\(wait)")]))
      logger?.info("retry scheduled", metadata: ["task": "\(attempt.task)", "attempt": "\(attempt.number)", "wait": "\(wait)"])
    }

    func taskEnded(_ task: String, handler: String, _ status: TaskStatus) { metrics?.taskEnded(status) }

    func ended(_ status: WorkflowStatus, after elapsed: Duration) {
      metrics?.runEnded(status, elapsed)
      if status == .failed { span?.setStatus(SpanStatus(code: .error, message: status.rawValue)) }
      span?.attributes["millrace.status"] = status.rawValue
      span?.end()
      let metadata: Logger.Metadata = ["status": "\(status.rawValue)", "duration": "\(elapsed)"]
      switch status {
      case .failed: logger?.error("workflow failed", metadata: metadata)
      case .cancelled: logger?.notice("workflow cancelled", metadata: metadata)
      default: logger?.info("workflow completed", metadata: metadata)
      }
    }

    func refused(_ error: any Error) {
      metrics?.runRefused(tasks: run.tasks)
      span?.recordError(error)
      span?.setStatus(SpanStatus(code: .error, message: "\(error)"))
      span?.end()
      logger?.warning("workflow not taken", metadata: ["error.message": "\(error)"])
    }
  }

  /// What is logged, counted and traced of one attempt.
  final class AttemptInstrument: AttemptObserver {
    /// Of the handler that this code runs in.
    @TaskLocal static var current: AttemptInstrument?

    private let handler: String
    private let metrics: EngineMetrics?
    /// With the attempt's metadata; nil: nothing is logged.
    let logger: Logger?
    private let span: (any Span)?
    private let context: ServiceContext
    let trace: TraceContext?

    init(handler: String, metrics: EngineMetrics?, logger: Logger?, span: (any Span)?, context: ServiceContext, trace: TraceContext?) {
      (self.handler, self.metrics, self.logger) = (handler, metrics, logger)
      (self.span, self.context, self.trace) = (span, context, trace)
    }

    func around(_ handler: () -> Void) {
      AttemptInstrument.$current.withValue(self) {
        ServiceContext.withValue(context.isEmpty ? nil : context) {
          guard let logger else { return handler() }
          withLogger(logger) { _ in handler() }
        }
      }
    }

    func ended(_ ending: ObservedEnding) {
      metrics?.attemptEnded(handler: handler, ending)
      if let span {
        span.attributes["millrace.status"] = ending.status.rawValue
        if ending.status != .completed {
          span.attributes["error.type"] = ending.errorType
          span.setStatus(SpanStatus(code: .error, message: ending.message.isEmpty ? ending.errorType : ending.message))
        }
        span.end()
      }
      let metadata: Logger.Metadata = ["handler": "\(handler)", "status": "\(ending.status.rawValue)", "duration": "\(ending.elapsed)"]
      if ending.status == .completed {
        logger?.trace("attempt completed", metadata: metadata)
      } else {
        logger?.warning(
          "attempt failed",
          metadata: metadata.merging(["error.type": "\(ending.errorType)", "error.message": "\(ending.message)"]) { $1 })
      }
    }
  }
#endif
