internal import MillraceBroker

/// Where what is copied stood before, and where it was declared.
struct CopySource {
  var version: UInt64
  var origin: UInt64
}

/// Exchanges, queues and bindings as they stand.
struct KeptDefinitions {
  struct Kept {
    let definition: DurableDefinition
    /// Of the event that holds it.
    var version: UInt64
    /// Of the event that declared it, copies not counted.
    let origin: UInt64
    /// Counts declarations.
    let order: UInt64
  }

  private(set) var all: [JournalChange.Name: Kept] = [:]
  private var order: UInt64 = 0
  /// Of what is encoded, all together.
  private(set) var bytes = 0
  private(set) var queueNumbers: Set<UInt32> = []

  /// The number of a queue that it takes the place of, or is none any more.
  private mutating func put(_ definition: DurableDefinition, _ version: UInt64, origin: UInt64) -> UInt32? {
    let name = definition.name
    let before = all[name]
    let gone = remove(name)
    order += 1
    all[name] = Kept(definition: definition, version: version, origin: origin, order: before?.order ?? order)
    bytes += JournalChange.declare(definition).encoded.count
    guard case .queue(let queue) = definition else { return nil }
    queueNumbers.insert(queue.number)
    return gone == queue.number ? nil : gone
  }

  private mutating func remove(_ name: JournalChange.Name) -> UInt32? {
    guard let gone = all.removeValue(forKey: name) else { return nil }
    bytes -= JournalChange.declare(gone.definition).encoded.count
    guard case .queue(let queue) = gone.definition else { return nil }
    queueNumbers.remove(queue.number)
    return queue.number
  }

  /// A change that is on stable storage. Gives the number of a queue that is none any more. Complexity: O(1), of a deleted queue or exchange O(definitions).
  mutating func apply(_ change: JournalChange, version: UInt64) -> UInt32? {
    switch change {
    case .declare(let definition): return put(definition, version, origin: version)
    case .delete(let name):
      let gone = remove(name)
      if case .binding = name { return gone }
      for (other, kept) in all {
        if case .binding(let binding) = kept.definition, binding.isOf(name) { _ = remove(other) }
      }
      return gone
    }
  }

  /// A copy that is on stable storage. Gives the number of a queue that is none any more, and whether what it copies has been deleted meanwhile.
  mutating func apply(copy definition: DurableDefinition, from source: CopySource, version: UInt64, first: UInt64) -> (
    gone: UInt32?, isDeleted: Bool
  ) {
    if let kept = all[definition.name] {
      // What was declared later counts, in whatever order copies were written.
      if kept.origin > source.origin { return (nil, false) }
      return (put(definition, version, origin: source.origin), false)
    }
    // Where the source is gone, so is what deleted it: that is repeated behind here.
    if source.version < first { return (put(definition, version, origin: source.origin), false) }
    return (nil, true)
  }

  /// The copy at this version was none any more. It alone: what went with it has copies of its own. As `apply`.
  mutating func undo(_ name: JournalChange.Name, copiedAt version: UInt64) -> UInt32? {
    guard let kept = all[name], kept.version == version else { return nil }
    return remove(name)
  }

  /// What is to be written again of what stands before `floor`.
  func copies(before floor: UInt64) -> [WrittenChange] {
    ordered.filter { $0.version < floor }.map {
      WrittenChange(kind: .copy, source: CopySource(version: $0.version, origin: $0.origin), change: .declare($0.definition))
    }
  }

  /// Exchanges, queues, bindings, each in the order of declaration.
  var ordered: [Kept] {
    all.values.sorted { ($0.definition.rank, $0.order) < ($1.definition.rank, $1.order) }
  }
}

extension DurableDefinition {
  fileprivate var rank: Int {
    switch self {
    case .exchange: 0
    case .queue: 1
    case .binding: 2
    }
  }
}

extension Binding {
  fileprivate func isOf(_ name: JournalChange.Name) -> Bool {
    switch name {
    case .exchange(let name): source == name || target == .exchange(name)
    case .queue(let name): target == .queue(name)
    case .binding: false
    }
  }
}
