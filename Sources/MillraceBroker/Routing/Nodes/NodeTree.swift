/// Changes of an exchange's tree: the nodes on one way are made anew.
@safe struct NodeTree {
  let memory: NodeMemory
  let hash: KeyHash
  /// Places of nodes that stand for many words.
  private(set) var manyNodes = 0
  private var freePlaces: [UInt32] = []

  init(_ memory: NodeMemory, _ hash: KeyHash) {
    self.memory = memory
    self.hash = hash
  }

  /// A node with these bytes and nothing else.
  func make(_ bytes: some Collection<UInt8>, hash: UInt64) -> NodePointer {
    let raw = unsafe memory.allocate(MemoryLayout<Node>.stride + bytes.count)
    let node = unsafe raw.assumingMemoryBound(to: Node.self)
    unsafe node.pointee.hash = hash
    unsafe node.pointee.length = UInt32(bytes.count)
    // unsafe: room for the bytes was asked for.
    let behind = unsafe UnsafeMutableRawPointer(node + 1).assumingMemoryBound(to: UInt8.self)
    for (at, byte) in bytes.enumerated() { unsafe behind[at] = byte }
    return unsafe node
  }

  /// A copy that may be changed; the node itself is retired.
  func renew(_ node: NodePointer) -> NodePointer {
    let copy = unsafe memory.copy(node).assumingMemoryBound(to: Node.self)
    unsafe memory.retire(node)
    return unsafe copy
  }

  /// The targets that lie where the pattern leads, or 0. Complexity: O(words · log n).
  func targets(_ root: NodePointer, _ pattern: Pattern) -> UInt {
    var node = unsafe root
    for step in pattern.steps {
      guard let next = unsafe child(node, step) else { return 0 }
      unsafe node = next
    }
    return unsafe node.pointee.targets
  }

  /// The root, with other targets where the pattern leads; nodes that lead nowhere go. Complexity: O(words · log n).
  mutating func setting(_ root: NodePointer, _ pattern: Pattern, _ change: (UInt) -> UInt) -> NodePointer {
    let steps = pattern.steps
    var way = unsafe [Optional(root)]
    for step in steps {
      let next = unsafe way[way.count - 1].flatMap { unsafe child($0, step) }
      unsafe way.append(next)
    }
    var below = unsafe way[steps.count].map(renew) ?? makeChild(steps[steps.count - 1])
    unsafe below.pointee.targets = change(below.pointee.targets)
    for index in steps.indices.reversed() {
      let parent = unsafe way[index].map(renew) ?? makeChild(steps[index - 1])
      var kept = unsafe Optional(below)
      if unsafe below.pointee.isEmpty {
        unsafe drop(below)
        unsafe kept = nil
      }
      unsafe link(parent, steps[index], old: way[index + 1], new: kept)
      unsafe below = parent
    }
    return unsafe below
  }

  /// The root of `HashTrie<NodeLeaf>` with `new` in place of `old`; either may be missing. Both have the same bytes.
  func replacing(_ words: UInt, old: NodePointer?, new: NodePointer?) -> UInt {
    guard let any = unsafe new ?? old else { return words }
    // unsafe: what has the same hash is copied when it stands in one list with what changes.
    let hash = unsafe any.pointee.hash
    var first = unsafe new
    unsafe new?.pointee.next = nil
    let leaf = HashTrie<NodeLeaf>.find(words, hash)
    var other = leaf == 0 ? nil : unsafe Optional(NodeLeaf.node(leaf))
    while let node = unsafe other {
      unsafe other = node.pointee.next
      if unsafe node == old { continue }
      let copy = unsafe renew(node)
      unsafe copy.pointee.next = first
      unsafe first = copy
    }
    guard let first = unsafe first else { return HashTrie<NodeLeaf>.removing(hash, from: words, memory) }
    return unsafe HashTrie<NodeLeaf>.inserting(NodeLeaf.leaf(first), into: words, memory)
  }

  private func child(_ node: NodePointer, _ step: Step) -> NodePointer? {
    switch step {
    case .one: unsafe node.pointee.one
    case .many: unsafe node.pointee.many
    case .word(let bytes): unsafe find(node.pointee.words, bytes)
    }
  }

  /// The node with these bytes.
  func find(_ words: UInt, _ bytes: [UInt8]) -> NodePointer? {
    let hash = hash.of(bytes)
    // unsafe: an array of no bytes has no address, and none of them is read.
    return unsafe bytes.withUnsafeBufferPointer {
      unsafe NodePointer.child(in: words, hash, $0.baseAddress ?? KeyHash.none, $0.count)
    }
  }

  private mutating func makeChild(_ step: Step) -> NodePointer {
    guard case .word(let bytes) = step else {
      let node = unsafe make([], hash: 0)
      if step == .many { unsafe node.pointee.number = takePlace() }
      return unsafe node
    }
    return unsafe make(bytes, hash: hash.of(bytes))
  }

  private func link(_ parent: NodePointer, _ step: Step, old: NodePointer?, new: NodePointer?) {
    switch step {
    case .one: unsafe parent.pointee.one = new
    case .many: unsafe parent.pointee.many = new
    case .word: unsafe parent.pointee.words = replacing(parent.pointee.words, old: old, new: new)
    }
  }

  /// A node that was made anew, and is empty.
  private mutating func drop(_ node: NodePointer) {
    unsafe givePlace(node)
    unsafe memory.retire(node)
  }

  private mutating func takePlace() -> UInt32 {
    if let place = freePlaces.popLast() { return place }
    manyNodes += 1
    return UInt32(manyNodes)
  }

  private mutating func givePlace(_ node: NodePointer) {
    let place = unsafe node.pointee.number
    if place != 0 { freePlaces.append(place) }
  }

  /// Retires nodes and all below them, for when the whole table goes. Complexity: O(nodes).
  func retire(allFrom roots: UInt) {
    var left = unsafe [NodePointer]()
    func push(_ words: UInt) {
      HashTrie<NodeLeaf>.forEach(words) { leaf in
        var next = unsafe Optional(NodeLeaf.node(leaf))
        while let node = unsafe next {
          unsafe left.append(node)
          unsafe next = node.pointee.next
        }
      }
      HashTrie<NodeLeaf>.retire(words, memory)
    }
    push(roots)
    while let node = unsafe left.popLast() {
      unsafe push(node.pointee.words)
      if let child = unsafe node.pointee.one { unsafe left.append(child) }
      if let child = unsafe node.pointee.many { unsafe left.append(child) }
      unsafe HashTrie<TargetLeaf>.retire(node.pointee.targets, memory)
      unsafe memory.retire(node)
    }
  }
}
