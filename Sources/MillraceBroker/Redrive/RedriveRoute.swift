/// Where one dead letter goes, and as what.
///
/// It is what it was before the death that counts: its key and its exchange are those of then.
struct RedriveRoute {
  /// What is routed: a queue by the default exchange, or the exchange that was named.
  var exchange = ExchangeID.default
  var routingKey: String
  /// What the message says of itself.
  var key: String
  var ownExchange: ExchangeID
  /// For people.
  var name: String

  /// `from`: the queue that it is in. Throws why it stays.
  init(_ block: MessageBlock, _ deaths: Deaths, from: BrokerName, _ target: RedriveTarget, _ broker: borrowing Broker)
    throws(RedriveRefusal)
  {
    let death = target == .firstDeath ? deaths.first : deaths.last
    // unsafe: the caller holds the block.
    let own = unsafe MessageProperties(block).text(.key)
    key = death?.routingKeys.first ?? own ?? from.description
    // What was deleted since is told as the default one, as in the story of a death.
    ownExchange = death.flatMap { broker.router.exchange(described: $0.exchange) } ?? .default
    switch target {
    case .lastDeath, .firstDeath:
      guard let death else { throw .noStory }
      name = death.queue
      routingKey = death.queue
    case .queue(let queue):
      name = queue.description
      routingKey = name
    case .exchange(let exchange, let own):
      name = exchange.description
      guard let found = broker.router.exchange(named: exchange) else { throw .noExchange(name) }
      if let own { key = own }
      routingKey = key
      (self.exchange, ownExchange) = (found, found)
      return
    }
    if name == from.description { throw .sameQueue }
  }
}

extension Router {
  /// An exchange by a name that was written down; nil: it is not there, or the text is empty.
  fileprivate func exchange(described name: String) -> ExchangeID? {
    do throws(RoutingError) { return name.isEmpty ? nil : exchange(named: try BrokerName(system: name)) } catch { return nil }
  }
}

extension RedriveRefusal: Error {}
