import MillraceCore

extension Work {
  private static let alternations = 7

  /// What a feature costs where it is used: runs with and without it in turn, and the median of what comes out.
  static let costs = [
    Work(name: "timeout-cost", figures: ["ns a task more: chain", "ns a task more: independent"], workers: [1], small: 20_000) {
      workers, count in
      let bed = try Bed(workers: workers)
      let plans = (
        try Shape.chain.plan(count, handler: bed.node)!, try Shape.chain.plan(count, handler: bed.node, flags: Plan.NodeFlag.timed)!
      )
      let jobs = Shape.independent.jobs(count)
      return {
        let chain = try median { Double(try bed.run(plans.1)) - Double(try bed.run(plans.0)) } / Double(count)
        let independent = try median {
          let timed = try bed.independent(jobs) { _ in JobRequest(handler: bed.job, timeout: Hooks.timeout) }
          return Double(timed) - Double(try bed.runs(.independent, jobs)())
        }
        return [chain, independent / Double(jobs)]
      }
    },
    Work(name: "plugin-cost", figures: ["ns a task more"], workers: [1], small: 20_000) { workers, count in
      let plugin = try Bed(workers: workers).runs(.chain, count)
      let function = try Bed(workers: workers, body: .function).runs(.chain, count)
      return { [try median { Double(try plugin()) - Double(try function()) } / Double(count)] }
    },
    // Batches of two tenants in turn, a quarter of each of every priority.
    Work(name: "mixed", figures: ["times one priority"], workers: [1, 2], small: 20_000) { workers, count in
      let bed = try Bed(workers: workers)
      let jobs = Shape.independent.jobs(count)
      return {
        [
          try median {
            let mixed = try bed.independent(jobs, batches: 2) { Bed.mixed(bed.job, $0) }
            return Double(mixed) / Double(try bed.runs(.independent, jobs)())
          }
        ]
      }
    },
    Work(name: "queue-depth", figures: ["times 10^3 queued"], workers: [1], small: 10_000) { _, count in
      let measured = min(500_000, max(10 * count, 10_000))
      return { [try QueueDepth.cost(count, measured: measured) / QueueDepth.cost(1000, measured: measured)] }
    },
  ]

  private static func median(_ measure: () throws -> Double) throws -> Double {
    try (0..<alternations).map { _ in try measure() }.sorted()[alternations / 2]
  }
}

/// What a job costs while many others wait, after the memory of jobs has been through two laps of random completion.
enum QueueDepth {
  /// Nanoseconds a job of `measured`, submitted and run by one stepped worker, with `depth` others in the queue.
  static func cost(_ depth: Int, measured: Int) throws -> Double {
    let stage = Stage()
    defer { stage.deallocate() }
    let (plugin, _) = try Bed.load(.empty, lanes: 1, on: stage)
    let scheduler = try Scheduler(SchedulerConfiguration(slots: depth, workers: 1, capacity: depth + 4 * Bed.batch))
    let worker = scheduler.makeWorker(0)
    let waiting = unsafe scheduler.add(Trampoline.waiting, stage)
    let job = unsafe scheduler.add(Trampoline.job, stage)
    var numbers = Numbers()
    for _ in 0..<2 {
      var tokens = try unsafe [UInt64](unsafeUninitializedCapacity: depth) { buffer, initialized in
        // unsafe: all jobs that leave their token have run before the memory goes away.
        unsafe stage.collect(into: buffer.baseAddress)
        for i in 0..<depth { try scheduler.submit(JobRequest(handler: waiting, first: UInt64(i))) }
        step(worker, depth)
        unsafe stage.collect(into: nil)
        initialized = depth
      }
      for i in stride(from: depth - 1, to: 0, by: -1) { tokens.swapAt(i, Int(numbers.next() % UInt64(i + 1))) }
      for token in tokens where !scheduler.complete(JobID(rawValue: token), .done) {
        throw BenchmarkError(description: "a pending job was lost")
      }
      step(worker, 0)
    }
    let batch = [JobRequest](repeating: JobRequest(handler: job), count: Bed.batch)
    for _ in 0..<max(depth / Bed.batch, 1) { try scheduler.submit(batch.span) }
    let start = Clock.monotonic.now
    for _ in 0..<measured / Bed.batch {
      try scheduler.submit(batch.span)
      step(worker, Bed.batch)
    }
    let passed = Clock.monotonic.now - start
    step(worker, .max)
    worker.retire()
    return withExtendedLifetime(plugin) { Double(passed) / Double(measured / Bed.batch * Bed.batch) }
  }

  /// Runs at most `count` jobs, and settles what has been completed.
  private static func step(_ worker: borrowing Worker, _ count: Int) {
    var left = count
    while left > 0 || count == 0, let begun = worker.begin() {
      worker.finish(begun, worker.run(begun))
      left -= 1
    }
  }
}
