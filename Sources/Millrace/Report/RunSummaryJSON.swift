public import MillraceWorkflow

extension RunSummary {
  /// The object that `millrace run -o json` prints.
  ///
  /// A task that timed out counts as failed; a value that is not known is null. Times are seconds.
  ///
  /// - Parameters:
  ///   - record: the run, ended or not.
  ///   - bound: Graham's bound in seconds, from recorded durations or, by `Bound.graham(of:)`, from measured ones.
  public static func json(_ record: RunRecord, bound: Double?) -> JSON {
    let count = { (status: TaskStatus) in JSON.integer(Int64(record.count(status))) }
    return .object([
      .init("run", .string(record.run)),
      .init("workflow", .string(record.workflow)),
      .init("status", .string(record.status.rawValue)),
      .init(
        "tasks",
        .object([
          .init("completed", count(.completed)),
          .init("failed", .integer(Int64(record.count(.failed) + record.count(.timedOut)))),
          .init("skipped", count(.skipped)),
          .init("cancelled", count(.cancelled)),
        ])),
      .init("attempts", .integer(Int64(record.attemptCount))),
      .init("makespanSeconds", .number(Double(record.makespan) / 1e9)),
      .init("boundSeconds", bound.map(JSON.number) ?? .null),
      .init("recordedMakespanSeconds", record.recordedMakespanSeconds.map(JSON.number) ?? .null),
      .init("slots", .integer(Int64(record.slots))),
      .init("threads", .integer(Int64(record.threads))),
    ])
  }

  /// Everything in the record, for run.json. Times are nanoseconds: `startedWallNanoseconds` since 1970 UTC, all others since the start of the
  /// run. `dependencies` are indices into `tasks`.
  public static func record(_ record: RunRecord) -> JSON {
    var members: [JSON.Member] = [
      .init("format", .integer(1)),
      .init("run", .string(record.run)),
      .init("workflow", .string(record.workflow)),
      .init("workflowVersion", record.workflowVersion.map { .integer(Int64($0)) } ?? .null),
      .init("definitionSHA256", record.definitionSHA256.map(JSON.string) ?? .null),
      .init("plugins", .array(record.plugins.map(build))),
      .init("status", .string(record.status.rawValue)),
      .init("slots", .integer(Int64(record.slots))),
      .init("threads", .integer(Int64(record.threads))),
      .init("order", .string(record.order)),
      .init("tenant", .string(record.tenant)),
      .init("reason", record.reason.map(JSON.string) ?? .null),
      .init("startedWallNanoseconds", .integer(record.startedWall)),
      .init("elapsedNanoseconds", time(record.elapsed)),
      .init("recordedMakespanSeconds", record.recordedMakespanSeconds.map(JSON.number) ?? .null),
      .init("tasks", .array(record.tasks.map(task))),
    ]
    if !record.signals.isEmpty { members.append(.init("signals", .array(record.signals.map(signal)))) }
    return .object(members)
  }

  private static func signal(_ signal: SignalRecord) -> JSON {
    .object([
      .init("name", .string(signal.name)), .init("nanoseconds", time(signal.time)), .init("task", signal.task.map(JSON.string) ?? .null),
    ])
  }

  /// Of a task that waits.
  private static func wait(_ wait: Wait, _ answer: Answer?) -> JSON {
    var members: [JSON.Member] = [.init(wait.kind, .string(wait.text))]
    if let answer {
      members += [
        .init("approved", .bool(answer.isApproved)), .init("by", answer.by.map(JSON.string) ?? .null),
        .init("comment", answer.comment.map(JSON.string) ?? .null),
      ]
    }
    return .object(members)
  }

  private static func build(_ plugin: PluginBuild) -> JSON {
    .object([.init("name", .string(plugin.name)), .init("version", .string(plugin.version)), .init("sha256", .string(plugin.sha256))])
  }

  private static func task(_ task: TaskRecord) -> JSON {
    var members: [JSON.Member] = [
      .init("id", .string(task.id)),
      .init("handler", .string(task.handler)),
      .init("priority", .string("\(task.priority)")),
      .init("status", .string(task.status.rawValue)),
      .init("dependencies", .array(task.dependencies.map { .integer(Int64($0)) })),
      .init("readyNanoseconds", task.ready.map(time) ?? .null),
      .init("cause", task.cause.map(JSON.string) ?? .null),
      .init("outputBytes", time(task.outputBytes)),
      .init("attempts", .array(task.attempts.map(attempt))),
    ]
    if let items = task.items { members.append(.init("items", Self.items(items))) }
    if !task.children.isEmpty { members.append(.init("runs", .array(task.children.map(record)))) }
    if let wait = task.wait { members.append(.init("wait", Self.wait(wait, task.answer))) }
    return .object(members)
  }

  /// Of a task with `foreach`: all items, and those without records of their own.
  private static func items(_ items: ItemsRecord) -> JSON {
    let counts = { (statuses: [TaskStatus: Int]) in
      JSON.object(TaskStatus.allCases.compactMap { status in statuses[status].map { .init(status.rawValue, .integer(Int64($0))) } })
    }
    return .object([
      .init("count", .integer(Int64(items.count))),
      .init("statuses", counts(items.statuses)),
      .init("attempts", .integer(Int64(items.attempts))),
      .init("listed", .array(items.listed.map { .integer(Int64($0)) })),
      .init("unlisted", counts(items.unlistedStatuses)),
      .init("unlistedAttempts", .integer(Int64(items.unlistedAttempts))),
      .init("unlistedNanoseconds", time(items.unlistedTime)),
    ])
  }

  private static func attempt(_ attempt: AttemptRecord) -> JSON {
    .object([
      .init("number", .integer(Int64(attempt.number))),
      .init("status", .string(attempt.status.rawValue)),
      .init("startNanoseconds", time(attempt.start)),
      .init("endNanoseconds", attempt.end.map(time) ?? .null),
      .init("lane", .integer(Int64(attempt.lane))),
      .init("errorType", .string(attempt.errorType)),
      .init("message", .string(attempt.message)),
    ])
  }

  /// Nothing that is measured reaches 2^63: 292 years of nanoseconds, 8 EiB.
  private static func time(_ value: UInt64) -> JSON { .integer(Int64(clamping: value)) }
}
