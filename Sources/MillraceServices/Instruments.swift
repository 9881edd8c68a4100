#if Services
  public import CoreMetrics
  public import Logging
  public import Millrace
  public import Tracing

  /// Logs, metrics and traces of engines, by swift-log, swift-metrics and swift-distributed-tracing. What is not given is off, and costs nothing.
  ///
  ///     var configuration = Engine.Configuration()
  ///     configuration.instrument(with: Instruments(logger: logger, metrics: MetricsSystem.factory, tracer: InstrumentationSystem.tracer))
  ///     let engine = try Engine(configuration)
  ///
  /// Several engines may share one: their figures are added up. docs/services.md lists every metric, attribute and line.
  ///
  /// # Threads
  /// The logger's handler, the metrics and the tracer are called by the engine's workers: none may block.
  public final class Instruments: EngineObserver {
    let logger: Logger?
    let metrics: EngineMetrics?
    let tracer: (any Tracer)?

    /// `logger`: where lines go, with `run`, `workflow`, `task` and `attempt` as metadata. `metrics`: makes the counters, now. `tracer`: makes a span for each run
    /// and each attempt. nil: none of that kind.
    public init(logger: Logger? = nil, metrics: (any MetricsFactory)? = nil, tracer: (any Tracer)? = nil) {
      self.logger = logger
      self.metrics = metrics.map { EngineMetrics($0) }
      self.tracer = tracer
    }

    /// The engine calls it.
    public func runBegins(_ run: ObservedRun) -> (any RunObserver)? {
      if logger == nil, metrics == nil, tracer == nil { return nil }
      return RunInstrument(run, self)
    }

    /// A line of a handler, a plugin or the engine. With the attempt's metadata if a handler said it in its call.
    func log(_ level: Engine.LogLevel, _ line: String) {
      guard let logger = AttemptInstrument.current?.logger ?? logger else { return }
      logger.log(level: Logger.Level(level), "\(line)", source: "Millrace")
    }
  }

  extension Engine.Configuration {
    /// Has engines of this configuration logged, measured and traced. Takes `observer`; with a logger, `log` and `stalled` as well.
    public mutating func instrument(with instruments: Instruments) {
      observer = instruments
      guard let logger = instruments.logger else { return }
      log = { instruments.log($0, $1) }
      stalled = { logger.warning("\($0)", source: "Millrace") }
    }
  }

  extension Logger.Level {
    /// The level of swift-log for one of the engine's, by its name.
    public init(_ level: Engine.LogLevel) {
      switch level {
      case .debug: self = .debug
      case .notice: self = .notice
      case .warning: self = .warning
      case .error: self = .error
      }
    }
  }
#endif
