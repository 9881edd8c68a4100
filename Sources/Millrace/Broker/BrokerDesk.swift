internal import CMillrace
public import MillraceBroker
internal import MillraceCore
internal import MillraceLog
public import MillraceWorkflow

/// The engine's broker, made when it is first used, and all that the engine has to do with it.
///
/// Holds nothing of the engine but what it lives on, so that letting go of the engine ends it.
@safe final class BrokerDesk: @unchecked Sendable {
  /// Something that takes messages until it is closed.
  protocol Closable: AnyObject, Sendable {
    func close()
  }

  let host: TaskHost
  let tenants: Tenants
  let wall: @Sendable () -> Int64
  let alarms = AlarmBook()
  let requests = RequestTable()
  let confirming = ConfirmingIDs()
  private(set) var lines: MessageLines!
  private(set) var plugins: PluginDesk!
  /// Of this engine among all.
  let id = String(UInt64.random(in: .min ... .max), radix: 16)
  private let configuration: BrokerConfiguration
  /// Of the engine; nil: nothing outlives it.
  private let data: String?
  private let makeJournal: (@Sendable () throws -> any QueueJournal)?
  private let monitor = Monitor()
  // The monitor's.
  private var core: (scheduler: Scheduler, timers: Timers, shard: Int)?
  private(set) var state: EngineState!
  private var made: Broker?
  private var consumers: [ObjectIdentifier: any Closable] = [:]
  /// Functions of consumers, which the core may call until it has stopped.
  private var handlers: [RegisteredHandler] = []
  private var publishers: [PublisherBox] = []
  private var waits: [UInt64: @Sendable () -> Void] = [:]
  private var lastWait: UInt64 = 0
  private var isClosed = false
  private var isStopped = false
  private var lost = 0

  init(
    _ configuration: BrokerConfiguration, data: String?, journal: (@Sendable () throws -> any QueueJournal)?, host: TaskHost,
    tenants: Tenants,
    wall: @escaping @Sendable () -> Int64
  ) {
    (self.configuration, self.data, self.host, self.tenants, self.wall) = (configuration, data, host, tenants, wall)
    makeJournal = journal
  }

  deinit { monitor.deallocate() }

  /// Once, before anything else.
  func connect(_ scheduler: Scheduler, _ timers: Timers, shard: Int, _ state: EngineState) {
    self.state = state
    monitor.locked { core = (scheduler, timers, shard) }
    alarms.connect(scheduler, timers, shard: shard)
    lines = MessageLines(self)
    lines.connect(scheduler)
    host.messages = lines
    plugins = PluginDesk(self)
    host.broker = plugins
  }

  /// The broker is made, or will not be any more.
  var isOpen: Bool { monitor.locked { made != nil || isStopped } }

  /// Throws `BrokerError`.
  func broker() throws(BrokerError) -> Broker {
    try monitor.locked { () throws(BrokerError) in
      if let made { return made }
      guard let core, !isStopped else { throw .closed }
      let broker = try Broker(
        configuration,
        host: BrokerHost(
          clock: core.scheduler.clock, wall: wall, scheduler: core.scheduler, timers: core.timers, timerShard: core.shard),
        journal: try journal())
      made = broker
      return broker
    }
  }

  /// Where durable queues are kept; nil: the engine has no directory.
  private func journal() throws(BrokerError) -> (any QueueJournal)? {
    if let makeJournal { do { return try makeJournal() } catch { throw .journal("\(error)") } }
    guard let data else { return nil }
    do throws(EngineError) { try DurableRuns.make(data) } catch { throw .journal("\(error)") }
    do { return try LogQueueJournal(DirectoryStorage(data + "/queues")) } catch { throw .journal("\(data)/queues: \(error)") }
  }

  /// What is declared durable outlives the engine.
  var isDurable: Bool { data != nil || makeJournal != nil }

  /// Whose work a message is. A name that the engine does not know is the publisher's word alone: `other` pays.
  func tenant(of message: ReceivedMessage, else other: RunTenant) -> RunTenant {
    guard let name = message.tenant else { return other }
    return (try? tenants.find(name)) ?? other
  }

  func timerFired(_ value: UInt64) { monitor.locked { made }?.timerFired(value) }

  // MARK: Consumers

  /// False: the engine takes no more messages; the caller closes it.
  func enter(_ consumer: any Closable) -> Bool {
    monitor.locked {
      if isClosed { return false }
      consumers[ObjectIdentifier(consumer)] = consumer
      return true
    }
  }

  /// The core's handler for a consumer's own function. Throws `EngineError`.
  func register(_ handler: RegisteredHandler) throws(EngineError) -> TaskHandler {
    try monitor.locked { () throws(EngineError) in
      guard let core, !isStopped else { throw .stopped }
      guard let index = core.scheduler.register(unsafe WorkflowRun.handler(for: handler.pointer)) else {
        throw .tooManyHandlers(limit: Scheduler.maxHandlers)
      }
      handlers.append(handler)
      return unsafe TaskHandler(name: handler.name, index: index, pointer: handler.pointer)
    }
  }

  func leave(_ consumer: any Closable) { monitor.locked { consumers[ObjectIdentifier(consumer)] = nil } }

  // MARK: Publishing

  /// Calls `body` with a publisher that is nobody else's meanwhile. Throws `PublishRefusal.closed` where none is to be had, and what `body` throws.
  func publishing<Value>(_ body: (inout Publisher) throws(PublishRefusal) -> Value) throws(PublishRefusal) -> Value {
    let box: PublisherBox
    if let free = monitor.locked({ publishers.popLast() }) {
      box = free
    } else {
      do throws(BrokerError) { box = PublisherBox(try broker().makePublisher()) } catch { throw .closed }
    }
    defer { monitor.locked { if !isStopped { publishers.append(box) } } }
    return try body(&box.publisher)
  }

  /// A reply that nobody can have any more.
  func countLost() { monitor.locked { lost += 1 } }
  var lostReplies: Int { monitor.locked { lost } }

  // MARK: Waits

  /// Has `action` called when the engine stops; nil: it has stopped.
  func whenStopped(_ action: @escaping @Sendable () -> Void) -> UInt64? {
    monitor.locked {
      if isStopped { return nil }
      lastWait += 1
      waits[lastWait] = action
      return lastWait
    }
  }

  func forget(wait number: UInt64) { monitor.locked { waits[number] = nil } }

  // MARK: The end

  /// Consumers get no more messages. Any number of times.
  func close() {
    let all = monitor.locked {
      isClosed = true
      defer { consumers = [:] }
      return Array(consumers.values)
    }
    for consumer in all { consumer.close() }
  }

  /// Who waits for room or an answer waits no longer.
  func stop() {
    let actions = monitor.locked {
      isStopped = true
      defer { waits = [:] }
      return waits.sorted { $0.key < $1.key }.map(\.value)
    }
    for action in actions { action() }
    requests.stop()
  }

  /// The runtime has stopped: the broker goes, when nobody holds one of its messages.
  func end() {
    alarms.end()
    lines.end()
    plugins.close()
    let broker = monitor.locked {
      publishers = []
      defer { made = nil }
      return made
    }
    broker?.close()
  }
}

/// A publisher that is lent.
@safe final class PublisherBox: @unchecked Sendable {
  var publisher: Publisher
  init(_ publisher: consuming Publisher) { self.publisher = publisher }
}

extension Engine {
  /// The engine's broker, made when it is first used with `Configuration.broker`: its consumers are jobs of this engine, by whose tenants, priorities
  /// and clock they go. It closes with the engine. Durable queues are kept in `Configuration.data`, and are there again when the broker is made.
  ///
  /// Throws `BrokerError`: `.closed` after `shutdown`.
  public var broker: Broker { get throws(BrokerError) { try desk.broker() } }

  /// The circuit breakers that somebody names, or that are not closed, by destination. Complexity: O(n log n).
  public var breakers: [BreakerState] { host.keys.breakerStates }

  /// Replies that could not be delivered, as their requester's queue had gone or was full.
  public var lostReplies: Int { desk.lostReplies }
}
