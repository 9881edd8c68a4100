internal import MillraceCore

/// Swift tasks on the thread that steps a test engine, in the order in which they can go on: handlers need no other thread, and come in one order.
///
/// # Threads
/// `enqueue`: any. The rest: the one that steps.
final class CallingThread: TaskExecutor, @unchecked Sendable {
  private let monitor = Monitor()
  private var jobs: [UnownedJob] = []

  deinit { monitor.deallocate() }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    monitor.locked {
      jobs.append(job)
      monitor.signal(.work)
    }
  }

  /// Runs what can go on. False: nothing could.
  func runAll() -> Bool {
    var found = false
    while true {
      let ready = monitor.locked {
        defer { jobs = [] }
        return jobs
      }
      if ready.isEmpty { return found }
      found = true
      // unsafe: each job was enqueued once, and is run once.
      for job in ready { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
  }

  /// Waits until something can go on. False: nothing can by `deadline` of the system's monotonic clock.
  func wait(until deadline: UInt64) -> Bool {
    monitor.locked {
      while jobs.isEmpty { if !monitor.wait(.work, until: deadline), jobs.isEmpty { return false } }
      return true
    }
  }
}
