public import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// Publishes what runs and their tasks do to the exchange `Engine.events`, and tells the embedding program's observer as if it were the only one.
///
/// Messages are not persistent, and wait for nothing: what a queue has no room for is counted.
@safe final class EventPublisher: EngineObserver, @unchecked Sendable {
  private let next: (any EngineObserver)?
  private let wall: @Sendable () -> Int64
  private let monitor = Monitor()
  // The monitor's.
  private var outlet: (desk: WeakDesk, exchange: ExchangeID)?
  private var lost = 0

  private struct WeakDesk: Sendable { weak let desk: BrokerDesk? }

  init(_ next: (any EngineObserver)?, wall: @escaping @Sendable () -> Int64) { (self.next, self.wall) = (next, wall) }

  deinit { monitor.deallocate() }

  var lostEvents: Int { monitor.locked { lost } }

  /// Once, before there are runs. Throws `BrokerError`.
  func open(_ desk: BrokerDesk) throws(BrokerError) {
    let exchange = try desk.broker().declare(exchange: Engine.events, .topic)
    monitor.locked { outlet = (WeakDesk(desk: desk), exchange) }
  }

  func runBegins(_ run: ObservedRun) -> (any RunObserver)? {
    // A consumer of events would make more of them.
    if run.isMessage { return next?.runBegins(run) }
    let events = RunEvents(run, next?.runBegins(run), self)
    publish(run, nil, "running")
    return events
  }

  /// One event. `task`: nil for one of the run.
  fileprivate func publish(_ run: ObservedRun, _ task: String?, _ status: String, attempt: Int? = nil, _ error: EventError? = nil) {
    guard let (weak, exchange) = monitor.locked({ outlet }), let desk = weak.desk else { return }
    var members: [JSON.Member] = [.init("run", .string(run.id)), .init("workflow", .string(run.workflow))]
    if let task { members.append(.init("task", .string(task))) }
    members.append(.init("status", .string(status)))
    if let attempt { members.append(.init("attempt", .integer(Int64(attempt)))) }
    members.append(.init("tenant", .string(run.tenant)))
    if let error {
      members.append(.init("error", .object([.init("type", .string(error.type)), .init("message", .string(error.message))])))
    }
    members.append(.init("time", .integer(wall())))
    let subject = task.map { "task.\(status).\(run.workflow).\($0)" } ?? "workflow.\(status).\(run.workflow)"
    var envelope = Envelope(to: exchange)
    // The names of a long task fit into the body alone.
    envelope.key = Array("\(Engine.events).\(subject)".utf8.prefix(255))
    envelope.contentType = "application/json"
    envelope.tenant = run.tenant
    envelope.trace = run.trace?.description
    envelope.isPersistent = false
    do throws(PublishRefusal) {
      if case .full = try desk.publishOnce(JSON.object(members).utf8(), envelope) { monitor.locked { lost += 1 } }
    } catch { monitor.locked { lost += 1 } }
  }
}

/// The error of an attempt.
private struct EventError: Sendable {
  let type: String
  let message: String
}

/// Hears of one run.
@safe private final class RunEvents: RunObserver, @unchecked Sendable {
  private let run: ObservedRun
  private let next: (any RunObserver)?
  private let events: EventPublisher
  private let monitor = Monitor()
  /// Of tasks whose last attempt did not complete. The monitor's.
  private var failures: [String: (attempt: Int, error: EventError)] = [:]

  init(_ run: ObservedRun, _ next: (any RunObserver)?, _ events: EventPublisher) {
    (self.run, self.next, self.events) = (run, next, events)
  }

  deinit { monitor.deallocate() }

  var trace: TraceContext? { next?.trace }

  func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)? {
    events.publish(run, attempt.task, "running", attempt: attempt.number)
    return AttemptEvents(attempt, next?.attemptBegins(attempt), self)
  }

  fileprivate func attemptEnded(_ attempt: ObservedAttempt, _ ending: ObservedEnding) {
    if ending.status == .completed { return }
    monitor.locked { failures[attempt.task] = (attempt.number, EventError(type: ending.errorType, message: ending.message)) }
  }

  func retryScheduled(_ attempt: ObservedAttempt, after wait: Duration) {
    let failure = monitor.locked { failures.removeValue(forKey: attempt.task) }
    events.publish(run, attempt.task, "retrying", attempt: attempt.number, failure?.error)
    next?.retryScheduled(attempt, after: wait)
  }

  func taskEnded(_ task: String, handler: String, _ status: TaskStatus) {
    let failure = monitor.locked { failures.removeValue(forKey: task) }
    let isFailure = status == .failed || status == .timedOut
    events.publish(run, task, status.rawValue.lowercased(), attempt: isFailure ? failure?.attempt : nil, isFailure ? failure?.error : nil)
    next?.taskEnded(task, handler: handler, status)
  }

  func ended(_ status: WorkflowStatus, after elapsed: Duration) {
    events.publish(run, nil, status.rawValue.lowercased())
    next?.ended(status, after: elapsed)
  }

  func refused(_ error: any Error) {
    events.publish(run, nil, "refused", EventError(type: "refused", message: "\(error)"))
    next?.refused(error)
  }
}

/// Hears of one attempt.
private final class AttemptEvents: AttemptObserver {
  private let attempt: ObservedAttempt
  private let next: (any AttemptObserver)?
  private let run: RunEvents

  init(_ attempt: ObservedAttempt, _ next: (any AttemptObserver)?, _ run: RunEvents) {
    (self.attempt, self.next, self.run) = (attempt, next, run)
  }

  var trace: TraceContext? { next?.trace }

  func around(_ handler: () -> Void) { if let next { next.around(handler) } else { handler() } }

  func ended(_ ending: ObservedEnding) {
    run.attemptEnded(attempt, ending)
    next?.ended(ending)
  }
}

extension Engine {
  /// The topic exchange of `Configuration.events`: bind a queue to it by `millrace.events.#`, or by parts of
  /// `millrace.events.workflow.STATUS.NAME` and `millrace.events.task.STATUS.WORKFLOW.TASK`.
  public static var events: BrokerName { EventPublisher.name }

  /// Events that a queue had no room for, or the broker no memory. 0 without `Configuration.events`.
  public var lostEvents: Int { eventPublisher?.lostEvents ?? 0 }
}

extension EventPublisher {
  fileprivate static let name: BrokerName = {
    do throws(RoutingError) { return try BrokerName(system: "\(BrokerName.reserved)events") } catch {
      preconditionFailure("invariant broken: the system's own name is none: \(error)")
    }
  }()
}
