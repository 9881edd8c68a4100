/// What `DefinitionDecoder` judges while it reads a file, for a definition made in Swift: the values of each task by themselves.
enum ValueChecker {
  /// The tasks that expressions name are left to the caller.
  static func check(_ definition: Definition, _ faults: inout FaultList, _ nearest: inout NearestName) -> [ExpressionChecker.Use] {
    if !Identifier.isId(definition.name) {
      faults.add(.badValue, "'\(definition.name)' is no name for a \(definition.kind.rawValue)", fix: idFix, at: nil)
    }
    if let version = definition.version, !Definition.versions.contains(version) {
      faults.add(.badValue, "the version is \(version)", fix: "use 1 to \(Definition.versions.upperBound), or nil", at: nil)
    }
    if definition.tasks.isEmpty {
      faults.add(
        .missing, "the definition has no \(definition.noun)s", fix: "add one: definition.\(definition.noun)(...)", at: nil)
    }
    if let schedule = definition.schedule, schedule.next(after: UTCTime(seconds: -1)) == nil {
      faults.add(.badSchedule, "the schedule never fires", fix: "name a day that its months have", at: nil)
    }
    for fault in definition.onMessage?.faults(of: definition) ?? [] { faults.add(fault.code, fault.message, fix: fault.fix, at: nil) }
    var expressions = ExpressionChecker()
    for parameter in definition.parameters {
      if !Identifier.isParameterName(parameter.name) {
        faults.add(.badId, "'\(parameter.name)' is no name for a parameter", fix: "use 1 to 128 of A-Z a-z 0-9 _ and -", at: nil)
      }
      if !expressions.parameters.insert(parameter.name).inserted {
        faults.add(.duplicateKey, "the parameter '\(parameter.name)' is declared twice", fix: "remove one of them", at: nil)
      }
      for fault in parameter.faults { faults.add(.badValue, fault.message, fix: fault.fix, at: nil) }
    }
    expressions.take(definition.arguments, &faults, &nearest)
    if let concurrency = definition.concurrency { check(concurrency, &expressions, &faults, &nearest) }
    let isSaga = definition.kind == .saga
    check(definition.defaults, "the defaults", task: nil, isSaga: isSaga, &faults)
    check(definition.defaults, "the defaults", user: nil, task: nil, &expressions, &faults, &nearest)
    for (index, task) in [definition.tasks, definition.cleanup].joined().enumerated() {
      expressions.isCleanup = index >= definition.tasks.count
      let isNamed = Identifier.isId(task.id)
      if !isNamed { faults.add(.badId, "'\(task.id)' is no id for task \(index + 1)", fix: idFix, at: nil, task: task.id) }
      if let wait = task.wait {
        if let fault = wait.fault {
          faults.add(fault.code, "task '\(task.id)': '\(wait.kind)': \(fault.message)", fix: fault.fix, at: nil, task: task.id)
        }
      } else if let child = task.child {
        if child.definition == nil, !Identifier.isId(child.name) {
          faults.add(
            .badValue, "task '\(task.id)': '\(child.name.prefix(80))' is no name of a workflow", fix: idFix, at: nil, task: task.id)
        }
      } else if !Identifier.isHandler(task.handler) {
        faults.add(
          .badValue, "task '\(task.id)': '\(task.handler)' is no name for a handler",
          fix: "write 'plugin/handler', of A-Z a-z 0-9 . _ - and /",
          at: nil, task: task.id)
      }
      expressions.hasItems = task.isSpecial && task.foreach != nil
      if task.isSpecial {
        if task.foreach != nil, task.wait != nil {
          faults.add(
            .mismatch, "task '\(task.id)' has 'foreach', and waits", fix: "run a workflow that waits for each item", at: nil, task: task.id)
        }
        checkItems(of: task, user: index, &expressions, &faults, &nearest)
        check(task.policy, "task '\(task.id)'", task: task.id, isSaga: isSaga, &faults)
        if let undo = task.compensation { check(undo, of: index, id: task.id, &expressions, &faults, &nearest) }
        check(task.policy, "task '\(task.id)'", user: index, task: task.id, &expressions, &faults, &nearest)
        if let condition = task.condition {
          check(
            whole: condition, "task '\(task.id)': 'when'", example: "${tasks.ID.output.count > 0}", in: .condition, user: index,
            task: task.id,
            &expressions, &faults, &nearest)
        }
      }
      check(task.environment, user: index, task: task.id, &expressions, &faults, &nearest)
      check(task.input, user: index, task: task.id, &expressions, &faults, &nearest)
    }
    return expressions.uses
  }

  private static func check(
    _ policy: Policy, _ label: String, user: Int?, task: String?, _ expressions: inout ExpressionChecker, _ faults: inout FaultList,
    _ nearest: inout NearestName
  ) {
    checkConcurrency(policy, label, user: user, task: task, &expressions, &faults, &nearest)
    guard let text = policy.priorityExpression else { return }
    if policy.priority != nil {
      faults.add(.badValue, "\(label): a priority and an expression for it", fix: "give one of them", at: nil, task: task)
    }
    check(
      whole: text, "\(label): the priority", example: "${params.urgency}", in: .priority, user: user, task: task, &expressions, &faults,
      &nearest)
  }

  private static func check(
    _ environment: [EnvironmentVariable], user: Int, task: String, _ expressions: inout ExpressionChecker, _ faults: inout FaultList,
    _ nearest: inout NearestName
  ) {
    if environment.count > EnvironmentVariable.maximumCount {
      faults.add(
        .limit, "task '\(task)': \(environment.count) variables", fix: "use at most \(EnvironmentVariable.maximumCount)", at: nil,
        task: task)
    }
    var names: Set<String> = []
    for variable in environment {
      if !Identifier.isVariable(variable.name) {
        faults.add(
          .badId, "task '\(task)': '\(variable.name.prefix(80))' is no name for a variable",
          fix: "use 1 to 128 of A-Z a-z 0-9 and _, not a digit first", at: nil, task: task)
      }
      if !names.insert(variable.name).inserted {
        faults.add(.duplicateKey, "task '\(task)': the variable '\(variable.name)' twice", fix: "remove one of them", at: nil, task: task)
      }
      expressions.check(variable.value, in: .environment, user: user, prefix: "task '\(task)': ", task: task, &faults, &nearest) { _ in nil
      }
    }
  }

  static func check(
    whole text: String, _ label: String, example: String, in place: ExpressionChecker.Place, user: Int?, task: String?,
    _ expressions: inout ExpressionChecker, _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    guard ExpressionChecker.isWhole(text, label, example: example, task: task, &faults, at: nil) else { return }
    expressions.check(text, in: place, user: user, prefix: "\(label): ", task: task, &faults, &nearest) { _ in nil }
  }

  private static let idFix = "use 1 to 128 of A-Z a-z 0-9 . _ and -"

  static func check(_ policy: Policy, _ label: String, task: String?, isSaga: Bool, _ faults: inout FaultList) {
    let timeouts = [
      ("scheduleToStart", policy.timeouts.scheduleToStart), ("startToClose", policy.timeouts.startToClose),
      ("scheduleToClose", policy.timeouts.scheduleToClose), ("heartbeat", policy.timeouts.heartbeat),
    ]
    for case (let name, let length?) in timeouts where !(1...DurationText.maximum ~= length) {
      faults.add(
        .badDuration, "\(label): '\(name)' is \(length) ns", fix: "use 1 ns to ten years, or nil for no limit", at: nil, task: task)
    }
    guard let retry = policy.retry else { return }
    if !RetryPolicy.attemptsRange.contains(retry.attempts), !isSaga || retry.attempts != RetryPolicy.unlimited {
      faults.add(
        .badValue, "\(label): \(retry.attempts) attempts", fix: isSaga ? "use 1 to 1000000, or unlimited" : "use 1 to 1000000", at: nil,
        task: task)
    }
    if !RetryPolicy.factorRange.contains(retry.factor) {
      faults.add(.badValue, "\(label): the retry factor is \(retry.factor)", fix: "use 1 to 1000", at: nil, task: task)
    }
    if retry.cap < retry.initial || retry.cap > DurationText.maximum {
      faults.add(
        .badValue, "\(label): the retry cap is \(retry.cap) ns, the first wait \(retry.initial) ns",
        fix: "use a cap from the first wait to ten years",
        at: nil, task: task)
    }
    let types = retry.nonRetryable
    if types.count > RetryPolicy.maximumNonRetryable || types.contains(where: { !(1...RetryPolicy.maximumErrorTypeBytes ~= $0.utf8.count) })
    {
      faults.add(
        .badValue, "\(label): the non-retryable error types are too many or too long",
        fix: "use at most \(RetryPolicy.maximumNonRetryable), each of 1 to \(RetryPolicy.maximumErrorTypeBytes) bytes", at: nil, task: task)
    }
  }

  static func check(
    _ input: JSON, user: Int, task: String, in place: ExpressionChecker.Place = .input, _ expressions: inout ExpressionChecker,
    _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    if input.isLarger(than: Definition.maximumInputBytes) {
      faults.add(
        .limit, "task '\(task)': the input is larger than \(Definition.maximumInputBytes) bytes",
        fix: "put it in a file and pass the file's name", at: nil, task: task)
    }
    var stack = [(value: input, depth: 1)]
    while let (value, depth) = stack.popLast() {
      switch value {
      case .array, .object:
        guard depth <= JSON.maximumDepth else {
          return faults.add(
            .limit, "task '\(task)': the input is nested more than \(JSON.maximumDepth) deep", fix: "use fewer levels", at: nil, task: task)
        }
        stack.append(contentsOf: value.children.map { ($0, depth + 1) })
      case .string(let text):
        expressions.check(text, in: place, user: user, prefix: "task '\(task)': ", task: task, &faults, &nearest) { _ in nil }
      default: break
      }
    }
  }
}

extension JSON {
  /// The elements of an array, the values of an object.
  var children: [JSON] {
    switch self {
    case .array(let elements): elements
    case .object(let members): members.map(\.value)
    default: []
    }
  }

  /// Whether the text of this value is longer than `limit`; stops counting there. Escapes count once, so the text may be longer still.
  func isLarger(than limit: Int) -> Bool {
    var bytes = 0
    var stack = [self]
    while let value = stack.popLast() {
      switch value {
      case .string(let text): bytes += text.utf8.count + 2
      case .object(let members): bytes += 2 + members.reduce(0) { $0 + $1.name.utf8.count + 4 }
      case .array(let elements): bytes += 2 + elements.count
      default: bytes += 1
      }
      guard bytes <= limit else { return true }
      stack.append(contentsOf: value.children)
    }
    return false
  }
}
