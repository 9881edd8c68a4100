/// What routing threads read: where a version of the table begins. Nothing that it leads to changes.
struct TableRoots {
  let version: UInt64
  let hash: KeyHash
  /// Exchanges by number: a `HashTrie` of `NodeLeaf`.
  let exchanges: UInt
  /// Queues by name.
  let queues: UInt
  /// Places of nodes that stand for many words are 1 to this.
  let manyNodes: Int
}

/// Exchanges, queues and bindings, and the immutable versions of them that messages are routed by.
///
/// Changes make the nodes on their way anew and share the rest: `roots` is the new version, `memory` frees what only older ones have when it is told that nobody reads
/// those any more. A refused change changes nothing.
///
/// # Threads
/// The writer's, one at a time.
/// # Complexity
/// A binding is added and removed in O(words of its key · log n). An exchange or a queue goes in O(its bindings · words · log n).
struct RoutingTable: ~Copyable {
  /// What the writer knows of an exchange besides its node.
  @safe struct Exchange {
    let name: BrokerName
    let id: ExchangeID
    let kind: ExchangeKind
    let options: ExchangeOptions
    var outgoing: Set<Binding> = []
    var node: NodePointer
  }

  let limits: RoutingLimits
  let memory: NodeMemory
  var tree: NodeTree
  var exchangeRoots: UInt = 0
  var queueRoots: UInt = 0

  /// By number; 0 is the default exchange, which is none of these.
  var exchanges: [UInt32: Exchange] = [:]
  var exchangeNumbers: [BrokerName: UInt32] = [:]
  var freeNumbers: [UInt32] = []
  var generations: UInt32 = 0
  var nextNumber: UInt32 = 1
  /// Exchanges that name this one as their alternate.
  var alternateOf: [BrokerName: Set<UInt32>] = [:]

  var queueNames: [UInt32: BrokerName] = [:]
  var queueNumbers: [BrokerName: UInt32] = [:]

  /// Bindings that lead there.
  var incoming: [TargetCode: Set<Binding>] = [:]
  /// How many bindings put a target where it lies, if more than one do.
  var repeated: [Place: Int] = [:]
  var bindingCount = 0

  struct Place: Hashable {
    let source: UInt32
    let pattern: Pattern
    let target: TargetCode
  }

  /// - Parameter hash: seeded by what nobody else knows.
  init(_ limits: RoutingLimits, hash: KeyHash) {
    limits.check()
    self.limits = limits
    memory = NodeMemory()
    tree = NodeTree(memory, hash)
  }

  deinit {
    tree.retire(allFrom: exchangeRoots)
    tree.retire(allFrom: queueRoots)
    memory.sweep()
    memory.free(from: .max)
    precondition(memory.bytes == 0, "invariant broken: a table that has gone leaves nodes behind")
  }

  /// What the changes so far come to.
  var roots: TableRoots {
    TableRoots(version: memory.version, hash: tree.hash, exchanges: exchangeRoots, queues: queueRoots, manyNodes: tree.manyNodes)
  }

  /// The exchange's root becomes another.
  mutating func replaceNode(_ number: UInt32, _ node: NodePointer) {
    unsafe exchanges[number]!.node = node
    exchangeRoots = unsafe HashTrie<NodeLeaf>.inserting(NodeLeaf.leaf(node), into: exchangeRoots, memory)
    memory.sweep()
  }

  func exchange(named name: BrokerName) -> ExchangeID? { exchangeNumbers[name].map { exchanges[$0]!.id } }

  /// nil: it was deleted, or is the default one.
  func name(of exchange: ExchangeID) -> BrokerName? { exchanges[exchange.number].flatMap { $0.id == exchange ? $0.name : nil } }

  func bindings(from name: BrokerName) throws(RoutingError) -> [Binding] {
    guard let number = exchangeNumbers[name] else { throw .noExchange(name) }
    return Array(exchanges[number]!.outgoing)
  }

  // MARK: Queues

  /// Throws `RoutingError.queueExists` or `.queueNumber`.
  mutating func add(queue name: BrokerName, number: UInt32) throws(RoutingError) {
    if queueNumbers[name] != nil { throw .queueExists(name) }
    if number >= limits.queues || queueNames[number] != nil { throw .queueNumber(number) }
    queueNames[number] = name
    queueNumbers[name] = number
    let bytes = Array(name.description.utf8)
    let node = unsafe tree.make(bytes, hash: tree.hash.of(bytes))
    unsafe node.pointee.number = number
    queueRoots = unsafe tree.replacing(queueRoots, old: nil, new: node)
  }

  /// Takes its bindings with it. False: there is none.
  mutating func remove(queue name: BrokerName) -> Bool {
    guard let number = queueNumbers[name] else { return false }
    for binding in incoming[TargetCode(queue: number)] ?? [] {
      // An exchange that went with its last binding may have taken it along.
      guard let source = exchangeNumbers[binding.source], exchanges[source]!.outgoing.contains(binding) else { continue }
      if take(binding, from: source) { remove(exchange: source) }
    }
    queueNumbers[name] = nil
    queueNames[number] = nil
    let node = unsafe tree.find(queueRoots, Array(name.description.utf8))!
    queueRoots = unsafe tree.replacing(queueRoots, old: node, new: nil)
    unsafe memory.retire(node)
    memory.sweep()
    return true
  }
}
