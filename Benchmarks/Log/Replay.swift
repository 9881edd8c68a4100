import CMillrace
import MillraceLog

/// Reads a log back, every event checked.
struct Replay {
  private let log: EventLog
  private let count: Int

  init(_ log: EventLog, _ count: Int) {
    self.log = log
    self.count = count
  }

  func run(seconds: Double) throws -> String {
    try Filling(log).fill(count)
    var times: [Double] = []
    let end = millrace_monotonic() + UInt64(seconds * 1e9)
    var sum: UInt64 = 0
    repeat {
      var seen = 0
      let begin = millrace_monotonic()
      try log.replay { event in
        seen += 1
        sum &+= event.version &+ UInt64(event.payloadBytes)
        return true
      }
      times.append(Double(millrace_monotonic() - begin) / 1e9)
      guard seen == count else { LogBenchmark.fail("\(seen) of \(count) events were read", 1) }
    } while millrace_monotonic() < end
    let median = times.sorted()[times.count / 2]
    return
      ",\"events\":\(count),\"seconds\":\(median),\"per_second\":\(Int(Double(count) / median)),\"rounds\":\(times.count),\"sum\":\(sum)"
  }
}

/// Puts events into a log, as fast as it takes them.
@safe final class Filling: @unchecked Sendable {
  /// On the disk: payload and header.
  static let bytesOfEvent = Slots.event

  private let log: EventLog
  private let slots: Slots
  private let gate: Gate

  /// Counts what has ended.
  @safe private final class Gate: @unchecked Sendable {
    let ended = Counter()
    var log: EventLog?
  }

  init(_ log: EventLog) {
    self.log = log
    let gate = Gate()
    self.gate = gate
    gate.log = log
    slots = unsafe Slots(log, 1024, Unmanaged.passUnretained(gate).toOpaque()) { context, requests, count in
      // Safe: `fill` keeps the gate until all have ended.
      unsafe Unmanaged<Gate>.fromOpaque(context!)._withUnsafeGuaranteedRef { gate in
        let requests = unsafe AppendSink.requests(requests, count)
        for at in requests.indices {
          guard unsafe requests[at].pointee.outcome == .appended else {
            LogBenchmark.fail("an append ended as \(unsafe requests[at].pointee.outcome): \(gate.log!.failureText)", 1)
          }
        }
        gate.ended.add(count)
      }
    }
  }

  func fill(_ count: Int) throws {
    var done = 0
    while done < count {
      let some = min(slots.count, count - done)
      gate.ended.reset()
      for index in 0..<some {
        slots.fill(index)
        try unsafe log.append(slots.request(index))
      }
      gate.ended.wait(for: some)
      done += some
    }
  }
}
