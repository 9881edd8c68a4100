internal import CMillrace
internal import MillraceCore
package import MillraceLog

/// What happens to a durable run, as it stands in the run's stream: `run-` and its id. docs/durable.md has the payloads, member by member.
package enum RunEvent: Sendable, Equatable {
  /// The first event of every run.
  case created(RunCreation)
  /// An attempt began. Not waited for: the last ones before a crash may not be there.
  case started(TaskPlace, attempt: Int, at: DurableTime, closes: DurableTime?)
  /// The task, or item, is over and has an output.
  case completed(TaskPlace, attempt: Int, started: Int64, ended: Int64, output: RecordedOutput)
  /// An attempt ended without an output, and another one is due.
  case retryScheduled(FailedAttempt, due: DurableTime, closes: DurableTime?)
  /// As above, and it was the last. `isUnknown`: of a step of a saga, which may have been done nevertheless.
  case failed(FailedAttempt, isUnknown: Bool)
  /// Its condition was false.
  case skipped(TaskPlace)
  /// The list of a task with `foreach`, before its first item starts.
  case items(String, ItemsRecorded)
  /// A run was started for an attempt of a task.
  case childStarted(TaskPlace, attempt: Int, run: RunID)
  /// A signal came. `payload`: JSON text.
  case signalled(name: String, number: Int, payload: [UInt8])
  /// Somebody answered an approval.
  case answered(String, attempt: Int, Answer)
  /// Somebody asked the run to stop.
  case cancelAsked(by: String?, reason: String?)
  /// A process left the run to the next one, in order.
  case suspended
  /// A process took the run over from one that had ended. `interrupted`: what may have been running.
  case resumed(number: Int, interrupted: [String], boot: String)
  /// The run is not gone on with by itself: it was resumed again and again without progress.
  case quarantined(suspects: [String])
  /// Somebody has failed tasks, and all that did not run because of them, done again. Lifts a quarantine.
  case retried(by: String?, tasks: [String])
  /// It follows another version of its workflow from here on, by these builds of plugins.
  case upgraded(definition: String, version: Int?, builds: [JSON.Member])
  /// What happened to a saga beside the ends of its steps' attempts: see `SagaFact`. `word`: that of the fact.
  case saga(word: String, JSON)
  /// Over. `reason`: why, if that was not a task's end.
  case ended(WorkflowStatus, reason: String?)
}

/// A task, or one of the items of a task with `foreach`.
package struct TaskPlace: Sendable, Hashable {
  package var task: String
  /// nil: the task.
  package var item: Int?

  package init(_ task: String, item: Int? = nil) {
    self.task = task
    self.item = item
  }

  /// `ID` or `ID[index]`.
  package var name: String { item.map { "\(task)[\($0)]" } ?? task }
}

/// A moment by which a wait can go on in another process: where the boot is the same its clock counts, which nobody sets; else the wall clock.
package struct DurableTime: Sendable, Equatable {
  /// Nanoseconds since 1970, UTC.
  package var wall: Int64
  /// Nanoseconds since the boot, while the machine slept too.
  package var boot: UInt64
  /// Of which boot; stands in the events with which a process begins or takes over a run, not beside each time.
  package var bootID = ""

  package init(wall: Int64, boot: UInt64, bootID: String = "") {
    self.wall = wall
    self.boot = boot
    self.bootID = bootID
  }

  /// Nanoseconds from this moment to `now`; negative if it is still to come. By the boot's clock, if it is the same boot.
  package func elapsed(to now: DurableTime) -> Int64 {
    guard !bootID.isEmpty, bootID == now.bootID else { return now.wall.subtractingReportingOverflow(wall).partialValue }
    return now.boot >= boot ? Int64(clamping: now.boot - boot) : -Int64(clamping: boot - now.boot)
  }
}

/// What a task gave.
package enum RecordedOutput: Sendable, Equatable {
  /// Small: it stands in the record. `contentType` as in `millrace/plugin.h`.
  case inline([UInt8], contentType: UInt32)
  /// Too large for that: the payload of the event of this version of the same stream, which stands before this one. 0 while it is made.
  case spilled(version: UInt64, contentType: UInt32)

  /// Bytes up to which an output stands in its record.
  package static let inlineBytes = 64 << 10
}

/// An attempt that ended without an output.
package struct FailedAttempt: Sendable, Equatable {
  package var place: TaskPlace
  package var attempt: Int
  /// FAILED, TIMED_OUT or CANCELLED.
  package var status: TaskStatus
  /// Wall time, nanoseconds since 1970, UTC.
  package var started: Int64
  package var ended: Int64
  package var errorType: String
  package var message: String

  package init(
    place: TaskPlace, attempt: Int, status: TaskStatus, started: Int64, ended: Int64, errorType: String = "", message: String = ""
  ) {
    self.place = place
    self.attempt = attempt
    self.status = status
    self.started = started
    self.ended = ended
    self.errorType = errorType
    self.message = message
  }
}

/// The items of a task.
package enum ItemsRecorded: Sendable, Equatable {
  /// A JSON list.
  case list([UInt8])
  case range(from: Int64, step: Int64, count: Int)
  /// A list too large for the record, as for `RecordedOutput.spilled`.
  case spilled(version: UInt64)
}

/// With what a run began.
package struct RunCreation: Sendable, Equatable {
  /// The attempt of a task of another run that started it.
  package struct Parent: Sendable, Equatable {
    package var run: RunID
    package var task: String
    package var attempt: Int

    package init(run: RunID, task: String, attempt: Int) {
      self.run = run
      self.task = task
      self.attempt = attempt
    }
  }

  package var run: RunID
  package var workflow: String
  package var isSaga = false
  package var version: Int?
  /// SHA-256 of the definition, whose text stands in the stream `definition-` and this.
  package var definition: String
  /// Values of all parameters.
  package var parameters: [JSON.Member]
  /// Plugin name to SHA-256 of its file.
  package var builds: [JSON.Member]
  package var tenant: String
  /// When it was started, nanoseconds since 1970, UTC.
  package var wall: Int64
  package var seed: UInt64
  /// Id of the machine's boot.
  package var boot: String
  package var depth: Int
  package var trace: TraceContext?
  package var parent: Parent?
  /// The run whose history it goes on from.
  package var origin: RunID?
  /// The schedule that started it, by its workflow's name.
  package var schedule: String?

  package init(
    run: RunID, workflow: String, version: Int? = nil, definition: String, parameters: [JSON.Member] = [], builds: [JSON.Member] = [],
    tenant: String = RunTenant.standard.name, wall: Int64, seed: UInt64, boot: String = "", depth: Int = 0, trace: TraceContext? = nil,
    parent: Parent? = nil, origin: RunID? = nil
  ) {
    self.run = run
    self.workflow = workflow
    self.version = version
    self.definition = definition
    self.parameters = parameters
    self.builds = builds
    self.tenant = tenant
    self.wall = wall
    self.seed = seed
    self.boot = boot
    self.depth = depth
    self.trace = trace
    self.parent = parent
    self.origin = origin
  }

  package static func == (a: RunCreation, b: RunCreation) -> Bool { a.json == b.json }
}

extension RunID {
  /// What `description` gives; nil: it is no UUID.
  package init?(_ text: String) {
    guard let id = EventID(text) else { return nil }
    self.init(high: id.high, low: id.low)
  }

  /// UUID version 8 (RFC 9562, section 5.8) of the first 16 bytes of a digest, 64 hexadecimal digits; nil: it is none.
  package init?(digest: String) {
    guard let high = UInt64(digest.prefix(16), radix: 16), let low = UInt64(digest.dropFirst(16).prefix(16), radix: 16) else { return nil }
    self.init(high: high & ~0xF000 | 0x8000, low: low & ~(3 << 62) | 1 << 63)
  }

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// The run's stream. Its category is `run`.
  package var stream: StreamName {
    get throws(EventStoreError) { try StreamName(RunEvent.category + "-" + description) }
  }
}
