/// The consumers of a group, and which of them gets the next message.
struct ConsumerTable {
  struct Consumer {
    let id: UInt64
    let name: String
    /// Among those of its name.
    let number: UInt64
    /// Messages that it may have at once.
    let credit: Int
    var delivered = 0
    /// For pinning.
    let hash: UInt64
    var hasRoom: Bool { delivered < credit }
  }

  /// In the order in which they came.
  private(set) var all: [Consumer] = []
  /// Where the next look begins.
  private var turn = 0

  var isEmpty: Bool { all.isEmpty }
  var hasRoom: Bool { all.contains(where: \.hasRoom) }

  mutating func add(_ id: UInt64, name: String, credit: Int) {
    // A name alone decides, whenever its consumer comes; more consumers of one name differ.
    var number: UInt64 = 0
    while all.contains(where: { $0.name == name && $0.number == number }) { number += 1 }
    all.append(Consumer(id: id, name: name, number: number, credit: credit, hash: StableHash.bytes(name.utf8) ^ StableHash.mix(number)))
  }

  /// False: there is no such consumer.
  mutating func remove(_ id: UInt64) -> Bool {
    guard let index = all.firstIndex(where: { $0.id == id }) else { return false }
    all.remove(at: index)
    if index < turn { turn -= 1 }
    if turn >= all.count { turn = 0 }
    return true
  }

  mutating func delivered(to id: UInt64, _ change: Int) {
    guard let index = all.firstIndex(where: { $0.id == id }) else { return }
    all[index].delivered += change
  }

  /// Who gets a message of `stream`; nil: nobody has room, or the one that it is pinned to has none. Complexity: O(consumers).
  mutating func choose(_ strategy: GroupStrategy, stream: StreamName) -> UInt64? {
    switch strategy {
    case .pinned:
      let hash = StableHash.bytes(stream.description.utf8)
      guard let consumer = all.max(by: { StableHash.mix($0.hash ^ hash) < StableHash.mix($1.hash ^ hash) }) else { return nil }
      return consumer.hasRoom ? consumer.id : nil
    case .roundRobin, .dispatchToSingle:
      for step in 0..<all.count {
        let index = (turn + step) % all.count
        guard all[index].hasRoom else { continue }
        turn = strategy == .roundRobin ? (index + 1) % all.count : index
        return all[index].id
      }
      return nil
    }
  }
}
