/// What `{{...}}` stands for where a template is called.
struct ArgoScope {
  /// Input parameters, already in our words.
  var inputs: [String: String]
  /// The item of a loop.
  var item: JSON?
  /// Before the ids of the tasks that come out.
  var prefix: String
}

/// Templates into tasks. A call gives back the tasks that end it: what comes after waits for these.
extension ArgoReader {
  mutating func expand(
    _ name: String, called: String, _ scope: ArgoScope, after: [String], at position: Position, depth: Int, isEntry: Bool = false
  ) -> [String] {
    guard let template = templates[name] else {
      return placeholder(called, scope, after, "the template '\(name)' is not in the file", at: position)
    }
    guard depth <= ArgoWorkflow.maximumDepth else {
      return placeholder(
        called, scope, after, "templates are nested more than \(ArgoWorkflow.maximumDepth) deep, or call themselves", at: position)
    }
    guard tasks.count < ArgoWorkflow.maximumTasks else {
      if faults.errors == 0 {
        faults.add(.limit, "more than \(ArgoWorkflow.maximumTasks) tasks come out", fix: "use fewer items", at: position)
      }
      return after
    }
    var inner = scope
    inner.inputs = inputs(of: template, given: scope.inputs)
    inner.prefix = isEntry ? "" : scope.prefix + called + "."
    if let dag = template["dag"] { return expand(dag: dag, inner, after: after, depth: depth) }
    if let steps = template["steps"] { return expand(steps: steps, inner, after: after, depth: depth) }
    inner.prefix = scope.prefix
    return [leaf(template, name, called: called, inner, after: after)]
  }

  /// The inputs with their defaults.
  private mutating func inputs(of template: Located, given: [String: String]) -> [String: String] {
    noteUnread(template["inputs"]?.entries ?? [], except: ["parameters"], "a template")
    var inputs = given
    for parameter in template["inputs"]?["parameters"]?.elements ?? [] {
      guard let name = parameter["name"]?.string, inputs[name] == nil else { continue }
      if let value = parameter["value"] ?? parameter["default"] {
        inputs[name] = replace(value.plainText, ArgoScope(inputs: [:], item: nil, prefix: ""), at: value.position)
      }
    }
    return inputs
  }

  // MARK: DAG

  private mutating func expand(dag: Located, _ scope: ArgoScope, after: [String], depth: Int) -> [String] {
    noteUnread(dag.entries ?? [], except: ["tasks", "failFast"], "a dag")
    if dag["failFast"]?.scalar == .bool(false) { continues = true }
    let calls = dag["tasks"]?.elements ?? []
    var needs: [String: [String]] = [:]
    for call in calls { needs[call["name"]?.string ?? ""] = dependencies(call, among: calls) }
    // In the order of dependencies, so that each call finds what it waits for; a cycle leaves some over.
    var ends: [String: [String]] = [:]
    var rest = calls
    while !rest.isEmpty {
      let ready = rest.filter { call in needs[call["name"]?.string ?? "", default: []].allSatisfy { ends[$0] != nil } }
      if ready.isEmpty {
        faults.add(.cycle, "tasks of a dag wait for each other", fix: "remove one of their dependencies", at: rest[0].position)
        return after
      }
      for call in ready {
        let name = call["name"]?.string ?? ""
        let before = needs[name, default: []].flatMap { ends[$0] ?? [] }
        ends[name] = expand(call: call, scope, after: before.isEmpty ? after : before.unique, depth: depth)
      }
      let done = Set(ready.compactMap { $0["name"]?.string })
      rest.removeAll { done.contains($0["name"]?.string ?? "") }
    }
    let needed = Set(needs.values.flatMap { $0 })
    return calls.compactMap { $0["name"]?.string }.filter { !needed.contains($0) }.flatMap { ends[$0] ?? [] }.unique
  }

  private mutating func dependencies(_ call: Located, among calls: [Located]) -> [String] {
    let known = Set(calls.compactMap { $0["name"]?.string })
    var names = (call["dependencies"]?.elements ?? []).compactMap(\.string)
    if let depends = call["depends"], let text = depends.string {
      let parts = text.split(separator: "&&").map { part in String(part.filter { !" ()".contains($0) }) }
      names += parts.map { $0.hasSuffix(".Succeeded") ? String($0.dropLast(10)) : $0 }
      if text.contains("|") || text.contains("!") || names.contains(where: { !known.contains($0) }) {
        note(
          "'depends: \(text.prefix(120))' is more than a list of tasks that succeeded: all that it names must complete",
          fix: "look whether that is meant", at: depends.position)
        names = text.split { !(Identifier.isWord($0.asciiValue ?? 0)) }.map(String.init).filter { known.contains($0) }
      }
    }
    for name in names where !known.contains(name) {
      faults.add(.unknownTask, "a task depends on '\(name)', which is not in its dag", fix: "correct the name", at: call.position)
    }
    return names.filter { known.contains($0) }.unique
  }

  // MARK: Steps

  private mutating func expand(steps: Located, _ scope: ArgoScope, after: [String], depth: Int) -> [String] {
    var before = after
    for group in steps.elements ?? [] {
      // A list of steps that run at once; a single step may stand by itself.
      let calls = group.elements ?? [group]
      before = calls.flatMap { expand(call: $0, scope, after: before, depth: depth) }.unique
    }
    return before
  }

  // MARK: A call

  private static let callKeys: Set<String> = [
    "name", "template", "arguments", "dependencies", "depends", "when", "withItems", "withParam", "withSequence", "inline",
  ]

  private mutating func expand(call: Located, _ scope: ArgoScope, after: [String], depth: Int) -> [String] {
    let name = call["name"]?.string ?? "task"
    let label = Self.sanitized(name)
    noteUnread(call.entries ?? [], except: Self.callKeys.union(["templateRef"]), "the task '\(name)'")
    noteUnread(call["arguments"]?.entries ?? [], except: ["parameters"], "the arguments of '\(name)'")
    if let reference = call["templateRef"] {
      return placeholder(label, scope, after, "the template is in another resource", at: reference.position)
    }
    guard let items = items(call, scope) else {
      let position = (call["withParam"] ?? call["withSequence"] ?? call).position
      return placeholder(label, scope, after, "its items are known only while it runs", at: position)
    }
    var ends: [String] = []
    for (index, item) in items.enumerated() {
      var inner = scope
      inner.item = item ?? scope.item
      let id = item == nil ? label : "\(label)-\(index)"
      if let when = call["when"] {
        let text = replace(when.plainText, inner, at: when.position)
        switch Self.constant(text) {
        case true?: break
        case false?: continue
        case nil:
          ends += placeholder(id, inner, after, "the condition '\(when.plainText.prefix(120))' is not imported", at: when.position)
          continue
        }
      }
      ends += expand(called: id, call, inner, after: after, depth: depth)
    }
    // All were left out: what comes after waits for what came before.
    return ends.isEmpty ? after : ends.unique
  }

  private mutating func expand(called id: String, _ call: Located, _ scope: ArgoScope, after: [String], depth: Int) -> [String] {
    var inner = scope
    inner.inputs = [:]
    for argument in call["arguments"]?["parameters"]?.elements ?? [] {
      guard let name = argument["name"]?.string else { continue }
      if let value = argument["value"] {
        inner.inputs[name] = replace(value.plainText, scope, at: value.position)
      } else {
        note("the argument '\(name)' has no literal value", fix: "write a value", at: argument.position)
      }
    }
    if let template = call["inline"] {
      let name = "\(scope.prefix)\(id), inline"
      templates[name] = template
      return expand(name, called: id, inner, after: after, at: template.position, depth: depth + 1)
    }
    guard let template = call["template"], let name = template.string else {
      return placeholder(id, scope, after, "it names no template", at: call.position)
    }
    return expand(name, called: id, inner, after: after, at: template.position, depth: depth + 1)
  }

  /// The items of a loop; `[nil]` if there is none; nil if they are not known before it runs.
  private mutating func items(_ call: Located, _ scope: ArgoScope) -> [JSON?]? {
    if let list = call["withItems"] { return list.elements?.map { $0.json } }
    if let parameter = call["withParam"] {
      let text = replace(parameter.plainText, scope, at: parameter.position)
      guard !text.contains("${"), let array = (try? JSON(parsing: text))?.array else { return nil }
      return array
    }
    guard let sequence = call["withSequence"] else { return [nil] }
    let number = { (key: String) in sequence[key].map { $0.wholeNumber } }
    if sequence["format"] != nil { return nil }
    guard let start = number("start") ?? 0 else { return nil }
    if case .some(let count) = number("count") {
      guard let count, 0...ArgoWorkflow.maximumTasks ~= count else { return nil }
      return (0..<count).map { .string("\(start + $0)") }
    }
    guard case .some(let end?) = number("end"), abs(end - start) < ArgoWorkflow.maximumTasks else { return nil }
    return stride(from: start, through: end, by: end < start ? -1 : 1).map { .string("\($0)") }
  }

  /// Whether `a == b` or `a != b` of constants holds; nil if it is something else.
  private static func constant(_ text: String) -> Bool? {
    if text.contains("${") || text.contains("{{") { return nil }
    for (mark, wanted) in [("==", true), ("!=", false)] {
      guard let range = text.firstRange(of: mark) else { continue }
      let strip = { (side: Substring) in side.filter { !" \"'".contains($0) } }
      let (left, right) = (strip(text[..<range.lowerBound]), strip(text[range.upperBound...]))
      let isPlain = (left + right).utf8.allSatisfy { Identifier.isWord($0) || $0 == UInt8(ascii: ".") }
      return isPlain ? (left == right) == wanted : nil
    }
    return ["true": true, "false": false][text.filter { $0 != " " }]
  }
}

extension [String] {
  /// Without repetitions, in order.
  var unique: [String] {
    var seen: Set<String> = []
    return filter { seen.insert($0).inserted }
  }
}
