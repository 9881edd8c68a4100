/// Judges templates and their uses before any of them is put in place, so that a fault inside a template is told once, where it stands.
struct TemplateChecker {
  let templates: [DefinitionTemplate]
  private var index: [String: Int] = [:]
  /// Of the templates that have no fault in what they use, by name.
  private(set) var shapes: [String: TemplateShape] = [:]

  init(_ templates: [DefinitionTemplate]) {
    self.templates = templates
    for (number, template) in templates.enumerated() where index[template.name] == nil { index[template.name] = number }
  }

  subscript(name: String) -> DefinitionTemplate? { index[name].map { templates[$0] } }

  /// Each template by itself, and what uses say of them. `main`: the workflow's own tasks, in the file that `faults` names; `result`: the task that it names.
  mutating func check(
    _ main: TaskScope, result: String?, resultPosition: Position?, handlers: Set<String>?, _ faults: inout FaultList,
    _ nearest: inout NearestName
  ) {
    let file = faults.file
    checkOrder(&faults)
    for template in templates {
      faults.file = template.file
      check(template, handlers, &faults, &nearest)
    }
    faults.file = file
    check(main, &faults, &nearest)
    checkResult(result, in: main, at: resultPosition, &faults)
    checkConcurrency(main, &faults)
    checkSize(main, &faults)
  }

  private func check(
    _ template: DefinitionTemplate, _ handlers: Set<String>?, _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    var definition = Definition(template.name)
    definition.tasks = template.scope.tasks
    DefinitionChecker(handlers: handlers).check(
      definition, positions: template.scope.positions, template.scope.named, &faults, &nearest)
    check(template.scope, &faults, &nearest)
    guard let result = template.result else { return }
    if template.scope.tasks.contains(where: { $0.id == result }) {
      return checkResult(result, in: template.scope, at: template.resultPosition, &faults)
    }
    let near = faults.hasRoom ? nearest.nearest(to: result, among: template.scope.tasks.lazy.map(\.id)) : nil
    faults.add(
      .unknownTask, "the result '\(result)' of the template '\(template.name)' is not one of its tasks",
      fix: near.map { "did you mean '\($0)'?" } ?? "name the task whose output is that of the template", at: template.resultPosition)
  }

  // MARK: Uses

  private func check(_ scope: TaskScope, _ faults: inout FaultList, _ nearest: inout NearestName) {
    for use in scope.uses where !use.template.isEmpty {
      guard let template = self[use.template] else {
        let near = faults.hasRoom ? nearest.nearest(to: use.template, among: templates.lazy.map(\.name)) : nil
        let known = templates.isEmpty ? "add it under 'templates', or include its file" : "there are \(shown(templates.map(\.name)))"
        faults.add(
          .unknownTemplate, "task '\(scope.tasks[use.task].id)' uses the template '\(use.template)', which is not there",
          fix: near.map { "did you mean '\($0)'?" } ?? known, at: use.templatePosition, task: scope.tasks[use.task].id)
        continue
      }
      checkArguments(use, of: template, scope, &faults, &nearest)
    }
    checkInside(scope, &faults)
    checkOutputs(scope, &faults)
  }

  private func checkArguments(
    _ use: TemplateUse, of template: DefinitionTemplate, _ scope: TaskScope, _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    let task = scope.tasks[use.task].id
    let names = template.parameters.map(\.name)
    for argument in use.arguments {
      guard let parameter = template.parameters.first(where: { $0.name == argument.name }) else {
        let near = faults.hasRoom ? nearest.nearest(to: argument.name, among: names) : nil
        let known = names.isEmpty ? "it has none: remove 'with'" : "its parameters are \(shown(names))"
        faults.add(
          .unknownParameter, "'\(argument.name.prefix(80))' is no parameter of the template '\(template.name)'",
          fix: near.map { "did you mean '\($0)'?" } ?? known, at: argument.position, task: task)
        continue
      }
      let value = argument.value.json
      if value.mayHoldExpressions { continue }
      if let refusal = parameter.refusal(of: value) {
        faults.add(
          .badParameter, "the parameter '\(parameter.name)' of the template '\(template.name)' is \(value.shownShort); it \(refusal)",
          fix: "write \(parameter.choices?.first?.text() ?? parameter.kind?.example ?? "another value")", at: argument.value.position,
          task: task)
      }
    }
    for parameter in template.parameters where parameter.fallback == nil && !use.isUnclear {
      if use.arguments.contains(where: { $0.name == parameter.name }) { continue }
      let purpose = parameter.description.isEmpty ? "" : " (\(parameter.description))"
      faults.add(
        .missing, "task '\(task)' gives no '\(parameter.name)'\(purpose) to the template '\(template.name)'",
        fix: "add it: 'with: { \(parameter.name): \(parameter.kind?.example ?? "VALUE") }'", at: use.templatePosition, task: task)
    }
  }

  /// Ids that begin as those of the tasks that come out of a use.
  private func checkInside(_ scope: TaskScope, _ faults: inout FaultList) {
    if scope.positions.uses.isEmpty { return }
    for (index, task) in scope.tasks.enumerated() {
      guard let use = scope.positions.use(holding: task.id) else { continue }
      faults.add(
        .duplicateId, "the id '\(task.id)' is one of those of the tasks that '\(use)' stands for", fix: "give one of the tasks another id",
        at: scope.positions.tasks[index].id, task: task.id)
    }
  }

  /// Expressions that ask for the output of a use whose template does not say which one that is.
  private func checkOutputs(_ scope: TaskScope, _ faults: inout FaultList) {
    if scope.uses.isEmpty { return }
    for named in scope.named {
      guard let template = silent(named.target, in: scope) else { continue }
      faults.add(
        .missing, "'\(named.target)' has no output: the template '\(template)' does not say which of its tasks gives it",
        fix: "add 'result: TASK' to the template", at: named.position, task: scope.tasks[named.user].id)
    }
  }

  private func checkResult(_ result: String?, in scope: TaskScope, at position: Position?, _ faults: inout FaultList) {
    guard let result, let template = silent(result, in: scope) else { return }
    faults.add(
      .missing, "the result '\(result)' has no output: the template '\(template)' does not say which of its tasks gives it",
      fix: "add 'result: TASK' to the template", at: position)
  }

  /// The template of a use, if it has no output.
  private func silent(_ task: String, in scope: TaskScope) -> String? {
    guard let name = scope.positions.uses[task], let shape = shapes[name], shape.result == nil, let template = self[name] else {
      return nil
    }
    return template.scope.tasks.isEmpty ? nil : template.name
  }

  private func shown(_ names: [String]) -> String {
    names.prefix(8).joined(separator: ", ") + (names.count > 8 ? " and \(names.count - 8) more" : "")
  }

  // MARK: Templates in templates

  /// Shapes, innermost first. A template that uses itself, or too many inside each other, is told with the way to it.
  private mutating func checkOrder(_ faults: inout FaultList) {
    let file = faults.file
    var depth: [Int: Int] = [:]
    var onPath: Set<Int> = []
    // The way down, with the next use to look at.
    var path: [(template: Int, next: Int)] = []
    for start in templates.indices where depth[start] == nil && index[templates[start].name] == start {
      path = [(start, 0)]
      onPath = [start]
      while let (number, next) = path.last {
        let uses = templates[number].scope.uses
        guard next < uses.count else {
          let inner = uses.compactMap { index[$0.template].flatMap { depth[$0] } }.max() ?? 0
          depth[number] = inner + 1
          shapes[templates[number].name] = TemplateShape(templates[number], shapes)
          onPath.remove(number)
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        guard let target = index[uses[next].template] else { continue }
        faults.file = templates[number].file
        let position = uses[next].templatePosition
        if onPath.contains(target) {
          let circle = path.drop { $0.template != target }.map { templates[$0.template].name } + [templates[target].name]
          faults.add(
            .cycle, "the template '\(templates[target].name)' uses itself: \(circle.joined(separator: " -> "))",
            fix: "remove one of these uses", at: position)
        } else if let inner = depth[target], path.count + inner > DefinitionTemplate.maximumDepth {
          faults.add(
            .limit, "templates are used more than \(DefinitionTemplate.maximumDepth) deep in each other", fix: "use fewer levels",
            at: position)
        } else if depth[target] == nil {
          if path.count >= DefinitionTemplate.maximumDepth {
            faults.add(
              .limit, "templates are used more than \(DefinitionTemplate.maximumDepth) deep in each other", fix: "use fewer levels",
              at: position)
          } else {
            path.append((target, 0))
            onPath.insert(target)
          }
        }
      }
    }
    faults.file = file
  }

  // MARK: The whole

  /// One key has one limit, wherever its tasks stand. Those of one scope have been compared with each other.
  private func checkConcurrency(_ main: TaskScope, _ faults: inout FaultList) {
    if templates.isEmpty { return }
    let file = faults.file
    var limits: [String: (limit: Int, file: String, line: UInt32, scope: Int)] = [:]
    for (number, (scope, name)) in ([(main, file)] + templates.map { ($0.scope, $0.file) }).enumerated() {
      faults.file = name
      for (index, task) in scope.tasks.enumerated() where task.isSpecial {
        guard let key = task.policy.concurrencyKey, let limit = task.policy.concurrencyLimit else { continue }
        let position = scope.positions.tasks[index].task
        guard let first = limits[key] else {
          limits[key] = (limit, name, position.line, number)
          continue
        }
        if first.limit == limit || first.scope == number { continue }
        let place = first.file == name ? "at line \(first.line)" : "at \(first.file):\(first.line)"
        faults.add(
          .mismatch, "the key '\(key)' has limit \(limit) here and \(first.limit) \(place)",
          fix: "write the same limit, or use another key",
          at: position, task: task.id)
      }
    }
    faults.file = file
  }

  /// What would come out, before it does.
  private func checkSize(_ main: TaskScope, _ faults: inout FaultList) {
    var tasks = main.tasks.count - main.uses.count
    var arguments = 0
    for use in main.uses {
      guard let shape = shapes[use.template] else { continue }
      let id = main.tasks[use.task].id
      let position = main.positions.tasks[use.task].id
      let longest = id.utf8.count + 1 + min(shape.longestId, 1 << 20)
      if longest > Identifier.maximumLength {
        faults.add(
          .limit, "a task that '\(id)' stands for has an id of \(longest) bytes; at most \(Identifier.maximumLength) are allowed",
          fix: "use shorter ids", at: position, task: id)
      }
      tasks += min(shape.tasks, Definition.maximumTasks + 1)
      arguments += min(shape.arguments, Definition.Argument.maximumCount + 1)
      if tasks > Definition.maximumTasks {
        return faults.add(
          .limit, "more than \(Definition.maximumTasks) tasks come out of the templates", fix: "let one task do the work of several",
          at: position, task: id)
      }
      if arguments > Definition.Argument.maximumCount {
        return faults.add(
          .limit, "more than \(Definition.Argument.maximumCount) parameters are given to templates",
          fix: "let one task do the work of several",
          at: position, task: id)
      }
    }
  }
}

extension DefinitionPositions {
  /// The use that an id lies in: `left` of `left.merge`; nil: there is none.
  func use(holding id: String) -> String? {
    if uses.isEmpty || !id.utf8.contains(UInt8(ascii: ".")) { return nil }
    var end = id.startIndex
    while let point = id[end...].firstIndex(of: ".") {
      if uses[String(id[..<point])] != nil { return String(id[..<point]) }
      end = id.index(after: point)
    }
    return nil
  }
}
