/// Puts the tasks of templates in the place of their uses. What it is given has been checked; what can still go wrong needs the names that come out.
struct TemplateExpansion {
  private let checker: TemplateChecker
  private(set) var arguments: [Definition.Argument] = []
  /// Whether the parameters of a run settle an argument.
  private var isSettled: [String: Bool] = [:]
  private var edges = 0
  /// What a dependent of a use waits for, by template, with relative ids: the result, then all that nothing in the template waits for.
  private var ends: [String: [String]] = [:]
  private var isFull = false
  /// The use of the workflow that is being written out.
  private var top: (id: String, position: Position)?

  init(_ checker: TemplateChecker) { self.checker = checker }

  /// Where the tasks of a scope go.
  private struct Place {
    /// Ids of the uses around, each with a point.
    var prefix = ""
    /// What those wait for that wait for nothing in their scope.
    var sources: [String] = []
    var policy = Policy()
    /// The argument with the condition of the uses around.
    var condition: String?
  }

  /// The definition with the tasks of its templates; `main` are its tasks, and then its cleanup tasks, as they stand in the file.
  mutating func expand(_ definition: Definition, _ main: TaskScope, _ faults: inout FaultList) -> Definition {
    var result = definition
    let names = names(main, prefix: nil)
    let count = definition.tasks.count
    result.tasks = expand(main, 0..<count, names, Place(), &faults)
    result.cleanup = expand(main, count..<main.tasks.count, names, Place(), &faults)
    if let task = definition.result { result.result = names.result(of: task) }
    result.arguments = arguments
    return result
  }

  private mutating func expand(
    _ scope: TaskScope, _ range: Range<Int>, _ names: Names, _ place: Place, _ faults: inout FaultList
  ) -> [TaskDefinition] {
    var tasks: [TaskDefinition] = []
    tasks.reserveCapacity(range.count)
    for index in range where !isFull {
      var task = scope.tasks[index]
      let isTop = place.prefix.isEmpty
      if isTop { top = (task.id, scope.positions.tasks[index].id) }
      let id = place.prefix + task.id
      let dependencies = task.dependencies.isEmpty ? place.sources : names.ends(of: task.dependencies)
      do throws(ExpressionError) {
        if names.changesExpressions { try task.renameExpressions(names.rename) }
        var inner = place
        inner.policy = task.policy.over(place.policy)
        if let use = names.use(at: index) {
          inner.prefix = id + "."
          inner.sources = dependencies
          let template = checker[use.template]!
          try takeArguments(use, of: template, inner.prefix, names)
          if let condition = task.condition {
            inner.condition = inner.prefix
            add(Definition.Argument(inner.prefix, .string(try condition.and(place.condition)), of: Definition.Parameter("")))
          }
          let range = template.scope.tasks.indices
          tasks += expand(template.scope, range, self.names(template.scope, prefix: inner.prefix), inner, &faults)
        } else {
          task.id = id
          task.dependencies = dependencies
          if task.policy != inner.policy { task.policy = inner.policy }
          if let condition = place.condition { task.condition = try task.condition?.and(condition) ?? condition.alone }
          try checkSettled(task.policy)
          edges += dependencies.count
          tasks.append(task)
        }
      } catch {
        let code: Fault.Code = error.kind == .limit ? .limit : .badExpression
        faults.add(code, "task '\(id)' out of '\(top?.id ?? id)': \(error.message)", fix: error.fix, at: top?.position, task: top?.id)
        // One is enough: each other use has the same.
        isFull = true
      }
      if edges > Definition.maximumEdges {
        isFull = true
        faults.add(
          .limit, "more than \(Definition.maximumEdges) dependencies come out of the templates",
          fix: "let a task stand between those that wait and those that are waited for", at: top?.position, task: top?.id)
      }
    }
    return tasks
  }

  private mutating func names(_ scope: TaskScope, prefix: String?) -> Names {
    for use in scope.uses { findEnds(of: use.template) }
    return Names(scope, checker, ends, prefix: prefix)
  }

  /// Only of templates whose tasks come out, which bounds them all.
  private mutating func findEnds(of name: String) {
    guard ends[name] == nil, let scope = checker[name]?.scope else { return }
    for use in scope.uses { findEnds(of: use.template) }
    let used = Dictionary(scope.uses.map { ($0.task, $0.template) }) { first, _ in first }
    var found = checker.shapes[name]?.result.map { [$0] } ?? []
    for sink in scope.sinks {
      let id = scope.tasks[sink].id
      if let template = used[sink] { found += (ends[template] ?? []).map { "\(id).\($0)" } } else { found.append(id) }
    }
    ends[name] = found.unique
  }

  // MARK: Arguments

  private mutating func takeArguments(
    _ use: TemplateUse, of template: DefinitionTemplate, _ prefix: String, _ names: Names
  ) throws(ExpressionError) {
    for parameter in template.parameters {
      let given = use.arguments.first { $0.name == parameter.name }?.value.json
      let value = try given?.renamed(names.rename) ?? (parameter.fallback ?? .null).withoutExpressions
      add(Definition.Argument(prefix + parameter.name, value, of: parameter))
    }
  }

  private mutating func add(_ argument: Definition.Argument) {
    var settled = true
    argument.value.visitRoots { root in
      if case .parameter(let name) = root { if isSettled[name] == false { settled = false } } else { settled = false }
    }
    isSettled[argument.name] = settled
    arguments.append(argument)
  }

  /// Priorities and keys are settled when a run starts, as far as they need parameters.
  private func checkSettled(_ policy: Policy) throws(ExpressionError) {
    let texts = [
      ("priority", policy.priorityExpression), ("key", policy.concurrencyKey), ("key", policy.rate?.key),
      ("destination", policy.breaker?.destination),
    ]
    for (what, text) in texts {
      guard let text else { continue }
      var late: String?
      JSON.string(text).visitRoots { root in if case .parameter(let name) = root, isSettled[name] == false { late = name } }
      guard let late, let argument = arguments.last(where: { $0.name == late }) else { continue }
      throw ExpressionError(
        kind: .syntax, offset: 0, message: "its \(what) is settled when the run starts, but \(argument.label) only while it goes on",
        fix: "give a value that needs parameters alone")
    }
  }
}

/// How the names of one scope read outside of it.
private struct Names {
  /// nil: the workflow itself, whose parameters keep their names.
  private let prefix: String?
  private var uses: [Int: TemplateUse] = [:]
  /// By the ids of the uses.
  private var results: [String: String] = [:]
  private var ends: [String: [String]] = [:]

  init(_ scope: TaskScope, _ checker: TemplateChecker, _ ends: [String: [String]], prefix: String?) {
    self.prefix = prefix
    for use in scope.uses {
      let id = scope.tasks[use.task].id
      uses[use.task] = use
      results[id] = checker.shapes[use.template]?.result
      self.ends[id] = ends[use.template]
    }
  }

  var changesExpressions: Bool { prefix != nil || !uses.isEmpty }

  func use(at task: Int) -> TemplateUse? { uses[task] }

  func result(of task: String) -> String {
    let id = (prefix ?? "") + task
    return results[task].map { "\(id).\($0)" } ?? id
  }

  /// Each task once, in order.
  func ends(of tasks: [String]) -> [String] {
    let prefix = prefix ?? ""
    if ends.isEmpty { return prefix.isEmpty ? tasks : tasks.map { prefix + $0 } }
    return tasks.flatMap { task in ends[task]?.map { "\(prefix)\(task).\($0)" } ?? [prefix + task] }
  }

  func rename(_ root: Expression.Root) -> Expression.Root {
    switch root {
    case .parameter(let name): prefix.map { .parameter($0 + name) } ?? root
    case .output(let task): .output(result(of: task))
    case .status(let task): .status(result(of: task))
    default: root
    }
  }
}

extension String {
  /// This condition, if that of the uses around, which comes first, is true. Throws `limit`.
  fileprivate func and(_ argument: String?) throws(ExpressionError) -> String {
    guard let argument, let own = try Template(self)?.whole else { return self }
    let text = try Template.bounded("params[\(JSON.quoted(argument))] and (\(own.text))")
    // Its parts are counted as well.
    _ = try Template(text)
    return text
  }

  fileprivate var alone: String { "${params[\(JSON.quoted(self))]}" }
}

extension Policy {
  /// This policy, and where it says nothing the other's. A retry counts as a whole, and so do key and limit of `concurrency`.
  func over(_ other: Policy) -> Policy {
    if other == Policy() { return self }
    var policy = self
    if priority == nil, priorityExpression == nil {
      (policy.priority, policy.priorityExpression) = (other.priority, other.priorityExpression)
    }
    policy.retry = retry ?? other.retry
    policy.timeouts = Timeouts(
      scheduleToStart: timeouts.scheduleToStart ?? other.timeouts.scheduleToStart,
      startToClose: timeouts.startToClose ?? other.timeouts.startToClose,
      scheduleToClose: timeouts.scheduleToClose ?? other.timeouts.scheduleToClose,
      heartbeat: timeouts.heartbeat ?? other.timeouts.heartbeat)
    if concurrencyKey == nil {
      (policy.concurrencyKey, policy.concurrencyLimit) = (other.concurrencyKey, other.concurrencyLimit)
      policy.concurrencyWeight = concurrencyWeight ?? other.concurrencyWeight
    }
    policy.rate = rate ?? other.rate
    policy.breaker = breaker ?? other.breaker
    return policy
  }
}

extension JSON {
  /// The roots of all expressions in the texts of this value. What is no expression is passed over: it has been refused before.
  func visitRoots(_ body: (Expression.Root) -> Void) {
    switch self {
    case .string(let text):
      guard let template = try? Template(text) else { return }
      for case .expression(let expression, _) in template.parts { expression.roots.forEach(body) }
    case .array, .object: for child in children { child.visitRoots(body) }
    default: break
    }
  }
}
