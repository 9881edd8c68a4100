extension Definition {
  /// A value given at the start of a run, `--param name=value`, and used as `${params.name}`.
  public struct Parameter: Sendable, Hashable {
    /// Most values that `choices` may hold.
    public static let maximumChoices = 1_000

    /// JSON types; an `integer` is a number without fraction.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
      /// A text.
      case string
      /// A number without fraction that fits 64 bits; `3.0` is one.
      case integer
      /// Any number.
      case number
      /// `true` or `false`.
      case boolean
      /// With elements of any kind.
      case array
      /// With members of any kind.
      case object
    }

    /// `[A-Za-z0-9_-]{1,128}`.
    public var name: String
    /// For people; stands behind the name where a value is missing or refused. Empty: none.
    public var description: String
    /// nil: the parameter must be given.
    public var fallback: JSON?
    /// nil: any JSON value.
    public var kind: Kind?
    /// The values that are allowed; nil: all of the kind.
    public var choices: [JSON]?
    /// Smallest and largest number, for the kinds `integer` and `number`.
    public var minimum: JSON?
    /// A number of the kinds `integer` and `number`, not below `minimum`; nil: there is no upper bound.
    public var maximum: JSON?

    /// By default it takes any JSON value, and one must be given. Nothing is checked here: `DefinitionChecker.check` does that.
    public init(
      _ name: String, description: String = "", fallback: JSON? = nil, kind: Kind? = nil, choices: [JSON]? = nil, minimum: JSON? = nil,
      maximum: JSON? = nil
    ) {
      self.name = name
      self.description = description
      self.fallback = fallback
      self.kind = kind
      self.choices = choices
      self.minimum = minimum
      self.maximum = maximum
    }

    /// What is wrong with a value, as what it must be; nil: nothing.
    func refusal(of value: JSON) -> String? {
      if let kind, !kind.holds(value) { return "must be \(kind.words)" }
      if let choices, !choices.contains(where: { $0.isSame(as: value) }) {
        let shown = choices.prefix(8).map { $0.string ?? $0.text() }.joined(separator: ", ")
        return "must be one of \(shown)\(choices.count > 8 ? " and \(choices.count - 8) more" : "")"
      }
      if let minimum, let order = value.order(to: minimum), order < 0 { return "must be at least \(minimum.text())" }
      if let maximum, let order = value.order(to: maximum), order > 0 { return "must be at most \(maximum.text())" }
      return nil
    }

    /// What is wrong with the declaration itself, in the order of its fields; the fields by their names in a file.
    var faults: [(field: String, message: String, fix: String)] {
      var faults: [(field: String, message: String, fix: String)] = []
      let label = "the parameter '\(name)'"
      if let choices {
        if choices.isEmpty { faults.append(("enum", "\(label) has an empty 'enum'", "name at least one value, or leave 'enum' out")) }
        if choices.count > Self.maximumChoices {
          faults.append(("enum", "\(label) has \(choices.count) values in 'enum'", "name at most \(Self.maximumChoices)"))
        }
        if let kind, let wrong = choices.first(where: { !kind.holds($0) }) {
          faults.append(("enum", "\(label): \(wrong.text()) in 'enum' is not \(kind.words)", "correct the value, or 'type'"))
        }
      }
      for (field, bound) in [("minimum", minimum), ("maximum", maximum)] {
        guard let bound else { continue }
        if bound.double == nil {
          faults.append((field, "\(label): '\(field)' must be a number", "write '\(field): 1'"))
        } else if kind != .integer, kind != .number {
          faults.append((field, "\(label): '\(field)' is for numbers", "write 'type: integer' or 'type: number', or remove it"))
        }
      }
      if let minimum, let maximum, let order = minimum.order(to: maximum), order > 0 {
        faults.append(("maximum", "\(label): 'maximum' (\(maximum.text())) is below 'minimum' (\(minimum.text()))", "exchange them"))
      }
      if faults.isEmpty, let fallback, let refusal = refusal(of: fallback) {
        faults.append(("default", "\(label): the default \(fallback.shownShort) \(refusal)", "correct the default"))
      }
      return faults
    }
  }
}

extension Definition.Parameter.Kind {
  func holds(_ value: JSON) -> Bool {
    switch (self, value) {
    case (.string, .string), (.number, .integer), (.number, .number), (.boolean, .bool), (.array, .array), (.object, .object): true
    case (.integer, _): value.integer != nil
    default: false
    }
  }

  /// With an article.
  var words: String {
    switch self {
    case .string: "text"
    case .integer: "a whole number"
    case .number: "a number"
    case .boolean: "true or false"
    case .array: "a list"
    case .object: "an object"
    }
  }

  /// A value as it may be given.
  var example: String {
    switch self {
    case .string: "text"
    case .integer: "1"
    case .number: "1.5"
    case .boolean: "true"
    case .array: "'[1, 2]'"
    case .object: "'{\"key\": 1}'"
    }
  }
}

extension JSON {
  /// Below, at or above zero; nil unless both are numbers. Exact.
  func order(to other: JSON) -> Int? {
    switch (self, other) {
    case (.integer(let a), .integer(let b)): a < b ? -1 : a == b ? 0 : 1
    case (.integer(let a), .number(let b)): ExpressionValue.order(a, b)
    case (.number(let a), .integer(let b)): -ExpressionValue.order(b, a)
    case (.number(let a), .number(let b)): a < b ? -1 : a == b ? 0 : 1
    default: nil
    }
  }

  /// As expressions compare: 1 and 1.0 are the same number.
  func isSame(as other: JSON) -> Bool { order(to: other).map { $0 == 0 } ?? (self == other) }

  /// For a message: at most 60 characters of the text.
  var shownShort: String {
    let text = text()
    return text.count > 60 ? text.prefix(60) + "..." : text
  }
}
