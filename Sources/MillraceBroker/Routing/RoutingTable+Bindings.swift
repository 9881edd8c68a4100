extension RoutingTable {
  /// False: it was there. Throws `RoutingError.noExchange`, `.noQueue`, `.key`, `.header` or `.full`.
  mutating func bind(_ binding: Binding) throws(RoutingError) -> Bool {
    let (source, target) = try ends(binding)
    if exchanges[source]!.outgoing.contains(binding) { return false }
    guard binding.arguments.encoded.count <= limits.argumentBytes else {
      throw .full("argumentBytes", limit: limits.argumentBytes)
    }
    let pattern = try Pattern(exchanges[source]!.kind, key: binding.key, arguments: binding.arguments)
    if bindingCount >= limits.bindings { throw .full("bindings", limit: limits.bindings) }
    exchanges[source]!.outgoing.insert(binding)
    incoming[target, default: []].insert(binding)
    bindingCount += 1
    let node = unsafe exchanges[source]!.node
    let leaf = TargetLeaf.leaf(target)
    if HashTrie<TargetLeaf>.find(unsafe tree.targets(node, pattern), TargetLeaf.key(leaf)) != 0 {
      repeated[Place(source: source, pattern: pattern, target: target), default: 1] += 1
      return true
    }
    let root = unsafe tree.setting(node, pattern) { [memory] in HashTrie<TargetLeaf>.inserting(leaf, into: $0, memory) }
    unsafe replaceNode(source, root)
    return true
  }

  /// False: there was none with exactly this key and these arguments. Throws `RoutingError.noExchange` or `.noQueue`.
  mutating func unbind(_ binding: Binding) throws(RoutingError) -> Bool {
    let (source, _) = try ends(binding)
    guard exchanges[source]!.outgoing.contains(binding) else { return false }
    if take(binding, from: source) { remove(exchange: source) }
    return true
  }

  private func ends(_ binding: Binding) throws(RoutingError) -> (source: UInt32, target: TargetCode) {
    guard let source = exchangeNumbers[binding.source] else { throw .noExchange(binding.source) }
    return (source, try code(binding.target))
  }

  private func code(_ target: BindingTarget) throws(RoutingError) -> TargetCode {
    switch target {
    case .queue(let name):
      guard let number = queueNumbers[name] else { throw .noQueue(name) }
      return TargetCode(queue: number)
    case .exchange(let name):
      guard let number = exchangeNumbers[name] else { throw .noExchange(name) }
      return TargetCode(exchange: number)
    }
  }

  /// Takes a binding that is there. True: it was the last one of an exchange that goes with it.
  @discardableResult mutating func take(_ binding: Binding, from source: UInt32) -> Bool {
    guard let target = try? code(binding.target) else { preconditionFailure("invariant broken: a binding outlives its target") }
    remove(binding, target, from: source)
    return exchanges[source]!.options.autoDeletes && exchanges[source]!.outgoing.isEmpty
  }

  private mutating func remove(_ binding: Binding, _ target: TargetCode, from source: UInt32) {
    exchanges[source]!.outgoing.remove(binding)
    incoming[target]!.remove(binding)
    if incoming[target]!.isEmpty { incoming[target] = nil }
    bindingCount -= 1
    guard let pattern = try? Pattern(exchanges[source]!.kind, key: binding.key, arguments: binding.arguments) else {
      preconditionFailure("invariant broken: a binding's pattern was checked when it was added")
    }
    let place = Place(source: source, pattern: pattern, target: target)
    if let count = repeated[place] {
      repeated[place] = count > 2 ? count - 1 : nil
      return
    }
    let key = TargetLeaf.key(TargetLeaf.leaf(target))
    let root = unsafe tree.setting(exchanges[source]!.node, pattern) { [memory] in HashTrie<TargetLeaf>.removing(key, from: $0, memory) }
    unsafe replaceNode(source, root)
  }
}
