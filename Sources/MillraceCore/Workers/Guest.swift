internal import Glibc

/// A place among the workers for a thread that would only wait for what it starts: it runs jobs instead, and nobody has to be woken.
///
/// # Threads
/// Any; one at a time is inside. # Progress: blocking, O(1) inside the lock, which is not held while jobs run.
@safe final class Guest: @unchecked Sendable {
  private let monitor = Monitor()
  // The place's lane, caches and counts; whoever is inside drives it. What one guest leaves the next one sees by the monitor.
  let worker: Worker
  private var inside: pthread_t?
  private var isClosed = false

  /// The place is the scheduler's worker `index`, which no thread of its own drives.
  init(_ scheduler: Scheduler, index: Int) { worker = scheduler.makeWorker(index) }

  deinit { monitor.deallocate() }

  /// False: somebody is inside, or the runtime stops.
  func enter() -> Bool {
    monitor.locked {
      if inside != nil || isClosed { return false }
      inside = pthread_self()
      return true
    }
  }

  /// After `Worker.leave`.
  func leave() {
    monitor.locked {
      inside = nil
      if isClosed { monitor.broadcast(.ended) }
    }
  }

  /// Lets nobody in any more, and waits until nobody is inside. Not by the guest itself.
  func close() {
    monitor.locked {
      isClosed = true
      while inside != nil { monitor.wait(.ended) }
    }
  }

  /// After `close`: gives back what the place has.
  func retire() { worker.retire() }

  /// The calling thread is inside.
  var isHere: Bool { monitor.locked { inside.map { pthread_equal($0, pthread_self()) != 0 } ?? false } }
}

extension Runtime {
  /// Jobs that a guest runs before it looks whether what it waits for is done.
  private static let jobsOfGuest = 16

  /// Starts a run for a caller that would only wait for it: where nothing else is ready and no other such caller is at work, this thread runs jobs, of
  /// this run and others, until `isDone` or until there are none; then no thread has to be woken. Otherwise as `Scheduler.start`.
  ///
  /// A thread of the blocking pool or the loop may not come here, and jobs whose handlers block go to the pool as ever. Throws `SubmitError`.
  public func startHere(_ run: Run, until isDone: () -> Bool) throws(SubmitError) {
    guard let guest, scheduler.ready.occupied() == 0, guest.enter() else { return try scheduler.start(run) }
    defer { guest.leave() }
    // One root is for this thread; more are for others too.
    try scheduler.start(run, wakes: run.roots.count > 1)
    let lane = guest.worker.index
    watchForStalls(lane)
    while !scheduler.isStopping {
      let work = guest.worker.work(upTo: Runtime.jobsOfGuest)
      if case .blocking(let job) = work.end { runElsewhere(job, guest.worker) }
      if case .idle = work.end { break }
      if isDone() { break }
    }
    guest.worker.leave()
  }
}
