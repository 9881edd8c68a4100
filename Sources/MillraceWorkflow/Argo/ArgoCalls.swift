/// A step, or a task of a dag: a template called with arguments, on a condition, for items.
extension ArgoReader {
  private static let callKeys: Set<String> = [
    "name", "template", "arguments", "dependencies", "depends", "when", "withItems", "withParam", "withSequence", "inline", "templateRef",
    "hooks", "onExit",
  ]

  /// `formula`: what it depends on. `isNeeded`: others depend on it.
  mutating func expand(
    call: Located, _ outer: ArgoScope, after: [String], depth: Int, formula: ArgoDepends? = nil, isNeeded: Bool = true
  ) -> ArgoNode {
    let name = call["name"]?.string ?? "task"
    let label = Self.sanitized(name)
    noteUnread(call.entries ?? [], except: Self.callKeys, "the task '\(name)'")
    noteUnread(call["arguments"]?.entries ?? [], except: ["parameters"], "the arguments of '\(name)'")
    var scope = outer
    var after = after
    var runs = ArgoCondition.always
    if let formula {
      let position = (call["depends"] ?? call).position
      do throws(ArgoRefusal) {
        runs = try formula.condition(outer.nodes)
        guard (scope.condition && runs).isWithinBounds else { throw ArgoRefusal(reason: "it is too long for an expression") }
        if formula.maySurviveFailures {
          if runs == .never, !isNeeded, !outer.isCleanup {
            // Asked for failures alone: when all others have ended, these are known.
            scope.condition = scope.condition && (try formula.finalCondition(outer.nodes))
            guard scope.condition.isWithinBounds else { throw ArgoRefusal(reason: "it is too long for an expression") }
            scope.isCleanup = true
            after = []
            note(
              "'\(name)' runs at the end of the run, as cleanup, and the run stays FAILED", fix: "look whether that will do", at: position)
          } else if runs == .never {
            throw ArgoRefusal(reason: "it asks for a failure")
          } else {
            note(
              "'\(name)' does not run here if a task that it depends on fails", fix: "move what must run then to 'cleanup'", at: position)
          }
        }
      } catch {
        let reason = "'depends: \(call["depends"]?.plainText.prefix(120) ?? "")' is not imported: \(error.reason)"
        return placeholder(label, scope, after, reason, at: position)
      }
    }
    if !scope.isCleanup || outer.isCleanup { scope.condition = scope.condition && runs }
    if scope.condition == .never { return ArgoNode(ends: after, runs: runs) }
    if let reference = call["templateRef"] {
      return placeholder(label, scope, after, "the template is in another resource", at: reference.position)
    }
    var node = expand(call: call, label: label, scope, after: after, depth: depth)
    node.runs = runs
    scope.condition = scope.condition && node.passes
    for key in ["onExit", "hooks"] where scope.condition != .never {
      guard let hook = call[key] else { continue }
      _ = placeholder("\(label).\(key)", scope, node.ends, "a template that a task's end or state calls", at: hook.position)
    }
    // Cleanup is nothing that a task could wait for.
    node.isApart = scope.isCleanup != outer.isCleanup
    return node
  }

  mutating func expand(call: Located, label: String, _ scope: ArgoScope, after: [String], depth: Int) -> ArgoNode {
    let loop = loop(call, scope)
    if scope.parallelism != nil, case .items = loop {
      note(
        "items that are known are tasks of their own, which 'parallelism' does not bound", fix: "give them a concurrency key",
        at: call.position)
    }
    switch loop {
    case .unknown(let reason):
      let position = (call["withParam"] ?? call["withSequence"] ?? call["withItems"] ?? call).position
      return placeholder(label, scope, after, reason, at: position)
    case .once: return expand(one: call, label, scope, after: after, depth: depth)
    case .foreach(let list, let item):
      var inner = scope
      inner.item = .path(item)
      var node = expand(one: call, label, inner, after: after, depth: depth, foreach: list)
      node.isLoop = true
      // A condition that names the item skips items, not the task.
      if node.passes != .never { node.passes = .always }
      return node
    case .items(let items):
      var ends: [String] = []
      for (index, item) in items.enumerated() {
        var inner = scope
        inner.item = item
        let node = expand(one: call, "\(label)-\(index)", inner, after: after, depth: depth)
        if node.passes != .never { ends += node.ends }
      }
      // All were left out: what comes after waits for what came before.
      return ArgoNode(ends: ends.isEmpty ? after : ends.unique, isLoop: true)
    }
  }

  /// The call for one item, or for all of a `foreach`.
  private mutating func expand(
    one call: Located, _ id: String, _ scope: ArgoScope, after: [String], depth: Int, foreach: JSON? = nil
  ) -> ArgoNode {
    var inner = scope
    var passes = ArgoCondition.always
    if let when = call["when"] {
      do throws(ArgoRefusal) {
        passes = try condition(when, scope)
        inner.condition = scope.condition && passes
        guard inner.condition.isWithinBounds else { throw ArgoRefusal(reason: "it is too long for an expression") }
      } catch {
        let reason = "the condition '\(when.plainText.prefix(120))' is not imported: \(error.reason)"
        return placeholder(id, scope, after, reason, at: when.position)
      }
      if inner.condition == .never { return ArgoNode(ends: after, passes: .never) }
    }
    inner.inputs = [:]
    for argument in call["arguments"]?["parameters"]?.elements ?? [] {
      guard let name = argument["name"]?.string else { continue }
      if let value = argument["value"] {
        inner.inputs[name] = read(value.plainText, scope, at: value.position)
      } else {
        note("the argument '\(name)' has no literal value", fix: "write a value", at: argument.position)
        inner.inputs[name] = ArgoText(.unknown("inputs.parameters.\(name)", reason: "comes from elsewhere"))
      }
    }
    var node: ArgoNode
    if let template = call["inline"] {
      let name = "\(scope.prefix)\(id), inline"
      templates[name] = template
      node = expand(name, called: id, inner, after: after, at: template.position, depth: depth + 1, foreach: foreach)
    } else if let template = call["template"], let name = template.string {
      node = expand(name, called: id, inner, after: after, at: template.position, depth: depth + 1, foreach: foreach)
    } else {
      node = placeholder(id, inner, after, "it names no template", at: call.position)
    }
    node.passes = passes
    return node
  }

  private mutating func condition(_ when: Located, _ scope: ArgoScope) throws(ArgoRefusal) -> ArgoCondition {
    let text = when.plainText
    let trimmed = text.trimming { $0.isWhitespace }
    let isExpression = trimmed.hasPrefix("{{=") && trimmed.firstRange(of: "}}")?.upperBound == trimmed.endIndex
    let names = names
    var parser = ArgoConditionParser(isExpression ? .expr : .when) { names.value($0, scope) }
    let condition = try parser.condition(
      isExpression ? ArgoText(.text(String(trimmed.dropFirst(3).dropLast(2)))) : read(text, scope, at: when.position))
    needs.add(parser.needs)
    return condition
  }
}

extension String {
  fileprivate func trimming(_ isOut: (Character) -> Bool) -> Substring {
    var rest = drop(while: isOut)
    while let last = rest.last, isOut(last) { rest.removeLast() }
    return rest
  }
}
