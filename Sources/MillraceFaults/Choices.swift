/// Who decides what a crash left: a seed, or each way in turn.
protocol Choices {
  /// A number in `0..<count`.
  mutating func pick(_ count: Int) -> Int
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct SeededChoices: Choices {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func pick(_ count: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    word ^= word >> 31
    return Int(word.multipliedFullWidth(by: UInt64(count)).high)
  }
}

/// Every way through the choices of something that is done again and again: each run follows the last one's path but for the last choice that had
/// another way.
struct EnumeratedChoices: Choices {
  private var path: [(chosen: Int, count: Int)] = []
  private var depth = 0

  mutating func pick(_ count: Int) -> Int {
    if depth == path.count { path.append((0, count)) }
    precondition(path[depth].count == count, "what is enumerated must ask the same on the same path")
    defer { depth += 1 }
    return path[depth].chosen
  }

  /// False when there is no further way.
  mutating func advance() -> Bool {
    depth = 0
    while let last = path.popLast() {
      if last.chosen + 1 < last.count {
        path.append((last.chosen + 1, last.count))
        return true
      }
    }
    return false
  }
}

/// What a crash is like. Any subset of what was not synced may be there; these are the kinds of subset that find faults.
enum Mood: Equatable {
  case nothing
  case everything
  /// What began before the record `torn` is there, that at `torn` in part, the rest is not.
  case inOrder(torn: Int)
  /// Each write by itself: absent, whole, a first part of it, or any of its units.
  case eachWrite
  /// Each unit of each write by itself.
  case eachUnit
}
