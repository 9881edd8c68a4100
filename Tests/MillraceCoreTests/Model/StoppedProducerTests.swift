#if MODEL_CHECK
  import Glibc
  import Synchronization
  import Testing

  @testable import MillraceCore

  /// Stops its thread before the k-th operation on a shared word, until it is let go.
  final class Stop: Controller, @unchecked Sendable {
    private let at: Int
    private var steps = 0
    let reached = Atomic<Bool>(false)
    private let go = Turnstile()
    init(at: Int) { self.at = at }
    override func step(_ thread: Int) {
      steps += 1
      if steps - 1 != at { return }
      reached.store(true, ordering: .releasing)
      go.pass()
    }
    override func wait(_ thread: Int) { sched_yield() }
    func release() { go.open() }
  }

  @Suite struct StoppedProducerTests {
    /// Long enough for a loaded machine; only a failure waits so long.
    private static let patience: UInt64 = 20_000_000_000

    fileprivate static func eventually(_ condition: () -> Bool) -> Bool {
      let end = Clock.monotonic.now + patience
      while !condition() {
        if Clock.monotonic.now > end { return false }
        sched_yield()
      }
      return true
    }

    /// As a runtime's thread under `park`: sleeps when there is nothing to do.
    fileprivate static func work(_ scheduler: Scheduler, _ index: Int, until stop: @Sendable () -> Bool) {
      let worker = scheduler.makeWorker(index)
      let parking = scheduler.parking
      var searching = false
      while !stop() {
        if let begun = worker.begin() {
          if searching, parking.foundWork(), scheduler.ready.occupied() != 0 { parking.notify() }
          searching = false
          worker.finish(begun, worker.run(begun))
          continue
        }
        worker.settleCounts()
        parking.prepareToSleep(index, searching: searching)
        searching = false
        if let begun = worker.begin() {
          parking.cancelSleep(index)
          if parking.foundWork(), scheduler.ready.occupied() != 0 { parking.notify() }
          worker.finish(begun, worker.run(begun))
          continue
        }
        worker.settleCounts()
        if stop() { parking.cancelSleep(index) } else { parking.sleep(index) }
        searching = true
      }
      if searching { _ = parking.foundWork() }
      worker.retire()
    }

    @Test("a producer stopped at any step of a submission holds up nobody, workers asleep or not", arguments: [true, false])
    func stoppedProducer(asymmetric: Bool) throws {
      Controlled.install()
      var k = 0
      while true {
        let scheduler = try Scheduler(SchedulerConfiguration(slots: 2, workers: 2, capacity: 1000, tenants: 1, asymmetric: asymmetric))
        let ledger = Ledger(8)
        let handler = try #require(scheduler.register(ledger.handler))
        let done = Flag()
        let workers = (0..<2).map { i in TestThread { Self.work(scheduler, i) { done.isSet } } }
        #expect(Self.eventually { scheduler.parking.sleeping == 2 })

        let stop = Stop(at: k)
        let ended = Flag()
        let producer = TestThread {
          Controlled.run(stop, 0) {
            do { try scheduler.submit(JobRequest(handler: handler, first: 0)) } catch { Issue.record(error) }
          }
          ended.set()
        }
        #expect(Self.eventually { stop.reached.load(ordering: .acquiring) || ended.isSet })
        let stopped = stop.reached.load(ordering: .acquiring)

        for i in 1..<8 { try scheduler.submit(JobRequest(handler: handler, first: UInt64(i))) }
        let others = Self.eventually { (1..<8).allSatisfy { ledger.order(of: $0) >= 0 } }
        #expect(others, "stopped before step \(k): the other producer's jobs wait")
        stop.release()
        producer.join()
        #expect(Self.eventually { ledger.isComplete }, "stopped before step \(k): jobs are lost")
        done.set()
        scheduler.parking.wakeAll()
        for worker in workers { worker.join() }
        #expect(scheduler.admittedJobs == 0 && scheduler.freeSlots == 2)
        if !stopped || !others { break }
        k += 1
      }
      #expect(k > 20, "only \(k) steps were found")
    }
  }

  /// What a run of the next test tells its owner.
  private final class OneRun: Sendable {
    let isDone = Flag()

    func run(_ handler: HandlerIndex) throws -> Run {
      let plan = try Plan(
        count: 3, node: { _ in Plan.Node(handler: handler) }, predecessors: { i, visit in if i > 0 { visit(i - 1) } })
      return try Run(
        plan,
        hooks: unsafe RunHooks(
          context: Unmanaged.passUnretained(self).toOpaque(),
          completed: { unsafe Unmanaged<OneRun>.fromOpaque($0).takeUnretainedValue().isDone.set() }))
    }
  }

  extension StoppedProducerTests {
    @Test("a guest stopped at any step of its visit holds up nobody else, workers asleep or not", arguments: [true, false])
    func stoppedGuest(asymmetric: Bool) throws {
      Controlled.install()
      var k = 0
      while true {
        let scheduler = try Scheduler(SchedulerConfiguration(slots: 3, workers: 3, capacity: 1000, tenants: 1, asymmetric: asymmetric))
        let ledger = Ledger(8)
        let handler = try #require(scheduler.register(ledger.handler))
        let nothing = try #require(scheduler.register(unsafe Handler(run: { _, _ in Outcome.done.rawValue })))
        let done = Flag()
        let workers = (0..<2).map { i in TestThread { Self.work(scheduler, i) { done.isSet } } }
        #expect(Self.eventually { scheduler.parking.sleeping == 2 })

        let owner = OneRun()
        let run = try owner.run(nothing)
        let stop = Stop(at: k)
        let ended = Flag()
        // As `Runtime.startHere`.
        let guest = TestThread {
          let worker = scheduler.makeWorker(2)
          Controlled.run(stop, 0) {
            do { try scheduler.start(run, wakes: false) } catch { Issue.record(error) }
            visit: while true { if case .idle = worker.work(upTo: 16).end { break visit } }
            worker.leave()
          }
          ended.set()
          worker.retire()
        }
        #expect(Self.eventually { stop.reached.load(ordering: .acquiring) || ended.isSet })
        let stopped = stop.reached.load(ordering: .acquiring)

        for i in 0..<8 { try scheduler.submit(JobRequest(handler: handler, first: UInt64(i))) }
        let others = Self.eventually { ledger.isComplete }
        #expect(others, "stopped before step \(k): another producer's jobs wait")
        stop.release()
        guest.join()
        #expect(Self.eventually { owner.isDone.isSet }, "stopped before step \(k): the guest's run is lost")
        done.set()
        scheduler.parking.wakeAll()
        for worker in workers { worker.join() }
        #expect(scheduler.admittedJobs == 0 && scheduler.freeSlots == 3)
        if !stopped || !others { break }
        k += 1
      }
      #expect(k > 30, "only \(k) steps were found")
    }
  }

  final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
  }
#endif
