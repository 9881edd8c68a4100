#if Services
  internal import CoreMetrics
  internal import Millrace
  internal import MillraceCore

  /// The metrics of engines, by the names that Prometheus wants.
  final class EngineMetrics: @unchecked Sendable {
    private let runsStarted: Counter
    private let runsRefused: Counter
    private let runsFinished: [WorkflowStatus: Counter]
    private let runsActive: Meter
    private let runDuration: Timer
    private let tasksFinished: [TaskStatus: Counter]
    private let tasksUnfinished: Meter
    private let attemptsFinished: [TaskStatus: Counter]
    private let attemptsActive: Meter
    private let retries: Counter
    private let factory: any MetricsFactory
    /// Guards what follows.
    private let monitor = Monitor()
    /// By handler.
    private var attemptDurations: [String: Timer] = [:]
    private var attemptWaits: [String: Timer] = [:]

    init(_ factory: any MetricsFactory) {
      func finished<Status: RawRepresentable<String>>(_ label: String, _ statuses: [Status]) -> [Status: Counter] {
        Dictionary(
          uniqueKeysWithValues: statuses.map {
            ($0, Counter(label: label, dimensions: [("outcome", $0.rawValue.lowercased())], factory: factory))
          })
      }
      self.factory = factory
      runsStarted = Counter(label: "millrace_workflows_started_total", factory: factory)
      runsRefused = Counter(label: "millrace_workflows_refused_total", factory: factory)
      runsFinished = finished("millrace_workflows_finished_total", [WorkflowStatus.completed, .failed, .cancelled])
      runsActive = Meter(label: "millrace_workflows_active", factory: factory)
      runDuration = Timer(label: "millrace_workflow_duration_seconds", preferredDisplayUnit: .seconds, factory: factory)
      tasksFinished = finished("millrace_tasks_finished_total", [TaskStatus.completed, .failed, .skipped, .cancelled, .timedOut])
      tasksUnfinished = Meter(label: "millrace_tasks_unfinished", factory: factory)
      attemptsFinished = finished("millrace_attempts_finished_total", [TaskStatus.completed, .failed, .cancelled, .timedOut])
      attemptsActive = Meter(label: "millrace_attempts_active", factory: factory)
      retries = Counter(label: "millrace_retries_total", factory: factory)
    }

    deinit { monitor.deallocate() }

    func runBegan(tasks: Int) {
      runsStarted.increment()
      runsActive.increment()
      tasksUnfinished.increment(by: Double(tasks))
    }

    func runRefused(tasks: Int) {
      runsRefused.increment()
      runsActive.decrement()
      tasksUnfinished.decrement(by: Double(tasks))
    }

    func runEnded(_ status: WorkflowStatus, _ elapsed: Duration) {
      runsFinished[status]?.increment()
      runsActive.decrement()
      runDuration.recordNanoseconds(elapsed.nanoseconds)
    }

    func taskEnded(_ status: TaskStatus) {
      tasksFinished[status]?.increment()
      tasksUnfinished.decrement()
    }

    /// `wait`: from when it could have begun; nil: not known.
    func attemptBegan(handler: String, after wait: Duration?) {
      attemptsActive.increment()
      guard let wait else { return }
      timer("millrace_attempt_schedule_to_start_seconds", of: handler, \.attemptWaits).recordNanoseconds(wait.nanoseconds)
    }

    func attemptEnded(handler: String, _ ending: ObservedEnding) {
      attemptsActive.decrement()
      attemptsFinished[ending.status]?.increment()
      timer("millrace_attempt_duration_seconds", of: handler, \.attemptDurations).recordNanoseconds(ending.elapsed.nanoseconds)
    }

    func retryScheduled() { retries.increment() }

    /// The handlers of engines are few: each has a timer of its own from its first attempt on.
    private func timer(_ label: String, of handler: String, _ timers: ReferenceWritableKeyPath<EngineMetrics, [String: Timer]>) -> Timer {
      monitor.locked {
        if let timer = self[keyPath: timers][handler] { return timer }
        let timer = Timer(label: label, dimensions: [("handler", handler)], preferredDisplayUnit: .seconds, factory: factory)
        self[keyPath: timers][handler] = timer
        return timer
      }
    }
  }

  extension Duration {
    /// At most what fits.
    fileprivate var nanoseconds: Int64 {
      let (whole, overflow) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
      let (sum, carry) = whole.addingReportingOverflow(components.attoseconds / 1_000_000_000)
      return overflow || carry ? .max : sum
    }
  }
#endif
