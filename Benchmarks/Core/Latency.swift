import CMillrace
import MillraceCore

extension Work {
  /// From the intended moment of a submission to the start of its handler. Open loop: whoever is late does not move what follows.
  static let latency = [("idle-spin", WaitPolicy.spin, 1_000_000), ("idle-park", .park, 1_000_000), ("rate-100k", .adaptive, 10_000)].map {
    name, policy, interval in
    Work(name: name, figures: ["ns p50", "ns p99"], workers: [1], small: Int(100_000_000 / interval)) { workers, count in
      let bed = try Bed(workers: workers, wait: policy)
      return { try bed.openLoop(count, interval: UInt64(interval)).percentiles([0.5, 0.99]) }
    }
  }

  /// A million timers, say. Cancelled: the cost of arming and cancelling one. Fired: how late their handlers start.
  static let timers = [
    Work(name: "timers-cancel", figures: ["ns a timer"], workers: [1], small: 20_000) { workers, count in
      let bed = try Bed(workers: workers)
      var handles = [TimerHandle](repeating: .none, count: count)
      return { [Double(try bed.armAndCancel(&handles)) / Double(count)] }
    },
    Work(name: "timers-fire", figures: ["ns late p99"], workers: [1], small: 20_000) { workers, count in
      let bed = try Bed(workers: workers, firesTimers: true)
      return { try bed.fire(count).percentiles([0.99]) }
    },
  ]
}

/// Nanoseconds, one figure for each job.
struct Samples {
  var values: [UInt64]

  /// Throws if a job started before its time.
  func percentiles(_ wanted: [Double]) throws -> [Double] {
    let sorted = values.sorted()
    guard sorted[sorted.count - 1] < 1 << 62 else { throw BenchmarkError(description: "a job started before its time") }
    return wanted.map { p in Double(sorted[max(Int((p * Double(sorted.count)).rounded(.up)) - 1, 0)]) }
  }
}

/// The numbers that the peers use as well: xorshift64.
struct Numbers {
  private var state: UInt64 = 88_172_645_463_325_252

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

extension Bed {
  /// Calls `submit`, after which `count` jobs stamp, and waits for all of them.
  private func stamps(_ count: Int, _ submit: () throws -> Void) throws -> Samples {
    let values = try unsafe [UInt64](unsafeUninitializedCapacity: count) { buffer, initialized in
      unsafe buffer.initialize(repeating: 0)
      // unsafe: all jobs are done before the memory goes away.
      unsafe stage.collect(into: buffer.baseAddress)
      defer { unsafe stage.collect(into: nil) }
      let target = stage.expect(count, lanes: workers)
      try submit()
      stage.waitForCount(target)
      initialized = count
    }
    return Samples(values: values)
  }

  /// A job every `interval` nanoseconds, by this thread, which spins for the time.
  func openLoop(_ count: Int, interval: UInt64) throws -> Samples {
    try stamps(count) {
      let begin = Clock.monotonic.now + 1_000_000
      for i in 0..<count {
        let due = begin + UInt64(i) * interval
        while Clock.monotonic.now < due { millrace_pause() }
        try scheduler.submit(JobRequest(handler: stamping, first: UInt64(i), second: due))
      }
    }
  }

  /// Timeouts of 10 to 70 s, none of which fires. Nanoseconds for all.
  func armAndCancel(_ handles: inout [TimerHandle]) throws -> UInt64 {
    let (timers, shard) = (runtime.timers, runtime.sharedTimerShard)
    var numbers = Numbers()
    let start = Clock.monotonic.now
    for i in handles.indices {
      handles[i] = try timers.arm(
        shard: shard, due: start + (10_000 + numbers.next() % 60_000) * 1_000_000, value: UInt64(i), kind: 1, now: start)
    }
    for handle in handles where !timers.cancel(handle) { throw BenchmarkError(description: "a timer was lost") }
    return Clock.monotonic.now - start
  }

  /// Timers that are due within `count` microseconds, each of which submits a job.
  func fire(_ count: Int) throws -> Samples {
    try stamps(count) {
      let (timers, shard) = (runtime.timers, runtime.sharedTimerShard)
      var numbers = Numbers()
      // As long as the slowest peer needs for arming.
      let begin = Clock.monotonic.now + UInt64(count) * 3000
      for i in 0..<count {
        _ = try timers.arm(shard: shard, due: begin + numbers.next() % (UInt64(count) * 1000), value: UInt64(i), kind: 1)
      }
    }
  }
}

/// What a timer that fires submits to: known once the runtime is there.
@safe final class TimerTarget: @unchecked Sendable {
  private var scheduler: Scheduler?
  private var handler = HandlerIndex(rawValue: 0)

  /// Before any timer is armed.
  func submit(to scheduler: Scheduler, _ handler: HandlerIndex) { (self.scheduler, self.handler) = (scheduler, handler) }

  /// Runs the timer's job: sample `value` counts from `due`.
  func fire(_ value: UInt64, _ due: UInt64) {
    do {
      try scheduler?.submit(JobRequest(handler: handler, first: value, second: due))
    } catch {
      preconditionFailure("the capacity of the benchmark holds the timers' jobs: \(error)")
    }
  }
}
