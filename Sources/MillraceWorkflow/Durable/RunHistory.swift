internal import CMillrace
internal import MillraceCore
package import MillraceLog

/// What the events of a run's stream come to: the run as it stood after the last of them. A value; the same events give the same history.
package struct RunHistory: Sendable {
  /// What the events say of a task, or an item.
  package struct Task: Sendable {
    /// PENDING, also while an attempt runs; COMPLETED, FAILED, TIMED_OUT, CANCELLED, or SKIPPED by its own condition.
    package var status = TaskStatus.pending
    /// Attempts that have begun.
    package var attempts = 0
    /// The attempt that has begun and not ended; nil: there is none.
    package var running: DurableTime?
    /// Those before somebody had the task done again: they do not count for its retry policy.
    package var attemptsBefore = 0
    /// Attempts that ended without an output, in their order, the interrupted ones among them.
    package var failed: [FailedAttempt] = []
    /// When the next attempt is due; nil: it does not wait for one.
    package var due: DurableTime?
    /// When schedule-to-close ends.
    package var closes: DurableTime?
    package var output: RecordedOutput?
    /// Of the attempt that gave the output, wall time.
    package var started: Int64 = 0
    /// Of the last attempt, wall time.
    package var ended: Int64 = 0
    package var items: ItemsRecorded?
    /// By index; those of which there is something to say.
    package var byItem: [Int: Task] = [:]
    /// The runs that its attempts have started, in their order.
    package var children: [(attempt: Int, run: RunID)] = []
    /// To an approval, and of which attempt.
    package var answer: (attempt: Int, answer: Answer)?

    /// No attempt follows.
    package var isOver: Bool { status != .pending }
  }

  package struct Signal: Sendable {
    package var name: String
    package var number: Int
    package var payload: [UInt8]
    package var time: Int64
  }

  /// With the definition that it follows now.
  package private(set) var creation: RunCreation
  /// Those of which there is something to say, by id.
  package private(set) var tasks: [String: Task] = [:]
  package private(set) var signals: [Signal] = []
  /// Who asked it to stop, and why; nil: nobody.
  package private(set) var cancel: (by: String?, reason: String?)?
  package private(set) var ended: WorkflowStatus?
  package private(set) var endedAt: Int64?
  /// Why, if that was not a task's end.
  package private(set) var reason: String?
  /// Processes that have taken it over.
  package private(set) var resumptions = 0
  /// Those among them, since the last attempt that ended, that came after a crash in which tasks of the run may have been running.
  package private(set) var crashesWithoutProgress = 0
  /// Its last process left it in order.
  package private(set) var isSuspended = false
  /// Tasks that may have made its processes end; nil: it goes on.
  package private(set) var quarantine: [String]?
  /// Of a saga: what its machine hears of, in its order.
  private var happened: [SagaHappening] = []
  /// Of the last event.
  package private(set) var version: UInt64
  package private(set) var position: UInt64
  /// When it was recorded, nanoseconds since 1970, UTC.
  package private(set) var time: Int64
  /// Of the machine on which the last of its processes ran.
  private var boot: String

  /// Crashes without progress after which a run is not gone on with by itself.
  package static let mostCrashes = 3

  /// The first event of a run's stream. Throws `RecordError`: it is another one.
  package init(first event: RecordedEvent) throws(RecordError) {
    guard case .created(let creation)? = try RunEvent(event) else {
      throw RecordError("stream \(event.stream) begins with \(event.type), not with run-created: it is no run's")
    }
    self.creation = creation
    boot = creation.boot
    version = event.version
    position = event.position
    time = event.time
  }

  /// The next event. Those of types that are not known are passed over. Throws `RecordError`; then nothing has changed.
  package mutating func apply(_ event: RecordedEvent) throws(RecordError) {
    let known = try RunEvent(event)
    version = event.version
    position = event.position
    time = event.time
    guard let known else { return }
    switch known {
    case .created: throw RecordError("event \(event.version) of stream \(event.stream) creates the run a second time")
    case .started(let place, let attempt, let at, let closes):
      let boot = boot
      change(place) { task in
        task.attempts = max(task.attempts, attempt)
        task.running = at.of(boot)
        task.due = nil
        if let closes { task.closes = closes.of(boot) }
      }
    case .completed(let place, let attempt, let started, let ended, let output):
      if creation.isSaga { happened.append(.completed(place.task)) }
      change(place) { task in
        task.end(.completed, attempt, ended)
        task.started = started
        task.output = output
      }
      progressed()
    case .retryScheduled(let attempt, let due, let closes):
      let boot = boot
      change(attempt.place) { task in
        task.attempts = max(task.attempts, attempt.attempt)
        task.running = nil
        task.failed.append(attempt)
        task.due = due.of(boot)
        if let closes { task.closes = closes.of(boot) }
      }
      progressed()
    case .failed(let attempt, let isUnknown):
      if creation.isSaga { happened.append(.failed(attempt, isUnknown: isUnknown)) }
      change(attempt.place) { task in
        task.end(attempt.status, attempt.attempt, attempt.ended)
        task.failed.append(attempt)
      }
      progressed()
    case .skipped(let place): change(place) { $0.end(.skipped, 0, event.time) }
    case .items(let id, let items): tasks[id, default: Task()].items = items
    case .childStarted(let place, let attempt, let run): change(place) { $0.children.append((attempt, run)) }
    case .answered(let id, let attempt, let answer): tasks[id, default: Task()].answer = (attempt, answer)
    case .signalled(let name, let number, let payload):
      signals.append(Signal(name: name, number: number, payload: payload, time: event.time))
    case .cancelAsked(let by, let reason):
      cancel = (by, reason)
      if creation.isSaga {
        happened.append(.cancelAsked(by: by ?? "", reason: reason ?? ""))
      } else {
        // What made its processes end does not begin again: nothing does but the cleanup.
        quarantine = nil
        crashesWithoutProgress = 0
      }
    case .saga(let word, let fact):
      happened.append(.fact(fact))
      begin(again: word, fact, event.time)
    case .suspended: isSuspended = true
    case .resumed(_, let interrupted, let boot):
      self.boot = boot
      resumptions += 1
      if creation.isSaga { happened.append(.recovered) }
      // One that nobody broke off, or that only waited, has not made its process end.
      if !isSuspended, !interrupted.isEmpty { crashesWithoutProgress += 1 }
      isSuspended = false
      for name in interrupted { interrupt(name, event.time) }
    case .quarantined(let suspects): quarantine = suspects
    case .retried(_, let again):
      if ended != nil { for id in tasks.keys { tasks[id]?.forgetChildren() } }
      quarantine = nil
      crashesWithoutProgress = 0
      ended = nil
      endedAt = nil
      reason = nil
      cancel = nil
      for id in again { tasks[id]?.begin(again: event.time) }
    case .upgraded(let definition, let version, let builds):
      creation.definition = definition
      creation.version = version
      creation.builds = builds
    case .ended(let status, let reason):
      ended = status
      endedAt = event.time
      self.reason = reason
    }
  }

  /// What an operator has said of a step of a saga.
  private mutating func begin(again word: String, _ fact: JSON, _ time: Int64) {
    guard word == "resumed" || word == "skipped" else { return }
    let ids = fact["step"]?.string.map { [$0, Definition.compensationID($0)] } ?? Array(tasks.keys)
    for id in ids where tasks[id]?.isOver == true && tasks[id]?.status != .completed && tasks[id]?.status != .skipped {
      if word == "skipped" { tasks[id]?.status = .skipped } else { tasks[id]?.begin(again: time) }
    }
  }

  private mutating func change(_ place: TaskPlace, _ body: (inout Task) -> Void) {
    if let item = place.item {
      body(&tasks[place.task, default: Task()].byItem[item, default: Task()])
    } else {
      body(&tasks[place.task, default: Task()])
    }
  }

  /// An attempt ended: what runs now has not been running at the last crash as well.
  private mutating func progressed() { crashesWithoutProgress = 0 }

  /// The attempt of a task, or an item, may have been running when its process ended.
  private mutating func interrupt(_ name: String, _ time: Int64) {
    let place = TaskPlace(named: name)
    let isSaga = creation.isSaga
    change(place) { task in
      // What a saga launched counts as begun: it may be undone, or must be.
      if task.running == nil, !isSaga { return }
      if task.running == nil { task.attempts += 1 }
      let started = task.running?.wall ?? time
      task.running = nil
      task.due = nil
      task.failed.append(
        FailedAttempt(
          place: place, attempt: task.attempts, status: .failed, started: started, ended: time,
          errorType: EngineErrorType.interrupted, message: "its process ended while the attempt ran"))
    }
  }

  /// What may have been running, by name, sorted: attempts that have begun and not ended, and what nothing kept from beginning, for the beginnings of the last moment may
  /// not be recorded. Waits and the like are not among them. Complexity: O(tasks + dependencies). Of a saga: throws as `saga`.
  package func running(_ workflow: CompiledWorkflow) throws -> [String] {
    if let saga = workflow.saga { return try running(in: saga.plan).sorted() }
    let definition = workflow.definition
    let held = definition.heldTasks
    let isCleanup = Set(definition.cleanup.map(\.id))
    var names: [String] = []
    for task in definition.tasks + definition.cleanup {
      let state = tasks[task.id]
      if task.child == nil {
        for (item, state) in state?.byItem ?? [:] where state.running != nil { names.append(TaskPlace(task.id, item: item).name) }
      }
      if held.contains(task.id) || state?.isOver == true || isWaiting(task.id) { continue }
      let isReady = task.dependencies.allSatisfy { [.completed, .skipped].contains(tasks[$0]?.status ?? .pending) }
      if state?.running != nil || isReady && cancel == nil && !isCleanup.contains(task.id) { names.append(task.id) }
    }
    return names.sorted()
  }

  private func running(in plan: SagaPlan) throws -> [String] {
    // Whoever left it in order has recorded all beginnings.
    if isSuspended { return tasks.filter { $0.value.running != nil }.map(\.key) }
    let machine = try saga(in: plan)
    return (0..<plan.count).compactMap { step in
      let id: String
      switch machine.state(of: step) {
      case .running, .stopping: id = plan.ids[step]
      case .compensating: id = Definition.compensationID(plan.ids[step])
      default: return nil
      }
      return isWaiting(id) ? nil : id
    }
  }

  /// It waits for its next attempt, as far as is known; the last event is later than the due time of one that has begun.
  private func isWaiting(_ id: String) -> Bool { tasks[id]?.due.map { $0.wall > time } ?? false }
}

extension RunHistory.Task {
  /// The last run that it, and each of its items, has started. Complexity: O(items).
  package var lastChildren: [RunID] { ([children.last?.run] + byItem.values.map { $0.children.last?.run }).compactMap { $0 } }

  /// Its run has ended under it, and is to go on: the run that it had started was cancelled, and the next attempt starts another.
  fileprivate mutating func forgetChildren() {
    for item in byItem.keys { byItem[item]?.forgetChildren() }
    guard !isOver, running != nil, !children.isEmpty else { return }
    running = nil
    closes = nil
    attemptsBefore = attempts
  }

  /// Somebody has it done again: with its items, as far as these were not completed.
  fileprivate mutating func begin(again time: Int64) {
    status = .pending
    output = nil
    running = nil
    due = nil
    closes = nil
    attemptsBefore = attempts
    for (item, state) in byItem where state.isOver && state.status != .completed && state.status != .skipped {
      byItem[item]?.begin(again: time)
    }
  }

  fileprivate mutating func end(_ status: TaskStatus, _ attempt: Int, _ time: Int64) {
    self.status = status
    attempts = max(attempts, attempt)
    running = nil
    due = nil
    ended = time
  }
}

extension DurableTime {
  fileprivate func of(_ boot: String) -> DurableTime { DurableTime(wall: wall, boot: self.boot, bootID: boot) }
}

extension RunHistory {
  /// What is recorded of a task, or an item of one: `TASK[INDEX]`; nil: nothing.
  package func task(named name: String) -> Task? {
    let place = TaskPlace(named: name)
    guard let task = tasks[place.task], let item = place.item else { return tasks[place.task] }
    return task.byItem[item]
  }

  /// The last run that each task, and each item, has started. Complexity: O(tasks + items).
  package var lastChildren: [RunID] { tasks.values.flatMap(\.lastChildren) }
}

extension TaskPlace {
  /// What `name` gave: no id has a bracket.
  package init(named name: String) {
    self.init(name)
    guard name.hasSuffix("]"), let bracket = name.lastIndex(of: "["), let item = Int(name[name.index(after: bracket)...].dropLast())
    else { return }
    self.init(String(name[..<bracket]), item: item)
  }
}

extension EngineErrorType {
  /// The process of a durable run ended while the attempt ran; another one follows in the next process.
  public static let interrupted = "interrupted"
}

/// What of a saga's stream its machine hears.
enum SagaHappening: Sendable {
  case completed(String)
  case failed(FailedAttempt, isUnknown: Bool)
  case cancelAsked(by: String, reason: String)
  case fact(JSON)
  case recovered
}

extension RunHistory {
  /// The facts of a saga, from its beginning on. Throws `SagaFactError`, `RecordError`.
  package func facts(in plan: SagaPlan) throws -> [SagaFact] {
    var facts: [SagaFact] = [.began]
    for event in happened {
      switch event {
      case .completed(let id):
        let (step, isUndo) = try step(id, plan)
        facts.append(isUndo ? .compensationCompleted(step) : .stepCompleted(step))
      case .failed(let attempt, let isUnknown):
        let (step, isUndo) = try step(attempt.place.task, plan)
        let error = SagaError(attempt)
        facts.append(isUndo ? .compensationFailed(step, error) : isUnknown ? .stepUnknown(step, error) : .stepFailed(step, error))
      case .cancelAsked(let who, let reason): facts.append(.cancelAsked(by: who, reason: reason))
      case .fact(let fact): facts.append(try SagaFact(fact, in: plan))
      case .recovered: facts.append(.recovered)
      }
    }
    return facts
  }

  /// The saga as it stands. Throws as `facts`, or `SagaRefusal`.
  package func saga(in plan: SagaPlan) throws -> SagaMachine {
    var machine = SagaMachine(plan)
    for fact in try facts(in: plan) where !machine.status.hasEnded { try machine.apply(fact) }
    return machine
  }

  private func step(_ id: String, _ plan: SagaPlan) throws(RecordError) -> (Int, isUndo: Bool) {
    if let step = plan.number(of: id) { return (step, false) }
    if id.hasSuffix("/c"), let step = plan.number(of: String(id.dropLast(2))) { return (step, true) }
    throw RecordError("the saga has no step '\(id.prefix(128))'")
  }
}

extension SagaError {
  fileprivate init(_ attempt: FailedAttempt) {
    self.init(
      type: String(decoding: attempt.errorType.utf8.prefix(SagaError.maximumTypeBytes), as: UTF8.self),
      message: String(decoding: attempt.message.utf8.prefix(SagaError.maximumMessageBytes - 4), as: UTF8.self))
  }
}
