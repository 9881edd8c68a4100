/// What a call is done for.
enum ArgoLoop {
  case once
  case items([ArgoItem])
  /// Items that only the run knows: a `foreach` of ours, and what `{{item}}` is there.
  case foreach(JSON, item: String)
  /// Nothing that could be said here, and why.
  case unknown(String)
}

/// `withItems`, `withParam` and `withSequence`.
extension ArgoReader {
  mutating func loop(_ call: Located, _ scope: ArgoScope) -> ArgoLoop {
    if let list = call["withItems"] {
      guard let elements = list.elements else { return .unknown("'withItems' is no list") }
      return .items(elements.map { item($0, scope) })
    }
    if let parameter = call["withParam"] { return loop(over: read(parameter.plainText, scope, at: parameter.position)) }
    if let sequence = call["withSequence"] { return loop(sequence: sequence, scope) }
    return .once
  }

  private mutating func item(_ element: Located, _ scope: ArgoScope) -> ArgoItem {
    guard let text = element.string, text.contains("{{") else { return .json(element.json) }
    return .text(read(text, scope, at: element.position))
  }

  private mutating func loop(over list: ArgoText) -> ArgoLoop {
    if let refusal = list.refusal { return .unknown(refusal.reason) }
    if let text = list.constant {
      do throws(JSONSyntaxError) {
        guard let elements = try JSON(parsing: text).array else { return .unknown("'withParam' is no list") }
        return .items(elements.map { .json($0) })
      } catch {
        return .unknown("'withParam' is no list in JSON: \(error.message)")
      }
    }
    guard let value = list.value, value.kind == .text || value.kind == .json else {
      return .unknown("its list is put together of several parts")
    }
    return .foreach(.string("${\(needs.asValue(value))}"), item: "item")
  }

  // MARK: Sequences

  private enum End {
    case number(Int)
    case value(ArgoValue)
  }

  private mutating func loop(sequence: Located, _ scope: ArgoScope) -> ArgoLoop {
    var ends: [String: End] = [:]
    for key in ["start", "end", "count"] {
      guard let given = sequence[key] else { continue }
      let text = read(given.plainText, scope, at: given.position)
      if let refusal = text.refusal { return .unknown(refusal.reason) }
      if let number = text.constant.flatMap({ Int($0) }) {
        ends[key] = .number(number)
      } else if let value = text.value, value.kind == .text || value.kind == .json {
        ends[key] = .value(value)
      } else {
        return .unknown("'\(key)' of its sequence is no whole number")
      }
    }
    let format = sequence["format"]?.plainText
    switch (ends["start"] ?? .number(0), ends["end"], ends["count"]) {
    case (.number(let start), nil, .number(let count)?):
      guard 0...ArgoWorkflow.maximumTasks ~= count, !start.addingReportingOverflow(count).overflow else {
        return .unknown("its sequence is too long")
      }
      return numbers((0..<count).map { start + $0 }, format)
    case (.number(let start), .number(let end)?, nil):
      guard let length = start.distance(checkedTo: end), length < ArgoWorkflow.maximumTasks else {
        return .unknown("its sequence is too long")
      }
      return numbers(Array(stride(from: start, through: end, by: end < start ? -1 : 1)), format)
    case (.number(0), nil, .value(let count)?) where format == nil:
      // There are as many numbers from 1 to `count`, and the index of each is the one that is wanted.
      return .foreach(["from": 1, "to": .string("${\(needs.asValue(count))}")], item: "index")
    case (let start, let end?, nil) where format == nil:
      note(
        "a sequence to a value counts up here: if its end is below its start, nothing is done", fix: "look whether that happens",
        at: sequence.position)
      return .foreach(["from": json(start), "to": json(end)], item: "item")
    default: return .unknown("its sequence needs arithmetic, or a format, while it runs")
    }
  }

  private mutating func json(_ end: End) -> JSON {
    switch end {
    case .number(let number): .integer(Int64(number))
    case .value(let value): .string("${\(needs.asValue(value))}")
    }
  }

  private func numbers(_ numbers: [Int], _ format: String?) -> ArgoLoop {
    guard let format else { return .items(numbers.map { .json(.string("\($0)")) }) }
    guard let format = ArgoNumberFormat(format) else { return .unknown("the format of its sequence is not known here") }
    return .items(numbers.map { .json(.string(format.text($0))) })
  }
}

extension Int {
  /// How far away; nil: farther than can be said.
  fileprivate func distance(checkedTo other: Int) -> Int? {
    let (distance, overflow) = other.subtractingReportingOverflow(self)
    return overflow || distance == .min ? nil : abs(distance)
  }
}

/// `user%02X`: a number in a text, as Go's formats write it: `d`, `x`, `X`, `o` and `b`, with a width.
struct ArgoNumberFormat {
  private let before: String
  private let after: String
  private let verb: Character
  private let width: Int
  private let isZeroFilled: Bool
  /// Of a width.
  private static let maximumWidth = 64

  /// nil: it is no such format.
  init?(_ text: String) {
    let parts = text.replacing("%%", with: "\u{0}").split(separator: "%", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    let digits = parts[1].prefix { $0.isASCII && $0.isNumber }
    let rest = parts[1].dropFirst(digits.count)
    guard let verb = rest.first, "dxXob".contains(verb), digits.isEmpty || Int(digits) != nil else { return nil }
    width = Int(digits) ?? 0
    guard width <= Self.maximumWidth else { return nil }
    self.verb = verb
    isZeroFilled = digits.first == "0"
    before = String(parts[0].replacing("\u{0}", with: "%"))
    after = String(rest.dropFirst().replacing("\u{0}", with: "%"))
  }

  func text(_ number: Int) -> String {
    let radix = ["x": 16, "X": 16, "o": 8, "b": 2][verb] ?? 10
    let digits = String(number.magnitude, radix: radix, uppercase: verb == "X")
    let sign = number < 0 ? "-" : ""
    let fill = String(repeating: isZeroFilled ? "0" : " ", count: Swift.max(0, width - digits.count - sign.count))
    return before + (isZeroFilled ? sign + fill : fill + sign) + digits + after
  }
}
