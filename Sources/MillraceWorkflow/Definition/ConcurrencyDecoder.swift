/// How much runs at once: `concurrency` of a task and of the workflow, and `rate`.
extension DefinitionDecoder {
  mutating func concurrency(_ value: Located, _ policy: inout Policy, of task: Int?) {
    let keys = ["key", "limit", "weight"]
    guard let entries = map(value, "'concurrency'", keys, fix: "write 'concurrency: { key: database, limit: 2 }'") else { return }
    require(["key"], in: entries, of: "'concurrency'", examples: ["key: NAME"], at: value.position)
    for entry in entries {
      switch entry.name {
      case "key": policy.concurrencyKey = key(entry.value, of: task)
      case "limit": policy.concurrencyLimit = integer(entry.value, "'limit'", Policy.concurrencyRange)
      case "weight": policy.concurrencyWeight = integer(entry.value, "'weight'", Policy.weightRange)
      default: break
      }
    }
  }

  mutating func runConcurrency(_ value: Located) -> RunConcurrency? {
    let example = "write 'concurrency: { key: \"deploy-${params.target}\", limit: 1 }'"
    guard let entries = map(value, "'concurrency'", ["key", "limit", "when_full"], fix: example) else { return nil }
    var concurrency = RunConcurrency()
    for entry in entries {
      switch entry.name {
      case "key": concurrency.key = key(entry.value, of: nil)
      case "limit": concurrency.limit = integer(entry.value, "'limit'", Policy.concurrencyRange) ?? concurrency.limit
      case "when_full": concurrency.whenFull = whenFull(entry.value) ?? concurrency.whenFull
      default: break
      }
    }
    return concurrency
  }

  private mutating func whenFull(_ value: Located) -> RunConcurrency.WhenFull? {
    guard let word = text(value, "'when_full'") else { return nil }
    if let choice = RunConcurrency.WhenFull(rawValue: word) { return choice }
    let words = RunConcurrency.WhenFull.allCases.map(\.rawValue)
    faults.add(
      .badValue, "'\(word.prefix(80))' is no choice for 'when_full'",
      fix: nearest.nearest(to: word, among: words).map { "did you mean '\($0)'?" } ?? "write \(words.joined(separator: ", "))",
      at: value.position)
    return nil
  }

  mutating func rate(_ value: Located, of task: Int?) -> RateLimit? {
    let keys = ["key", "limit", "per", "burst"]
    let example = "write 'rate: { key: api, limit: 100, per: 1s }'"
    guard let entries = map(value, "'rate'", keys, fix: example) else { return nil }
    require(["key", "limit"], in: entries, of: "'rate'", examples: ["key: NAME", "limit: 100"], at: value.position)
    var rate = RateLimit(key: "", limit: 1)
    for entry in entries {
      switch entry.name {
      case "key": rate.key = key(entry.value, of: task) ?? ""
      case "limit": rate.limit = integer(entry.value, "'limit'", RateLimit.range) ?? rate.limit
      case "per":
        guard let per = duration(entry.value, "'per'") else { continue }
        if per == 0 { faults.add(.badDuration, "'per' is zero", fix: "write 'per: 1s'", at: entry.value.position) } else { rate.per = per }
      case "burst": rate.burst = integer(entry.value, "'burst'", RateLimit.range) ?? rate.burst
      default: break
      }
    }
    return rate.key.isEmpty ? nil : rate
  }

  /// A text that may hold expressions over parameters.
  mutating func key(_ value: Located, _ label: String = "'key'", of task: Int?) -> String? {
    guard let key = text(value, label) else { return nil }
    guard ConcurrencyKey.isGood(key) else {
      faults.add(.badValue, "\(label) has \(key.utf8.count) bytes", fix: ConcurrencyKey.fix, at: value.position)
      return nil
    }
    checkExpressions(value, in: .key, of: task)
    return key
  }
}
