#if MODEL_CHECK
  import Testing

  @testable import MillraceCore

  /// A job that several threads want to end, under every schedule with two preemptions of the real scheduler.
  @Suite struct JobModelTests {
    /// One worker, one job that has a token; the settlements that its owner hears of.
    @safe final class OneJob: @unchecked Sendable {
      let scheduler: Scheduler
      let worker: WorkerBody
      var begun: Begun!
      var outcomes: [UInt8] = []

      init(timeout: UInt64 = 0) {
        do {
          scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 64, tenants: 1, stealPatience: 0))
        } catch { preconditionFailure("\(error)") }
        worker = WorkerBody(0, of: scheduler)
        let handler = unsafe Handler(
          run: { _, call in
            unsafe call.assumingMemoryBound(to: JobContext.self).pointee.tokenIssued = true
            return Outcome.pending.rawValue
          },
          finished: { context, _, _, _, outcome in
            unsafe Unmanaged<OneJob>.fromOpaque(context!).takeUnretainedValue().outcomes.append(outcome)
          }, context: Unmanaged.passUnretained(self).toOpaque())
        guard let index = scheduler.register(handler) else { preconditionFailure("registered") }
        do { try scheduler.submit(JobRequest(handler: index, timeout: timeout)) } catch { preconditionFailure("\(error)") }
        begun = worker.begin()
        _ = worker.run(begun)
      }
      deinit { worker.deallocate() }

      var id: JobID { begun.job }

      /// Settles what is left on the worker. What must hold: one outcome, the slot and the admission back.
      func check() -> String? {
        while let more = worker.begin() { worker.finish(more, Outcome.done.rawValue) }
        worker.settleCounts()
        if outcomes.count != 1 { return "outcomes \(outcomes)" }
        return scheduler.freeSlots == 1 && scheduler.admittedJobs == 0
          ? nil : "slots \(scheduler.freeSlots), jobs \(scheduler.admittedJobs)"
      }
    }

    @Test("worker, token holder and canceller: one outcome, the slot comes back", arguments: [Outcome.done, Outcome.pending])
    func token(outcome: Outcome) {
      let report = Explorer.explore {
        let job = OneJob()
        return Scenario(bodies: [
          { job.worker.finish(job.begun, outcome.rawValue) },
          { job.scheduler.complete(job.id, .failed) },
          { job.scheduler.cancel(job.id) },
        ]) { job.check() }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 300)
    }

    @Test(
      "a claim that is given back changes nothing: what the handler said, or a cancellation, still ends the job",
      arguments: [Outcome.done, .pending])
    func unclaim(outcome: Outcome) {
      let report = Explorer.explore {
        let job = OneJob()
        return Scenario(bodies: [
          { job.worker.finish(job.begun, outcome.rawValue) },
          { if job.scheduler.claim(job.id) == .taken { job.scheduler.unclaim(job.id) } },
          { job.scheduler.cancel(job.id) },
        ]) { job.check() }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 300)
    }

    @Test("a claim that is given back while the handler returns leaves the handler's outcome")
    func unclaimAlone() {
      let report = Explorer.explore {
        let job = OneJob()
        return Scenario(bodies: [
          { job.worker.finish(job.begun, Outcome.done.rawValue) },
          { if job.scheduler.claim(job.id) == .taken { job.scheduler.unclaim(job.id) } },
        ]) { job.check() ?? (job.outcomes == [Outcome.done.rawValue] ? nil : "outcome \(job.outcomes)") }
      }
      #expect(report.failure == nil)
    }

    @Test(
      "worker, scan for overdue jobs and token holder: one outcome, and the next job in the record keeps its own",
      arguments: [Outcome.done, .pending])
    func overdue(outcome: Outcome) {
      let report = Explorer.explore {
        let job = OneJob(timeout: 1)
        return Scenario(bodies: [
          { job.worker.finish(job.begun, outcome.rawValue) },
          { _ = job.scheduler.endOverdue(now: .max - 1) },
          { job.scheduler.complete(job.id, .failed) },
        ]) { job.check() }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 300)
    }

    @Test("a job with a timeout that starts while scans end is seen by the last one, or asks for another")
    func lastScan() {
      let timeout: UInt64 = 1_000_000_000
      let report = Explorer.explore {
        let job = OneJob()
        let lookout = job.scheduler.lookout
        _ = lookout.cover(timeout)
        unsafe lookout.own.pointee.isQuiet = true
        return Scenario(bodies: [
          { _ = job.scheduler.watch(job.scheduler.lane(0), timeout, of: job.id) },
          { _ = job.scheduler.endOverdue(now: Clock.monotonic.now) },
        ]) { lookout.covered.loadRelaxed() == timeout ? nil : "nobody looks at the job" }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 10)
    }
  }
#endif
