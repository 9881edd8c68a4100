internal import MillraceBroker
internal import MillraceCore
internal import MillraceLog
internal import MillracePlugins
public import MillraceWorkflow

/// Starts a run of a workflow for each message of a queue.
///
/// | The message | |
/// |---|---|
/// | starts a run | is acknowledged; that of a durable run when its creation is recorded |
/// | has an id for which there is a run | is acknowledged, and starts none |
/// | has parameters that the workflow does not take | is a dead letter |
/// | finds the engine full | waits, and is still its queue's |
/// | cannot start a run for another reason | counts as failed, and comes again |
///
/// The run's id is made of the message's id and the queue's name, so that a message that comes again starts no second run; a message without an id starts one each time. Of runs that are not
/// durable the last 65,536 are known.
///
/// # Threads
/// Any.
@safe public final class WorkflowConsumer: BrokerDesk.Closable, @unchecked Sendable {
  /// What became of a message.
  public enum Event: Sendable {
    /// A run was started.
    case started(ReceivedMessage, WorkflowHandle)
    /// There is a run for its id.
    case repeated(ReceivedMessage, run: String)
    /// No run is started: why. It is a dead letter if it is the message's fault, else it comes again.
    case refused(ReceivedMessage, any Error)
  }

  /// Nanoseconds until what the engine had no room for is tried again.
  private static let fullWait: UInt64 = 100_000_000
  private static let knownRuns = 65_536

  /// What is started.
  public let definition: Definition
  /// Whose messages start it.
  public let queue: String
  private let name: BrokerName
  private let trigger: MessageTrigger
  private let parameters: [String: JSON]
  private let tenant: RunTenant
  private let desk: BrokerDesk
  private let observe: (@Sendable (Event) -> Void)?
  private weak let engine: Engine?
  private let job = Once<JobConsumer>()
  private let monitor = Monitor()
  // The monitor's. False: it is not known yet whether there is such a run.
  private var known: [RunID: Bool] = [:]
  private var order: [RunID] = []
  private var next = 0

  init(
    _ definition: Definition, _ trigger: MessageTrigger, _ name: BrokerName, parameters: [String: JSON], tenant: RunTenant, engine: Engine,
    observe: (@Sendable (Event) -> Void)?
  ) {
    (self.definition, self.trigger, self.name, self.parameters, self.tenant) = (definition, trigger, name, parameters, tenant)
    (self.engine, self.observe) = (engine, observe)
    queue = name.description
    desk = engine.desk
  }

  deinit { monitor.deallocate() }

  /// Messages come from here on. Throws `BrokerError` or `EngineError.stopped`.
  func open() throws {
    var options = ConsumerOptions()
    options.prefetch = trigger.prefetch
    options.tenant = tenant.number
    let consumer = try desk.broker().take(name, options) { [weak self] delivery in
      // Without it there is nobody to start a run: dropped, it goes back.
      if let self { self.begin(ReceivedMessage(delivery)) }
    }
    job.set(consumer)
    if desk.enter(self) { return }
    consumer.close()
    throw EngineError.stopped
  }

  /// Starts no more runs; those that go on do so. Messages that have started none yet go back. Any number of times.
  public func close() {
    desk.leave(self)
    job.take()?.close()
  }

  // MARK: A message

  private func begin(_ message: ReceivedMessage) {
    let id = message.messageID.flatMap { runID($0) }
    if let id {
      switch enter(id) {
      case true?:
        settle(message, .acknowledge)
        observe?(.repeated(message, run: id.description))
        return
      case false?: return settle(message, .release(after: WorkflowConsumer.fullWait))
      case nil: break
      }
    }
    do {
      guard let engine else { throw EngineError.stopped }
      let values = try values(of: message).merging(parameters) { _, given in given }
      // Else what is wrong is not the message's fault.
      do throws(DefinitionError) { _ = try definition.resolve(parameters: values) } catch { throw BadMessage(reason: "\(error)") }
      let workflow = try engine.compile(definition, parameters: values, engine.state.view())
      let trace = message.trace.flatMap { TraceContext($0) }
      let (run, form) = try engine.makeRun(workflow, tenant: desk.tenant(of: message, else: tenant), trace: trace, depth: 0, id: id) { _ in
      }
      let handle = WorkflowHandle(run, of: workflow.source, engine: engine, plugins: form.plugins)
      guard let durable = form.durable else { return try start(handle, message, id) }
      durable.createIfNew(run, nil) { [self] result in recorded(handle, message, id, result) }
    } catch {
      refuse(message, id, error)
    }
  }

  /// The creation of a durable run is on stable storage, or is not. On a thread that must not be held up.
  private func recorded(
    _ handle: WorkflowHandle, _ message: ReceivedMessage, _ id: RunID?, _ result: Result<AppendReceipt, EventStoreError>
  ) {
    let isTaken = handle.run.journal?.runs.whenFree { [self] in
      switch result {
      case .success(let receipt) where !receipt.wasKnown:
        do { try start(handle, message, id) } catch { refuse(message, id, error) }
      case .success, .failure(.wrongExpectedVersion), .failure(.idsPartlyKnown):
        // By this process before, or by one before it, which `resume` goes on with.
        enter(id, isThere: true)
        settle(message, .acknowledge)
        observe?(.repeated(message, run: handle.id))
      case .failure(let error): refuse(message, id, error)
      }
    }
    // The store closes: the message goes back, and if there is a run it is found then.
    if isTaken != true { enter(id, isThere: false) }
  }

  /// Throws what starting throws, but no lack of room: then it is tried again later.
  private func start(_ handle: WorkflowHandle, _ message: ReceivedMessage, _ id: RunID?) throws {
    do { try handle.run.start() } catch  where ScheduledWorkflow.isFull(error) {
      let again: @Sendable () -> Void = { [self] in
        do { try start(handle, message, id) } catch { refuse(message, id, error) }
      }
      // One that is recorded must not be found as started: without a store that goes on the next process starts it.
      if let runs = handle.run.journal?.runs {
        _ = runs.whenFree(after: WorkflowConsumer.fullWait, again)
        return
      }
      if desk.alarms.after(WorkflowConsumer.fullWait, again) == nil { throw error }
      return
    } catch SubmitError.stopped where handle.run.journal != nil {
      // The next process goes on with it.
    }
    enter(id, isThere: true)
    settle(message, .acknowledge)
    observe?(.started(message, handle))
  }

  private func refuse(_ message: ReceivedMessage, _ id: RunID?, _ error: any Error) {
    enter(id, isThere: false)
    switch error {
    case is BadMessage:
      settle(message, .reject)
      desk.host.report("a message of \(queue) starts no run of \(definition.name): \(error)")
    case EngineError.stopped, SubmitError.stopped: return settle(message, .release(after: 0))
    case _ where ScheduledWorkflow.isFull(error): return settle(message, .release(after: WorkflowConsumer.fullWait))
    default:
      settle(message, .retry(after: WorkflowConsumer.fullWait))
      desk.host.report("a message of \(queue) has started no run of \(definition.name) yet: \(error)")
    }
    observe?(.refused(message, error))
  }

  /// What was taken back meanwhile, or deleted with its queue, is not ours to settle.
  private func settle(_ message: ReceivedMessage, _ settlement: Settlement) {
    do throws(SettleError) { try message.settle(settlement) } catch {}
  }

  // MARK: Parameters

  /// Throws `BadMessage`.
  private func values(of message: ReceivedMessage) throws(BadMessage) -> [String: JSON] {
    let (body, isBytes) = JSON.body(of: message)
    if let parameter = trigger.parameter {
      if isBytes { throw BadMessage(reason: "its body is neither JSON nor text, and so no value for the parameter '\(parameter)'") }
      return [parameter: body]
    }
    if definition.parameters.isEmpty { return [:] }
    guard let members = body.object else {
      throw BadMessage(
        reason: "its body is no JSON object, whose members could be parameters: send one, or name a 'parameter' for the body")
    }
    let names = Set(definition.parameters.map(\.name))
    return Dictionary(members.lazy.filter { names.contains($0.name) }.map { ($0.name, $0.value) }) { first, _ in first }
  }

  // MARK: Ids

  /// UUID version 8 of the queue and the message's id: the same in every process. nil: libcrypto offers no SHA-256.
  private func runID(_ message: String) -> RunID? {
    guard var digest = Digest() else { return nil }
    // The bytes of the array, for the call.
    unsafe Array("\(queue)\n\(message)".utf8).withUnsafeBytes { unsafe digest.update($0) }
    return RunID(digest: digest.finish())
  }

  /// Whether there is a run; nil: nobody knows of one, and this message is to find out.
  private func enter(_ id: RunID) -> Bool? {
    monitor.locked {
      if let isThere = known[id] { return isThere }
      known[id] = false
      return nil
    }
  }

  private func enter(_ id: RunID?, isThere: Bool) {
    guard let id else { return }
    monitor.locked {
      if !isThere {
        known[id] = nil
        return
      }
      if known.updateValue(true, forKey: id) == true { return }
      if order.count < WorkflowConsumer.knownRuns {
        order.append(id)
      } else {
        known[order[next]] = nil
        order[next] = id
        next = (next + 1) % order.count
      }
    }
  }
}

/// Why a message starts no run, and never will.
public struct BadMessage: Error, Sendable, CustomStringConvertible {
  /// What is wrong with it.
  public let reason: String
  public var description: String { reason }
}

extension Engine {
  /// Starts a run for each message that the definition's `onMessage` names, until the consumer or the engine is closed: see `WorkflowConsumer`. Its queue is declared if there is none,
  /// with a queue for dead letters, `NAME.dead`; an exchange that is not there as a topic exchange; durable where the engine has a directory.
  ///
  /// `parameters` go before those of the messages. `tenant`: whose work the runs are whose messages name no tenant of the engine. `observe` is called for each message, on a thread of the
  /// engine, which it must not block.
  ///
  /// Throws `DefinitionError`, `BrokerError`, `RoutingError`, or `EngineError`: it names no messages, the engine has been shut down, or has no such tenant, or no store for durable runs.
  @discardableResult
  public func consume(
    starting definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil,
    observe: (@Sendable (WorkflowConsumer.Event) -> Void)? = nil
  ) throws -> WorkflowConsumer {
    guard let trigger = definition.onMessage else { throw EngineError.noMessages(definition.name) }
    let handlers = try handlerTable()
    _ = try DefinitionChecker(handlers: Set(handlers.keys), schemas: state.schemas, workflows: workflows).check(definition)
    if definition.durability == .log, durable == nil { throw EngineError.noStore(workflow: definition.name) }
    let name = try BrokerName(trigger.queue ?? definition.name)
    try declare(trigger, name)
    let consumer = WorkflowConsumer(
      definition, trigger, name, parameters: parameters, tenant: try tenants.find(tenant), engine: self, observe: observe)
    try consumer.open()
    return consumer
  }

  /// As above, of a queue that the definition need not name.
  @discardableResult
  public func consume(
    _ queue: String, starting definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil,
    observe: (@Sendable (WorkflowConsumer.Event) -> Void)? = nil
  ) throws -> WorkflowConsumer {
    var definition = definition
    definition.onMessage = MessageTrigger(
      queue: queue, prefetch: definition.onMessage?.prefetch ?? 100, parameter: definition.onMessage?.parameter)
    return try consume(starting: definition, parameters: parameters, tenant: tenant, observe: observe)
  }

  /// What of it is not there yet. Waits for the disk.
  private func declare(_ trigger: MessageTrigger, _ name: BrokerName) throws {
    let broker = try broker
    if broker.router.queue(named: name) == nil {
      var configuration = QueueConfiguration()
      configuration.isDurable = desk.isDurable
      let dead = try BrokerName("\(name).dead")
      if broker.router.queue(named: dead) == nil { try broker.declare(queue: dead, configuration) }
      configuration.deadLetters = .queue(dead)
      try broker.declare(queue: name, configuration)
    }
    guard let text = trigger.exchange else { return }
    let exchange = try BrokerName(text)
    if broker.router.exchange(named: exchange) == nil {
      var options = ExchangeOptions()
      options.isDurable = desk.isDurable
      try broker.declare(exchange: exchange, .topic, options)
    }
    try broker.bind(Binding(exchange, to: .queue(name), key: trigger.key))
  }
}
