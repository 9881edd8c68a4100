internal import CMillrace
internal import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow
internal import Synchronization

/// Handles the messages of a queue: each is a run of one task, whose input is the message, in place, and by whose end it is settled.
///
/// | The handler | The message |
/// |---|---|
/// | returns | is acknowledged; what it returned is the reply, if the message names a queue for one |
/// | throws, or its time is over | counts as failed, and comes again: after the error's `retryAfter`, or as the queue says |
/// | throws what no attempt can cure | counts as failed, and is a dead letter; who asked gets the error |
/// | is stopped, or throws `CancellationError` | goes back, and nothing has failed |
///
/// Messages name the tenant whose work they are; one that the engine does not know counts as the consumer's own. Their `traceparent` is the trace of
/// their handlers.
///
/// # Threads
/// Any.
public final class MessageConsumer: BrokerDesk.Closable, @unchecked Sendable {
  /// What handles them.
  enum Handler {
    /// A function of the consumer's own.
    case own(TaskHandler)
    /// A handler of the engine, as it is when a message comes: its plugin may be replaced.
    case named(String)
  }

  /// The id of the one task, in logs and traces.
  static let task = "message"
  /// Nanoseconds until a message comes again that the engine had no room or memory for.
  private static let fullWait: UInt64 = 1_000_000

  /// Whose messages these are.
  public let queue: String
  private let desk: BrokerDesk
  private let handler: Handler
  private let order: TaskOrder
  private let options: ConsumeOptions
  private let monitor = Monitor()
  /// The monitor's: for the newest builds of plugins, two while a new one is judged.
  private var forms: [Form] = []
  private let priority: Priority?
  private let tenant: RunTenant
  /// Given back when the consumer goes.
  private let breaker: Breaker?
  private let job = Once<JobConsumer>()

  /// By `open`.
  init(
    _ queue: BrokerName, _ desk: BrokerDesk, _ handler: Handler, _ options: ConsumeOptions, _ order: TaskOrder
  ) throws {
    self.queue = queue.description
    (self.desk, self.handler, self.order, self.options) = (desk, handler, order, options)
    priority = options.priority
    tenant = try desk.tenants.find(options.tenant)
    if let policy = options.breaker {
      if let fault = policy.fault { throw BrokerError.configuration(fault) }
      guard let breaker = desk.host.keys.breaker(policy) else {
        throw CompileError.tooManyBreakers(limit: KeyTable.maximumBreakers)
      }
      self.breaker = breaker
    } else {
      breaker = nil
    }
    switch handler {
    case .own(let handler): forms = [Form(generation: 0, isCanary: false, workflows: try compile(handler))]
    // What is wrong is told now.
    case .named: forms = [try makeForm(nil)]
    }
  }

  deinit {
    if let breaker { desk.host.keys.giveBack(breaker) }
    monitor.deallocate()
  }

  // MARK: What a message is run as

  /// A workflow for each priority, compiled for certain builds of plugins.
  private struct Form {
    let generation: UInt64
    let isCanary: Bool
    let workflows: [CompiledWorkflow]
  }

  private func compile(_ handler: TaskHandler) throws -> [CompiledWorkflow] {
    let timeouts = Timeouts(startToClose: options.timeout.map { max(1, UInt64(clamping: $0)) })
    return try Priority.allCases.sorted { $0.rawValue < $1.rawValue }.map { priority in
      var definition = Definition(queue, result: MessageConsumer.task)
      definition.tasks = [
        TaskDefinition(
          MessageConsumer.task, handler: handler.name, policy: Policy(priority: priority, timeouts: timeouts, breaker: options.breaker))
      ]
      return try CompiledWorkflow(
        definition, handlers: [handler.name: handler], held: desk.host.heldIndex, order: order, keys: desk.host.keys)
    }
  }

  private func makeForm(_ id: RunID?) throws -> Form {
    guard case .named(let name) = handler else { preconditionFailure("a consumer's own function has one form") }
    let view = try desk.state.openView(for: id)
    guard let known = view.handlers[name] else { throw CompileError.unknownHandler(task: queue, handler: name) }
    return Form(generation: view.generation, isCanary: view.isCanary, workflows: try compile(known))
  }

  /// For the run of an id, as the engine's plugins are now.
  private func workflows(for id: RunID) throws -> [CompiledWorkflow] {
    // Order: acquiring. Pairs with the releasing writes under the state's lock.
    let generation = desk.state.generation.load(ordering: .acquiring)
    let isCanary = generation & 1 != 0 && desk.state.isCanary(id)
    return try monitor.locked {
      if case .own = handler { return forms[0].workflows }
      if let form = forms.first(where: { $0.generation == generation && $0.isCanary == isCanary }) { return form.workflows }
      let made = try makeForm(id)
      forms.removeAll { $0.generation != made.generation || $0.isCanary == made.isCanary }
      forms.append(made)
      return made.workflows
    }
  }

  /// Messages come from here on. Throws `BrokerError` or `EngineError.stopped`.
  func open(_ name: BrokerName, _ options: ConsumeOptions) throws {
    let consumer = try desk.broker().take(name, options.broker(tenant.number)) { [weak self] delivery in
      // Without it there is nobody to handle it: dropped, it goes back.
      if let self { self.begin(ReceivedMessage(delivery)) }
    }
    job.set(consumer)
    if desk.enter(self) { return }
    consumer.close()
    throw EngineError.stopped
  }

  /// It gets no more messages. Those that wait go back to the queue, those whose handlers run are settled as these end.
  public func close() {
    desk.leave(self)
    // Once: the broker may have gone with the engine, which closes all consumers before.
    job.take()?.close()
  }

  // MARK: A message

  private func begin(_ message: ReceivedMessage) {
    let subject = MessageSubject(message, of: queue)
    do {
      let wall = desk.wall()
      let (id, number) = desk.state.nextRun(wall: wall)
      let run = try makeRun(message, subject, id, wall: wall, seed: number)
      run.subject = subject
      try run.start()
    } catch {
      MessageConsumer.settle(message, .release(after: MessageConsumer.fullWait), desk)
      if !(error is SubmitError) { desk.host.report("a message of \(queue) was not begun: \(error)") }
    }
  }

  private func makeRun(_ message: ReceivedMessage, _ subject: MessageSubject, _ id: RunID, wall: Int64, seed: UInt64) throws -> WorkflowRun
  {
    while true {
      let workflows = try workflows(for: id)
      do throws(CompileError) {
        return try WorkflowRun(
          workflows[Int(priority?.rawValue ?? min(message.priority, Priority.critical.rawValue))], id: id, wall: wall, seed: seed,
          host: desk.host, tenant: desk.tenant(of: message, else: tenant), trace: message.trace.flatMap { TraceContext($0) }
        ) { [desk, breaker] run in MessageConsumer.end(run, subject, desk, breaker) }
      } catch {
        // Another build has taken its place just now: what is current is never gone.
        guard case .buildGone = error else { throw error }
      }
    }
  }

  private static func end(_ run: WorkflowRun, _ subject: MessageSubject, _ desk: BrokerDesk, _ breaker: Breaker?) {
    let message = subject.message
    let failure = subject.lastFailure
    switch run.status {
    case .completed:
      if let target = message.replyTo {
        // unsafe: the run is held, and with it its output.
        if let output = unsafe run.output(of: MessageConsumer.task) {
          unsafe reply(to: message, target, output.bytes, contentType: output.contentType, error: nil, desk)
        }
      }
      settle(message, .acknowledge, desk)
    case .failed:
      if let failure, failure.kind == .final, let target = message.replyTo {
        let text = Array(failure.message.utf8)
        unsafe text.withUnsafeBytes { bytes in
          unsafe reply(to: message, target, bytes, contentType: UInt32(MILLRACE_TEXT), error: failure.type, desk)
        }
      }
      var settlement = failure?.settlement ?? .retry(after: nil)
      // Without a budget for it now it is tried again when there is one.
      if let breaker, case .retry(let after) = settlement, !breaker.mayRetry() {
        settlement = .retry(after: max(after ?? 0, breaker.budgetWindow))
      }
      settle(message, settlement, desk)
    default:
      let isParked = failure?.kind == .parked
      settle(message, .release(after: isParked ? failure?.retryAfter ?? 0 : 0), desk)
    }
  }

  /// What was taken back meanwhile, or settled by its handler, is not ours to settle.
  private static func settle(_ message: ReceivedMessage, _ settlement: Settlement, _ desk: BrokerDesk) {
    do throws(SettleError) { try message.settle(settlement) } catch {
      switch error {
      case .unknownDelivery, .takenBack, .queueDeleted: break
      case .notYours: desk.host.report("a message could not be settled: \(error)")
      }
    }
  }

  private static func reply(
    to message: ReceivedMessage, _ target: String, _ bytes: UnsafeRawBufferPointer, contentType: UInt32, error: String?, _ desk: BrokerDesk
  ) {
    do {
      var envelope = Envelope(to: try BrokerName(system: target))
      envelope.correlationID = message.correlationID ?? message.messageID
      envelope.trace = message.trace
      envelope.tenant = message.tenant
      envelope.contentType = Payload.ContentType(rawValue: contentType)?.mime
      envelope.isPersistent = false
      if let error { envelope.headers = try Headers([(RequestTable.errorHeader, .text(error))]) }
      try desk.publishing { publisher throws(PublishRefusal) in
        // unsafe: both have so many bytes.
        let draft = try publisher.claim(bytes.count, envelope)
        unsafe draft.payload.copyMemory(from: bytes)
        if case .refused(_, let why) = publisher.publish(draft) { throw why }
      }
    } catch {
      desk.countLost()
    }
  }
}

/// What is set once, by whoever made it, and read by any thread.
@safe final class Once<Value: Sendable>: @unchecked Sendable {
  private let monitor = Monitor()
  private var stored: Value?

  deinit { monitor.deallocate() }

  func set(_ value: Value) { monitor.locked { stored = value } }
  /// It is nobody else's from here on; nil: somebody has taken it, or it was never set.
  func take() -> Value? {
    monitor.locked {
      defer { stored = nil }
      return stored
    }
  }
}

extension Payload.ContentType {
  /// As MIME has it; nil: it says nothing of them.
  var mime: String? {
    switch self {
    case .bytes: nil
    case .json: "application/json"
    case .text: "text/plain"
    }
  }
}
