internal import CMillraceEmbedding
internal import Millrace

/// Tells a function of C what runs, attempts and tasks do, on the thread that does it.
@safe struct EventRelay: EngineObserver, @unchecked Sendable {
  // unsafe: the program's, kept until the engine is destroyed; it promises that any thread may call it.
  private let context: UnsafeMutableRawPointer?
  private let function: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<millrace_event>?) -> Void

  @unsafe init(
    _ context: UnsafeMutableRawPointer?,
    _ function: @escaping @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<millrace_event>?) -> Void
  ) {
    unsafe self.context = context
    unsafe self.function = function
  }

  func runBegins(_ run: ObservedRun) -> (any RunObserver)? {
    tell(run, MILLRACE_EVENT_RUN_BEGAN, "RUNNING")
    return RunRelay(run: run, relay: self)
  }

  fileprivate func tell(
    _ run: ObservedRun, _ kind: some BinaryInteger, _ status: String, task: String? = nil, attempt: Int = 0, duration: Duration = .zero,
    errorType: String = "", message: String = ""
  ) {
    unsafe withCTexts([run.id, run.workflow, run.tenant, task ?? "", status, errorType, message]) { texts in
      var event = unsafe millrace_event()
      unsafe event.size = UInt32(MemoryLayout<millrace_event>.size)
      unsafe event.kind = UInt32(kind)
      unsafe event.run = texts[0]
      unsafe event.workflow = texts[1]
      unsafe event.tenant = texts[2]
      unsafe event.task = task == nil ? nil : texts[3]
      unsafe event.status = texts[4]
      unsafe event.error_type = texts[5]
      unsafe event.message = texts[6]
      unsafe event.duration = UInt64(clamping: duration)
      unsafe event.attempt = UInt32(clamping: attempt)
      unsafe function(context, &event)
    }
  }
}

private struct RunRelay: RunObserver {
  let run: ObservedRun
  let relay: EventRelay

  func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)? {
    relay.tell(run, MILLRACE_EVENT_ATTEMPT_BEGAN, "RUNNING", task: attempt.task, attempt: attempt.number)
    return AttemptRelay(attempt: attempt, run: self)
  }

  func retryScheduled(_ attempt: ObservedAttempt, after wait: Duration) {
    relay.tell(run, MILLRACE_EVENT_RETRY, "FAILED", task: attempt.task, attempt: attempt.number, duration: wait)
  }

  func taskEnded(_ task: String, handler: String, _ status: TaskStatus) {
    relay.tell(run, MILLRACE_EVENT_TASK_ENDED, status.rawValue, task: task)
  }

  func ended(_ status: WorkflowStatus, after elapsed: Duration) {
    relay.tell(run, MILLRACE_EVENT_RUN_ENDED, status.rawValue, duration: elapsed)
  }

  func refused(_ error: any Error) {
    relay.tell(run, MILLRACE_EVENT_RUN_ENDED, WorkflowStatus.failed.rawValue, errorType: "refused", message: "\(error)")
  }
}

private struct AttemptRelay: AttemptObserver {
  let attempt: ObservedAttempt
  let run: RunRelay

  func ended(_ ending: ObservedEnding) {
    run.relay.tell(
      run.run, MILLRACE_EVENT_ATTEMPT_ENDED, ending.status.rawValue, task: attempt.task, attempt: attempt.number, duration: ending.elapsed,
      errorType: ending.errorType, message: ending.message)
  }
}
