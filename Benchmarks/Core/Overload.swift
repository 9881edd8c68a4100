import CMillrace
import Glibc
import MillraceCore
import Synchronization

extension Work {
  /// Ten times as many jobs as there is room for, from four threads, while no handler goes on: what is taken, and the memory it takes.
  static let overload = [
    Work(name: "overload", figures: ["jobs taken", "jobs refused", "times the bytes of the cap"], workers: [2], small: 1_000) {
      workers, count in
      let overload = try Overload(workers: workers, capacity: count)
      return { try overload.round() }
    }
  ]
}

@safe private final class Overload {
  private static let producers = 4
  /// Times the capacity that is submitted in a round.
  private static let excess = 10

  private let capacity: Int
  private let runtime: Runtime
  private let gate = Gate()
  private var handler = HandlerIndex(rawValue: 0)
  /// Bytes in memory before the first job.
  private let before: Int

  init(workers: Int, capacity: Int) throws {
    self.capacity = capacity
    var configuration = RuntimeConfiguration(slots: workers, threads: workers, capacity: capacity, wait: .park)
    configuration.stallAfter = 0
    runtime = unsafe try Runtime(configuration)
    let gate = gate
    // unsafe: the gate lives as long as the runtime: both are this object's.
    let run = unsafe Handler(
      run: { context, _ in
        unsafe Unmanaged<Gate>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.pass() }
        return Outcome.done.rawValue
      }, context: Unmanaged.passUnretained(gate).toOpaque())
    guard let handler = runtime.scheduler.register(run) else { preconditionFailure("there is room for a handler") }
    self.handler = handler
    try runtime.start()
    before = try residentBytes()
  }

  deinit { runtime.stop() }

  /// Fills the runtime while the gate is shut, and empties it.
  func round() throws -> [Double] {
    let passed = gate.passed
    gate.shut()
    let producers = (0..<Overload.producers).map { _ in
      Producer(runtime.scheduler, JobRequest(handler: handler), count: capacity * Overload.excess / Overload.producers)
    }
    let taken = producers.reduce(0) { $0 + $1.join() }
    let resident = try residentBytes()
    gate.open()
    // Settled jobs leave in lots, the last ones when their worker has nothing else to do.
    while gate.passed != passed + UInt64(taken) || runtime.scheduler.admittedJobs != 0 { usleep(1_000) }
    let asked = capacity * Overload.excess / Overload.producers * Overload.producers
    return [Double(taken), Double(asked - taken), Double(resident - before) / Double(capacity * RuntimeConfiguration.jobBytes)]
  }

  /// Holds all handlers while it is shut.
  private final class Gate: Sendable {
    private let isOpen = Atomic<Bool>(true)
    private let count = Atomic<UInt64>(0)

    // Order: sequentially consistent, all of them: nothing here is measured.
    var passed: UInt64 { count.load(ordering: .sequentiallyConsistent) }
    func shut() { isOpen.store(false, ordering: .sequentiallyConsistent) }
    func open() { isOpen.store(true, ordering: .sequentiallyConsistent) }
    func pass() {
      while !isOpen.load(ordering: .sequentiallyConsistent) { usleep(1_000) }
      count.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
  }

  /// A thread that submits, and counts what is taken.
  @safe private final class Producer {
    private final class Body {
      let scheduler: Scheduler
      let request: JobRequest
      let count: Int
      var taken = 0

      init(_ scheduler: Scheduler, _ request: JobRequest, count: Int) {
        self.scheduler = scheduler
        self.request = request
        self.count = count
      }

      func run() {
        for _ in 0..<count {
          do throws(SubmitError) {
            try scheduler.submit(request)
            taken += 1
          } catch {
            guard case .full = error else { preconditionFailure("\(error)") }
          }
        }
      }
    }

    private let body: Body
    private var thread = pthread_t()

    init(_ scheduler: Scheduler, _ request: JobRequest, count: Int) {
      body = Body(scheduler, request, count: count)
      // unsafe: retained for the thread, which gives it back.
      let context = unsafe Unmanaged.passRetained(body).toOpaque()
      let code = unsafe pthread_create(
        &thread, nil,
        { context in
          guard let context = unsafe context else { return nil }
          unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
          return nil
        }, context)
      precondition(code == 0, "no thread: errno \(code)")
    }

    /// Once.
    func join() -> Int {
      pthread_join(thread, nil)
      return body.taken
    }
  }
}

/// Of this process.
private func residentBytes() throws -> Int {
  let fields = try smallFile("/proc/self/statm").split(separator: " ")
  guard fields.count > 1, let pages = Int(fields[1]) else { throw BenchmarkError(description: "/proc/self/statm cannot be read") }
  return pages * sysconf(Int32(_SC_PAGESIZE))
}
