/// What tasks with one key must agree on, and what must fit into its limit.
struct ConcurrencyChecker {
  let definition: Definition
  let positions: DefinitionPositions?
  private var limits: [String: (limit: Int, place: String)] = [:]
  private var rates: [String: (rate: RateLimit, place: String)] = [:]
  private var breakers: [String: (breaker: BreakerPolicy, place: String)] = [:]

  init(_ definition: Definition, _ positions: DefinitionPositions?) {
    self.definition = definition
    self.positions = positions
  }

  /// Complexity: O(tasks).
  mutating func check(_ faults: inout FaultList) {
    let defaults = definition.defaults
    if let key = defaults.concurrencyKey, let limit = defaults.concurrencyLimit { limits[key] = (limit, "in 'defaults'") }
    if let rate = defaults.rate { rates[rate.key] = (rate, "in 'defaults'") }
    if let breaker = defaults.breaker { breakers[breaker.destination] = (breaker, "in 'defaults'") }
    if let key = defaults.concurrencyKey { checkWeight(defaults, key, "the defaults", at: nil, task: nil, &faults) }
    for (index, task) in definition.tasks.enumerated() where task.isSpecial {
      let policy = task.policy
      checkLimit(policy, index, &faults)
      checkRate(policy, index, &faults)
      checkBreaker(policy, index, &faults)
      let hasOwn = policy.concurrencyKey != nil || policy.concurrencyLimit != nil || policy.concurrencyWeight != nil
      if hasOwn, let key = policy.concurrencyKey ?? defaults.concurrencyKey {
        checkWeight(policy, key, definition.label(index), at: positions?.tasks[index].task, task: task.id, &faults)
      }
    }
  }

  private func place(_ index: Int) -> String {
    positions.map { "at line \($0.tasks[index].task.line)" } ?? "in \(definition.noun) '\(definition.tasks[index].id)'"
  }

  private mutating func checkLimit(_ policy: Policy, _ index: Int, _ faults: inout FaultList) {
    guard let key = policy.concurrencyKey, let limit = policy.concurrencyLimit else { return }
    guard let first = limits[key] else {
      limits[key] = (limit, place(index))
      return
    }
    guard first.limit != limit else { return }
    faults.add(
      .mismatch, "the key '\(key)' has limit \(limit) here and \(first.limit) \(first.place)",
      fix: "write the same limit, or use another key",
      at: positions?.tasks[index].task, task: definition.tasks[index].id)
  }

  private mutating func checkRate(_ policy: Policy, _ index: Int, _ faults: inout FaultList) {
    guard let rate = policy.rate else { return }
    guard let first = rates[rate.key] else {
      rates[rate.key] = (rate, place(index))
      return
    }
    guard first.rate != rate else { return }
    faults.add(
      .mismatch, "the rate '\(rate.key)' is \(rate.shown) here and \(first.rate.shown) \(first.place)",
      fix: "write the same rate, or use another key", at: positions?.tasks[index].task, task: definition.tasks[index].id)
  }

  private mutating func checkBreaker(_ policy: Policy, _ index: Int, _ faults: inout FaultList) {
    guard let breaker = policy.breaker else { return }
    guard let first = breakers[breaker.destination] else {
      breakers[breaker.destination] = (breaker, place(index))
      return
    }
    guard first.breaker != breaker else { return }
    faults.add(
      .mismatch, "the breaker of '\(breaker.destination)' is not the same here as \(first.place)",
      fix: "write the same breaker, or put it into 'defaults'", at: positions?.tasks[index].task, task: definition.tasks[index].id)
  }

  private func checkWeight(
    _ policy: Policy, _ key: String, _ label: String, at position: Position?, task: String?, _ faults: inout FaultList
  ) {
    let defaults = definition.defaults
    let limit = policy.concurrencyLimit ?? defaults.concurrencyLimit ?? 1
    let weight = policy.concurrencyWeight ?? defaults.concurrencyWeight ?? 1
    guard weight > limit, Policy.weightRange.contains(weight), Policy.concurrencyRange.contains(limit) else { return }
    faults.add(
      .badValue, "\(label): the weight \(weight) is more than the limit of '\(key)', \(limit)",
      fix: "raise 'limit' to \(weight), or lower 'weight'", at: position, task: task)
  }
}

extension RateLimit {
  /// As `100 per 1s, burst 10`.
  var shown: String { "\(limit) per \(DurationText.text(per)), burst \(burst)" }
}

extension ValueChecker {
  static func check(
    _ concurrency: RunConcurrency, _ expressions: inout ExpressionChecker, _ faults: inout FaultList, _ nearest: inout NearestName
  ) {
    if let key = concurrency.key { check(key: key, "the workflow's concurrency", user: nil, task: nil, &expressions, &faults, &nearest) }
    if !Policy.concurrencyRange.contains(concurrency.limit) {
      faults.add(.badValue, "the workflow's concurrency limit is \(concurrency.limit)", fix: "use 1 to 1000000", at: nil)
    }
  }

  /// `concurrency` and `rate` of a policy.
  static func checkConcurrency(
    _ policy: Policy, _ label: String, user: Int?, task: String?, _ expressions: inout ExpressionChecker, _ faults: inout FaultList,
    _ nearest: inout NearestName
  ) {
    if let key = policy.concurrencyKey { check(key: key, label, user: user, task: task, &expressions, &faults, &nearest) }
    if let limit = policy.concurrencyLimit, !Policy.concurrencyRange.contains(limit) {
      faults.add(.badValue, "\(label): the concurrency limit is \(limit)", fix: "use 1 to 1000000", at: nil, task: task)
    }
    if let weight = policy.concurrencyWeight, !Policy.weightRange.contains(weight) {
      faults.add(
        .badValue, "\(label): the weight is \(weight)", fix: "use 1 to \(Policy.weightRange.upperBound)", at: nil, task: task)
    }
    if let breaker = policy.breaker {
      check(key: breaker.destination, label, user: user, task: task, &expressions, &faults, &nearest)
      if let fault = breaker.fault { faults.add(.badValue, "\(label): \(fault)", fix: BreakerPolicy.fix, at: nil, task: task) }
    }
    guard let rate = policy.rate else { return }
    check(key: rate.key, label, user: user, task: task, &expressions, &faults, &nearest)
    for (name, value) in [("limit", rate.limit), ("burst", rate.burst)] where !RateLimit.range.contains(value) {
      faults.add(.badValue, "\(label): '\(name)' of the rate is \(value)", fix: "use 1 to 1000000", at: nil, task: task)
    }
    if !(1...DurationText.maximum ~= rate.per) {
      faults.add(.badDuration, "\(label): 'per' of the rate is \(rate.per) ns", fix: "use 1 ns to ten years", at: nil, task: task)
    }
  }

  private static func check(
    key: String, _ label: String, user: Int?, task: String?, _ expressions: inout ExpressionChecker, _ faults: inout FaultList,
    _ nearest: inout NearestName
  ) {
    guard ConcurrencyKey.isGood(key) else {
      faults.add(.badValue, "\(label): a key of \(key.utf8.count) bytes", fix: ConcurrencyKey.fix, at: nil, task: task)
      return
    }
    expressions.check(key, in: .key, user: user, prefix: "\(label): ", task: task, &faults, &nearest) { _ in nil }
  }
}

// MARK: Parameters put in place

extension Policy {
  /// The keys hold expressions.
  var keysMayResolve: Bool {
    concurrencyKey?.contains("${") == true || rate?.key.contains("${") == true || breaker?.destination.contains("${") == true
  }

  mutating func resolveKeys(_ settled: SettledValues, _ label: String, _ faults: inout FaultList) {
    concurrencyKey = concurrencyKey.map { ConcurrencyKey.resolved($0, settled, label, &faults) }
    if let rate { self.rate?.key = ConcurrencyKey.resolved(rate.key, settled, label, &faults) }
    if let breaker { self.breaker?.destination = ConcurrencyKey.resolved(breaker.destination, settled, label, &faults) }
  }
}

extension ConcurrencyKey {
  /// The text with its parameters in place.
  static func resolved(_ key: String, _ settled: SettledValues, _ label: String, _ faults: inout FaultList) -> String {
    do throws(ExpressionError) {
      guard let template = try Template(key) else { return key }
      var writer = ExpressionWriter(limit: Expression.maximumBytes)
      for part in template.parts {
        switch part {
        case .text(let text): try writer.literal(text.utf8)
        case .expression(let expression, _):
          do throws(ExpressionError) {
            try writer.plain(try expression.value(in: ParameterScope(roots: expression.roots, settled: settled)))
          } catch {
            throw error.naming(expression)
          }
        }
      }
      let result = String(decoding: writer.bytes, as: UTF8.self)
      if !isGood(result) {
        faults.add(.badValue, "\(label): the key '\(key)' comes to \(result.utf8.count) bytes", fix: fix, at: nil)
      }
      return result
    } catch {
      faults.add(.badExpression, "\(label): the key: \(error.message)", fix: error.fix, at: nil)
      return key
    }
  }
}
