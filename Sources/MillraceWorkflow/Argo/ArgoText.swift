/// A value that only a run knows, in our words.
struct ArgoValue: Hashable {
  enum Kind: Hashable {
    /// Text: a parameter, what a program wrote, an id.
    case text
    /// Any JSON: an item, or a parameter that is used as a number, a list, `true` or `false`.
    case json
    /// A status word of a task, and of the run: words of ours, not of Argo's.
    case status, runStatus
  }

  var kind: Kind
  /// An expression that gives the text; that of a `json` gives the value.
  var text: String
  /// An expression that gives what the text stands for: the number, the list, `true`, or the text itself.
  var value: String
  /// The parameter of ours that it is.
  var parameter: String?
  /// The task whose result it is.
  var result: String?

  static func parameter(_ name: String, isValue: Bool) -> ArgoValue {
    let path = "params" + Expression.selector(name)
    return ArgoValue(kind: isValue ? .json : .text, text: path, value: path, parameter: name)
  }

  static func result(of task: String) -> ArgoValue {
    let path = "tasks" + Expression.selector(task) + ".output"
    return ArgoValue(kind: .text, text: path + ".result", value: path + ".value", result: task)
  }

  static func status(of task: String) -> ArgoValue { one(.status, "tasks" + Expression.selector(task) + ".status") }

  static func one(_ kind: Kind, _ path: String) -> ArgoValue { ArgoValue(kind: kind, text: path, value: path) }
}

/// A text of Argo's after its `{{...}}` have been looked up.
struct ArgoText: Hashable {
  enum Part: Hashable {
    case text(String)
    case value(ArgoValue)
    /// `{{...}}` that has no counterpart, why, and where it stands.
    case unknown(String, reason: String, at: Position? = nil)
  }

  /// Texts beside each other are one, and none is empty.
  private(set) var parts: [Part] = []

  init(_ parts: Part...) { for part in parts { append(part) } }

  mutating func append(_ part: Part) {
    guard case .text(let more) = part else { return parts.append(part) }
    if case .text(let text)? = parts.last { parts[parts.count - 1] = .text(text + more) } else if !more.isEmpty { parts.append(part) }
  }

  mutating func append(_ other: ArgoText) { for part in other.parts { append(part) } }

  /// The text, if nothing in it depends on the run.
  var constant: String? {
    if parts.isEmpty { return "" }
    if parts.count == 1, case .text(let text) = parts[0] { return text }
    return nil
  }

  /// The value, if it is all there is.
  var value: ArgoValue? {
    if parts.count == 1, case .value(let value) = parts[0] { return value }
    return nil
  }

  /// The first part without a counterpart, as a reason, and where it stands.
  var refusal: (reason: String, position: Position?)? {
    for case .unknown(let name, let reason, let position) in parts { return ("'{{\(name.prefix(80))}}' \(reason)", position) }
    return nil
  }

  /// Says where the parts stand of which that is not known yet.
  mutating func place(at position: Position) {
    for (index, part) in parts.enumerated() {
      if case .unknown(let name, let reason, nil) = part { parts[index] = .unknown(name, reason: reason, at: position) }
    }
  }

  /// As a text of a definition, in which `${` that stood there means nothing. What has no counterpart stays as it stands.
  var template: String {
    if let value, value.kind == .json {
      // A whole text keeps the type of its value, and text is wanted: beside other text it is put as text.
      return "${\(value.text)}${''}"
    }
    var result = ""
    for part in parts {
      switch part {
      case .text(let text): result += Self.escaped(text)
      case .unknown(let name, _, _): result += Self.escaped("{{\(name)}}")
      case .value(let value):
        if result.last == "$" { result = result.dropLast() + "${'$'}" }
        result += "${\(value.text)}"
      }
    }
    return result
  }

  /// With `${` as a literal of ours.
  static func escaped(_ text: some StringProtocol) -> String { String(text).replacing("${", with: "$${") }
}

/// What a definition must give so that its expressions have values.
struct ArgoNeeds: Equatable {
  /// Parameters of ours that are used as values, not as text.
  var parameters: Set<String> = []
  /// Tasks whose results are asked for.
  var results: Set<String> = []

  mutating func asText(_ value: ArgoValue) -> String {
    if let task = value.result { results.insert(task) }
    return value.text
  }

  mutating func asValue(_ value: ArgoValue) -> String {
    if let task = value.result { results.insert(task) }
    if let parameter = value.parameter { parameters.insert(parameter) }
    return value.value
  }

  mutating func add(_ text: ArgoText) {
    for case .value(let value) in text.parts { _ = asText(value) }
  }

  mutating func add(_ other: ArgoNeeds) {
    parameters.formUnion(other.parameters)
    results.formUnion(other.results)
  }
}
