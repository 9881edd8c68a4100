/// Judges what makes a definition a saga: one pivot at most, comparable with every step; compensations before it, none at it and behind it.
struct SagaChecker {
  let definition: Definition
  /// May have cycles, which have been told.
  let graph: TaskGraph
  let positions: DefinitionPositions?

  /// Complexity: O(steps + dependencies).
  func check(_ faults: inout FaultList) {
    guard definition.kind == .saga else { return checkWorkflow(&faults) }
    let steps = definition.tasks.count
    let edges = graph.dependencies.targets.count
    if steps > SagaPlan.maximumSteps || edges > SagaPlan.maximumDependencies {
      faults.add(
        .limit,
        "a saga of \(steps) steps with \(edges) dependencies; at most \(SagaPlan.maximumSteps) and \(SagaPlan.maximumDependencies) are allowed",
        fix: "let one step do the work of several", at: positions?.tasks.first?.task)
    }
    if positions == nil { checkMadeInSwift(&faults) }
    let pivots = definition.tasks.indices.filter { definition.tasks[$0].isPivot }
    guard let pivot = pivots.first else {
      for step in definition.tasks.indices { checkHasCompensation(step, &faults) }
      return
    }
    for second in pivots.dropFirst() {
      let place = positions.map { " at line \($0.tasks[pivot].id.line)" } ?? ""
      faults.add(
        .mismatch, "\(definition.label(second)) is a second pivot; the first is '\(id(pivot))'\(place)",
        fix: "leave 'pivot' in one of them", at: positions?.pivots[second], task: id(second))
    }
    checkAround(pivot, others: Set(pivots), &faults)
  }

  private func checkAround(_ pivot: Int, others: Set<Int>, _ faults: inout FaultList) {
    let before = graph.reachable(from: pivot, along: graph.dependencies)
    let after = graph.reachable(from: pivot, along: graph.dependents)
    let hasCycles = graph.order.count < graph.count
    for step in definition.tasks.indices {
      let isUndone = definition.tasks[step].compensation?.isNeeded == true
      let place = positions?.compensations[step]?.whole
      if step == pivot {
        guard isUndone else { continue }
        faults.add(
          .mismatch, "the pivot '\(id(pivot))' has a compensation, which would never run",
          fix: "remove it: once the pivot is done, the saga only goes forward",
          at: place, task: id(step))
      } else if before[step], !after[step] {
        checkHasCompensation(step, &faults)
      } else if after[step], !before[step] {
        guard isUndone else { continue }
        faults.add(
          .mismatch, "\(definition.label(step)) comes after the pivot '\(id(pivot))' and has a compensation, which would never run",
          fix: "remove it, or let '\(id(pivot))' depend on '\(id(step))'", at: place, task: id(step))
      } else if !hasCycles, !others.contains(step) {
        faults.add(
          .badDependency, "\(definition.label(step)) comes neither before nor after the pivot '\(id(pivot))'",
          fix: "let it depend on '\(id(pivot))', or '\(id(pivot))' on it", at: positions?.tasks[step].id, task: id(step))
      }
    }
  }

  private func checkHasCompensation(_ step: Int, _ faults: inout FaultList) {
    guard definition.tasks[step].compensation == nil else { return }
    faults.add(
      .missing, "\(definition.label(step)) has no 'compensation'",
      fix: "add 'compensation: { handler: NAME }', or 'compensation: none' if there is nothing to undo", at: positions?.tasks[step].task,
      task: id(step))
  }

  private func id(_ step: Int) -> String { definition.tasks[step].id }

  // MARK: Made in Swift

  /// What a file cannot say.
  private func checkMadeInSwift(_ faults: inout FaultList) {
    if definition.onFailure != .failFast {
      faults.add(.mismatch, "a saga that goes on after a failure", fix: "remove 'onFailure': what was done is undone", at: nil)
    }
    for task in definition.tasks where task.isSpecial {
      let parts = [
        ("a condition", task.condition != nil), ("'foreach'", task.foreach != nil), ("a wait", task.wait != nil),
        ("a workflow of its own", task.child != nil),
      ]
      for (part, isThere) in parts where isThere {
        faults.add(.mismatch, "step '\(task.id)' has \(part)", fix: "steps of a saga have a handler", at: nil, task: task.id)
      }
    }
  }

  private func checkWorkflow(_ faults: inout FaultList) {
    guard positions == nil else { return }
    for task in definition.tasks where task.isSpecial && (task.compensation != nil || task.isPivot) {
      faults.add(
        .mismatch, "task '\(task.id)' is made for a saga, and '\(definition.name)' is a workflow", fix: "make it of kind saga", at: nil,
        task: task.id)
    }
  }
}

extension ValueChecker {
  /// Of a definition made in Swift.
  static func check(
    _ compensation: Compensation, of index: Int, id: String, _ expressions: inout ExpressionChecker, _ faults: inout FaultList,
    _ nearest: inout NearestName
  ) {
    guard compensation.isNeeded else { return }
    if !Identifier.isHandler(compensation.handler) {
      faults.add(
        .badValue, "the compensation of step '\(id)': '\(compensation.handler)' is no name for a handler",
        fix: "write 'plugin/handler', of A-Z a-z 0-9 . _ - and /, or .notNeeded", at: nil, task: id)
    }
    let policy = Policy(retry: compensation.retry, timeouts: compensation.timeouts)
    check(policy, "the compensation of step '\(id)'", task: id, isSaga: true, &faults)
    expressions.isCompensation = true
    check(compensation.input ?? .null, user: index, task: id, &expressions, &faults, &nearest)
    expressions.isCompensation = false
  }
}
