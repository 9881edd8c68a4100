import MillraceCore

/// A shape by one worker that is stepped: no threads, no clock, the same instructions every time. What budgets count.
enum Stepped {
  /// What is done to the jobs of a shape beside running them.
  enum Twist: String, CaseIterable {
    /// Loose jobs of four priorities and two tenants.
    case mixed
    /// Loose jobs, or nodes of a chain, with a timeout that never passes.
    case timed
    case timedChain = "timed-chain"

    var shape: Shape { self == .timedChain ? .chain : .independent }
  }

  static let names = Shape.allCases.map(\.rawValue) + Twist.allCases.map(\.rawValue)

  /// Runs about `count` jobs of what is called `name`, `repetitions` times. Jobs run by one repetition; nil: there is no such name.
  static func run(_ name: String, count: Int, repetitions: Int) throws -> Int? {
    if let twist = Twist(rawValue: name) { return try run(twist.shape, twist, count: count, repetitions: repetitions) }
    guard let shape = Shape(rawValue: name) else { return nil }
    return try run(shape, nil, count: count, repetitions: repetitions)
  }

  private static func run(_ shape: Shape, _ twist: Twist?, count: Int, repetitions: Int) throws -> Int {
    let stage = Stage()
    defer { stage.deallocate() }
    let (plugin, _) = try Bed.load(.empty, lanes: 1, on: stage)
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1))
    let worker = scheduler.makeWorker(0)
    let node = unsafe scheduler.add(Trampoline.node, stage)
    let job = unsafe scheduler.add(Trampoline.job, stage)
    let spawner = unsafe scheduler.add(Trampoline.spawner, stage)
    let plan = try shape.plan(count, handler: node, flags: twist == .timedChain ? Plan.NodeFlag.timed : 0)
    let batches =
      switch twist {
      case .mixed: (0..<2).map { lot in (0..<Bed.batch).map { Bed.mixed(job, lot * Bed.batch + $0) } }
      case .timed: [[JobRequest](repeating: JobRequest(handler: job, timeout: Hooks.timeout), count: Bed.batch)]
      default: [[JobRequest](repeating: JobRequest(handler: job), count: Bed.batch)]
      }
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
        for i in 0..<shape.jobs(count) / Bed.batch {
          let batch = batches[i % batches.count]
          try scheduler.submit(batch.span)
          if (i + 1) % batches.count == 0 { drain(worker) }
        }
        drain(worker)
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
