/// Holds an input against a schema. What an expression will give is unknown, but for its type where that can be told.
struct SchemaChecker {
  /// What is wrong with a value, and where.
  struct Finding {
    var code: Fault.Code
    var message: String
    var fix: String
    var position: Position
  }

  let schema: InputSchema
  /// Types of the parameters that say so.
  let kinds: [String: Definition.Parameter.Kind]
  /// `task 'a'`.
  let label: String
  /// What the value is called in messages.
  let root: String
  private var steps = 0
  /// Something was met that cannot be judged.
  private var isUncertain = false
  private var nearest = NearestName()

  init(_ schema: InputSchema, label: String, root: String = "input", kinds: [String: Definition.Parameter.Kind] = [:]) {
    self.schema = schema
    self.label = label
    self.root = root
    self.kinds = kinds
  }

  private func place(_ path: String) -> String { path == root ? "the \(root) of \(label)" : "\(path) of \(label)" }

  mutating func findings(_ value: Located) -> [Finding] { check(value, 0, path: root, depth: 0) }

  private mutating func check(_ value: Located, _ number: Int, path: String, depth: Int) -> [Finding] {
    steps += 1
    guard depth < InputSchema.maximumDepth, steps < InputSchema.maximumSteps else {
      isUncertain = true
      return []
    }
    let node = schema.nodes[number]
    if node.isPartial { isUncertain = true }
    if node.isNever {
      return [Finding(code: .badValue, message: "\(place(path)) may not be there", fix: "remove it", position: value.position)]
    }
    let kinds = kinds(of: value)
    guard !node.kinds.isDisjoint(with: kinds) else { return [wrongType(value, node, path, kinds)] }
    if !node.kinds.isSuperset(of: kinds) { isUncertain = true }
    var findings = scalar(value, node, path)
    if findings.isEmpty {
      switch value.content {
      case .map(let entries): findings = object(value, entries, node, path)
      case .list(let elements): findings = array(value, elements, node, path)
      case .scalar: break
      }
    }
    if let reference = node.reference { findings += check(value, reference, path: path, depth: depth + 1) }
    for part in node.allOf { findings += check(value, part, path: path, depth: depth + 1) }
    if !node.anyOf.isEmpty { findings += choice(value, node.anyOf, isOne: false, path, depth) }
    if !node.oneOf.isEmpty { findings += choice(value, node.oneOf, isOne: true, path, depth) }
    return findings
  }

  // MARK: Types

  /// The types that the value may have.
  private func kinds(of value: Located) -> InputSchema.Kinds {
    switch value.content {
    case .list: return .array
    case .map: return .object
    case .scalar(.null): return .null
    case .scalar(.bool): return .boolean
    case .scalar(let scalar) where scalar.double != nil: return scalar.integer == nil ? .fraction : .integer
    case .scalar:
      guard let expression = expression(value) else { return .string }
      return expression.kinds(self.kinds)
    }
  }

  /// The expression that is the whole value.
  private func expression(_ value: Located) -> Expression? { value.string.flatMap { (try? Template($0))?.whole } }

  /// A text without expressions, as the handler gets it.
  private func literal(_ value: Located) -> JSON? {
    guard let text = value.string else { return value.scalar }
    // What is no expression has been told.
    guard let template = try? Template(text) else { return text.contains("${") ? nil : .string(text) }
    guard template.parts.count <= 1 else { return nil }
    switch template.parts.first {
    case .text(let text)?: return .string(text)
    case .expression?: return nil
    case nil: return .string("")
    }
  }

  private func wrongType(_ value: Located, _ node: InputSchema.Node, _ path: String, _ kinds: InputSchema.Kinds) -> Finding {
    let wanted = node.kinds.words
    guard expression(value) != nil else {
      let isFraction = kinds == .fraction && node.kinds.contains(.integer)
      let shown = isFraction ? value.json.text() : value.kind
      let quoted = node.kinds.contains(.string) && (value.scalar.map { !$0.isNull } ?? false)
      return Finding(
        code: .wrongType, message: "\(place(path)) must be \(wanted), not \(shown)",
        fix: quoted ? "put it in quotes: \"\(value.json.text())\"" : "write \(wanted)", position: value.position)
    }
    return Finding(
      code: .wrongType, message: "\(place(path)) must be \(wanted); the expression gives \(kinds.words)", fix: "use a value of that type",
      position: value.position)
  }

  // MARK: Values

  private mutating func scalar(_ value: Located, _ node: InputSchema.Node, _ path: String) -> [Finding] {
    if let choices = node.choices {
      guard let json = literalTree(value) else {
        isUncertain = true
        return []
      }
      if !choices.contains(where: { $0.isSame(as: json) }) {
        let words = choices.compactMap(\.string)
        let near = json.string.flatMap { nearest.nearest(to: $0, among: words) }
        let shown = choices.prefix(8).map { $0.string ?? $0.text() }.joined(separator: ", ")
        let rest = choices.count > 8 ? " and \(choices.count - 8) more" : ""
        return [
          Finding(
            code: .badValue,
            message: "\(place(path)) is \(json.shownShort); it must be \(choices.count == 1 ? "" : "one of ")\(shown)\(rest)",
            fix: near.map { "did you mean '\($0)'?" } ?? "write \(choices.count == 1 ? "that" : "one of these")", position: value.position)
        ]
      }
    }
    guard let json = literal(value) else {
      if node.minimum != nil || node.maximum != nil || node.length != nil { isUncertain = true }
      return []
    }
    if let text = json.string, let length = node.length, !length.contains(text.unicodeScalars.count) {
      let count = text.unicodeScalars.count
      let isShort = count < length.lowerBound
      return [
        outside(
          "\(place(path)) has \(count) \(count == 1 ? "character" : "characters")", isShort ? length.lowerBound : length.upperBound,
          isShort,
          value)
      ]
    }
    for case (let bound?, let way) in [(node.minimum, -1), (node.maximum, 1)] {
      guard let order = json.order(to: bound.value), order == way || order == 0 && bound.isExclusive else { continue }
      let limit = bound.isExclusive ? (way < 0 ? "above" : "below") : (way < 0 ? "at least" : "at most")
      return [
        Finding(
          code: .badValue, message: "\(place(path)) is \(json.text()); it must be \(limit) \(bound.value.text())",
          fix: "write a number that is \(limit) \(bound.value.text())", position: value.position)
      ]
    }
    return []
  }

  private func outside(_ what: String, _ limit: Int, _ isShort: Bool, _ value: Located) -> Finding {
    Finding(
      code: .badValue, message: "\(what); there must be at \(isShort ? "least" : "most") \(limit)",
      fix: isShort ? "write more" : "write fewer", position: value.position)
  }

  /// The value, if there is no expression in it.
  private func literalTree(_ value: Located) -> JSON? {
    if value.scalar != nil { return literal(value) }
    let json = value.json
    return json.mayHoldExpressions ? nil : json
  }

  // MARK: Parts

  private mutating func object(_ value: Located, _ entries: [Located.Entry], _ node: InputSchema.Node, _ path: String) -> [Finding] {
    var findings: [Finding] = []
    for entry in entries {
      let inner = "\(path).\(entry.name)"
      if let known = node.properties.first(where: { $0.name == entry.name }) {
        findings += check(entry.value, known.node, path: inner, depth: 0)
        continue
      }
      switch node.others {
      case .any: break
      case .schema(let number): findings += check(entry.value, number, path: inner, depth: 0)
      case .none:
        let names = node.properties.map(\.name)
        let near = nearest.nearest(to: entry.name, among: names)
        findings.append(
          Finding(
            code: .unknownKey, message: "unknown key '\(entry.name.prefix(80))' in \(place(path))",
            fix: near.map { "did you mean '\($0)'?" } ?? (names.isEmpty ? "remove it" : "the keys are \(names.joined(separator: ", "))"),
            position: entry.position))
      }
    }
    for name in node.required where !entries.contains(where: { $0.name == name }) {
      findings.append(
        Finding(
          code: .missing, message: "\(place(path)) has no '\(name)'",
          fix: "add '\(name): \(example(node.properties.first { $0.name == name }?.node))'",
          position: value.position))
    }
    return findings
  }

  private func example(_ number: Int?) -> String {
    guard let node = number.map({ schema.nodes[$0] }) else { return "VALUE" }
    if let choice = node.choices?.first { return choice.string ?? choice.text() }
    if node.kinds == .string { return "TEXT" }
    if node.kinds == .array { return "[...]" }
    if node.kinds == .object { return "{...}" }
    if node.kinds.isSubset(of: .number) { return node.minimum?.value.text() ?? "1" }
    return node.kinds == .boolean ? "true" : "VALUE"
  }

  private mutating func array(_ value: Located, _ elements: [Located], _ node: InputSchema.Node, _ path: String) -> [Finding] {
    var findings: [Finding] = []
    if let count = node.count, !count.contains(elements.count) {
      let isShort = elements.count < count.lowerBound
      findings.append(
        outside(
          "\(place(path)) has \(elements.count) \(elements.count == 1 ? "element" : "elements")",
          isShort ? count.lowerBound : count.upperBound,
          isShort, value))
    }
    for (index, element) in elements.enumerated() {
      guard let number = index < node.first.count ? node.first[index] : node.items else { continue }
      findings += check(element, number, path: "\(path)[\(index)]", depth: 0)
    }
    return findings
  }

  // MARK: Choices

  private mutating func choice(_ value: Located, _ nodes: [Int], isOne: Bool, _ path: String, _ depth: Int) -> [Finding] {
    let before = isUncertain
    var fitting: [Int] = []
    var open = 0
    var failures: [[Finding]] = []
    for number in nodes {
      isUncertain = false
      let findings = check(value, number, path: path, depth: depth + 1)
      if !findings.isEmpty { failures.append(findings) } else if isUncertain { open += 1 } else { fitting.append(number) }
    }
    isUncertain = before || open > 0
    if fitting.isEmpty, open == 0 {
      // What is wrong within the value, if only one of the shapes is of its type; or what each of them misses.
      let near = failures.filter { $0.contains { $0.code != .wrongType || $0.position != value.position } }
      if near.count == 1 { return near[0] }
      let names = nodes.flatMap { schema.nodes[$0].required }
      if failures.allSatisfy({ $0.allSatisfy { $0.code == .missing && $0.position == value.position } }), names.count == nodes.count {
        let list = names.map { "no '\($0)'" }.joined(separator: " and ")
        return [Finding(code: .missing, message: "\(place(path)) has \(list)", fix: "add one of them", position: value.position)]
      }
      return [
        Finding(
          code: .badValue, message: "\(place(path)) is none of the \(nodes.count) things that it may be",
          fix: failures.first?.first?.message ?? "look at the handler's schema: millrace plugin list -o json", position: value.position)
      ]
    }
    guard isOne, fitting.count > 1 else { return [] }
    let names = fitting.flatMap { schema.nodes[$0].required }
    let what = names.count < 2 ? "is \(fitting.count) things at once" : "has \(names.map { "'\($0)'" }.joined(separator: " and "))"
    return [
      Finding(
        code: .badValue, message: "\(place(path)) \(what), and may only be one of \(nodes.count) things",
        fix: "remove what belongs to the others",
        position: value.position)
    ]
  }
}

extension Expression {
  /// The types that the value may have, by the expression alone.
  func kinds(_ parameters: [String: Definition.Parameter.Kind]) -> InputSchema.Kinds { kinds(nodes.count - 1, parameters) }

  private func kinds(_ index: Int, _ parameters: [String: Definition.Parameter.Kind]) -> InputSchema.Kinds {
    let node = nodes[index]
    switch node.operation {
    case .null: return .null
    case .true, .false, .not, .and, .or, .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual, .in, .notIn: return .boolean
    case .size: return .integer
    case .constant:
      switch constants[Int(node.operand)].value {
      case .string: return .string
      case .array: return .array
      case .integer: return .integer
      default: return .fraction
      }
    case .fallback: return kinds(Int(node.operand), parameters).subtracting(.null).union(kinds(index - 1, parameters))
    case .path:
      if node.selectors > 0 { return .all }
      switch roots[node.root] {
      case .parameter(let name): return parameters[name]?.kinds ?? .all
      case .status, .runID, .runStatus, .runWorkflow, .secret: return .string
      case .index: return .integer
      default: return .all
      }
    case .member, .index: return .all
    }
  }
}

extension Definition.Parameter.Kind {
  fileprivate var kinds: InputSchema.Kinds {
    switch self {
    case .string: .string
    case .integer: .integer
    case .number: .number
    case .boolean: .boolean
    case .array: .array
    case .object: .object
    }
  }
}

extension InputSchema.Kinds {
  /// With articles.
  var words: String {
    var words: [String] = []
    for (kind, word) in [(Self.string, "text"), (.boolean, "true or false"), (.array, "a list"), (.object, "a map"), (.null, "nothing")]
    where contains(kind) { words.append(word) }
    if contains(.fraction) { words.append("a number") } else if contains(.integer) { words.append("a whole number") }
    return words.joined(separator: " or ")
  }
}

extension Located {
  /// A value that stands nowhere. Recursive: as deep as the value.
  init(_ json: JSON) {
    switch json {
    case .array(let elements): self.init(content: .list(elements.map(Located.init)), position: .start)
    case .object(let members):
      self.init(content: .map(members.map { Entry(name: $0.name, position: .start, value: Located($0.value)) }), position: .start)
    default: self.init(content: .scalar(json), position: .start)
    }
  }
}

extension JSON {
  /// Whether no part of the value is nested deeper.
  func depth(below limit: Int) -> Bool { limit > 0 && children.allSatisfy { $0.depth(below: limit - 1) } }
}

extension InputSchema {
  /// Tells what is wrong with a task's input. `value` is nil if it has none: then it gets null, and a schema for objects alone is held against an
  /// empty one, which is what its handler will make of that.
  func check(
    _ value: Located?, of label: String, id: String, at position: Position, _ kinds: [String: Definition.Parameter.Kind],
    _ faults: inout FaultList, _ nearest: inout NearestName, isPlaced: Bool = true
  ) {
    var checker = SchemaChecker(self, label: label, kinds: kinds)
    var findings = checker.findings(value ?? Located(content: .scalar(.null), position: position))
    if !findings.isEmpty, value.map({ $0.scalar?.isNull ?? false }) ?? true {
      findings = checker.findings(Located(content: .map([]), position: value?.position ?? position))
    }
    for finding in findings {
      faults.add(finding.code, finding.message, fix: finding.fix, at: isPlaced ? finding.position : nil, task: id)
    }
  }
}
