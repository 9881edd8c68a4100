internal import MillraceBroker

/// Exchanges, queues and bindings as they stand.
struct KeptDefinitions {
  struct Kept {
    let definition: DurableDefinition
    /// Of the event that holds it.
    var version: UInt64
    /// Counts declarations.
    let order: UInt64
  }

  private(set) var all: [JournalChange.Name: Kept] = [:]
  private var order: UInt64 = 0
  /// Of what is encoded, all together.
  private(set) var bytes = 0
  private(set) var queueNumbers: Set<UInt32> = []

  /// The number of a queue that it takes the place of, or is none any more.
  private mutating func put(_ definition: DurableDefinition, _ version: UInt64) -> UInt32? {
    let name = definition.name
    let before = all[name]
    let gone = remove(name)
    order += 1
    all[name] = Kept(definition: definition, version: version, order: before?.order ?? order)
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
    case .declare(let definition): return put(definition, version)
    case .delete(let name):
      let gone = remove(name)
      if case .binding = name { return gone }
      for (other, kept) in all {
        if case .binding(let binding) = kept.definition, binding.isOf(name) { _ = remove(other) }
      }
      return gone
    }
  }

  /// A copy that is on stable storage. False: what it copies has been deleted meanwhile.
  mutating func applyCopy(of definition: DurableDefinition, from source: UInt64, version: UInt64, first: UInt64) -> Bool {
    if let kept = all[definition.name] {
      if kept.version == source { all[definition.name]!.version = version }
      return true
    }
    // Where the source is gone, so is what deleted it: that is repeated behind here.
    if source < first { _ = put(definition, version) }
    return source < first
  }

  /// The copy at this version was none any more. As `apply`.
  mutating func undo(_ name: JournalChange.Name, copiedAt version: UInt64) -> UInt32? {
    guard let kept = all[name], kept.version == version else { return nil }
    return apply(.delete(name), version: version)
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
