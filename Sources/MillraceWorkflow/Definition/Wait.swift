internal import MillraceBroker

/// What a task waits for that has no handler. The texts may hold expressions, but for a signal's name.
public enum Wait: Sendable, Hashable {
  /// A signal of this name, `[A-Za-z0-9._-]{1,128}`; what comes with it is the output.
  case signal(String)
  /// A moment of the wall clock, as `2026-12-24T18:00:00+01:00` (RFC 3339); one that has passed is no wait.
  case until(String)
  /// A duration, as `30d`.
  case duration(String)
  /// Somebody's yes to this question.
  case approval(String)
  /// A message of the queue of this name, in the engine's broker; it is the output.
  case message(queue: String)

  /// A duration of up to ten years.
  public static func lasting(_ duration: Duration) -> Wait {
    let (seconds, attoseconds) = duration.components
    let (scaled, overflow) = UInt64(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000)
    return .duration(DurationText.text(overflow ? .max : scaled &+ UInt64(clamping: attoseconds / 1_000_000_000)))
  }

  /// `signal`, `until`, `for`, `approval` or `message`: the key in a definition.
  public var kind: String {
    switch self {
    case .signal: "signal"
    case .until: "until"
    case .duration: "for"
    case .approval: "approval"
    case .message: "message"
    }
  }

  /// nil: there is no such kind.
  package init?(kind: String, _ text: String) {
    switch kind {
    case "signal": self = .signal(text)
    case "until": self = .until(text)
    case "for": self = .duration(text)
    case "approval": self = .approval(text)
    case "message": self = .message(queue: text)
    default: return nil
    }
  }

  /// The signal's name, the time, the duration, the question, the queue's name.
  public var text: String {
    switch self {
    case .signal(let text), .until(let text), .duration(let text), .approval(let text), .message(let text): text
    }
  }

  /// With another text, as after expressions.
  func with(_ text: String) -> Wait {
    switch self {
    case .signal: self
    case .until: .until(text)
    case .duration: .duration(text)
    case .approval: .approval(text)
    case .message: .message(queue: text)
    }
  }

  /// What is wrong with the text by itself; nil: nothing, or it holds expressions.
  var fault: (code: Fault.Code, message: String, fix: String)? {
    switch self {
    case .signal(let name):
      if Identifier.isId(name) { return nil }
      return (.badId, "'\(name.prefix(80))' is no name for a signal", "use 1 to 128 of A-Z a-z 0-9 . _ and -")
    case .approval(let question):
      if 1...Wait.maximumQuestion ~= question.utf8.count { return nil }
      return (.badValue, "a question of \(question.utf8.count) bytes", "ask in 1 to \(Wait.maximumQuestion) bytes")
    case .message(let name):
      if JSON.string(name).mayHoldExpressions { return nil }
      do throws(RoutingError) {
        _ = try BrokerName(name)
        return nil
      } catch {
        return (.badId, "\(error)", "name a queue: 1 to 128 of A-Z a-z 0-9 . _ and -")
      }
    case .until(let text):
      if JSON.string(text).mayHoldExpressions || WallTime.nanoseconds(text) != nil { return nil }
      return (.badValue, "'\(text.prefix(80))' is no time", WallTime.fix)
    case .duration(let text):
      if JSON.string(text).mayHoldExpressions { return nil }
      do throws(DurationSyntaxError) {
        _ = try DurationText.nanoseconds(text)
        return nil
      } catch {
        return (.badDuration, error.message, error.fix)
      }
    }
  }

  /// Bytes of a question.
  public static let maximumQuestion = 4_096
}

/// Moments as RFC 3339 writes them.
package enum WallTime {
  package static let fix = "write it with its zone, as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00"

  /// Nanoseconds since 1970 in UTC; nil: it is no moment from 1970 to 2262, or has no zone.
  package static func nanoseconds(_ text: String) -> Int64? {
    var whole = text
    var fraction: Int64 = 0
    if let point = text.firstIndex(of: ".") {
      let digits = text[text.index(after: point)...].prefix { $0.isASCII && $0.isNumber }
      guard 1...9 ~= digits.count, let value = Int64(digits) else { return nil }
      fraction = value
      for _ in digits.count..<9 { fraction *= 10 }
      whole = String(text[..<point] + text[digits.endIndex...])
    }
    // Behind `yyyy-mm-ddThh:mm`.
    guard let zone = whole.dropFirst(16).last(where: { "Z+-".contains($0) }), whole.utf8.count >= 17 else { return nil }
    guard zone != "Z" || whole.hasSuffix("Z"), let time = UTCTime(whole) else { return nil }
    let (scaled, overflow) = time.seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, overflows) = scaled.addingReportingOverflow(fraction)
    return overflow || overflows ? nil : sum
  }
}

extension TaskDefinition {
  /// A task that waits. What its text says stands in its input, where expressions are.
  public init(
    _ id: String, wait: Wait, dependencies: [String] = [], policy: Policy = Policy(), condition: String? = nil
  ) {
    self.init(id, handler: "", dependencies: dependencies, policy: policy, condition: condition)
    setWait(wait)
  }

  mutating func setWait(_ wait: Wait) {
    self.wait = wait
    if case .signal = wait { return }
    input = .string(wait.text)
  }
}

extension TaskDefinition {
  /// What the task does, for pictures: its handler, of one item or of each, or what it waits for.
  var doing: String {
    guard isSpecial else { return handler }
    if let child { return (foreach == nil ? "" : "foreach ") + "workflow: \(child.name)" }
    guard let wait else { return foreach == nil ? handler : "foreach \(handler)" }
    return "wait: \(wait.kind) \(wait.text.prefix(40))"
  }
}

extension Definition {
  /// Adds a task that waits, without a handler, a slot or a thread:
  ///
  /// ```swift
  /// let go = workflow.wait("go", for: .signal("release"))
  /// let approved = workflow.wait("ok", for: .approval("Deploy to production?"), dependencies: [go], timeouts: Timeouts(scheduleToClose: day))
  /// workflow.wait("order", for: .message(queue: "orders"), dependencies: [approved])
  /// workflow.wait("pause", for: .lasting(.seconds(60)), dependencies: [approved])
  /// ```
  ///
  /// Complexity: O(dependencies), amortised.
  @discardableResult
  public mutating func wait(
    _ id: String, for wait: Wait, dependencies: [TaskReference] = [], when condition: String? = nil, retry: RetryPolicy? = nil,
    timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    tasks.append(
      TaskDefinition(
        id, wait: wait, dependencies: dependencies.map(\.id), policy: Policy(retry: retry, timeouts: timeouts), condition: condition))
    return TaskReference(id: id)
  }

  /// Names of the signals that tasks wait for, cleanup tasks among them.
  public var signalNames: [String] {
    var names: [String] = []
    for task in [tasks, cleanup].joined() where task.isSpecial {
      if case .signal(let name) = task.wait { names.append(name) }
    }
    return names
  }
}
