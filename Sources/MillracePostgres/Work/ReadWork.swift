#if Postgres
  internal import MillraceCore
  internal import MillraceLog

  /// A statement that may be repeated, and what to do with its rows.
  struct ReadJob: Sendable {
    let statement: Statement
    let parameters: Parameters
    let finish: @Sendable (Result<Rows, EventStoreError>) -> Void
    /// Monotonic, nanoseconds: until when it waits for a connection.
    var deadline: UInt64
    var losses = 0
  }

  /// Everything but appends: pages, ends, limits, snapshots, waits, and sweeping now and then.
  ///
  /// # Threads
  /// `take`, `wait`, `giveUp` and `close`: any. The rest: the lane's.
  /// # Fields
  /// All but `sweep…` and `knownEnd`: under the monitor.
  final class ReadWork: LaneWork, @unchecked Sendable {
    struct Bounds: Sendable {
      var queued: Int
      var waits: Int
      var patience: UInt64
      /// Nanoseconds; nil: this store does not sweep.
      var sweepInterval: UInt64?
    }

    private let session: Session
    private let bounds: Bounds
    private let wallClock: @Sendable () -> Int64
    private let monitor = Monitor()
    private var queue = FIFO<ReadJob>()
    private var accepted = 0
    private var waits = Waits()
    private var isClosed = false
    private var sweepTime: UInt64?
    private var sweptStream: Int64 = 0

    init(_ session: Session, _ bounds: Bounds, wallClock: @escaping @Sendable () -> Int64) {
      self.session = session
      self.bounds = bounds
      self.wallClock = wallClock
      sweepTime = bounds.sweepInterval.map { Monotonic.now + $0 }
    }

    deinit { monitor.deallocate() }

    /// nil: it is taken, and will be finished.
    func take(_ statement: Statement, _ parameters: Parameters, _ finish: @escaping @Sendable (Result<Rows, EventStoreError>) -> Void)
      -> EventStoreError?
    {
      let job = ReadJob(statement: statement, parameters: parameters, finish: finish, deadline: Monotonic.now + bounds.patience)
      return monitor.locked {
        if isClosed { return .closed }
        if accepted >= bounds.queued { return .busy }
        accepted += 1
        queue.append(job)
        return nil
      }
    }

    func close() {
      let left = monitor.locked {
        isClosed = true
        return waits.takeAll()
      }
      for completion in left { completion(.failure(.closed)) }
    }

    var isDone: Bool { monitor.locked { isClosed && accepted == 0 } }

    // MARK: Waits

    /// nil: it has been answered.
    func wait(_ position: UInt64, _ completion: @escaping EventCompletion<UInt64>) -> UInt64? {
      var number: UInt64?
      let outcome: Result<UInt64, EventStoreError>? = monitor.locked {
        if isClosed { return .failure(.closed) }
        if position < waits.end { return .success(waits.end) }
        if waits.count >= bounds.waits { return .failure(.busy) }
        number = waits.add(position, completion)
        return nil
      }
      if let outcome { completion(outcome) }
      return number
    }

    func giveUp(_ wait: UInt64) {
      if let completion = monitor.locked({ waits.remove(wait) }) { completion(.failure(.cancelled)) }
    }

    func heard(end: UInt64) {
      let due = monitor.locked { waits.reach(end) }
      for (completion, end) in due { completion(.success(end)) }
    }

    func began(end: UInt64) { heard(end: end) }

    // MARK: Requests

    func next() -> ReadJob? {
      if let job = monitor.locked({ queue.take() }) { return job }
      guard let time = sweepTime, Monotonic.now >= time else { return nil }
      sweepTime = nil
      var parameters = Parameters()
      for value in [session.sweepLock, sweptStream, wallClock(), Int64(EventLimits.idWindow), 10_000] { parameters.add(value) }
      return monitor.locked {
        if isClosed { return nil }
        accepted += 1
        return ReadJob(statement: .sweep, parameters: parameters, finish: { [weak self] in self?.swept($0) }, deadline: 0)
      }
    }

    /// Nothing depends on a sweep that has failed: the next one does its work.
    private func swept(_ result: Result<Rows, EventStoreError>) {
      if case .success(let rows) = result { sweptStream = rows.integer(0, 0) }
      // There is more: soon.
      sweepTime = bounds.sweepInterval.map { Monotonic.now + (sweptStream > 0 ? min($0, 100_000_000) : $0) }
    }

    var alarm: UInt64? { sweepTime }

    func encoded(_ job: ReadJob) -> (Statement, Parameters) { (job.statement, job.parameters) }

    private func finish(_ job: ReadJob, _ result: Result<Rows, EventStoreError>) {
      monitor.locked { accepted -= 1 }
      job.finish(result)
    }

    func finished(_ job: ReadJob, _ outcome: Result<Rows, Failure>) {
      switch outcome {
      case .success(let rows): finish(job, .success(rows))
      case .failure(.refused("40001", _)), .failure(.refused("40P01", _)): monitor.locked { queue.putBack([job]) }
      case .failure(.refused(let code, let text)): finish(job, .failure(EventStoreError(refusal: code, text, at: session.target.place)))
      case .failure(.lost(let why)): lost([job], why: why)
      }
    }

    func lost(_ jobs: [ReadJob], why: String) {
      let now = Monotonic.now
      var again: [ReadJob] = []
      for var job in jobs {
        job.losses += 1
        job.deadline = now + bounds.patience
        if job.losses > 5 || job.statement == .sweep { finish(job, .failure(.unavailable(why))) } else { again.append(job) }
      }
      monitor.locked { queue.putBack(again) }
    }

    func expire(_ now: UInt64, why: String) -> UInt64? {
      let (late, due) = monitor.locked { (queue.takeAll { $0.deadline <= now }, queue.least(\.deadline)) }
      for job in late { finish(job, .failure(.unavailable(why))) }
      return due
    }
  }

  /// Who waits for which position.
  struct Waits {
    /// The first position without an event, as far as is known.
    private(set) var end: UInt64 = 0
    private var waiting: [UInt64: (position: UInt64, completion: EventCompletion<UInt64>)] = [:]
    private var number: UInt64 = 0
    /// No position waited for is lower.
    private var lowest = UInt64.max

    var count: Int { waiting.count }

    /// The end is at `position` or before.
    mutating func add(_ position: UInt64, _ completion: @escaping EventCompletion<UInt64>) -> UInt64 {
      number += 1
      waiting[number] = (position, completion)
      lowest = min(lowest, position)
      return number
    }

    mutating func remove(_ number: UInt64) -> EventCompletion<UInt64>? { waiting.removeValue(forKey: number)?.completion }

    mutating func takeAll() -> [EventCompletion<UInt64>] {
      defer { waiting = [:] }
      return waiting.sorted { $0.key < $1.key }.map(\.value.completion)
    }

    /// Takes out who has waited for positions before `end`. Complexity: O(waits) when there may be one, else O(1).
    mutating func reach(_ end: UInt64) -> [(EventCompletion<UInt64>, UInt64)] {
      self.end = max(self.end, end)
      if lowest >= self.end { return [] }
      let due = waiting.filter { $0.value.position < self.end }.sorted { $0.key < $1.key }
      for (number, _) in due { waiting[number] = nil }
      lowest = waiting.values.lazy.map(\.position).min() ?? .max
      return due.map { ($0.value.completion, self.end) }
    }
  }
#endif
