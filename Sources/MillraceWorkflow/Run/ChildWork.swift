internal import CMillrace
internal import MillraceCore

/// Starts the runs of child workflows: the engine's part.
package protocol ChildStarter: AnyObject, Sendable {
  /// Compiles and starts a run for an attempt of a task, or of one of its items: `TASK[INDEX]`. `ended`: told once, when it has ended, on the worker that ended it. Of durable runs: waits until the child's
  /// creation is recorded, with the attempt's. Throws what starting throws; then nothing runs.
  func start(
    _ child: ChildWorkflow, parameters: [String: JSON], below parent: WorkflowRun, task: String, attempt: Int,
    ended: @escaping WorkflowRun.Ended
  ) throws -> WorkflowRun

  /// Whether a child that was started by the process before this one goes on, and nobody has taken it yet.
  func goesOn(_ child: RunID) -> Bool

  /// A child that was started by the process before this one, and goes on; nil: it does not. `ended` as above, also if it has ended since.
  func resumed(_ child: RunID, ended: @escaping WorkflowRun.Ended) -> WorkflowRun?
}

/// The work of tasks that run a workflow: each attempt is a run of its own.
struct ChildWork: HeldWork {
  static let word = "workflow"
  var word: String { Self.word }

  func begin(_ task: HeldTask) -> HeldStop? {
    guard let child = task.definition.child else { return nil }
    guard let starter = task.run.host.children else {
      task.fail("no-child", "nothing runs child workflows here")
      return nil
    }
    guard task.run.depth + 1 < ChildWorkflow.maximumDepth else {
      task.fail("too-deep", "workflows below one another more than \(ChildWorkflow.maximumDepth) deep: \(child.name) is not run")
      return nil
    }
    if let id = task.run.recordedChild(task.node, task.attempt) { return goOn(id, task, starter) }
    guard task.run.journal != nil else { return start(child, task, starter) }
    // Waits until it is recorded.
    return task.beginApart(
      { start(child, task, starter) },
      refused: { .failed(type: "child-start", message: "the workflow \(child.name) does not start: \($0)", isRetryable: true) })
  }

  private func start(_ child: ChildWorkflow, _ task: HeldTask, _ starter: any ChildStarter) -> HeldStop? {
    let link = ChildLink(task)
    do {
      let parameters = try JSON(parsing: task.input).object ?? []
      let run = try starter.start(
        child, parameters: Dictionary(parameters.map { ($0.name, $0.value) }) { first, _ in first }, below: task.run,
        task: task.run.name(task.node), attempt: task.attempt
      ) { link.ended($0) }
      return follow(run, task)
    } catch {
      task.conclude(.failed(type: "child-start", message: "the workflow \(child.name) does not start: \(error)", isRetryable: true))
      return nil
    }
  }

  private func follow(_ run: WorkflowRun, _ task: HeldTask) -> HeldStop {
    task.run.keep(WorkflowRun.Child(attempt: task.attempt, run: run), of: task)
    return { [parent = task.run] in run.stop(with: parent) }
  }

  /// A run that the attempt had started in another process.
  private func goOn(_ id: RunID, _ task: HeldTask, _ starter: any ChildStarter) -> HeldStop? {
    let link = ChildLink(task, isResumed: true)
    if let run = starter.resumed(id, ended: { link.ended($0) }) { return follow(run, task) }
    // It had ended, and its parent had not heard of it. Its history is read by a thread that may wait.
    let read: @Sendable () -> Void = { task.conclude(task.run.ending(of: id)) }
    do {
      try task.run.host.runBlocking(read, priority: task.run.priority(of: task.node))
    } catch {
      // The pool is full.
      if task.run.journal?.runs.errands.run(read) == true { return nil }
      let reason = "what came of run \(id) was not read: \(error)"
      task.conclude(task.run.shouldStop ? .cancelled : .failed(type: "child-start", message: reason, isRetryable: true))
    }
    return nil
  }
}

/// From a child's end to its task: given up when it has been used, since the parent keeps its children.
private final class ChildLink: @unchecked Sendable {
  private let monitor = Monitor()
  private var task: HeldTask?
  private let isResumed: Bool

  /// `isResumed`: another process had started the run, and may have been stopping it.
  init(_ task: HeldTask, isResumed: Bool = false) { (self.task, self.isResumed) = (task, isResumed) }
  deinit { monitor.deallocate() }

  func ended(_ run: WorkflowRun) {
    let task = monitor.locked {
      defer { self.task = nil }
      return self.task
    }
    guard let task else { return }
    // It goes on in another process, and its parent with it: it has not failed.
    if run.status == .running, task.run.journal != nil { task.run.anchor.suspend(because: run.reason) }
    if isResumed, run.status == .cancelled, run.reason == WorkflowRun.stoppedByParent, !task.run.shouldStop {
      task.conclude(.interrupted(run.id))
    } else {
      task.conclude(run.endingForParent)
    }
  }
}

extension HeldEnding {
  /// The attempt was ending its child, a timeout having passed, when its process ended. A stop of the parent, or a timeout here, is known as such and goes before.
  static func interrupted(_ child: RunID) -> HeldEnding {
    .interrupted(message: "its process ended while run \(child) was being stopped")
  }
}

extension WorkflowRun {
  /// Why a child was cancelled, as is recorded of it.
  static let stoppedByParent = "the attempt that runs it was stopped"

  /// A run that an attempt of a task has started.
  struct Child {
    let attempt: Int
    let run: WorkflowRun
  }

  /// Whether tasks of it run workflows.
  package var hasChildren: Bool {
    compiled.handlers.contains { $0.work is ChildWork } || compiled.foreaches.values.contains { $0.work is ChildWork }
  }

  /// How a child's end ends its task.
  fileprivate var endingForParent: HeldEnding {
    switch status {
    case .completed:
      guard let result = definition.result, let output = unsafe output(of: result) else { return .null }
      return unsafe .output(Array(output.bytes), contentType: output.contentType)
    case .cancelled: return .cancelled
    case .created, .running, .failed:
      return .failed(type: "child-failed", message: "run \(id) of \(definition.name): \(failure)", isRetryable: true)
    }
  }

  /// The task that failed first, and how. Complexity: O(tasks + attempts).
  private var failure: String { ownFailure ?? cleanup?.ownFailure ?? "it failed" }

  private var ownFailure: String? {
    // The last attempt of a task is the one that counts.
    var last: [UInt32: LoggedAttempt] = [:]
    for attempt in monitor.locked({ log }) where [.failed, .timedOut].contains(records.status(attempt.node)) {
      last[attempt.node] = attempt
    }
    guard let first = last.values.min(by: { ($0.end, $0.node) < ($1.end, $1.node) }) else { return nil }
    let error = [first.error?.type ?? "", first.error?.message ?? ""].filter { !$0.isEmpty }.joined(separator: ": ")
    return "task \(definition.tasks[Int(first.node)].id): \(error)"
  }

  /// The run of the child that a task, or an item of one, waits for now; nil: none. Complexity: O(items in progress).
  func openChild(of id: some StringProtocol) -> WorkflowRun? {
    let place = TaskPlace(named: String(id))
    guard let node = compiled.index[place.task] else { return cleanup?.openChild(of: id) }
    guard let item = place.item else { return monitor.locked { openChild(node) } }
    guard let run = monitor.locked({ itemsOf[node]?.run }) else { return nil }
    return run.monitor.locked {
      for (node, entry) in run.held where entry.item == item { return run.openChild(node) }
      return nil
    }
  }

  /// A run that an attempt has started. It may be over by now, and the attempt with it: then the place of an item is another one's.
  fileprivate func keep(_ child: Child, of task: HeldTask) {
    let isLate = monitor.locked {
      if let items, held[task.node]?.item != task.item || items.item(task.node) != task.item { return true }
      var runs = children[task.node] ?? []
      runs.insert(child, at: runs.firstIndex { $0.attempt > child.attempt } ?? runs.count)
      children[task.node] = runs
      return false
    }
    if isLate, let items { items.keep([child], of: task.item) }
  }

  /// Runs that tasks had started in another process, and that none goes on with here: they stop with this one. `beforeCleanup`: of its tasks, not of its cleanup.
  /// Complexity: O(tasks and items that are recorded).
  func stopLeftChildren(beforeCleanup: Bool = false) {
    guard let history = journal?.history, let starter = host.children else { return }
    for (id, task) in history.tasks where !beforeCleanup || compiled.index[id] != nil {
      for child in task.lastChildren {
        if let run = starter.resumed(child, ended: { _ in }), !run.hasEnded { run.stop(with: self) }
      }
    }
  }

  /// Whether the run that the next attempt of a task or an item had started in another process goes on here.
  func hasOpenChild(_ node: UInt32) -> Bool {
    recordedChild(node, records.attempts(node) + 1).map { host.children?.goesOn($0) ?? false } ?? false
  }

  /// Those that tasks and items wait for now, in their order, by name; without those of the cleanup. Complexity: O(held tasks).
  var openChildren: [(task: String, run: WorkflowRun)] {
    let own = monitor.locked {
      held.sorted { ($0.value.item, $0.key) < ($1.value.item, $1.key) }.compactMap { node, entry in
        openChild(node).map { (items?.id(entry.item) ?? definition.tasks[Int(node)].id, $0) }
      }
    }
    return own + itemRuns.flatMap(\.openChildren)
  }

  /// With the monitor held.
  private func openChild(_ node: UInt32) -> WorkflowRun? { held[node] == nil ? nil : children[node]?.last?.run }
}
