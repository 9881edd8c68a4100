internal import MillraceCore

/// Who is to be told of something in a queue, without a thread of their own. The queue knows whether there are any, so that one for which nobody
/// waits costs nothing.
///
/// # Threads
/// Any.
@safe final class QueueWaits: @unchecked Sendable {
  private struct Wait {
    let number: UInt32
    let since: UInt64
    let action: @Sendable () -> Void
  }

  private let monitor = Monitor()
  // The monitor's.
  private var waits: [UInt64: Wait] = [:]
  private var last: UInt64 = 0

  deinit { monitor.deallocate() }

  var count: Int { monitor.locked { waits.count } }

  /// With the queue's lock, where it is counted.
  func enter(_ number: UInt32, _ since: UInt64, _ action: @escaping @Sendable () -> Void) -> UInt64 {
    monitor.locked {
      last += 1
      waits[last] = Wait(number: number, since: since, action: action)
      return last
    }
  }

  /// Somebody waits at that queue. Complexity: O(all that wait).
  func has(_ number: UInt32, _ since: UInt64) -> Bool {
    monitor.locked { waits.values.contains { $0.number == number && $0.since == since } }
  }

  /// Takes one out; nil: it was told.
  func leave(_ ticket: UInt64) -> (number: UInt32, since: UInt64)? {
    monitor.locked { waits.removeValue(forKey: ticket).map { ($0.number, $0.since) } }
  }

  /// Takes those of a queue out. Complexity: O(all that wait).
  func take(_ number: UInt32, _ since: UInt64) -> [@Sendable () -> Void] {
    monitor.locked {
      let own = waits.filter { $0.value.number == number && $0.value.since == since }
      for ticket in own.keys { waits[ticket] = nil }
      return own.sorted { $0.key < $1.key }.map(\.value.action)
    }
  }
}
