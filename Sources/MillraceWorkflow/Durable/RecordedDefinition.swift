/// A definition as a durable run records it: its canonical form, one JSON text a line, so that a run can be gone on with whatever has become of the file it
/// came from.
extension Definition {
  /// Complexity: O(tasks + dependencies + inputs).
  package var recorded: [UInt8] {
    var text: [UInt8] = []
    writeCanonicalForm {
      text += $0
      text.append(UInt8(ascii: "\n"))
    }
    return text
  }

  /// What `recorded` gave. Throws `RecordError`.
  package init(recorded text: some Collection<UInt8>) throws(RecordError) {
    var lines = RecordedDefinition.values(text).makeIterator()
    guard let first = lines.next() else { throw RecordError("a recorded definition is empty") }
    let head = try RecordReader(line: first)
    self.init(try head.text("workflow"))
    kind = try head.optionalWord("kind") ?? .workflow
    version = try head.optionalInteger("version")
    versionPolicy = try head.optionalWord("version_policy") ?? .pinned
    durability = try head.optionalWord("durability") ?? .none
    parameters = try head.list("parameters").map(Parameter.init(canonical:))
    if let defaults = head["defaults"] { self.defaults = try Policy(canonical: defaults) }
    onFailure = try head.optionalWord("on_failure") ?? .failFast
    result = try head.optionalText("result")
    if let concurrency = head["concurrency"] { self.concurrency = try RunConcurrency(canonical: concurrency) }
    var isCleanup: Bool?
    while let line = lines.next() {
      let reader = try RecordReader(line: line)
      switch (reader.value, isCleanup) {
      case (.string("tasks"), nil): isCleanup = false
      case (.string("cleanup"), false?): isCleanup = true
      case (.array(let parts), nil) where parts.count == 3:
        guard let name = parts[0].string else { throw reader.unexpected }
        arguments.append(Argument(name, parts[1], of: try Parameter(canonical: parts[2])))
      case (.object, false?): tasks.append(try TaskDefinition(canonical: reader))
      case (.object, true?): cleanup.append(try TaskDefinition(canonical: reader))
      default: throw reader.unexpected
      }
    }
  }
}

private enum RecordedDefinition {
  /// The JSON texts that stand one behind the other: on lines of their own, or, of a child workflow, without anything between them. Complexity: O(bytes).
  static func values(_ text: some Collection<UInt8>) -> [[UInt8]] {
    var values: [[UInt8]] = []
    var value: [UInt8] = []
    var (depth, isText, isEscaped) = (0, false, false)
    for byte in text {
      if value.isEmpty, byte == UInt8(ascii: "\n") { continue }
      value.append(byte)
      if isText {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isText = false
        }
        if isText { continue }
      } else {
        switch byte {
        case UInt8(ascii: "\""): isText = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        default: break
        }
        if isText { continue }
      }
      if depth == 0 {
        values.append(value)
        value = []
      }
    }
    return value.isEmpty ? values : values + [value]
  }
}

/// A record that does not read as what it is.
package struct RecordError: Error, Sendable, Hashable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// Members of a record, each with an error that names it.
struct RecordReader {
  let value: JSON

  init(_ value: JSON) { self.value = value }

  init(line: some Collection<UInt8>) throws(RecordError) {
    do throws(JSONSyntaxError) {
      value = try JSON(parsing: Array(line))
    } catch { throw RecordError("a record is no JSON: \(error)") }
  }

  subscript(name: String) -> JSON? { value[name] }

  var unexpected: RecordError { RecordError("a record has an unexpected part: \(value.shownShort)") }

  func missing(_ name: String) -> RecordError { RecordError("a record has no '\(name)', or an unreadable one: \(value.shownShort)") }

  func text(_ name: String) throws(RecordError) -> String {
    guard let text = value[name]?.string else { throw missing(name) }
    return text
  }
  func optionalText(_ name: String) throws(RecordError) -> String? { value[name] == nil ? nil : try text(name) }

  func integer(_ name: String) throws(RecordError) -> Int64 {
    guard let number = value[name]?.integer else { throw missing(name) }
    return number
  }
  func optionalInteger(_ name: String) throws(RecordError) -> Int? { value[name] == nil ? nil : Int(try integer(name)) }
  func optionalWhole(_ name: String) throws(RecordError) -> UInt64? { value[name] == nil ? nil : UInt64(clamping: try integer(name)) }

  func word<Word: RawRepresentable<String>>(_ name: String) throws(RecordError) -> Word {
    guard let word = Word(rawValue: try text(name)) else { throw missing(name) }
    return word
  }
  func optionalWord<Word: RawRepresentable<String>>(_ name: String) throws(RecordError) -> Word? {
    value[name] == nil ? nil : try word(name)
  }

  func list(_ name: String) throws(RecordError) -> [JSON] {
    guard let value = value[name] else { return [] }
    guard let list = value.array else { throw missing(name) }
    return list
  }

  func texts(_ name: String) throws(RecordError) -> [String] { try RecordReader.texts(try list(name)) }

  static func texts(_ list: [JSON]) throws(RecordError) -> [String] {
    var texts: [String] = []
    for element in list {
      guard let text = element.string else { throw RecordError("a record has no text where one should be: \(element.shownShort)") }
      texts.append(text)
    }
    return texts
  }
}

extension TaskDefinition {
  fileprivate init(canonical record: RecordReader) throws(RecordError) {
    self.init(
      try record.text("id"), handler: try record.text("handler"), dependencies: try record.texts("dependencies"),
      input: record["input"] ?? .null, recordedSeconds: record["recordedSeconds"]?.double)
    if let condition = try record.optionalText("when") { self.condition = condition }
    var environment: [EnvironmentVariable] = []
    for variable in try record.list("env") {
      guard let name = variable[0]?.string, let value = variable[1]?.string else { throw record.missing("env") }
      environment.append(EnvironmentVariable(name, value))
    }
    if !environment.isEmpty { self.environment = environment }
    if let policy = record["policy"] { self.policy = try Policy(canonical: policy) }
    if let foreach = record["foreach"] { self.foreach = try Foreach(canonical: foreach) }
    if let parallelism = try record.optionalInteger("parallelism") { self.parallelism = parallelism }
    if let wait = record["wait"] {
      guard let kind = wait[0]?.string, let text = wait[1]?.string, let known = Wait(kind: kind, text) else { throw record.missing("wait") }
      self.wait = known
    }
    if let compensation = record["compensation"] { self.compensation = try Compensation(canonical: compensation) }
    if record["pivot"] == .bool(true) { isPivot = true }
    if let child = record["workflow"] {
      guard let name = child[0]?.string else { throw record.missing("workflow") }
      let definition = try child[1]?.string.map { text throws(RecordError) in try Definition(recorded: Array(text.utf8)) }
      self.child = ChildWorkflow(name: name, definition: definition)
    }
  }
}

extension Compensation {
  fileprivate init(canonical value: JSON) throws(RecordError) {
    if value == "none" {
      self = .notNeeded
      return
    }
    guard let handler = value[0]?.string, let input = value[1]?.array, let rest = value[2] else {
      throw RecordReader(value).missing("compensation")
    }
    let policy = rest.isNull ? Policy() : try Policy(canonical: rest)
    self.init(handler: handler, input: input.first, retry: policy.retry, timeouts: policy.timeouts)
  }
}

extension Foreach {
  fileprivate init(canonical value: JSON) throws(RecordError) {
    switch (value[0]?.string, value.array?.count) {
    case ("list", 2): self = .list(value[1] ?? .null)
    case ("range", 4): self = .range(from: value[1] ?? .null, to: value[2] ?? .null, step: value[3] ?? .null)
    case ("files", 3): self = .files(value[1]?.string ?? "", directory: value[2]?.string)
    default: throw RecordReader(value).missing("foreach")
    }
  }
}

extension Definition.Parameter {
  fileprivate init(canonical value: JSON) throws(RecordError) {
    let record = RecordReader(value)
    self.init(
      try record.text("name"), fallback: record["default"], kind: try record.optionalWord("type"), choices: record["enum"]?.array,
      minimum: record["minimum"], maximum: record["maximum"])
  }
}

extension RunConcurrency {
  fileprivate init(canonical value: JSON) throws(RecordError) {
    guard let limit = value[1]?.integer, let word = value[2]?.string, let whenFull = WhenFull(rawValue: word) else {
      throw RecordReader(value).missing("concurrency")
    }
    self.init(key: value[0]?.string, limit: Int(limit), whenFull: whenFull)
  }
}

extension Policy {
  fileprivate init(canonical value: JSON) throws(RecordError) {
    let record = RecordReader(value)
    self.init(
      timeouts: Timeouts(
        scheduleToStart: try record.optionalWhole("scheduleToStart"), startToClose: try record.optionalWhole("startToClose"),
        scheduleToClose: try record.optionalWhole("scheduleToClose"), heartbeat: try record.optionalWhole("heartbeat")),
      concurrencyKey: try record.optionalText("key"), concurrencyLimit: try record.optionalInteger("limit"),
      concurrencyWeight: try record.optionalInteger("weight"))
    if let text = try record.optionalText("priority") {
      if let priority = Priority(word: text) { self.priority = priority } else { priorityExpression = text }
    }
    if let rate = record["rate"] {
      guard let key = rate[0]?.string, let limit = rate[1]?.integer, let per = rate[2]?.integer, let burst = rate[3]?.integer else {
        throw record.missing("rate")
      }
      self.rate = RateLimit(key: key, limit: Int(limit), per: UInt64(clamping: per), burst: Int(burst))
    }
    if let breaker = record["breaker"] {
      guard let policy = BreakerPolicy(canonical: breaker) else { throw record.missing("breaker") }
      self.breaker = policy
    }
    if let retry = record["retry"] {
      guard let attempts = retry[0]?.integer, let initial = retry[1]?.integer, let factor = retry[2]?.double, let cap = retry[3]?.integer
      else { throw record.missing("retry") }
      self.retry = RetryPolicy(
        attempts: Int(attempts), initial: UInt64(clamping: initial), factor: factor, cap: UInt64(clamping: cap),
        nonRetryable: try RecordReader.texts(Array(retry.array?.dropFirst(4) ?? [])))
    }
  }
}

extension Definition {
  /// Of all its tasks, the cleanup's among them.
  package var handlerNames: Set<String> {
    var names = Set((tasks + cleanup).lazy.map(\.handler))
    for task in tasks { if let undo = task.compensation, undo.isNeeded { names.insert(undo.handler) } }
    return names
  }

  /// Ids of the tasks whose work the run does itself.
  package var heldTasks: Set<String> { Set((tasks + cleanup).lazy.filter { $0.heldWork != nil }.map(\.id)) }
}
