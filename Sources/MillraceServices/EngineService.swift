#if Services
  public import Logging
  public import Millrace
  public import ServiceLifecycle

  /// Why an engine did not end as a service should.
  public enum EngineServiceError: Error, Hashable, CustomStringConvertible {
    /// Runs went on when the time to drain was over, and were cancelled.
    case notDrained(runs: Int, timeout: Duration)

    /// What was wrong, and what to do.
    public var description: String {
      switch self {
      case .notDrained(let runs, let timeout):
        "\(runs) runs were to end within \(timeout) of the shutdown; what had not was cancelled: allow more time, or give tasks timeouts"
      }
    }
  }

  /// An engine as a service of swift-service-lifecycle: it runs until the group is shut down, then takes no more runs, lets those that go on end, and shuts down.
  ///
  ///     let group = ServiceGroup(services: [EngineService(engine)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
  ///     try await group.run()
  ///
  /// Services end in the reverse order of the group: name those that handlers need before the engine, and those that start runs after it.
  public struct EngineService: Service {
    /// The engine. Whoever has it may start runs until the shutdown begins; then `start` throws `EngineError.stopped`.
    public let engine: Engine
    /// How long runs may go on after the shutdown has begun.
    public let drainTimeout: Duration
    private let logger: Logger?

    /// `drainTimeout`: less than the time that the platform gives the process between its signals (30 s on Kubernetes), by what the rest of the group needs.
    /// `logger`: is told when draining begins and ends; nil: nobody is.
    public init(_ engine: Engine, drainTimeout: Duration = .seconds(25), logger: Logger? = nil) {
      self.engine = engine
      self.drainTimeout = drainTimeout
      self.logger = logger
    }

    /// Waits for the graceful shutdown, and drains the engine. Cancelled, before or meanwhile, it shuts the engine down at once: runs are cancelled, and waited
    /// for only as long as their handlers and cleanup tasks need.
    ///
    /// Throws `EngineServiceError.notDrained`, or `CancellationError` if it was cancelled. The engine has been shut down in each case.
    public func run() async throws {
      var isCancelled = false
      do { try await gracefulShutdown() } catch { isCancelled = true }
      engine.close()
      let runs = engine.load.runs
      logger?.info("draining", metadata: ["runs": "\(runs)", "timeout": "\(drainTimeout)"])
      let isDrained = await engine.drain(timeout: isCancelled ? .zero : drainTimeout)
      logger?.info("shut down", metadata: ["drained": "\(isDrained)"])
      if isCancelled || (!isDrained && Task.isCancelled) { throw CancellationError() }
      if !isDrained { throw EngineServiceError.notDrained(runs: runs, timeout: drainTimeout) }
    }
  }
#endif
