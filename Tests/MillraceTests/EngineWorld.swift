import CMillrace
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// A door that handlers of a test wait at: nothing here sleeps, and nobody waits for longer than a minute.
final class Door: @unchecked Sendable {
  private let monitor = Monitor()
  private var isOpen = false
  private var arrivals = 0

  deinit { monitor.deallocate() }

  func open() {
    monitor.locked {
      isOpen = true
      monitor.broadcast(.ended)
    }
  }

  /// Waits for the door. False: it stayed shut for a minute.
  @discardableResult func pass() -> Bool {
    let deadline = millrace_monotonic() + 60_000_000_000
    return monitor.locked {
      arrivals += 1
      monitor.broadcast(.work)
      while !isOpen {
        if !monitor.wait(.ended, until: deadline), !isOpen { return false }
      }
      return true
    }
  }

  /// Waits until so many have come to the door. False: they did not within a minute.
  func wait(for count: Int) -> Bool {
    let deadline = millrace_monotonic() + 60_000_000_000
    return monitor.locked {
      while arrivals < count {
        if !monitor.wait(.work, until: deadline), arrivals < count { return false }
      }
      return true
    }
  }

  var arrived: Int { monitor.locked { arrivals } }
  var isPassable: Bool { monitor.locked { isOpen } }

  /// As `wait`, in a Swift task: Swift's threads are few, and handlers of the test may need them.
  func reached(_ count: Int) async -> Bool { await holds { self.arrived >= count } }
  /// Waits, in a Swift task, until the door is open. False: it stayed shut for a minute.
  func opened() async -> Bool { await holds { self.isPassable } }

  private func holds(_ condition: () -> Bool) async -> Bool {
    let deadline = millrace_monotonic() + 60_000_000_000
    while !condition() {
      if millrace_monotonic() > deadline { return false }
      await Task.yield()
    }
    return true
  }
}

/// How many are inside at once, and the most there ever were.
final class Gauge: @unchecked Sendable {
  private let monitor = Monitor()
  private var now = 0
  private var peak = 0
  private var total = 0

  deinit { monitor.deallocate() }

  func enter() {
    monitor.locked {
      now += 1
      total += 1
      peak = max(peak, now)
    }
  }
  func leave() { monitor.locked { now -= 1 } }
  var most: Int { monitor.locked { peak } }
  var entries: Int { monitor.locked { total } }
  var inside: Int { monitor.locked { now } }
}

extension WorkflowHandle {
  /// Completed, failed, skipped, cancelled: every task is in exactly one.
  var accounts: [Int] {
    let now = progress()
    return [now.completed, now.failed, now.skipped, now.cancelled]
  }
  /// The accounts say the same as the records of the tasks, and nothing is left out.
  func isAccounted() -> Bool {
    let statuses = record().tasks.map(\.status)
    func count(_ words: TaskStatus...) -> Int { statuses.count { words.contains($0) } }
    return accounts == [count(.completed), count(.failed, .timedOut), count(.skipped), count(.cancelled)]
      && accounts.reduce(0, +) == statuses.count && progress().running == 0
  }
}

func engine(slots: Int = 2, threads: Int = 2, _ change: (inout Engine.Configuration) -> Void = { _ in }) throws -> Engine {
  var configuration = Engine.Configuration()
  configuration.threads = threads
  configuration.slots = slots
  change(&configuration)
  return try Engine(configuration)
}
