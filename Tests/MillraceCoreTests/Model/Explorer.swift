#if MODEL_CHECK
  @testable import MillraceCore

  /// A few threads over fresh data, and what must hold when all have ended.
  struct Scenario {
    let bodies: [@Sendable () -> Void]
    /// nil: all is well; else what is not.
    let check: () -> String?
  }

  /// Runs the real code under every schedule with at most `preemptions` switches away from a thread that could have gone on.
  ///
  /// One thread runs at a time and stops before each operation on a shared word. A schedule is its deviations from "go on as long as you can":
  /// (decision, thread) pairs; the tree of deviations is walked depth first. Musuvathi and Qadeer, "Iterative Context Bounding for Systematic
  /// Testing of Multithreaded Programs" (PLDI 2007). Sequentially consistent: store buffers are the business of Tests/Models.
  final class Explorer: Controller, @unchecked Sendable {
    struct Report {
      var schedules = 0
      /// Decisions of the longest schedule.
      var longest = 0
      var failure: String?
    }

    private struct Deviation {
      var point: Int
      var thread: Int
    }

    private static let maxWaits = 400
    private static let maxSchedules = 400_000

    private let count: Int
    private let turns: [Turnstile]
    private let ended = Turnstile()
    private var bodies: [@Sendable () -> Void] = []
    private var quits = false

    // Of the schedule that runs: only the thread whose turn it is touches these.
    private var deviations: ArraySlice<Deviation> = []
    private var point = 0
    private var finished: [Bool] = []
    private var waits = 0
    private var isDead = false
    /// For each decision: bit t = thread t could have gone instead; bit 7 = and that would have been free.
    private var choices: [UInt8] = []

    private init(_ count: Int) {
      self.count = count
      turns = (0..<count).map { _ in Turnstile() }
    }

    /// Explores until everything is seen or a schedule fails.
    static func explore(preemptions: Int = 2, _ scenario: () -> Scenario) -> Report {
      Controlled.install()
      let first = scenario()
      let explorer = Explorer(first.bodies.count)
      let threads = (0..<explorer.count).map { i in TestThread { explorer.serve(i) } }
      let report = explorer.walk(preemptions, scenario)
      // A schedule without an end leaves its threads where they are.
      if !explorer.isDead {
        explorer.quits = true
        for turn in explorer.turns { turn.open() }
        for thread in threads { thread.join() }
      }
      return report
    }

    private func walk(_ preemptions: Int, _ scenario: () -> Scenario) -> Report {
      var report = Report()
      var open: [(deviations: [Deviation], budget: Int)] = [([], preemptions)]
      while let (path, budget) = open.popLast() {
        let scenario = scenario()
        let failure = run(scenario, path)
        report.schedules += 1
        report.longest = max(report.longest, choices.count)
        if let failure {
          report.failure = "\(failure); schedule: \(path.map { "\($0.point) -> thread \($0.thread)" })"
          return report
        }
        if report.schedules == Explorer.maxSchedules {
          report.failure = "more than \(Explorer.maxSchedules) schedules"
          return report
        }
        for p in ((path.last?.point ?? -1) + 1)..<max(choices.count, (path.last?.point ?? -1) + 1) {
          let cost = choices[p] & 0x80 != 0 ? 0 : 1
          if cost > budget { continue }
          for t in 0..<count where choices[p] & (1 << UInt8(t)) != 0 {
            open.append((path + [Deviation(point: p, thread: t)], budget - cost))
          }
        }
      }
      return report
    }

    private func run(_ scenario: Scenario, _ path: [Deviation]) -> String? {
      bodies = scenario.bodies
      deviations = path[...]
      point = 0
      waits = 0
      finished = Array(repeating: false, count: count)
      choices.removeAll(keepingCapacity: true)
      turns[choose(free: true, otherwise: 0)].open()
      ended.pass()
      return isDead ? "no thread can go on" : scenario.check()
    }

    private func serve(_ thread: Int) {
      while true {
        turns[thread].pass()
        if quits { return }
        Controlled.run(self, thread, bodies[thread])
        finished[thread] = true
        if let next = finished.firstIndex(of: false) { turns[choose(free: true, otherwise: next)].open() } else { ended.open() }
      }
    }

    /// Who goes next.
    private func choose(free: Bool, otherwise thread: Int) -> Int {
      var others: UInt8 = 0
      for t in 0..<count where t != thread && !finished[t] { others |= 1 << UInt8(t) }
      choices.append(others == 0 ? 0 : others | (free ? 0x80 : 0))
      defer { point += 1 }
      if let deviation = deviations.first, deviation.point == point {
        deviations.removeFirst()
        return deviation.thread
      }
      return thread
    }

    override func step(_ thread: Int) { hand(over: thread, to: choose(free: false, otherwise: thread)) }

    override func wait(_ thread: Int) {
      waits += 1
      if waits > Explorer.maxWaits {
        isDead = true
        ended.open()
        turns[thread].pass()
      }
      var next = (thread + 1) % count
      while finished[next] { next = (next + 1) % count }
      hand(over: thread, to: next)
    }

    private func hand(over thread: Int, to next: Int) {
      if next == thread { return }
      turns[next].open()
      turns[thread].pass()
    }
  }
#endif
