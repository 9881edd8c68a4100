import MillraceCore

/// Empty jobs through the core in five shapes, nanoseconds a job: what one job costs beside its body.
@main struct CoreBenchmark {
  static func main() throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    let count = arguments.first.flatMap { Int($0) } ?? 1_000_000
    let rounds = arguments.count > 1 ? Int(arguments[1]) ?? 5 : 5
    let shapes = arguments.count > 2 ? Shape.allCases.filter { $0.rawValue == arguments[2] } : Shape.allCases
    let threads = arguments.count > 3 ? [Int(arguments[3]) ?? 1] : [1, 2]
    print("empty jobs, ns a job: minimum / median / maximum of \(rounds) rounds")
    for threads in threads {
      for shape in shapes {
        var figures: [Double] = []
        for _ in 0..<rounds { figures.append(try shape.measure(count, threads: threads)) }
        figures.sort()
        let text = [figures[0], figures[figures.count / 2], figures[figures.count - 1]].map { ($0 * 10).rounded() / 10 }
        print("\(threads) thread\(threads == 1 ? " " : "s")  \(shape.rawValue)  \(text[0]) / \(text[1]) / \(text[2])")
      }
    }
  }
}

/// What is run.
enum Shape: String, CaseIterable {
  case independent, chain, fan, tree, grid

  /// Nanoseconds a job for about `count` jobs on `threads` spinning workers.
  func measure(_ count: Int, threads: Int) throws -> Double {
    var configuration = RuntimeConfiguration(slots: threads, threads: threads, capacity: 1 << 23, wait: .adaptive)
    configuration.stallAfter = 0
    let runtime = unsafe try Runtime(configuration)
    try runtime.start()
    defer { runtime.stop() }
    let scheduler = runtime.scheduler
    let done = Done()
    let empty = unsafe scheduler.register(Handler(run: { _, _ in Outcome.done.rawValue }))!
    switch self {
    case .independent:
      let counted = scheduler.register(done.counting)!
      let batches = (count + 63) / 64
      done.expect(batches * 64)
      let batch = [JobRequest](repeating: JobRequest(handler: counted), count: 64)
      let start = Clock.monotonic.now
      for _ in 0..<batches {
        while true {
          do {
            try scheduler.submit(batch.span)
            break
          } catch SubmitError.full { continue }
        }
      }
      done.wait()
      return Double(Clock.monotonic.now - start) / Double(batches * 64)
    case .chain:
      let plan = try Plan(count: count, node: { _ in Plan.Node(handler: empty) }, predecessors: { i, visit in if i > 0 { visit(i - 1) } })
      return try done.time(plan, scheduler)
    case .fan:
      let waves = max(count / 101, 1)
      let plan = try Plan(
        count: waves * 101 + 1, node: { _ in Plan.Node(handler: empty) },
        predecessors: { i, visit in
          // Node 101 w is the join of wave w - 1 and the head of wave w.
          if i % 101 != 0 { visit(i - i % 101) } else if i > 0 { for k in 1...100 { visit(i - k) } }
        })
      return try done.time(plan, scheduler)
    case .tree:
      let spawner = scheduler.register(done.spawning)!
      let depth = max(1, Int.bitWidth - 1 - count.leadingZeroBitCount)
      let jobs = 1 << depth - 1
      done.expect(jobs)
      let start = Clock.monotonic.now
      try scheduler.submit(JobRequest(handler: spawner, first: UInt64(depth - 1), second: UInt64(spawner.rawValue)))
      done.wait()
      return Double(Clock.monotonic.now - start) / Double(jobs)
    case .grid:
      let side = Int(Double(count).squareRoot())
      let plan = try Plan(
        count: side * side, node: { _ in Plan.Node(handler: empty) },
        predecessors: { i, visit in
          if i % side > 0 { visit(i - 1) }
          if i >= side { visit(i - side) }
        })
      return try done.time(plan, scheduler)
    }
  }
}
