/// The item of a loop that `{{item}}` stands for.
enum ArgoItem {
  case none
  case json(JSON)
  /// A text with `{{...}}` of its own.
  case text(ArgoText)
  /// Of a `foreach`: `item`, or `index` where items are counted from 0.
  case path(String)
}

/// What `{{...}}` stands for where a template is called.
struct ArgoScope {
  /// Input parameters.
  var inputs: [String: ArgoText] = [:]
  var item = ArgoItem.none
  /// Templates around.
  var callers: [String] = []
  /// Before the ids of the tasks that come out.
  var prefix = ""
  /// Calls of the same template that were looked at before this one.
  var nodes: [String: ArgoNode] = [:]
  /// What each call of a dag waits for, and this one; nil: all `nodes` have ended.
  var needs: [String: [String]]?
  var waitsFor: [String] = []
  /// Of all templates and calls around, and of the call itself.
  var condition = ArgoCondition.always
  /// What comes out is cleanup.
  var isCleanup = false
  /// `parallelism` of the template whose only call this is.
  var parallelism: Int?
}

extension ArgoScope {
  /// A call that has ended before this one. Complexity: O(calls of the dag).
  func ended(_ name: String) -> ArgoNode? {
    guard let node = nodes[name] else { return nil }
    guard let needs else { return node }
    var seen = Set(waitsFor)
    var open = waitsFor
    while let next = open.popLast() {
      if next == name { return node }
      for need in needs[next, default: []] where seen.insert(need).inserted { open.append(need) }
    }
    return nil
  }
}

/// A call of a template, as far as others can see it.
struct ArgoNode {
  /// The tasks that end it: what comes after waits for these.
  var ends: [String]
  /// The one task that it is.
  var task: String?
  /// That task is a program, whose output is a result.
  var hasResult = false
  var isLoop = false
  /// It became cleanup, beside tasks that did not: nothing waits for it.
  var isApart = false
  /// `outputs.parameters` of its template.
  var outputs: [String: ArgoText] = [:]
  /// Whether `depends` holds.
  var runs = ArgoCondition.always
  /// Whether `when` holds.
  var passes = ArgoCondition.always

  /// Where nothing has failed.
  var succeeds: ArgoCondition {
    let holds = runs && passes
    if holds == .always || holds == .never { return holds }
    return status("COMPLETED") ?? holds
  }

  /// By `when`, where nothing has failed.
  var isSkipped: ArgoCondition {
    let holds = runs && !passes
    return holds == .never || runs != .always ? holds : status("SKIPPED") ?? holds
  }

  private func status(_ word: String) -> ArgoCondition? {
    task.map { ArgoCondition("tasks\(Expression.selector($0)).status == \"\(word)\"", .comparison) }
  }
}

/// What stands in `{{...}}`.
extension ArgoReader {
  /// A text with its `{{...}}` looked up. Those that are no names of Argo's are told, and stay as they stand.
  mutating func read(_ text: String, _ scope: ArgoScope, at position: Position) -> ArgoText {
    var result = ArgoText()
    var rest = text[...]
    while let open = rest.firstRange(of: "{{") {
      result.append(.text(String(rest[..<open.lowerBound])))
      guard let close = rest[open.upperBound...].firstRange(of: "}}") else {
        rest = rest[open.lowerBound...]
        break
      }
      let whole = rest[open.lowerBound..<close.upperBound]
      let name = rest[open.upperBound..<close.lowerBound].filter { $0 != " " }
      if name.hasPrefix("=") {
        result.append(expression(String(rest[open.upperBound..<close.lowerBound]), scope))
      } else if ArgoNames.roots.contains(String(name.prefix { $0 != "." })) {
        result.append(names.value(name, scope))
      } else {
        result.append(.text(String(whole)))
        note("'\(whole.prefix(80))' is not replaced", fix: "write what it stands for", at: position)
      }
      rest = rest[close.upperBound...]
    }
    result.append(.text(String(rest)))
    result.place(at: position)
    return result
  }

  /// `=inputs.parameters["x"]`: a name of expr's. Nothing else of it can be put into a text.
  private func expression(_ text: String, _ scope: ArgoScope) -> ArgoText {
    let names = names
    var parser = ArgoConditionParser(.expr) { names.value($0, scope) }
    do throws(ArgoRefusal) {
      return try parser.name(String(text.drop { $0 == " " }.dropFirst()))
    } catch {
      return ArgoText(.unknown(text, reason: "is an expression that is not imported"))
    }
  }
}

/// The names that are known everywhere.
struct ArgoNames {
  /// Words that Argo's names begin with. Others are text for somebody else, as `{{.ID}}`.
  static let roots: Set<String> = [
    "workflow", "inputs", "outputs", "tasks", "steps", "item", "pod", "node", "retries", "lastRetry", "cronworkflow",
  ]

  /// Parameters, as they were and as ours.
  var parameters: [String: String] = [:]
  /// Parameters of ours that are used as values, not as text.
  var values: Set<String> = []
  /// Each run has a name of its own.
  var isGenerated = false

  /// What a name stands for.
  func value(_ name: String, _ scope: ArgoScope) -> ArgoText {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    let unknown = { (reason: String) in ArgoText(.unknown(name, reason: reason)) }
    switch parts[0] {
    case "workflow": return workflow(parts, scope) ?? unknown("has no counterpart")
    case "inputs":
      guard parts.count > 2, parts[1] == "parameters" else { return unknown("has no counterpart") }
      return scope.inputs[parts[2...].joined(separator: ".")] ?? unknown("has no value here")
    case "item": return item(parts, scope.item) ?? unknown("stands for no item here")
    case "tasks", "steps":
      guard parts.count > 2 else { return unknown("has no counterpart") }
      guard let node = scope.ended(parts[1]) else { return unknown("is of no task that has ended before") }
      return output(Array(parts[2...]), of: node)
        ?? unknown("has no counterpart: only 'status', and 'outputs.result' of a single program, have")
    default: return unknown("has no counterpart")
    }
  }

  private func workflow(_ parts: [String], _ scope: ArgoScope) -> ArgoText? {
    let rest = parts.dropFirst().joined(separator: ".")
    switch rest {
    case "name":
      let name = ArgoText(.value(.one(.text, "run.workflow")))
      return isGenerated ? ArgoText(.value(.one(.text, "run.workflow")), .text("-"), .value(.one(.text, "run.id"))) : name
    case "uid": return ArgoText(.value(.one(.text, "run.id")))
    case "status" where scope.isCleanup: return ArgoText(.value(.one(.runStatus, "run.status")))
    default:
      guard rest.hasPrefix("parameters."), let ours = parameters[String(rest.dropFirst(11))] else { return nil }
      return ArgoText(.value(.parameter(ours, isValue: values.contains(ours))))
    }
  }

  private func item(_ parts: [String], _ item: ArgoItem) -> ArgoText? {
    let member = parts.count > 1 ? parts[1...].joined(separator: ".") : nil
    switch item {
    case .none: return nil
    case .text(let text): return member == nil ? text : nil
    case .json(let value):
      let part = member.map { value[$0] } ?? value
      return part.map { ArgoText(.text($0.string ?? $0.text())) }
    case .path(let path):
      if path == "index", member != nil { return nil }
      return ArgoText(.value(.one(.json, path + (member.map(Expression.selector) ?? ""))))
    }
  }

  private func output(_ parts: [String], of node: ArgoNode) -> ArgoText? {
    switch (parts.first, node.task) {
    case ("status", let task?) where parts.count == 1: return ArgoText(.value(.status(of: task)))
    case ("outputs", let task?) where parts == ["outputs", "result"] && node.hasResult && !node.isLoop:
      return ArgoText(.value(.result(of: task)))
    case ("outputs", _) where parts.count > 2 && parts[1] == "parameters": return node.outputs[parts[2...].joined(separator: ".")]
    default: return nil
    }
  }
}
