import CMillrace
import Dispatch
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// Rates on real threads.
@Suite("Rates", .timeLimit(.minutes(5)))
struct RateTests {
  @Test("all runs share a rate, handlers of every kind: never faster in all, and nobody is forgotten, whoever cancels")
  func shared() throws {
    let engine = try engine(slots: 3, threads: 2)
    let calls = Gauge()
    try engine.register("quick") { _ in
      calls.enter()
      return .empty
    }
    try engine.register("blocks", blocking: true) { _ in
      calls.enter()
      return .empty
    }
    // A microsecond apart: many are called, wait and start at the same time.
    let rate = RateLimit(key: "api", limit: 1_000, per: 100_000_000, burst: 5)
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<40 {
      workflow.task(
        "t\(i)", handler: i % 4 == 0 ? "blocks" : "quick", priority: Priority(rawValue: UInt8(i % 4)),
        timeouts: i % 5 == 0 ? Timeouts(scheduleToClose: 3_600_000_000_000) : Timeouts(), rate: rate)
    }
    let prepared = try engine.prepare(workflow)
    let begin = millrace_monotonic()
    let counts = Gauge()
    DispatchQueue.concurrentPerform(iterations: 4) { thread in
      do {
        let runs = try (0..<10).map { _ in try engine.start(prepared) }
        for (i, run) in runs.enumerated() where (i + thread) % 5 == 0 { run.cancel() }
        for run in runs {
          let status = run.wait()
          if !run.isAccounted() || status != .completed && status != .cancelled { counts.enter() }
        }
      } catch { Issue.record(error) }
    }
    let took = millrace_monotonic() - begin
    #expect(counts.entries == 0)
    #expect(calls.entries >= 32 * 40 && calls.entries <= 40 * 40)
    // The last of so many starts is not due before.
    #expect(took >= UInt64(calls.entries - 5) * 100_000)
    engine.shutdown()
  }
}
