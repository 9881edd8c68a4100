import Testing

@testable import MillraceCore

/// Jobs of a handler that gathers are begun in rows, and each row is told of when it ends.
@Suite struct RowTests {
  /// What one worker did, as text: a job of the gathering handler `g` and its number, one of another `o`, the end of a row `|`.
  @safe private final class World: @unchecked Sendable {
    let scheduler: Scheduler
    var gathering = HandlerIndex(rawValue: 0)
    var other = HandlerIndex(rawValue: 0)
    var done = ""
    var ended = 0
    /// Of the row, pending.
    private var pending: [JobID] = []
    /// Free slots at the ends of rows.
    var freeSlots: [Int] = []
    /// Called by each gathering job.
    var onGather: () -> Void = {}
    /// Runs that had ended at the ends of rows, and now.
    var endedRuns: [Int] = []
    var runsEnded = 0

    init(slots: Int, limit: Int = 0, most: Int = 256, ordered: Bool = false) throws {
      scheduler = try Scheduler(
        SchedulerConfiguration(slots: slots, workers: 1, capacity: 1_000, tenants: 2, ordered: ordered, stealPatience: 0))
      // unsafe: this object outlives its scheduler's workers.
      let me = unsafe Unmanaged.passUnretained(self).toOpaque()
      func handler(_ word: Bool) -> Handler {
        unsafe Handler(
          run: word
            ? { context, call in
              let world = unsafe Unmanaged<World>.fromOpaque(context!).takeUnretainedValue()
              let call = unsafe call.assumingMemoryBound(to: JobContext.self)
              unsafe world.done += "g\(call.pointee.first)"
              world.onGather()
              // One in ten ends by itself.
              if unsafe call.pointee.first % 10 == 9 { return Outcome.done.rawValue }
              unsafe call.pointee.tokenIssued = true
              unsafe world.pending.append(call.pointee.job)
              return Outcome.pending.rawValue
            }
            : { context, call in
              let world = unsafe Unmanaged<World>.fromOpaque(context!).takeUnretainedValue()
              unsafe world.done += "o\(call.assumingMemoryBound(to: JobContext.self).pointee.first)"
              return Outcome.done.rawValue
            },
          finished: { context, _, _, _, _ in unsafe Unmanaged<World>.fromOpaque(context!).takeUnretainedValue().ended += 1 }, context: me,
          gathers: word ? most : 0, limit: word ? limit : 0)
      }
      gathering = try #require(scheduler.register(handler(true)))
      other = try #require(scheduler.register(handler(false)))
      unsafe scheduler.tellRowEnds(
        { context, _ in unsafe Unmanaged<World>.fromOpaque(context!).takeUnretainedValue().rowEnded() }, context: me)
    }

    private func rowEnded() {
      done += "|"
      freeSlots.append(scheduler.freeSlots)
      endedRuns.append(runsEnded)
      for job in pending where scheduler.claim(job) == .taken { scheduler.endClaimed(job, Outcome.done.rawValue) }
      pending = []
    }

    func submit(_ text: String, priority: UInt8 = 1) throws {
      for word in text.split(separator: " ") {
        try scheduler.submit(
          JobRequest(
            handler: word.first == "g" ? gathering : other, priority: priority, first: UInt64(word.dropFirst())!,
            key: UInt64(word.dropFirst())!))
      }
    }

    /// All slots and admissions are back, and each job has ended once.
    func isClean(_ jobs: Int, slots: Int) -> Bool {
      ended == jobs && scheduler.freeSlots == slots && scheduler.admittedJobs == 0 && pending.isEmpty
    }
  }

  private func work(_ world: World, upTo limit: Int = 1_000) {
    let worker = world.scheduler.makeWorker(0)
    while true {
      let work = worker.work(upTo: limit)
      if case .idle = work.end { break }
    }
    worker.settleCounts()
    #expect(worker.begin() == nil)
    worker.settleCounts()
  }

  @Test("jobs that are next one after the other are one row; another handler's ends it, and comes next") func rows() throws {
    let world = try World(slots: 8)
    try world.submit("g1 g2 g3 o1 g4 o2 o3 g5 g6")
    work(world)
    #expect(world.done == "g1g2g3|o1g4|o2o3g5g6|")
    #expect(world.isClean(9, slots: 8))
  }

  @Test("a row is no longer than there are slots, and the limit of its handler, and no more jobs than the worker was told to run")
  func bounds() throws {
    let few = try World(slots: 2)
    try few.submit("g1 g2 g3 g4 g5")
    work(few)
    #expect(few.done == "g1g2|g3g4|g5|" && few.isClean(5, slots: 2))
    let limited = try World(slots: 8, limit: 3)
    try limited.submit("g1 g2 g3 g4")
    work(limited)
    #expect(limited.done == "g1g2g3|g4|" && limited.isClean(4, slots: 8))
    let most = try World(slots: 8, most: 2)
    try most.submit("g1 g2 g3")
    work(most)
    #expect(most.done == "g1g2|g3|" && most.freeSlots == [6, 7] && most.isClean(3, slots: 8))
    let told = try World(slots: 8)
    try told.submit("g1 g2 g3 g4 g5")
    work(told, upTo: 2)
    #expect(told.done == "g1g2|g3g4|g5|" && told.isClean(5, slots: 8))
  }

  @Test("jobs that end by themselves are in the row, and at its end the worker holds no slot but those of its pending jobs") func slots()
    throws
  {
    let world = try World(slots: 4)
    try world.submit("g9 g1 g19 o1 g29")
    work(world)
    #expect(world.done == "g9g1g19|o1g29|" && world.freeSlots == [3, 4])
    #expect(world.isClean(5, slots: 4))
  }

  @Test("a run that a worker ends on its way through a row is told of before what the row is run together for") func sinks() throws {
    let world = try World(slots: 8)
    let holder = try #require(
      world.scheduler.register(
        unsafe Handler(
          run: { _, call in
            unsafe call.assumingMemoryBound(to: JobContext.self).pointee.tokenIssued = true
            return Outcome.pending.rawValue
          })))
    let hooks = unsafe RunHooks(
      context: Unmanaged.passUnretained(world).toOpaque(),
      completed: { unsafe Unmanaged<World>.fromOpaque($0).takeUnretainedValue().runsEnded += 1 },
      finished: { _, _, _, _ in Verdict.release.rawValue })
    let run = try Run(try Plan(count: 1, node: { _ in Plan.Node(handler: holder) }, predecessors: { _, _ in }), hooks: hooks)
    try world.scheduler.start(run)
    let worker = world.scheduler.makeWorker(0)
    let next = worker.begin()
    let begun = try #require(next)
    worker.finish(begun, worker.run(begun))
    try world.submit("g1 g2")
    world.onGather = { if world.scheduler.claim(begun.job) == .taken { world.scheduler.endClaimed(begun.job, Outcome.done.rawValue) } }
    while case .limit = worker.work(upTo: 100).end {}
    #expect(world.done == "g1g2|" && world.endedRuns == [1])
    world.onGather = {}
    worker.settleCounts()
    withExtendedLifetime(run) {}
  }

  @Test("what is more urgent ends a row") func priorities() throws {
    let world = try World(slots: 8)
    try world.submit("g1 g2")
    try world.submit("o1", priority: 3)
    try world.submit("g3", priority: 2)
    work(world)
    #expect(world.done.hasPrefix("o1g3") && world.isClean(4, slots: 8))
  }

  @Test("where jobs wait in the order of their keys, one that ends a row goes back to its place") func ordered() throws {
    let world = try World(slots: 8, ordered: true)
    try world.submit("o7 g4 o6 g2 g5")
    work(world)
    #expect(world.done == "g2g4g5|o6o7" && world.isClean(5, slots: 8))
    try world.submit("g8 o3 g1 o2")
    work(world)
    #expect(world.done.hasSuffix("o7g1|o2o3g8|") && world.isClean(9, slots: 8))
  }

  @Test("a worker that is stepped makes rows of one") func steps() throws {
    let world = try World(slots: 8)
    try world.submit("g1 g2 o1 g9")
    let worker = world.scheduler.makeWorker(0)
    while let begun = worker.begin() { worker.finish(begun, worker.run(begun)) }
    worker.settleCounts()
    #expect(world.done == "g1|g2|o1g9|" && world.isClean(4, slots: 8))
  }
}
