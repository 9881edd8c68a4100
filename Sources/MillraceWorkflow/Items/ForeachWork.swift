internal import CMillrace
internal import MillraceCore

/// What the run does for a task with `foreach`: it makes the list, starts a run of the items behind the task, and ends the task with it. Meanwhile the task
/// holds neither a slot nor a thread.
struct ForeachWork: HeldWork {
  /// `foreach`, and what is done for each item.
  let word: String

  /// `doing`: a handler, or the word of what the run does itself.
  init(_ doing: String) { word = "foreach \(doing)" }

  func begin(_ task: HeldTask) -> HeldStop? { task.run.beginItems(task) }
}

extension EngineErrorType {
  /// Some items of a task with `foreach` failed.
  public static let items = "items-failed"
  /// A list with more items than a task may have.
  public static let tooManyItems = "too-many-items"
  /// The engine has no room for the items.
  public static let noRoom = "no-room"
}

extension WorkflowRun {
  /// See `HeldWork.begin`.
  fileprivate func beginItems(_ task: HeldTask) -> HeldStop? {
    guard let foreach = compiled.foreaches[task.node], let values else { return nil }
    if let history = itemHistory(task.node) { return goOn(history, task, foreach) }
    do throws(ExpressionError) {
      if case .files(let pattern, let directory) = foreach.source {
        return list(
          try text(pattern, values), in: try directory.map { value throws(ExpressionError) in try text(value, values) }, task, foreach)
      }
      return start(try items(foreach.source, values), task, foreach)
    } catch {
      task.conclude(.failed(type: EngineErrorType.expression, message: "\(error.message): \(error.fix)", isRetryable: false))
      return nil
    }
  }

  // MARK: The list

  private typealias Listed = Result<ItemList, ItemList.TooMany>

  private func items(_ source: CompiledForeach.Source, _ values: RunValues) throws(ExpressionError) -> Listed {
    switch source {
    case .literal(let kept): return try list(kept.bytes, kept)
    case .expression(let bound):
      let value = try value(bound, values)
      guard case .list(let text) = value else {
        throw ExpressionError(
          kind: .type, offset: 0, message: "${\(bound.expression.text)}: 'foreach' needs a list, not \(value.kind)",
          fix: "let it name a list")
      }
      return try list(text, nil)
    case .program(let program, let roots):
      let kept = KeptBytes(try program.bytes { RunScope(run: self, values: values, roots: roots[$0]) })
      return try list(kept.bytes, kept)
    case .range(let from, let to, let step):
      let numbers = (try number(from, "from", values), try number(to, "to", values), try number(step, "step", values))
      if numbers.2 == 0 { throw ExpressionError(kind: .type, offset: 0, message: "'step' is 0", fix: "let it be 1, or -1 to count down") }
      do throws(ItemList.TooMany) {
        return .success(try ItemList.range(from: numbers.0, to: numbers.1, step: numbers.2))
      } catch {
        return .failure(error)
      }
    case .files: preconditionFailure("files are listed in the blocking pool")
    }
  }

  private func list(_ text: Bytes, _ kept: KeptBytes?) throws(ExpressionError) -> Listed {
    do {
      return .success(try ItemList.elements(of: text, kept: kept))
    } catch let error as ExpressionError {
      throw error
    } catch let error as ItemList.TooMany {
      return .failure(error)
    } catch {
      preconditionFailure("a list has no other errors")
    }
  }

  private func value(_ bound: TaskExpressions.Bound, _ values: RunValues) throws(ExpressionError) -> ExpressionValue {
    do throws(ExpressionError) {
      return try bound.expression.value(in: RunScope(run: self, values: values, roots: bound.roots))
    } catch {
      throw error.naming(bound.expression)
    }
  }

  private func number(_ number: CompiledForeach.Number, _ name: String, _ values: RunValues) throws(ExpressionError) -> Int64 {
    switch number {
    case .literal(let number): return number
    case .expression(let bound):
      let value = try value(bound, values)
      if case .integer(let number) = value { return number }
      if case .number(let number, _) = value, let whole = Int64(exactly: number) { return whole }
      throw ExpressionError(
        kind: .type, offset: 0, message: "${\(bound.expression.text)}: '\(name)' needs a whole number, and this is none",
        fix: "let it name a whole number")
    }
  }

  private func text(_ variable: TaskExpressions.Variable, _ values: RunValues) throws(ExpressionError) -> String {
    String(decoding: try bytes(of: variable, values), as: UTF8.self)
  }

  // MARK: Files

  /// Has the files listed by a thread of the blocking pool.
  private func list(_ pattern: String, in directory: String?, _ task: HeldTask, _ foreach: CompiledForeach) -> HeldStop? {
    let isStopped = Flag()
    let job: @Sendable () -> Void = { [self] in
      do {
        guard let list = try FileListing.list(pattern, in: directory, isStopped: { isStopped.isSet }) else {
          task.conclude(.cancelled)
          return
        }
        // Stopped from here on by the run of the items, or by itself.
        let stop = start(.success(list), task, foreach)
        isStopped.then { stop?() }
      } catch let error as ItemList.TooMany {
        _ = start(.failure(error), task, foreach)
      } catch let error as FileListing.Refusal {
        task.conclude(.failed(type: error.type, message: error.message, isRetryable: false))
      } catch {
        task.conclude(.failed(type: EngineErrorType.expression, message: "\(error)", isRetryable: false))
      }
    }
    do {
      try host.runBlocking(job, priority: priority(of: task.node))
    } catch {
      task.conclude(.failed(type: EngineErrorType.noRoom, message: "the files are not listed: \(error)", isRetryable: false))
      return nil
    }
    return { isStopped.set() }
  }

  // MARK: Start and end

  private func start(_ listed: Listed, _ task: HeldTask, _ foreach: CompiledForeach) -> HeldStop? {
    switch listed {
    case .failure(let error):
      task.conclude(
        .failed(
          type: EngineErrorType.tooManyItems, message: "the list has \(error.count) items: at most \(Foreach.maximumItems) are allowed",
          isRetryable: false))
      return nil
    case .success(let list):
      if let journal, list.count > 0 { return keep(list, journal, task, foreach) }
      do {
        return try start(list, task, foreach)
      } catch {
        task.conclude(.failed(type: EngineErrorType.noRoom, message: "the items do not start: \(error)", isRetryable: false))
        return nil
      }
    }
  }

  /// `history`: what the items have come to in another process.
  func start(_ list: ItemList, _ task: HeldTask, _ foreach: CompiledForeach, _ history: Items.History? = nil) throws -> HeldStop? {
    let count = history?.left.count ?? list.count
    var places = min(foreach.parallelism ?? (host.scheduler.configuration.slots + Items.places), count)
    while true {
      let items = try Items(list, of: self, node: task.node, places: places, task: task, history: history)
      if count == 0, history != nil {
        keep(items)
        _ = items.takeTask()
        conclude(items, task)
        return nil
      }
      if count == 0 {
        keep(items)
        _ = items.takeTask()
        task.conclude(.payload(.empty))
        return nil
      }
      let run = try WorkflowRun(items, of: self, foreach)
      if history != nil {
        run.restoreItems(items)
        // Those that have not begun do not; those that go on are stopped when they are taken up.
        if shouldStop { _ = run.stopReason.replace(0, by: max(1, stopReason.loadSequential())) }
      }
      do {
        // Keeps it here before an item starts: who sees the task end finds what came of them.
        try run.start()
      } catch {
        drop(items)
        // The engine is nearly full: fewer at once.
        guard case SubmitError.full = error, places > 1 else { throw error }
        places /= 2
        continue
      }
      // Either `stop` found the run, or we find its reason.
      if shouldStop { run.stop(stopReason.loadSequential()) }
      return { [self, run] in run.stop(max(1, stopReason.loadSequential())) }
    }
  }

  /// The run of the items has ended, and their task ends with it. On a worker.
  func itemsEnded(_ items: Items) {
    items.end()
    guard let task = items.takeTask() else { return }
    items.owner.conclude(items, task)
  }

  /// All items are over, or will not begin.
  private func conclude(_ items: Items, _ task: HeldTask) {
    var counts = RunCounters.Sum()
    for item in 0..<items.count {
      switch items.records.status(item) {
      case .completed: counts.completed += 1
      case .skipped: counts.skipped += 1
      case .failed, .timedOut: counts.failed += 1
      case .pending, .running, .cancelled: break
      }
    }
    if counts.failed > 0 {
      let first = items.failure
      let reason = first.map { "; the first was \(items.id($0.item)): \($0.error.type): \($0.error.message)" } ?? ""
      task.conclude(
        .failed(type: EngineErrorType.items, message: "\(counts.failed) of \(items.count) items failed\(reason)", isRetryable: false))
    } else if counts.completed + counts.skipped < items.count {
      task.conclude(.cancelled)
    } else {
      task.conclude(.payload(.empty))
    }
  }
}

/// Set once, by any thread; then an action that waits for it is done, once.
final class Flag: @unchecked Sendable {
  private let monitor = Monitor()
  private var flag = false
  private var action: (() -> Void)?

  deinit { monitor.deallocate() }

  var isSet: Bool { monitor.locked { flag } }

  func set() {
    let action = monitor.locked {
      flag = true
      defer { self.action = nil }
      return self.action
    }
    action?()
  }

  func then(_ action: @escaping () -> Void) {
    let isSet = monitor.locked {
      if !flag { self.action = action }
      return flag
    }
    if isSet { action() }
  }
}
