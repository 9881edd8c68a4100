import Millrace
import MillraceCore

/// What happened, in order, from any thread.
final class Notes: @unchecked Sendable {
  private let monitor = Monitor()
  private var lines: [String] = []

  deinit { monitor.deallocate() }

  func add(_ line: String) {
    monitor.locked {
      lines.append(line)
      monitor.broadcast(.work)
    }
  }
  var all: [String] { monitor.locked { lines } }

  /// Waits, in a Swift task, until there are so many. False: there were not within a minute.
  func reach(_ count: Int) async -> Bool { await eventually { self.all.count >= count } }
}

/// Waits, in a Swift task, until a condition holds. False: it does not within a minute.
func eventually(_ condition: () throws -> Bool) async rethrows -> Bool {
  let deadline = ContinuousClock.now + .seconds(60)
  while try !condition() {
    if ContinuousClock.now > deadline { return false }
    await Task.yield()
  }
  return true
}

func queue(_ name: String, on engine: Engine, _ change: (inout QueueConfiguration) -> Void = { _ in }) throws {
  var configuration = QueueConfiguration()
  change(&configuration)
  try engine.broker.declare(queue: BrokerName(name), configuration)
}

/// What is there now, acknowledged.
func drain(_ queue: String, of engine: Engine) throws -> [String] {
  var texts: [String] = []
  var receiver = try engine.broker.makeReceiver(BrokerName(queue))
  while try receiver.receive({
    texts.append(String(decoding: $0.copy(), as: UTF8.self))
    return .acknowledge
  }) > 0 {}
  return texts
}
