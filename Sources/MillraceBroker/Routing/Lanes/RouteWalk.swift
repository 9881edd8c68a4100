internal import CMillrace
internal import MillraceCore

/// Finds the queues of one message, and what it needs for that: kept from message to message, so that nothing is allocated.
///
/// Exchanges are looked at one after the other, each once. In a topic exchange all nodes that the key's first words lead to go on together, word by word:
/// no node is looked at twice for the same word, and nothing calls itself, whatever the pattern.
///
/// # Threads
/// One at a time.
/// # Complexity
/// Direct, default: O(key). Fanout: O(targets). Headers: O(filters · bytes). Topic: O(words · nodes that a part of the key leads to), and the targets.
@safe struct RouteWalk: ~Copyable {
  struct Word {
    let hash: UInt64
    let start: Int
    let length: Int
  }

  @safe struct Reached: BitwiseCopyable {
    let node: NodePointer
  }

  private(set) var queues = Growing<UInt32>()
  private let seenQueues: Marks

  private var exchanges = Growing<UInt32>()
  private let seenExchanges: Marks
  /// The exchange at hand has a target.
  private var hasMatched = false
  /// All exchanges so far choose by the key.
  private(set) var isByKey = true

  private var words = Growing<Word>()
  private var nodes = Growing<Reached>()
  /// Places that the word at hand may lead to.
  private var found = Growing<UInt>()
  /// Nodes for many words that were reached: they go on with each later word.
  private var open = Growing<Reached>()
  private var seenMany = Marks(capacity: 64)
  private var many = Growing<UInt32>()

  /// Up to so many queues are put in order by insertion, and more if their numbers lie far apart.
  private static let few = 8

  init(_ limits: RoutingLimits) {
    seenQueues = Marks(capacity: limits.queues)
    seenExchanges = Marks(capacity: limits.exchanges)
  }

  /// The exchange's node in a table. nil: it was deleted.
  @inline(__always) static func find(_ exchange: ExchangeID, in table: borrowing TableRoots) -> NodePointer? {
    guard let node = unsafe node(exchange.number, table), unsafe node.pointee.generation == UInt32(truncatingIfNeeded: exchange.bits >> 32)
    else { return nil }
    return unsafe node
  }

  @inline(__always) private static func node(_ number: UInt32, _ table: borrowing TableRoots) -> NodePointer? {
    let leaf = HashTrie<NodeLeaf>.find(table.exchanges, UInt64(number))
    return leaf == 0 ? nil : unsafe NodeLeaf.node(leaf)
  }

  /// Leaves the message's queues in `queues`, in ascending order.
  ///
  /// unsafe: the table's nodes stay for as long as this runs; `key` has no more than `RoutingKey.maxBytes`.
  @unsafe mutating func route(
    _ exchange: UInt32, _ table: borrowing TableRoots, _ key: UnsafeBufferPointer<UInt8>, _ headers: UnsafeRawBufferPointer
  ) {
    queues.removeAll()
    isByKey = true
    words.removeAll()
    if exchange == 0 {
      unsafe toQueue(named: key, table)
      return finish()
    }
    exchanges.removeAll()
    reach(exchange: exchange)
    var done = 0
    while done < exchanges.count {
      // unsafe: exchanges that are targets or alternates are in the table.
      let node = unsafe RouteWalk.node(exchanges[done], table)!
      hasMatched = false
      unsafe match(node, table, key, headers)
      let alternate = unsafe node.pointee.alternate
      if !hasMatched, alternate != Node.none { reach(exchange: alternate) }
      done += 1
    }
    for index in 0..<exchanges.count { seenExchanges.remove(exchanges[index]) }
    finish()
  }

  private mutating func match(
    _ node: NodePointer, _ table: borrowing TableRoots, _ key: UnsafeBufferPointer<UInt8>, _ headers: UnsafeRawBufferPointer
  ) {
    let start = unsafe key.baseAddress ?? KeyHash.none
    switch unsafe ExchangeKind(rawValue: node.pointee.kind) {
    case .fanout: unsafe reach(node.pointee.targets)
    case .direct:
      let hash = unsafe table.hash.of(start, key.count)
      if let child = unsafe NodePointer.child(in: node.pointee.words, hash, start, key.count) { unsafe reach(child.pointee.targets) }
    case .topic:
      unsafe split(key, UInt8(ascii: "."), table.hash)
      unsafe walk(node, start, table.manyNodes, isHidden: false)
    case .mqtt:
      if unsafe Topic.fault(key) != nil { return }
      unsafe split(key, UInt8(ascii: "/"), table.hash)
      unsafe walk(node, start, table.manyNodes, isHidden: key[0] == UInt8(ascii: "$"))
    case .headers:
      isByKey = false
      unsafe compare(node, headers)
    case nil: invariant(false, "an exchange has one of the kinds")
    }
  }

  private mutating func toQueue(named key: UnsafeBufferPointer<UInt8>, _ table: borrowing TableRoots) {
    guard let start = key.baseAddress else { return }
    let hash = unsafe table.hash.of(start, key.count)
    if let node = unsafe NodePointer.child(in: table.queues, hash, start, key.count) { unsafe reach(queue: node.pointee.number) }
  }

  private mutating func compare(_ node: NodePointer, _ headers: UnsafeRawBufferPointer) {
    unsafe HashTrie<NodeLeaf>.forEach(node.pointee.words) { leaf in
      var next = unsafe Optional(NodeLeaf.node(leaf))
      while let filter = unsafe next {
        if unsafe HeaderFilter.matches(UnsafeRawBufferPointer(filter.content), headers) { unsafe reach(filter.pointee.targets) }
        unsafe next = filter.pointee.next
      }
    }
  }

  // MARK: Words

  /// The empty key has no words.
  private mutating func split(_ key: UnsafeBufferPointer<UInt8>, _ separator: UInt8, _ hash: KeyHash) {
    words.removeAll()
    guard let base = key.baseAddress, !key.isEmpty else { return }
    var start = 0
    for at in 0...key.count {
      // unsafe: the key's bytes.
      if unsafe at < key.count && base[at] != separator { continue }
      words.append(Word(hash: unsafe hash.of(base + start, at - start), start: start, length: at - start))
      start = at + 1
    }
  }

  /// `isHidden`: the first word is led to by no wildcard.
  private mutating func walk(_ root: NodePointer, _ key: UnsafePointer<UInt8>, _ manyNodes: Int, isHidden: Bool) {
    seenMany.grow(to: manyNodes + 1)
    nodes.removeAll()
    open.removeAll()
    many.removeAll()
    unsafe nodes.append(Reached(node: root))
    if !isHidden { unsafe reach(many: root.pointee.many) }
    for index in 0..<words.count {
      let word = words[index]
      if nodes.count == 0, open.count == 0 { break }
      found.removeAll()
      for at in 0..<nodes.count { unsafe look(nodes[at].node, word.hash, isHidden: isHidden && index == 0) }
      for at in 0..<open.count { unsafe look(open[at].node, word.hash, isHidden: false) }
      nodes.removeAll()
      for at in 0..<found.count { unsafe step(to: found[at], word, key) }
    }
    for at in 0..<nodes.count { unsafe reach(nodes[at].node.pointee.targets) }
    for at in 0..<many.count { seenMany.remove(many[at]) }
  }

  /// Where a word may lead. Those places are only fetched, so that the waits for memory overlap.
  @inline(__always) private mutating func look(_ node: NodePointer, _ hash: UInt64, isHidden: Bool) {
    let leaf = unsafe HashTrie<NodeLeaf>.candidate(node.pointee.words, hash)
    if leaf != 0 {
      found.append(leaf)
      unsafe millrace_prefetch_read(NodeLeaf.node(leaf))
      unsafe millrace_prefetch_read(UnsafeRawPointer(NodeLeaf.node(leaf)) + 64)
    }
    if !isHidden, let one = unsafe node.pointee.one {
      unsafe millrace_prefetch_read(one)
      found.append(UInt(bitPattern: one))
    }
  }

  /// A leaf that may be another word's, or the address of a node for any word.
  @inline(__always) private mutating func step(to place: UInt, _ word: Word, _ key: UnsafePointer<UInt8>) {
    if place & 1 == 0 { return unsafe reach(NodePointer(bitPattern: place)!) }
    if let node = unsafe NodePointer.first(of: place, word.hash, key + word.start, word.length) { unsafe reach(node) }
  }

  @inline(__always) private mutating func reach(_ node: NodePointer) {
    unsafe millrace_prefetch_read(UnsafeRawPointer(bitPattern: node.pointee.words))
    unsafe nodes.append(Reached(node: node))
    unsafe reach(many: node.pointee.many)
  }

  /// It takes no word at first, and any number of the words that come: its targets are reached whatever those are.
  @inline(__always) private mutating func reach(many node: NodePointer?) {
    var node = unsafe node
    while let reached = unsafe node {
      let place = unsafe reached.pointee.number
      guard seenMany.insert(place) else { return }
      many.append(place)
      unsafe reach(reached.pointee.targets)
      if unsafe reached.pointee.hasSteps { unsafe open.append(Reached(node: reached)) }
      unsafe node = reached.pointee.many
    }
  }

  // MARK: Targets

  @inline(__always) private mutating func reach(_ targets: UInt) {
    if targets == 0 { return }
    hasMatched = true
    if targets & 1 != 0 { reach(TargetLeaf.target(targets)) } else { reachAll(targets) }
  }

  /// Depth: 6, since a target's code has 32 bits.
  private mutating func reachAll(_ branch: UInt) {
    let slots = HashTrie<TargetLeaf>.slots(branch)
    for index in 0..<slots.count {
      let slot = slots[index]
      if slot & 1 != 0 { reach(TargetLeaf.target(slot)) } else { reachAll(slot) }
    }
  }

  @inline(__always) private mutating func reach(_ target: TargetCode) {
    if target.isExchange { reach(exchange: target.number) } else { reach(queue: target.number) }
  }

  private mutating func reach(exchange: UInt32) {
    if seenExchanges.insert(exchange) { exchanges.append(exchange) }
  }

  @inline(__always) private mutating func reach(queue: UInt32) {
    if seenQueues.insert(queue) { queues.append(queue) }
  }

  /// Puts the queues in order, and takes them out of the marks.
  private mutating func finish() {
    let count = queues.count
    // unsafe: below the count.
    let base = unsafe queues.base
    if count > RouteWalk.few {
      var (low, high) = unsafe (base[0], base[0])
      for index in 1..<count {
        low = unsafe min(low, base[index])
        high = unsafe max(high, base[index])
      }
      if count > 8 * RouteWalk.few || Int(high - low) >> 8 < count {
        return unsafe seenQueues.drain(from: low, through: high, into: base)
      }
    }
    for index in 0..<count {
      let queue = unsafe base[index]
      seenQueues.remove(queue)
      var place = index
      while place > 0, unsafe base[place - 1] > queue {
        unsafe base[place] = base[place - 1]
        place -= 1
      }
      unsafe base[place] = queue
    }
  }
}
