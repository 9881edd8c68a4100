import CMillrace
import Glibc
import Testing

@testable import MillraceCore

/// Threads that run jobs of the run they would only wait for.
@Suite struct GuestTests {
  /// A run of the given shape that calls a closure for each node, and counts its end.
  private final class Work: @unchecked Sendable {
    let ended = Tally()
    private let body: @Sendable (UInt32) -> Void
    private let handler: ClosureHandler
    private var run: Run!

    init(_ body: @escaping @Sendable (UInt32) -> Void) {
      self.body = body
      handler = ClosureHandler { context in body(UInt32(truncatingIfNeeded: context.second)) }
    }

    /// Node i waits for `predecessors[i]`.
    func make(_ scheduler: Scheduler, _ predecessors: [[Int]], blocking: Bool = false) throws -> Run {
      var made = handler.handler
      made.blocking = blocking
      let index = try #require(scheduler.register(made))
      let plan = try Plan(
        count: predecessors.count, node: { _ in Plan.Node(handler: index) },
        predecessors: { i, visit in for p in predecessors[i] { visit(p) } })
      let hooks = unsafe RunHooks(
        context: Unmanaged.passUnretained(self).toOpaque(),
        completed: { unsafe Unmanaged<Work>.fromOpaque($0).takeUnretainedValue().ended.raise() })
      run = try Run(plan, hooks: hooks)
      return run
    }

    var isDone: Bool { ended.count > 0 }
  }

  private static func chain(_ count: Int) -> [[Int]] { (0..<count).map { $0 == 0 ? [] : [$0 - 1] } }

  private func runtime(threads: Int = 2, slots: Int = 4) throws -> Runtime {
    var configuration = RuntimeConfiguration(slots: slots, threads: threads, capacity: 1 << 16, wait: .park, stallAfter: 0)
    configuration.takesGuests = true
    return unsafe try Runtime(configuration)
  }

  /// Until so many workers sleep.
  private func sleepers(_ count: Int, _ runtime: Runtime) {
    while runtime.scheduler.parking.sleeping < count { millrace_yield() }
  }

  @Test("a run with one task after the other is run by the thread that starts it; the workers sleep on", arguments: [1, 2])
  func chain(threads: Int) throws {
    let runtime = try runtime(threads: threads)
    try runtime.start()
    defer { runtime.stop() }
    sleepers(threads, runtime)
    let here = pthread_self()
    let elsewhere = Tally()
    for _ in 0..<50 {
      let work = Work { _ in if pthread_equal(pthread_self(), here) == 0 { elsewhere.raise() } }
      let run = try work.make(runtime.scheduler, Self.chain(20))
      try runtime.startHere(run) { work.isDone }
      #expect(work.isDone)
    }
    #expect(elsewhere.count == 0)
    #expect(runtime.scheduler.parking.sleeping == threads)
    #expect(runtime.scheduler.freeSlots == 4 && runtime.scheduler.admittedJobs == 0)
  }

  @Test("a wide run wakes the workers: one that waits for another task of the run does not wait for ever")
  func wide() throws {
    let runtime = try runtime()
    try runtime.start()
    defer { runtime.stop() }
    sleepers(2, runtime)
    let met = Tally()
    // The first two meet, so two threads run them.
    let work = Work { node in
      if node > 1 { return }
      met.raise()
      if !met.wait(for: 2) { Issue.record("nobody came") }
    }
    let run = try work.make(runtime.scheduler, [[], []] + (0..<1_000).map { _ in [0, 1] })
    try runtime.startHere(run) { work.isDone }
    #expect(work.ended.wait(for: 1))
  }

  @Test("tasks that block go to the pool, and the guest goes home")
  func blocking() throws {
    let runtime = try runtime()
    try runtime.start()
    defer { runtime.stop() }
    let door = Tally()
    let here = pthread_self()
    let atHome = Tally()
    let work = Work { _ in
      if pthread_equal(pthread_self(), here) != 0 { atHome.raise() }
      _ = door.wait(for: 1)
    }
    let run = try work.make(runtime.scheduler, Self.chain(3), blocking: true)
    try runtime.startHere(run) { work.isDone }
    #expect(!work.isDone)
    door.raise()
    #expect(work.ended.wait(for: 1))
    #expect(atHome.count == 0)
  }

  @Test("four threads start runs at the same time as a fifth submits jobs: everything is run once, slots and admissions come back")
  func crowd() throws {
    let runtime = try runtime()
    let scheduler = runtime.scheduler
    let (rounds, jobs) = (200, 4_000)
    let ledger = Ledger(jobs)
    let single = try #require(scheduler.register(ledger.handler))
    try runtime.start()
    defer { runtime.stop() }
    let nodes = Tally()
    let guests = (0..<4).map { guest in
      TestThread {
        do {
          for round in 0..<rounds {
            let work = Work { _ in nodes.raise() }
            let shape = round % 2 == 0 ? Self.chain(5) : [[], [0], [0], [0], [1, 2, 3]]
            let run = try work.make(scheduler, shape)
            try runtime.startHere(run) { work.isDone }
            #expect(work.ended.wait(for: 1), "guest \(guest), round \(round)")
          }
        } catch { Issue.record(error) }
      }
    }
    let producer = TestThread {
      for i in 0..<jobs {
        do {
          try scheduler.submit(JobRequest(handler: single, priority: UInt8(i % 4), first: UInt64(i)))
        } catch { Issue.record(error) }
        if i % 16 == 0 { millrace_yield() }
      }
    }
    for thread in guests + [producer] { thread.join() }
    while ledger.starts < jobs || scheduler.admittedJobs != 0 { millrace_yield() }
    #expect(ledger.isComplete)
    #expect(nodes.count == UInt32(4 * rounds * 5))
    while scheduler.freeSlots != 4 { millrace_yield() }
  }

  @Test("stopping waits for the guest's handler; the guest's thread counts as the runtime's own; after that nothing starts")
  func stop() throws {
    let runtime = try runtime()
    try runtime.start()
    let (inside, door) = (Tally(), Tally())
    let own = Tally()
    let work = Work { node in
      if node != 0 { return }
      if runtime.isOwnThread { own.raise() }
      inside.raise()
      _ = door.wait(for: 1)
    }
    let run = try work.make(runtime.scheduler, Self.chain(2))
    let guest = TestThread {
      do { try runtime.startHere(run) { work.isDone } } catch { Issue.record(error) }
    }
    #expect(inside.wait(for: 1))
    let stopped = Tally()
    let stopper = TestThread {
      runtime.stop()
      stopped.raise()
    }
    while !runtime.scheduler.isStopping { millrace_yield() }
    #expect(stopped.count == 0 && own.count == 1)
    door.raise()
    guest.join()
    stopper.join()
    #expect(!runtime.isOwnThread)
    #expect(!work.isDone)
    let late = Work { _ in }
    #expect(throws: SubmitError.self) { try runtime.startHere(late.make(runtime.scheduler, [[]])) { true } }
  }
}
