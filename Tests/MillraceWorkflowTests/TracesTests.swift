import MillraceSimulation
import MillraceWorkflow
import Testing

/// Recorded workflows on a virtual clock, with the real scheduler, workers, timers and run.
@Suite(.enabled(if: DefinitionWfFormatTests.folder != nil, "the traces are not beside the package"))
struct TracesTests {
  static let names = DefinitionWfFormatTests.traces.map(\.name)

  private func read(_ name: String) throws -> Definition {
    let folder = try #require(DefinitionWfFormatTests.folder)
    return try DefinitionReader(handlers: [WfFormat.handler]).read(path: "\(folder)/\(name).json").definition
  }

  private func play(_ definition: Definition, slots: Int, workers: Int = 4, order: TaskOrder = .fifo, seed: UInt64 = 1) throws -> VirtualRun
  {
    var configuration = VirtualRun.Configuration(slots: slots)
    configuration.workers = workers
    configuration.order = order
    configuration.seed = seed
    return try VirtualRun(of: definition, configuration)
  }

  @Test("no slot idles beside a ready task, no task starts early or twice, Graham's bound holds", arguments: names, [1, 3, 64])
  func schedule(name: String, slots: Int) throws {
    let definition = try read(name)
    let graph = TraceGraph(definition)
    for order in TaskOrder.allCases {
      let run = try play(definition, slots: slots, order: order)
      #expect(run.status == .completed)
      #expect(graph.faults(of: run, slots: slots) == [], "\(order.rawValue)")
      // makespan <= work / m + (1 - 1 / m) x critical path, in whole nanoseconds.
      #expect(UInt64(slots) * run.makespan <= graph.work + UInt64(slots - 1) * graph.criticalPath, "\(order.rawValue)")
    }
  }

  @Test("the same seed gives the same run, event by event", arguments: names)
  func seeds(name: String) throws {
    let definition = try read(name)
    for order in [TaskOrder.fifo, .criticalPath] {
      let first = try play(definition, slots: 3, order: order, seed: 7)
      let second = try play(definition, slots: 3, order: order, seed: 7)
      #expect(first.moments == second.moments)
    }
  }

  @Test(
    "critical-path order is at least 8 % shorter than fifo on montage-05d with 64 slots, whoever is stepped when", arguments: [1, 2, 4, 16])
  func criticalPath(workers: Int) throws {
    let definition = try read("montage-chameleon-2mass-05d-001")
    for seed in 1...5 {
      let fifo = try play(definition, slots: 64, workers: workers, seed: UInt64(seed)).makespan
      let critical = try play(definition, slots: 64, workers: workers, order: .criticalPath, seed: UInt64(seed)).makespan
      let ratio = Double(critical) / Double(fifo)
      #expect(ratio <= 0.92, "fifo \(fifo) ns, critical-path \(critical) ns")
      if seed == 1 {
        print("montage-05d, 64 slots: fifo \(Double(fifo) / 1e9) s, critical-path \(Double(critical) / 1e9) s, ratio \(ratio)")
      }
    }
  }

  @Test("asynchronous tasks of one priority start in the order in which they became ready")
  func arrival() throws {
    // Every task of layer 1 ends at a time of its own, last ones first, and each has one successor.
    var definition = Definition("arrival")
    let count = 200
    for i in 0..<count {
      definition.tasks.append(TaskDefinition("first-\(i)", handler: "wait", recordedSeconds: Double(2 * count - i)))
    }
    for i in 0..<count {
      definition.tasks.append(TaskDefinition("second-\(i)", handler: "wait", dependencies: ["first-\(i)"], recordedSeconds: 1000))
    }
    let run = try play(definition, slots: count, workers: 4)
    let starts = run.moments.flatMap(\.events).filter { $0.kind == .start && $0.task >= count }.map(\.task)
    #expect(starts == (count..<2 * count).reversed())
    // With one slot less than there is work the line never empties: who came first still goes first.
    let narrow = try play(definition, slots: 1, workers: 4)
    #expect(
      narrow.moments.flatMap(\.events).filter { $0.kind == .start }.map(\.task).suffix(count).elementsEqual(
        narrow.moments.flatMap(\.events).filter { $0.kind == .start }.map(\.task).prefix(count).map { $0 + count }))
  }
}

/// A definition as its own arithmetic sees it, apart from all code that schedules.
private struct TraceGraph {
  let durations: [UInt64]
  let dependencies: [[Int]]
  let children: [[Int]]
  /// Nanoseconds.
  let work: UInt64
  let criticalPath: UInt64

  init(_ definition: Definition) {
    let index = Dictionary(uniqueKeysWithValues: definition.tasks.enumerated().map { ($1.id, $0) })
    let dependencies = definition.tasks.map { task in task.dependencies.compactMap { index[$0] } }
    let durations = definition.tasks.map { VirtualRun.duration(of: $0) }
    // Longest chain that ends with each task, by repeated passes: a trace names most parents before their children.
    var ends = durations
    var changed = true
    while changed {
      changed = false
      for task in ends.indices {
        let end = durations[task] + (dependencies[task].map { ends[$0] }.max() ?? 0)
        if end != ends[task] { changed = true }
        ends[task] = end
      }
    }
    var children = [[Int]](repeating: [], count: durations.count)
    for (task, parents) in dependencies.enumerated() { for parent in parents { children[parent].append(task) } }
    self.children = children
    self.dependencies = dependencies
    self.durations = durations
    work = durations.reduce(0, +)
    criticalPath = ends.max() ?? 0
  }

  /// What is wrong with a run, followed event by event; empty: nothing.
  func faults(of run: VirtualRun, slots: Int) -> [String] {
    enum Stage { case waiting, running, ended }
    var faults: [String] = []
    var stages = [Stage](repeating: .waiting, count: durations.count)
    var starts = [UInt64](repeating: 0, count: durations.count)
    var parents = dependencies.map(\.count)
    var ready = Set(parents.indices.filter { parents[$0] == 0 })
    var running = 0
    for moment in run.moments {
      for event in moment.events {
        let task = event.task
        switch event.kind {
        case .start:
          if stages[task] != .waiting { faults.append("task \(task) starts twice") }
          if ready.remove(task) == nil { faults.append("task \(task) starts before its parents have ended") }
          stages[task] = .running
          starts[task] = moment.time
          running += 1
        case .end:
          if stages[task] != .running { faults.append("task \(task) ends without running") }
          if moment.time - starts[task] != durations[task] { faults.append("task \(task) does not take its recorded time") }
          stages[task] = .ended
          running -= 1
          for child in children[task] {
            parents[child] -= 1
            if parents[child] == 0 { ready.insert(child) }
          }
        }
        if running > slots { faults.append("\(running) tasks hold \(slots) slots at \(moment.time)") }
      }
      if moment.freeSlots != slots - running {
        faults.append("\(moment.freeSlots) slots are free beside \(running) running tasks at \(moment.time)")
      }
      if moment.freeSlots > 0, !ready.isEmpty {
        faults.append("\(moment.freeSlots) slots idle beside \(ready.count) ready tasks at \(moment.time)")
      }
    }
    if stages.contains(where: { $0 != .ended }) { faults.append("some task has not ended") }
    return faults
  }
}
