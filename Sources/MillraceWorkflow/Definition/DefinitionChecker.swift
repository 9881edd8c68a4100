/// Judges a definition as a whole: names, dependencies, cycles, handlers, limits. Linear in tasks and edges.
///
/// `DefinitionReader` does this for files, with line and column. For a definition made in Swift, call `check`, which also judges policies and inputs.
public struct DefinitionChecker: Sendable {
  /// Ids that a cycle names in its message; a longer one says how many more there are.
  public static let maximumPath = 10_000

  /// Handlers that exist; nil: not known, so not checked.
  public var handlers: Set<String>?
  /// What the inputs of handlers may be, as far as that is known.
  public var schemas: [String: InputSchema]
  /// Workflows that are deployed, by name; nil: not known, so not checked.
  public var workflows: [String: Definition]?

  /// Without arguments handlers, their inputs and deployed workflows are taken on trust.
  public init(handlers: Set<String>? = nil, schemas: [String: InputSchema] = [:], workflows: [String: Definition]? = nil) {
    self.handlers = handlers
    self.schemas = schemas
    self.workflows = workflows
  }

  /// Checks a definition made in Swift; gives back the warnings. Throws `DefinitionError` with every error and warning.
  @discardableResult
  public func check(_ definition: Definition) throws(DefinitionError) -> [Fault] {
    var faults = FaultList(file: definition.name.isEmpty ? "definition" : definition.name)
    var nearest = NearestName()
    check(definition, positions: nil, [], &faults, &nearest)
    guard faults.errors == 0 else { throw faults.error }
    return faults.sorted
  }

  /// What concerns several tasks. `positions` is nil for a definition made in Swift; `uses`: what the expressions of a file name.
  func check(
    _ definition: Definition, positions: DefinitionPositions?, _ uses: [ExpressionChecker.Use], _ faults: inout FaultList,
    _ nearest: inout NearestName
  ) {
    let uses = positions == nil ? ValueChecker.check(definition, &faults, &nearest) : uses
    if positions == nil { checkChildren(definition, depth: 1, &faults, &nearest) }
    if positions == nil, !schemas.isEmpty { checkInputs(definition, &faults, &nearest) }
    // Cleanup tasks stand behind the others, and are judged with them.
    let main = definition.tasks.count
    var definition = definition
    if !definition.cleanup.isEmpty { definition.tasks += definition.cleanup }
    guard let edges = edges(definition, positions, &faults) else { return }
    checkHandlers(definition, positions, &faults, &nearest)
    var concurrency = ConcurrencyChecker(definition, positions)
    concurrency.check(&faults)
    TimeoutChecker.check(definition, positions, &faults)
    var indices: [String: Int] = [:]
    indices.reserveCapacity(definition.tasks.count)
    for (index, task) in definition.tasks.enumerated() where !task.id.isEmpty {
      guard let first = indices.updateValue(index, forKey: task.id) else { continue }
      indices[task.id] = first
      let place = positions.map { " at line \($0.tasks[first].id.line)" } ?? " as \(definition.noun) \(first + 1)"
      faults.add(
        .duplicateId, "the id '\(task.id)' is used twice; first\(place)", fix: "give one of the \(definition.noun)s another id",
        at: positions?.tasks[index].id, task: task.id)
    }
    let graph = TaskGraph(dependencies: rows(definition, indices, main: main, edges: edges, positions, &faults, &nearest))
    checkCycles(definition, graph, positions, &faults)
    UseChecker(definition: definition, main: main, graph: graph, indices: indices, positions: positions).check(uses, &faults, &nearest)
    checkResult(definition, main: main, graph, indices, positions, &faults, &nearest)
    SagaChecker(definition: definition, graph: graph, positions: positions).check(&faults)
  }

  /// Child workflows of a definition made in Swift, and their own.
  private func checkChildren(_ definition: Definition, depth: Int, _ faults: inout FaultList, _ nearest: inout NearestName) {
    for task in [definition.tasks, definition.cleanup].joined() where task.isSpecial {
      guard let child = task.child else { continue }
      ChildChecker(workflows: workflows).check(task, "task '\(task.id)'", at: nil, &faults, &nearest) { _ in nil }
      guard let below = child.definition else { continue }
      if depth >= ChildWorkflow.maximumDepth {
        return faults.add(
          .limit, "workflows below one another more than \(ChildWorkflow.maximumDepth) deep", fix: "let a task do the work of a child",
          at: nil, task: task.id)
      }
      do throws(DefinitionError) { faults.add(try check(below)) } catch { faults.add(error.faults, omitted: error.omitted) }
    }
  }

  /// How many dependencies there are; nil (and a fault) if these or the tasks are too many to look at.
  private func edges(_ definition: Definition, _ positions: DefinitionPositions?, _ faults: inout FaultList) -> Int? {
    let edges = definition.tasks.reduce(0) { $0 + $1.dependencies.count }
    if definition.tasks.count <= Definition.maximumTasks, edges <= Definition.maximumEdges { return edges }
    let limits = "at most \(Definition.maximumTasks) and \(Definition.maximumEdges) are allowed"
    faults.add(
      .limit, "\(definition.tasks.count) tasks with \(edges) dependencies; \(limits)", fix: "let one task do the work of several",
      at: positions?.tasks.first?.task)
    return nil
  }

  // MARK: Names

  private func checkHandlers(
    _ definition: Definition, _ positions: DefinitionPositions?, _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    guard let handlers else { return }
    let sorted = handlers.sorted()
    // What is no name has been told.
    func check(_ handler: String, _ label: String, at position: Position?, _ task: String) -> Bool {
      guard !handlers.contains(handler), Identifier.isHandler(handler) else { return true }
      let near = faults.hasRoom ? nearest.nearest(to: handler, among: sorted) : nil
      let known = sorted.isEmpty ? "no plugin is loaded" : "load its plugin; known are \(sorted.prefix(8).joined(separator: ", "))"
      faults.add(
        .unknownHandler, "\(label) has the unknown handler '\(handler)'",
        fix: near.map { "did you mean '\($0)'?" } ?? (sorted.count > 8 ? known + " and \(sorted.count - 8) more" : known),
        at: position, task: task)
      return false
    }
    for (index, task) in definition.tasks.enumerated() {
      let isKnown = check(task.handler, definition.label(index), at: positions?.tasks[index].handler, task.id)
      if !isKnown, positions?.isImport == true { return }
      if task.isSpecial, let undo = task.compensation {
        _ = check(
          undo.handler, "the compensation of \(definition.label(index))", at: positions?.compensations[index]?.handler, task.id)
      }
    }
  }

  /// Of a definition made in Swift; those of a file have been looked at where they stand.
  private func checkInputs(_ definition: Definition, _ faults: inout FaultList, _ nearest: inout NearestName) {
    var kinds: [String: Definition.Parameter.Kind] = [:]
    for parameter in definition.parameters { kinds[parameter.name] = parameter.kind }
    for argument in definition.arguments { kinds[argument.name] = argument.parameter.kind }
    for task in [definition.tasks, definition.cleanup].joined() {
      guard let schema = schemas[task.handler], task.input.depth(below: JSON.maximumDepth) else { continue }
      schema.check(
        Located(task.input), of: "task '\(task.id)'", id: task.id, at: .start, kinds, &faults, &nearest, isPlaced: false)
    }
  }

  /// The edges between known tasks, after the others have been reported.
  private func rows(
    _ definition: Definition, _ indices: [String: Int], main: Int, edges: Int, _ positions: DefinitionPositions?,
    _ faults: inout FaultList, _ nearest: inout NearestName
  ) -> TaskRows {
    var rows = TaskRows()
    rows.reserve(rows: definition.tasks.count, targets: edges)
    var lastDependent = [Int32](repeating: -1, count: definition.tasks.count)
    for (index, task) in definition.tasks.enumerated() {
      for (place, dependency) in task.dependencies.enumerated() {
        let position = positions?.tasks[index].dependencies[place]
        guard let target = indices[dependency] else {
          let near = faults.hasRoom ? nearest.nearest(to: dependency, among: definition.tasks.lazy.map(\.id)) : nil
          faults.add(
            .unknownTask, "\(definition.label(index)) depends on '\(dependency)', which is not a \(definition.noun)",
            fix: positions?.use(holding: dependency).map { "depend on '\($0)': what stands inside of it cannot be named" }
              ?? near.map { "did you mean '\($0)'?" } ?? "add the \(definition.noun), or remove the dependency", at: position, task: task.id
          )
          continue
        }
        if (index < main) != (target < main) {
          let isCleanup = index >= main
          faults.add(
            .badDependency,
            isCleanup
              ? "cleanup task '\(task.id)' depends on '\(dependency)': it runs after all tasks anyway"
              : "\(definition.label(index)) depends on '\(dependency)', a cleanup task, which runs after it",
            fix: isCleanup
              ? "remove the dependency; tasks.\(dependency).output and .status may be used without it" : "remove the dependency",
            at: position, task: task.id)
        } else if task.id == dependency {
          faults.add(
            .selfDependency, "\(definition.label(index)) depends on itself", fix: "remove the dependency", at: position, task: task.id)
        } else if lastDependent[target] == Int32(truncatingIfNeeded: index) {
          faults.add(
            .duplicateId, "\(definition.label(index)) depends on '\(dependency)' twice", fix: "remove one of them", at: position,
            task: task.id)
        } else {
          lastDependent[target] = Int32(truncatingIfNeeded: index)
          rows.append(target)
        }
      }
      rows.endRow()
    }
    return rows
  }

  // MARK: Order

  private func checkCycles(_ definition: Definition, _ graph: TaskGraph, _ positions: DefinitionPositions?, _ faults: inout FaultList) {
    guard graph.order.count < graph.count else { return }
    let component = graph.components()
    let cycles = graph.cycles(component)
    for cycle in cycles {
      let first = definition.tasks[cycle[0]]
      let next = definition.tasks[cycle[1]]
      var path = cycle.prefix(Self.maximumPath).map { definition.tasks[$0].id }
      if cycle.count > Self.maximumPath { path.append("(\(cycle.count - Self.maximumPath) more)") }
      path.append(first.id)
      let place = first.dependencies.firstIndex(of: next.id)
      faults.add(
        .cycle, "a cycle of \(cycle.count) \(definition.noun)s, each waiting for the next: \(path.joined(separator: " -> "))",
        fix: "remove one of these dependencies, for example '\(next.id)' from '\(first.id)'",
        at: positions.map { $0.tasks[cycle[0]].dependencies[place ?? 0] }, task: first.id)
    }
    // What waits for a knot of cycles, directly or not, each with the task of the knot that it was reached from.
    var sizes = [Int32](repeating: 0, count: graph.count)
    for number in component { sizes[Int(number)] += 1 }
    var cause = [Int32](repeating: -1, count: graph.count)
    var queue = (0..<graph.count).filter { sizes[Int(component[$0])] > 1 }
    for task in queue { cause[task] = Int32(truncatingIfNeeded: task) }
    var next = 0
    while next < queue.count {
      for dependent in graph.dependents[queue[next]] where cause[Int(dependent)] < 0 {
        cause[Int(dependent)] = cause[queue[next]]
        queue.append(Int(dependent))
      }
      next += 1
    }
    for task in 0..<graph.count where cause[task] >= 0 && sizes[Int(component[task])] == 1 {
      let id = definition.tasks[task].id
      faults.add(
        .unreachable,
        "\(definition.noun) '\(id)' can never start: it waits for '\(definition.tasks[Int(cause[task])].id)', which is on a cycle",
        fix: "break the cycle", at: positions?.tasks[task].id, task: id)
    }
  }

  private func checkResult(
    _ definition: Definition, main: Int, _ graph: TaskGraph, _ indices: [String: Int], _ positions: DefinitionPositions?,
    _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    guard let result = definition.result else { return }
    guard let root = indices[result] else {
      let near = faults.hasRoom ? nearest.nearest(to: result, among: definition.tasks.lazy.map(\.id)) : nil
      return faults.add(
        .unknownTask, "the result '\(result)' is not a \(definition.noun)",
        fix: near.map { "did you mean '\($0)'?" } ?? "name the \(definition.noun) whose output is the result",
        at: positions?.result)
    }
    if root >= main {
      return faults.add(
        .badDependency, "the result '\(result)' is a cleanup task", fix: "name a task of 'tasks'", at: positions?.result)
    }
    // What a saga is for are the effects of its steps.
    if definition.kind == .saga { return }
    var contributes = [Bool](repeating: false, count: graph.count)
    contributes[root] = true
    var stack = [root]
    while let task = stack.popLast() {
      for dependency in graph.dependencies[task] where !contributes[Int(dependency)] {
        contributes[Int(dependency)] = true
        stack.append(Int(dependency))
      }
    }
    let unused = (0..<main).filter { !contributes[$0] }
    guard let first = unused.first else { return }
    let names = unused.prefix(8).map { definition.tasks[$0].id }.joined(separator: ", ") + (unused.count > 8 ? ", ..." : "")
    let subject = unused.count == 1 ? "task '\(names)' does" : "\(unused.count) tasks do"
    let list = unused.count == 1 ? "" : ": \(names)"
    faults.add(
      .unused, "\(subject) not contribute to the result '\(result)'\(list)", fix: "let a task that contributes depend on it, or remove it",
      at: positions?.tasks[first].id, task: definition.tasks[first].id, severity: .warning)
  }
}

extension Definition {
  /// The task by id, or by number from 1 if it has none.
  func label(_ index: Int) -> String { tasks[index].id.isEmpty ? "\(noun) \(index + 1)" : "\(noun) '\(tasks[index].id)'" }

  /// What a task is called here.
  package var noun: String { kind == .saga ? "step" : "task" }
}
