/// Templates into tasks.
extension ArgoReader {
  mutating func expand(
    _ name: String, called: String, _ scope: ArgoScope, after: [String], at position: Position, depth: Int, isEntry: Bool = false,
    foreach: JSON? = nil
  ) -> ArgoNode {
    guard let template = templates[name] else {
      return placeholder(called, scope, after, "the template '\(name)' is not in the file", at: position)
    }
    guard !scope.callers.contains(name) else {
      return placeholder(called, scope, after, "the template '\(name)' calls itself, as often as only the run knows", at: position)
    }
    guard depth <= ArgoWorkflow.maximumDepth else {
      return placeholder(called, scope, after, "templates are nested more than \(ArgoWorkflow.maximumDepth) deep", at: position)
    }
    guard tasks.count + cleanup.count < ArgoWorkflow.maximumTasks else {
      if faults.errors == 0 {
        faults.add(.limit, "more than \(ArgoWorkflow.maximumTasks) tasks come out", fix: "use fewer items", at: position)
      }
      return ArgoNode(ends: after)
    }
    var inner = scope
    inner.inputs = inputs(of: template, given: scope.inputs)
    (inner.nodes, inner.needs, inner.waitsFor) = ([:], nil, [])
    inner.parallelism = nil
    let calls = template["dag"]?["tasks"]?.elements ?? template["steps"]?.elements
    guard let calls else {
      inner.parallelism = scope.parallelism
      return leaf(template, name, called: called, inner, after: after, foreach: foreach)
    }
    if foreach != nil {
      return placeholder(
        called, scope, after, "its items are known only while it runs, and its template is no single program", at: position)
    }
    inner.prefix = isEntry ? "" : scope.prefix + called + "."
    inner.item = .none
    inner.callers.append(name)
    noteGroup(template, name, calls: calls, &inner)
    return template["dag"] != nil
      ? expand(dag: template, calls, inner, after: after, depth: depth) : expand(steps: template, calls, inner, after: after, depth: depth)
  }

  /// The inputs with their defaults.
  private mutating func inputs(of template: Located, given: [String: ArgoText]) -> [String: ArgoText] {
    noteUnread(template["inputs"]?.entries ?? [], except: ["parameters"], "a template")
    var inputs = given
    for parameter in template["inputs"]?["parameters"]?.elements ?? [] {
      guard let name = parameter["name"]?.string, inputs[name] == nil else { continue }
      if let value = parameter["value"] ?? parameter["default"] {
        inputs[name] = read(value.plainText, ArgoScope(), at: value.position)
      }
    }
    return inputs
  }

  private static let groupKeys: Set<String> = ["name", "inputs", "outputs", "dag", "steps", "parallelism"]

  /// What is said of a template of tasks beside these.
  private mutating func noteGroup(_ template: Located, _ name: String, calls: [Located], _ scope: inout ArgoScope) {
    noteUnread(template.entries ?? [], except: Self.groupKeys, "the template '\(name)'")
    noteUnread(template["outputs"]?.entries ?? [], except: ["parameters"], "the outputs of the template '\(name)'")
    guard let bound = template["parallelism"] else { return }
    let single = calls.count == 1 ? calls[0].elements.map { $0.count == 1 ? $0[0] : nil } ?? calls[0] : nil
    if let number = bound.wholeNumber, Foreach.parallelismRange ~= number, single?["withParam"] ?? single?["withSequence"] != nil {
      scope.parallelism = number
    } else {
      note(
        "'parallelism' of the template '\(name)' has no counterpart", fix: "give its tasks a concurrency key with this limit",
        at: bound.position)
    }
  }

  /// `outputs.parameters` of a template of tasks.
  private mutating func outputs(of template: Located, _ scope: ArgoScope) -> [String: ArgoText] {
    var outputs: [String: ArgoText] = [:]
    for parameter in template["outputs"]?["parameters"]?.elements ?? [] {
      guard let name = parameter["name"]?.string else { continue }
      if let value = parameter["valueFrom"]?["parameter"] ?? parameter["value"] {
        outputs[name] = read(value.plainText, scope, at: value.position)
      } else if let expression = parameter["valueFrom"]?["expression"] {
        outputs[name] = read("{{=\(expression.plainText)}}", scope, at: expression.position)
      } else {
        outputs[name] = ArgoText(.unknown("outputs.parameters.\(name)", reason: "comes from elsewhere"))
      }
      if let refusal = outputs[name]?.refusal {
        note(
          "the output '\(name)' is not imported: \(refusal.reason)", fix: "look who asks for it", at: refusal.position ?? parameter.position
        )
      }
    }
    return outputs
  }

  // MARK: DAG

  private mutating func expand(dag template: Located, _ calls: [Located], _ scope: ArgoScope, after: [String], depth: Int) -> ArgoNode {
    noteUnread(template["dag"]?.entries ?? [], except: ["tasks", "failFast"], "a dag")
    if template["dag"]?["failFast"]?.scalar == .bool(false) { continues = true }
    var needs: [String: [String]] = [:]
    var formulas: [String: ArgoDepends] = [:]
    let known = Set(calls.compactMap { $0["name"]?.string })
    for call in calls {
      let name = call["name"]?.string ?? ""
      (needs[name], formulas[name]) = dependencies(call, among: known)
    }
    let needed = Set(needs.values.flatMap { $0 })
    // In the order of dependencies, so that each call finds what it waits for; a cycle leaves some over.
    var waiting = calls.map { needs[$0["name"]?.string ?? "", default: []].count }
    var dependents: [String: [Int]] = [:]
    for (index, call) in calls.enumerated() {
      for need in needs[call["name"]?.string ?? "", default: []] { dependents[need, default: []].append(index) }
    }
    var nodes: [String: ArgoNode] = [:]
    var ready = calls.indices.filter { waiting[$0] == 0 }
    while !ready.isEmpty {
      var next: [Int] = []
      for index in ready {
        let name = calls[index]["name"]?.string ?? ""
        let direct = needs[name, default: []]
        let ends = direct.flatMap { nodes[$0]?.ends ?? [] }.unique
        let node: ArgoNode
        do {
          var inner = scope
          (inner.nodes, inner.needs, inner.waitsFor) = (nodes, needs, direct)
          node = expand(
            call: calls[index], inner, after: ends.isEmpty ? after : ends, depth: depth, formula: formulas[name],
            isNeeded: needed.contains(name))
        }
        nodes[name] = node
        for dependent in dependents.removeValue(forKey: name) ?? [] {
          waiting[dependent] -= 1
          if waiting[dependent] == 0 { next.append(dependent) }
        }
      }
      ready = next.sorted()
    }
    if let stuck = waiting.firstIndex(where: { $0 > 0 }) {
      faults.add(
        .cycle, "tasks of a dag wait for each other", fix: "remove one of their dependencies", at: calls[stuck].position)
      return ArgoNode(ends: after)
    }
    let stay = calls.compactMap { $0["name"]?.string }.filter { nodes[$0]?.isApart == false }
    let inside = Set(stay.flatMap { needs[$0, default: []] })
    let ends = stay.filter { !inside.contains($0) }.flatMap { nodes[$0]?.ends ?? [] }.unique
    var inner = scope
    inner.nodes = nodes
    return ArgoNode(ends: ends.isEmpty ? after : ends, outputs: outputs(of: template, inner))
  }

  /// What a call waits for, and its `depends`, if that is understood.
  private mutating func dependencies(_ call: Located, among known: Set<String>) -> ([String], ArgoDepends?) {
    var names = (call["dependencies"]?.elements ?? []).compactMap(\.string)
    var formula = ArgoDepends.all(names)
    if let depends = call["depends"], let text = depends.string {
      if let read = ArgoDepends(text), read.tasks.allSatisfy(known.contains) {
        names += read.tasks
        formula = formula.map { .and($0, read) } ?? read
      } else {
        note(
          "'depends: \(text.prefix(120))' is not understood: all tasks that it names must complete",
          fix: "look whether that is meant", at: depends.position)
        names += text.split { !(Identifier.isWord($0.asciiValue ?? 0)) }.map(String.init).filter { known.contains($0) }
      }
    }
    for name in names where !known.contains(name) {
      faults.add(.unknownTask, "a task depends on '\(name)', which is not in its dag", fix: "correct the name", at: call.position)
    }
    return (names.filter { known.contains($0) }.unique, formula)
  }

  // MARK: Steps

  private mutating func expand(steps template: Located, _ groups: [Located], _ scope: ArgoScope, after: [String], depth: Int) -> ArgoNode {
    var inner = scope
    var before = after
    for group in groups {
      // A list of steps that run at once; a single step may stand by itself.
      var ended: [(String, ArgoNode)] = []
      for call in group.elements ?? [group] {
        ended.append((call["name"]?.string ?? "", expand(call: call, inner, after: before, depth: depth)))
      }
      before = ended.flatMap(\.1.ends).unique
      for (name, node) in ended { inner.nodes[name] = node }
    }
    return ArgoNode(ends: before, outputs: outputs(of: template, inner))
  }
}

extension ArgoDepends {
  /// All of some tasks; nil: none.
  static func all(_ names: [String]) -> ArgoDepends? {
    names.dropFirst().reduce(names.first.map { .task($0, result: nil) }) { sum, name in sum.map { .and($0, .task(name, result: nil)) } }
  }
}

extension [String] {
  /// Without repetitions, in order.
  var unique: [String] {
    var seen: Set<String> = []
    return filter { seen.insert($0).inserted }
  }
}
