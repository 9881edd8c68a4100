import CMillrace
import Glibc
import MillraceCore

extension Work {
  /// A plan's building and its memory: a square grid of about `count` nodes.
  static let plans = [
    Work(name: "plan-build", figures: ["ns a node"], workers: [1], small: 20_000) { workers, count in
      let bed = try Bed(workers: workers)
      return {
        let start = Clock.monotonic.now
        let plan = try Shape.grid.plan(count, handler: bed.node)
        return [Double(Clock.monotonic.now - start) / Double(plan!.count)]
      }
    },
    Work(name: "plan-bytes", figures: ["bytes a node"], workers: [1], small: 20_000) { workers, count in
      let bed = try Bed(workers: workers)
      return { [try bed.bytes(count)] }
    },
  ]
}

extension Bed {
  /// Resident bytes a node of a plan and its run, when all of its nodes have run and nothing is freed yet.
  fileprivate func bytes(_ count: Int) throws -> Double {
    let before = try residentBytes()
    let plan = try Shape.grid.plan(count, handler: node)!
    var after = before
    _ = try run(plan) { after = try residentBytes() }
    return Double(after - before) / Double(plan.count)
  }
}

/// Bytes of this process in memory.
private func residentBytes() throws -> Int {
  let words = try smallFile("/proc/self/statm").split(separator: " ")
  guard words.count > 1, let pages = Int(words[1]) else { throw BenchmarkError(description: "/proc/self/statm cannot be read") }
  return pages * sysconf(Int32(_SC_PAGESIZE))
}
