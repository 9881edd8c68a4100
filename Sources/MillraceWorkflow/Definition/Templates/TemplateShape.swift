/// What comes out of a use of a template, as far as those outside need to know it. Ids are relative: `merge`, `inner.merge`.
struct TemplateShape {
  /// The task whose output is that of the use; nil: there is none, or the template does not say which.
  var result: String?
  /// At most `Int.max`, as are the others.
  var tasks = 0
  var arguments = 0
  var longestId = 0

  /// `shapes` has those of the templates that it uses.
  init(_ template: DefinitionTemplate, _ shapes: [String: TemplateShape]) {
    let scope = template.scope
    var used: [Int: TemplateShape] = [:]
    for use in scope.uses { used[use.task] = shapes[use.template] }
    let sinks = scope.sinks
    let named = template.result.map { name in scope.tasks.firstIndex { $0.id == name } } ?? (sinks.count == 1 ? sinks[0] : nil)
    if let named {
      let id = scope.tasks[named].id
      result = used[named].map { shape in shape.result.map { "\(id).\($0)" } } ?? id
    }
    for (index, task) in scope.tasks.enumerated() {
      let shape = used[index]
      tasks = tasks.clampedAdd(shape?.tasks ?? 1)
      arguments = arguments.clampedAdd(shape?.arguments ?? 0)
      longestId = max(longestId, task.id.utf8.count.clampedAdd(shape.map { 1 + $0.longestId } ?? 0))
    }
    arguments = arguments.clampedAdd(template.parameters.count + 1)
  }
}

extension TaskScope {
  /// Indices of the tasks that no other waits for.
  var sinks: [Int] {
    let needed = Set(tasks.lazy.flatMap(\.dependencies))
    return tasks.indices.filter { !needed.contains(tasks[$0].id) }
  }
}

extension Int {
  fileprivate func clampedAdd(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
