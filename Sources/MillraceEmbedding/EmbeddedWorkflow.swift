internal import CMillraceEmbedding
internal import Millrace
internal import MillraceCore
internal import MillraceWorkflow
internal import Synchronization

/// A workflow that was read and checked. Without parameters it is compiled once, at the first start.
@safe final class EmbeddedWorkflow: Held, @unchecked Sendable {
  static var kind: HandleKind { .workflow }

  let owner: EmbeddedEngine
  private let reading: DefinitionReader.Reading
  private let monitor = Monitor()
  // The monitor's.
  private var prepared: PreparedWorkflow?

  var goesWith: EmbeddedEngine? { owner }

  init(_ reading: DefinitionReader.Reading, of owner: EmbeddedEngine) { (self.reading, self.owner) = (reading, owner) }

  deinit { monitor.deallocate() }

  /// Throws as `Engine.start`.
  func start(_ parameters: [String: JSON], tenant: String?, trace: TraceContext?) throws -> WorkflowHandle {
    if !parameters.isEmpty { return try owner.engine.start(reading, parameters: parameters, tenant: tenant, trace: trace) }
    let workflow = try monitor.locked { () throws -> PreparedWorkflow in
      if let prepared { return prepared }
      let made = try owner.engine.prepare(reading)
      prepared = made
      return made
    }
    return try owner.engine.start(workflow, tenant: tenant, trace: trace)
  }

  /// Throws as `Engine.schedule`. `handled`: seconds since 1970.
  func schedule(
    _ parameters: [String: JSON], tenant: String?, handled: Int64?, _ observe: @escaping @Sendable (ScheduledWorkflow.Event) -> Void
  ) throws -> ScheduledWorkflow {
    // Order: releasing. Pairs with the exchange in `EmbeddedEngine.resume`.
    owner.hasBegun.store(true, ordering: .releasing)
    return try owner.engine.schedule(
      reading.definition, parameters: parameters, tenant: tenant,
      state: handled.map { ScheduleState(handled: UTCTime(seconds: $0)) }, observe: observe)
  }
}

/// A run that was started. Stays to be read when its engine has gone.
final class EmbeddedRun: Held {
  static var kind: HandleKind { .run }

  let owner: EmbeddedEngine
  let handle: WorkflowHandle
  private let isCounted = Atomic<Bool>(false)

  var goesWith: EmbeddedEngine? { nil }

  init(_ handle: WorkflowHandle, of owner: EmbeddedEngine) { (self.handle, self.owner) = (handle, owner) }

  /// Has its end counted and told; `id`: its handle.
  ///
  /// unsafe: `finished` and `context` are kept until the run has ended, and called by any thread, as the header says.
  @unsafe func follow(
    _ id: UInt64, context: UnsafeMutableRawPointer?, _ finished: (@convention(c) (UnsafeMutableRawPointer?, millrace_run, UInt32) -> Void)?
  ) {
    nonisolated(unsafe) let context = unsafe context
    // The run is kept until then, and its engine with it.
    handle.whenFinished { [self, relay = owner.relay] status in
      count(status)
      guard let finished = unsafe finished else { return }
      if let relay {
        relay.post { unsafe finished(context, millrace_run(id: id), status.number) }
      } else {
        unsafe finished(context, millrace_run(id: id), status.number)
      }
    }
  }

  /// Counts its end, once: by who is told of it or by who has waited for it, whoever is first, so that each finds it in the metrics.
  func count(_ status: WorkflowStatus) {
    if status == .created || status == .running { return }
    // Order: relaxed. A flag of its own; of two callers one counts.
    if isCounted.exchange(true, ordering: .relaxed) { return }
    owner.counts.ended(status)
  }
}

/// A schedule that is followed.
final class EmbeddedSchedule: Held {
  static var kind: HandleKind { .schedule }

  let owner: EmbeddedEngine
  let followed: ScheduledWorkflow

  var goesWith: EmbeddedEngine? { owner }

  init(_ followed: ScheduledWorkflow, of owner: EmbeddedEngine) { (self.followed, self.owner) = (followed, owner) }
}

/// A consumer of a queue.
final class EmbeddedSubscription: Held {
  static var kind: HandleKind { .subscription }

  let owner: EmbeddedEngine
  let consumer: MessageConsumer

  var goesWith: EmbeddedEngine? { owner }

  init(_ consumer: MessageConsumer, of owner: EmbeddedEngine) { (self.consumer, self.owner) = (consumer, owner) }
}

extension WorkflowStatus {
  /// MILLRACE_RUN_...
  var number: UInt32 {
    switch self {
    case .created: 0
    case .running: 1
    case .completed: 2
    case .failed: 3
    case .cancelled: 4
    }
  }
}
