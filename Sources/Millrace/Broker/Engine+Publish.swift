public import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// What became of a message that was published.
public enum PublishOutcome: Sendable, Hashable {
  /// So many queues have it now.
  case accepted(queues: Int)
  /// One of its id was taken before, within the broker's window.
  case duplicate
  /// No queue wants it.
  case unroutable
}

extension Engine {
  /// Publishes a message. Where a queue is full it waits for room, `waiting` at most, and holds no thread meanwhile; nil: until there is room.
  ///
  /// `envelope` goes as it is, but that it gets the payload's content type and the trace of the handler that this is called in, where it has none.
  ///
  /// Throws `PublishRefusal`: `.full` when there was no room in time, `.closed` when the engine stopped meanwhile; and `CancellationError`. Nothing
  /// is published then.
  @discardableResult
  public func publish(_ payload: Payload, _ envelope: Envelope, waiting: Duration? = nil) async throws -> PublishOutcome {
    var envelope = envelope
    if envelope.contentType == nil { envelope.contentType = payload.contentType.mime }
    if envelope.trace == nil, let trace = TaskContext.current?.trace { envelope.trace = trace.description }
    let limit = RoomWait.Limit(waiting, on: runtime.scheduler.clock)
    var hasWaited = false
    while true {
      let queue: BrokerName
      switch try desk.publishOnce(payload.bytes, envelope) {
      case .done(let outcome, _): return outcome
      case .full(let name): queue = name
      }
      try await RoomWait(desk, limit).wait(in: queue, pauses: hasWaited)
      hasWaited = true
    }
  }

  /// To a queue.
  @discardableResult
  public func publish(
    _ payload: Payload, to queue: String, waiting: Duration? = nil, _ change: (inout Envelope) -> Void = { _ in }
  ) async throws -> PublishOutcome {
    var envelope = Envelope(to: try BrokerName(queue))
    change(&envelope)
    return try await publish(payload, envelope, waiting: waiting)
  }

  /// To an exchange, by a key. Throws `RoutingError.noExchange` as well.
  @discardableResult
  public func publish(
    _ payload: Payload, exchange: String, key: String, waiting: Duration? = nil, _ change: (inout Envelope) -> Void = { _ in }
  ) async throws -> PublishOutcome {
    var envelope = Envelope(to: try self.exchange(exchange), key: key)
    change(&envelope)
    return try await publish(payload, envelope, waiting: waiting)
  }

  /// As JSON, to a queue.
  @discardableResult
  public func publish(
    json value: some Encodable, to queue: String, waiting: Duration? = nil, _ change: (inout Envelope) -> Void = { _ in }
  ) async throws -> PublishOutcome {
    try await publish(.json(JSON(encoding: value)), to: queue, waiting: waiting, change)
  }

  /// As JSON, to an exchange, by a key.
  @discardableResult
  public func publish(
    json value: some Encodable, exchange: String, key: String, waiting: Duration? = nil, _ change: (inout Envelope) -> Void = { _ in }
  ) async throws -> PublishOutcome {
    try await publish(.json(JSON(encoding: value)), exchange: exchange, key: key, waiting: waiting, change)
  }

  /// Throws `RoutingError`.
  func exchange(_ name: String) throws -> ExchangeID {
    let name = try BrokerName(system: name)
    guard let exchange = try broker.router.exchange(named: name) else { throw RoutingError.noExchange(name) }
    return exchange
  }
}

extension BrokerDesk {
  /// Which of a publisher's messages it is that is on its way to the disk.
  struct Confirmation {
    let confirms: Confirms
    let number: UInt64
  }

  enum Step {
    /// `confirmation`: by which its publisher knows what goes to the disk; nil: it does not.
    case done(PublishOutcome, confirmation: Confirmation?)
    case full(queue: BrokerName)
  }

  /// Publishes, if there is room. Throws `PublishRefusal`.
  func publishOnce(_ bytes: [UInt8], _ envelope: Envelope) throws(PublishRefusal) -> Step {
    try publishing { publisher throws(PublishRefusal) in
      do throws(PublishRefusal) {
        guard let receipt = try publisher.publish(bytes.span, envelope) else { return .done(.duplicate, confirmation: nil) }
        var confirmation: Confirmation?
        if let number = receipt.confirmation, let confirms = publisher.confirms {
          confirmation = Confirmation(confirms: confirms, number: number)
        }
        return .done(.accepted(queues: receipt.queues), confirmation: confirmation)
      } catch {
        switch error {
        case .unroutable: return .done(.unroutable, confirmation: nil)
        case .full(let queue): return .full(queue: queue)
        default: throw error
        }
      }
    }
  }
}
