/// The entries of all directories, as changes of names. After a crash each name is as it was at some moment from the last sync of its directory to
/// the crash, independently of others; but a rename happens for both names or for none. POSIX promises no more: not that entries come to the disk
/// in order, nor with the sync of the file that they name. (ext4 with its journal keeps more of it. That is luck.)
struct EntryHistory {
  struct Name: Hashable {
    let directory: Int
    let name: String
  }

  struct Change {
    let begin: Int
    let end: Int?
    /// What the names stand for afterwards.
    let names: [(name: Name, node: Int?)]
    var durableFrom: Int?
  }

  private(set) var changes: [Change] = []
  /// What was there before.
  private(set) var base: [Name: Int] = [:]
  /// What the program sees.
  private(set) var live: [Name: Int] = [:]

  mutating func found(_ name: Name, _ node: Int) {
    base[name] = node
    live[name] = node
  }

  mutating func change(_ names: [(name: Name, node: Int?)], begin: Int, end: Int?) {
    for (name, node) in names { live[name] = node }
    changes.append(Change(begin: begin, end: end, names: names))
  }

  /// Tells each change when it became durable: by the first sync of a directory of it.
  mutating func settle(_ syncs: [Int: [Sync]]) {
    for index in changes.indices {
      guard let end = changes[index].end else { continue }
      let covering = changes[index].names.compactMap { name, _ in syncs[name.directory]?.first { $0.succeeded && end < $0.begin }?.end }
      changes[index].durableFrom = covering.min()
    }
  }

  /// What a crash at `point` leaves.
  func entries(at point: Int, _ mood: Mood, _ choices: inout some Choices) -> [Name: Int] {
    let begun = changes.prefix { $0.begin < point }
    var applied: [Bool] = []
    for change in begun {
      if (change.durableFrom ?? .max) < point {
        applied.append(true)
        continue
      }
      switch mood {
      case .nothing: applied.append(false)
      case .everything: applied.append(true)
      case .inOrder(let torn): applied.append(change.begin < torn || (change.begin == torn && choices.pick(2) == 1))
      case .eachWrite, .eachUnit: applied.append(choices.pick(2) == 1)
      }
    }
    // A later state of one name of a rename tells that the rename happened, for its other name too.
    var newest: [Name: Int] = [:]
    for index in begun.indices.reversed() {
      let names = begun[index].names.map(\.name)
      if names.count == 2, names.contains(where: { newest[$0] != nil }) { applied[index] = true }
      if applied[index] { for name in names where newest[name] == nil { newest[name] = index } }
    }
    var entries = base
    for (change, isApplied) in zip(begun, applied) where isApplied {
      for (name, node) in change.names { entries[name] = node }
    }
    return entries
  }

  /// When what is not yet durable at `point` began.
  func begins(before point: Int) -> [Int] {
    changes.prefix { $0.begin < point }.filter { ($0.durableFrom ?? .max) >= point }.map(\.begin)
  }
}
