import MillraceCore

/// A shape by one worker that is stepped: no threads, no clock, the same instructions every time. What budgets count.
enum Stepped {
  /// Runs about `count` jobs, `repetitions` times. Jobs run by one repetition.
  static func run(_ shape: Shape, count: Int, repetitions: Int) throws -> Int {
    let stage = Stage()
    defer { stage.deallocate() }
    let (plugin, _) = try Bed.load(.empty, lanes: 1, on: stage)
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1))
    let worker = scheduler.makeWorker(0)
    let node = unsafe scheduler.add(Trampoline.node, stage)
    let job = unsafe scheduler.add(Trampoline.job, stage)
    let spawner = unsafe scheduler.add(Trampoline.spawner, stage)
    let plan = try shape.plan(count, handler: node)
    let batch = [JobRequest](repeating: JobRequest(handler: job), count: Bed.batch)
    for _ in 0..<repetitions {
      let before = stage.total
      if let plan {
        let run = try Run(plan, hooks: Hooks.counting(stage))
        try scheduler.start(run)
        drain(worker)
        withExtendedLifetime(run) {}
      } else if shape == .tree {
        try scheduler.submit(Tree.root(spawner, depth: Tree.depth(count)))
        drain(worker)
      } else {
        for _ in 0..<shape.jobs(count) / Bed.batch {
          try scheduler.submit(batch.span)
          drain(worker)
        }
      }
      let done = Int(stage.total - before)
      guard done == shape.jobs(count) else {
        throw BenchmarkError(description: "\(shape.rawValue): \(done) of \(shape.jobs(count)) jobs ran")
      }
    }
    worker.retire()
    return withExtendedLifetime(plugin) { shape.jobs(count) }
  }

  private static func drain(_ worker: borrowing Worker) {
    while case .limit = worker.work(upTo: 256).end {}
    worker.settleCounts()
  }
}
