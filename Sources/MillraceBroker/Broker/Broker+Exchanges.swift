internal import MillraceCore

/// Exchanges and bindings, those that outlive the process too: as `Router` has them, and told to the journal.
extension Broker {
  /// As `Router.declare`; one that is durable is on stable storage when this returns, where the broker has a journal. Throws `BrokerError.routing` or `.journal`.
  @discardableResult
  public func declare(
    exchange name: BrokerName, _ kind: ExchangeKind, _ options: ExchangeOptions = ExchangeOptions()
  ) throws(BrokerError) -> ExchangeID {
    try definitions.locked { () throws(BrokerError) in
      if options.isDurable, journal != nil, !durableExchanges.contains(name), router.exchange(named: name) == nil {
        try record([.declare(.exchange(DurableExchange(name, kind, options)))])
        durableExchanges.insert(name)
      }
      return try routing { () throws(RoutingError) in try router.declare(name, kind, options) }
    }
  }

  /// As `Router.delete`. Throws as `declare`.
  @discardableResult
  public func delete(exchange name: BrokerName, ifUnused: Bool = false) throws(BrokerError) -> Bool {
    try definitions.locked { () throws(BrokerError) in
      let isGone = try routing { () throws(RoutingError) in try router.delete(exchange: name, ifUnused: ifUnused) }
      try record(forgetExchangesThatWent())
      return isGone
    }
  }

  /// As `Router.bind`; a binding between what is durable is durable. Throws as `declare`.
  @discardableResult
  public func bind(_ binding: Binding) throws(BrokerError) -> Bool {
    try definitions.locked { () throws(BrokerError) in
      let isNew = try routing { () throws(RoutingError) in try router.bind(binding) }
      if isNew, isDurable(binding) {
        do throws(BrokerError) { try record([.declare(.binding(binding))]) } catch {
          // It is not there, then.
          _ = try routing { () throws(RoutingError) in try router.unbind(binding) }
          throw error
        }
      }
      return isNew
    }
  }

  /// As `Router.unbind`. Throws as `declare`.
  @discardableResult
  public func unbind(_ binding: Binding) throws(BrokerError) -> Bool {
    try definitions.locked { () throws(BrokerError) in
      let wasDurable = isDurable(binding)
      let wasThere = try routing { () throws(RoutingError) in try router.unbind(binding) }
      if wasThere { try record((wasDurable ? [.delete(.binding(binding))] : []) + forgetExchangesThatWent()) }
      return wasThere
    }
  }

  /// Between an exchange and a target that the journal keeps.
  private func isDurable(_ binding: Binding) -> Bool {
    guard journal != nil, durableExchanges.contains(binding.source) else { return false }
    switch binding.target {
    case .exchange(let name): return durableExchanges.contains(name)
    case .queue(let name):
      guard let place = monitor.locked({ numbers[name].flatMap { place($0) } }), let locked = place.locked() else { return false }
      defer { place.lock.unlock() }
      return locked.state.journal != 0
    }
  }

  /// Durable exchanges that are there no more: deleted, or by themselves with their last binding.
  func forgetExchangesThatWent() -> [JournalChange] {
    let gone = durableExchanges.filter { router.exchange(named: $0) == nil }
    durableExchanges.subtract(gone)
    return gone.map { .delete(.exchange($0)) }
  }

  private func routing<Value>(_ body: () throws(RoutingError) -> Value) throws(BrokerError) -> Value {
    do throws(RoutingError) { return try body() } catch { throw .routing(error) }
  }
}
