extension RoutingTable {
  /// Throws `RoutingError.different` where there is one that is otherwise, `.full`.
  mutating func declare(_ name: BrokerName, _ kind: ExchangeKind, _ options: ExchangeOptions) throws(RoutingError) -> ExchangeID {
    if let number = exchangeNumbers[name] {
      let exchange = exchanges[number]!
      try RoutingTable.compare(exchange, kind, options)
      return exchange.id
    }
    // One is the default exchange.
    if exchanges.count + 1 >= limits.exchanges { throw .full("exchanges", limit: limits.exchanges) }
    let number = freeNumbers.popLast() ?? nextNumber
    if number == nextNumber { nextNumber += 1 }
    generations &+= 1
    let node = unsafe tree.make([], hash: UInt64(number))
    unsafe node.pointee.number = number
    unsafe node.pointee.generation = generations
    unsafe node.pointee.kind = kind.rawValue
    unsafe node.pointee.isInternal = options.isInternal ? 1 : 0
    unsafe node.pointee.alternate = options.alternate.flatMap { $0 == name ? number : exchangeNumbers[$0] } ?? Node.none
    let id = ExchangeID(number: number, generation: generations)
    unsafe exchanges[number] = Exchange(name: name, id: id, kind: kind, options: options, node: node)
    exchangeNumbers[name] = number
    if let alternate = options.alternate { alternateOf[alternate, default: []].insert(number) }
    unsafe replaceNode(number, node)
    pointAlternates(at: name, number)
    return id
  }

  private static func compare(_ exchange: Exchange, _ kind: ExchangeKind, _ options: ExchangeOptions) throws(RoutingError) {
    let name = exchange.name
    let actual = exchange.options
    func differ(_ attribute: String, _ is: String, _ asked: String) -> RoutingError {
      .different(name, attribute: attribute, is: `is`, asked: asked)
    }
    let actualKind = exchange.kind
    if actualKind != kind { throw differ("kind", "\(actualKind)", "\(kind)") }
    if actual.isDurable != options.isDurable { throw differ("isDurable", "\(actual.isDurable)", "\(options.isDurable)") }
    if actual.autoDeletes != options.autoDeletes { throw differ("autoDeletes", "\(actual.autoDeletes)", "\(options.autoDeletes)") }
    if actual.isInternal != options.isInternal { throw differ("isInternal", "\(actual.isInternal)", "\(options.isInternal)") }
    if actual.alternate != options.alternate {
      throw differ("alternate", actual.alternate?.description ?? "none", options.alternate?.description ?? "none")
    }
  }

  /// Takes its bindings with it, to and from it. False: there is none. Throws `RoutingError.inUse` if only an unused one is to go: one without bindings of its own.
  mutating func delete(_ name: BrokerName, ifUnused: Bool) throws(RoutingError) -> Bool {
    guard let number = exchangeNumbers[name] else { return false }
    if ifUnused, !exchanges[number]!.outgoing.isEmpty { throw .inUse(name) }
    remove(exchange: number)
    return true
  }

  /// And those that go with the last of their bindings.
  mutating func remove(exchange number: UInt32) {
    var going = [number]
    while let number = going.popLast() {
      guard let exchange = exchanges[number] else { continue }
      for binding in exchange.outgoing { take(binding, from: number) }
      for binding in incoming[TargetCode(exchange: number)] ?? [] {
        let source = exchangeNumbers[binding.source]!
        if take(binding, from: source) { going.append(source) }
      }
      forget(number)
    }
  }

  /// An exchange without bindings.
  private mutating func forget(_ number: UInt32) {
    let exchange = exchanges.removeValue(forKey: number)!
    let name = exchange.name
    exchangeNumbers[name] = nil
    exchangeRoots = HashTrie<NodeLeaf>.removing(UInt64(number), from: exchangeRoots, memory)
    unsafe memory.retire(exchange.node)
    if let alternate = exchange.options.alternate {
      alternateOf[alternate]?.remove(number)
      if alternateOf[alternate]?.isEmpty == true { alternateOf[alternate] = nil }
    }
    freeNumbers.append(number)
    pointAlternates(at: name, Node.none)
  }

  private mutating func pointAlternates(at name: BrokerName, _ number: UInt32) {
    for source in alternateOf[name] ?? [] where unsafe exchanges[source]!.node.pointee.alternate != number {
      let node = unsafe tree.renew(exchanges[source]!.node)
      unsafe node.pointee.alternate = number
      unsafe replaceNode(source, node)
    }
  }
}
