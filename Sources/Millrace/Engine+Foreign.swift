package import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// What a program in another language needs, which has no closures and no `async`: see `MillraceEmbedding`. Any thread.
extension Engine {
  /// Loads one more plugin from a file. Throws `EngineError`.
  package func load(plugin path: String) throws(EngineError) { try state.load(file: path, runtime.scheduler) }

  /// Has the messages of a queue handled by a handler of its own. Throws as `consume(_:handler:_:)`.
  package func consume(_ queue: String, by handler: RegisteredHandler, _ options: ConsumeOptions) throws -> MessageConsumer {
    let name = try BrokerName(queue)
    let consumer = try MessageConsumer(name, desk, .own(desk.register(handler)), options, order)
    try consumer.open(name, options)
    return consumer
  }

  /// Publishes without waiting for room. Throws `PublishRefusal`: `.full` where a queue has none.
  package func publishAtOnce(_ bytes: [UInt8], _ envelope: Envelope) throws(PublishRefusal) -> PublishOutcome {
    switch try desk.publishOnce(bytes, envelope) {
    case .done(let outcome, _): return outcome
    case .full(let queue): throw .full(queue: queue)
    }
  }

  /// As `Envelope.exchange` wants it. Throws `RoutingError`, `BrokerError`.
  package func exchangeID(_ name: String) throws -> ExchangeID { try exchange(name) }
}
