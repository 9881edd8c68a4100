/// The part of a task and of `defaults` that says how tasks are treated.
extension DefinitionDecoder {
  private static let policyKeys = ["priority", "timeouts", "retry", "concurrency", "rate", "breaker"]

  mutating func policy(_ value: Located, _ label: String) -> Policy {
    var policy = Policy()
    for entry in map(value, label, Self.policyKeys, fix: "write 'defaults: { priority: high }'") ?? [] {
      policyField(entry, &policy, of: nil)
    }
    return policy
  }

  /// Takes one entry into the policy if it belongs there. `task`: the index of its task; nil: it is one of the defaults.
  mutating func policyField(_ entry: Located.Entry, _ policy: inout Policy, of task: Int?) {
    switch entry.name {
    case "priority":
      if entry.value.string?.hasPrefix("${") == true {
        policy.priorityExpression = expression(
          entry.value, "'priority'", example: "priority: ${params.urgency}", in: .priority, of: task)
      } else {
        policy.priority = priority(entry.value)
      }
    case "timeouts": policy.timeouts = timeouts(entry.value)
    case "retry": policy.retry = retry(entry.value, RetryPolicy())
    case "concurrency": concurrency(entry.value, &policy, of: task)
    case "rate": policy.rate = rate(entry.value, of: task)
    case "breaker": policy.breaker = breaker(entry.value, of: task)
    default: break
    }
  }

  private mutating func priority(_ value: Located) -> Priority? {
    guard let text = text(value, "'priority'") else { return nil }
    if let priority = Priority(word: text) { return priority }
    let near = nearest.nearest(to: text, among: Priority.allCases.map { "\($0)" })
    faults.add(
      .badValue, "'\(text.prefix(80))' is no priority", fix: near.map { "did you mean '\($0)'?" } ?? "write low, normal, high or critical",
      at: value.position)
    return nil
  }

  mutating func timeouts(_ value: Located) -> Timeouts {
    var timeouts = Timeouts()
    let keys = ["scheduleToStart", "startToClose", "scheduleToClose", "heartbeat"]
    for entry in map(value, "'timeouts'", keys, fix: "write 'timeouts: { startToClose: 5m }'") ?? [] where keys.contains(entry.name) {
      guard let length = duration(entry.value, "'\(entry.name)'") else { continue }
      guard length > 0 else {
        faults.add(
          .badDuration, "'\(entry.name)' is zero", fix: "write at least 1ns, or leave it out for no limit", at: entry.value.position)
        continue
      }
      switch entry.name {
      case "scheduleToStart": timeouts.scheduleToStart = length
      case "startToClose": timeouts.startToClose = length
      case "scheduleToClose": timeouts.scheduleToClose = length
      default: timeouts.heartbeat = length
      }
    }
    return timeouts
  }

  /// `defaults`: what holds for the keys that are left out.
  mutating func retry(_ value: Located, _ defaults: RetryPolicy) -> RetryPolicy? {
    var retry = defaults
    var cap: UInt64?
    var capPosition = value.position
    let keys = ["attempts", "initial", "factor", "cap", "nonRetryable"]
    guard let entries = map(value, "'retry'", keys, fix: "write 'retry: { attempts: 3 }'") else { return nil }
    for entry in entries {
      switch entry.name {
      case "attempts" where isSaga && entry.value.string != nil: retry.attempts = unlimitedAttempts(entry.value)
      case "attempts": retry.attempts = integer(entry.value, "'attempts'", RetryPolicy.attemptsRange) ?? retry.attempts
      case "initial": retry.initial = duration(entry.value, "'initial'") ?? retry.initial
      case "factor": retry.factor = factor(entry.value) ?? retry.factor
      case "cap":
        cap = duration(entry.value, "'cap'")
        capPosition = entry.value.position
      case "nonRetryable": retry.nonRetryable = errorTypes(entry.value)
      default: break
      }
    }
    if let cap, cap < retry.initial {
      faults.add(
        .badValue, "'cap' (\(DurationText.text(cap))) is shorter than 'initial' (\(DurationText.text(retry.initial)))",
        fix: "write a cap of at least \(DurationText.text(retry.initial))", at: capPosition)
    }
    retry.cap = cap ?? max(retry.cap, retry.initial)
    return retry
  }

  private mutating func factor(_ value: Located) -> Double? {
    guard let factor = value.scalar?.double else {
      wrongType(value, "'factor'", "a number", fix: "write 'factor: 2'")
      return nil
    }
    if RetryPolicy.factorRange.contains(factor) { return factor }
    faults.add(.badValue, "'factor' is \(value.json.text()); it may be 1 to 1000", fix: "write 'factor: 2'", at: value.position)
    return nil
  }

  private mutating func errorTypes(_ value: Located) -> [String] {
    let elements = list(value, "'nonRetryable'", "error types", fix: "write 'nonRetryable: [bad-input]'")
    if elements.count > RetryPolicy.maximumNonRetryable {
      faults.add(
        .limit, "'nonRetryable' names \(elements.count) error types; at most \(RetryPolicy.maximumNonRetryable) are allowed",
        fix: "let the handler fail with one type for all of them", at: value.position)
      return []
    }
    return elements.compactMap { element in
      guard let type = text(element, "an error type") else { return nil }
      if 1...RetryPolicy.maximumErrorTypeBytes ~= type.utf8.count { return type }
      faults.add(
        .badValue, "an error type of \(type.utf8.count) bytes", fix: "use 1 to \(RetryPolicy.maximumErrorTypeBytes) bytes",
        at: element.position)
      return nil
    }
  }

  // MARK: Scalars

  mutating func duration(_ value: Located, _ label: String) -> UInt64? {
    let text: String
    switch value.scalar {
    case .string(let found): text = found
    case .integer, .number: text = value.json.text()
    default:
      wrongType(value, label, "a duration", fix: "write 10s, 250ms or 1m30s")
      return nil
    }
    do throws(DurationSyntaxError) {
      return try DurationText.nanoseconds(text)
    } catch {
      faults.add(.badDuration, "\(label): \(error.message)", fix: error.fix, at: value.position)
      return nil
    }
  }

  mutating func integer(_ value: Located, _ label: String, _ range: ClosedRange<Int>) -> Int? {
    guard case .integer(let number) = value.scalar else {
      wrongType(value, label, "a whole number", fix: "write a number from \(range.lowerBound) to \(range.upperBound)")
      return nil
    }
    if let number = Int(exactly: number), range.contains(number) { return number }
    faults.add(
      .badValue, "\(label) is \(number); it may be \(range.lowerBound) to \(range.upperBound)",
      fix: "write a number from \(range.lowerBound) to \(range.upperBound)", at: value.position)
    return nil
  }
}
