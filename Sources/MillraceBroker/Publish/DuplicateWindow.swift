internal import MillraceCore

/// Ids of messages that were published lately. A second one of the same id is a duplicate.
///
/// # Threads
/// Any.
/// # Progress
/// Blocking: one look or one entry at a time.
/// # Size
/// An id's text and some 100 bytes.
final class DuplicateWindow: @unchecked Sendable {
  private let nanoseconds: UInt64
  private let most: Int
  private let monitor = Monitor()
  /// True: its message was taken; false: that is not known yet.
  private var known: [String: Bool] = [:]
  /// In the order in which they came.
  private var order: [(id: String, end: UInt64)] = []
  private var start = 0

  init(nanoseconds: UInt64, most: Int) { (self.nanoseconds, self.most) = (nanoseconds, most) }

  deinit { monitor.deallocate() }

  enum Answer {
    case new
    case duplicate
    /// Another message of the id is being published: whether this one is a duplicate shows when that is taken, or refused.
    case underWay
  }

  /// A new one is to be told `taken`, or withdrawn. Complexity: O(1), amortised.
  func enter(_ id: String, _ now: UInt64) -> Answer {
    monitor.locked {
      while start < order.count, order[start].end < now || order.count - start >= most { forgetFirst() }
      if let isTaken = known[id] { return isTaken ? .duplicate : .underWay }
      known[id] = false
      let (end, overflow) = now.addingReportingOverflow(nanoseconds)
      order.append((id, overflow ? .max : end))
      return .new
    }
  }

  /// Its message was taken.
  func taken(_ id: String) { monitor.locked { if known[id] != nil { known[id] = true } } }

  /// It was published before the process began, and is a duplicate until then. Before others enter; in any order.
  func restore(_ id: String, until end: UInt64) {
    monitor.locked {
      guard known.updateValue(true, forKey: id) == nil else { return }
      let index = order.lastIndex { $0.end <= end }.map { $0 + 1 } ?? 0
      order.insert((id, end), at: index)
    }
  }

  /// The message was not taken after all.
  func withdraw(_ id: String) {
    monitor.locked {
      guard known.removeValue(forKey: id) != nil else { return }
      // The last ones are looked at first: it has just come.
      if let index = order[start...].lastIndex(where: { $0.id == id }) { order.remove(at: index) }
    }
  }

  private func forgetFirst() {
    known[order[start].id] = nil
    start += 1
    if start > 1_024, start > order.count / 2 {
      order.removeFirst(start)
      start = 0
    }
  }
}
