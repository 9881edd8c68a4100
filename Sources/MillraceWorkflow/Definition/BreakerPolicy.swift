public import MillraceBroker

/// What keeps attempts from a destination that fails: while it does, tasks are parked, and no attempt of theirs is charged. Shared by all who name the destination, tasks and consumers, in all
/// runs of an engine.
public struct BreakerPolicy: Sendable, Hashable {
  /// How many retries a destination may have, as a share of the first attempts.
  public struct RetryShare: Sendable, Hashable {
    /// Retries for each first attempt, 0 ... 1,000.
    public var ratio: Double
    /// Retries that are allowed in a time of `per`, however few first attempts there are: 0 ... 1,000,000.
    public var least: Int
    /// Nanoseconds, 2 ... ten years.
    public var per: UInt64

    /// A fifth of the first attempts of 10 s, but 3.
    public init(ratio: Double = 0.2, least: Int = 3, per: UInt64 = 10_000_000_000) {
      self.ratio = ratio
      self.least = least
      self.per = per
    }
  }

  /// What fails or works as one, of 1 to 256 bytes; its expressions are over parameters.
  public var destination: String
  /// When it opens, for how long, and what closes it.
  public var breaker: BreakerMachine.Configuration
  /// nil: retries are not counted.
  public var retryBudget: RetryShare?

  /// Ranges are not checked here: `DefinitionChecker.check` does that.
  public init(
    _ destination: String, breaker: BreakerMachine.Configuration = BreakerMachine.Configuration(), retryBudget: RetryShare? = nil
  ) {
    self.destination = destination
    self.breaker = breaker
    self.retryBudget = retryBudget
  }

  static let fix = "see 'Breakers' in docs/definitions.md for what they may be"
  static let ratioRange = 0.0...1_000
  static let leastRange = 0...1_000_000

  /// What is out of its bounds, in words; nil: nothing is.
  public var fault: String? {
    if let fault = breaker.fault { return "breaker: \(fault)" }
    guard let retryBudget else { return nil }
    if !BreakerPolicy.ratioRange.contains(retryBudget.ratio) { return "the retry budget's ratio is \(retryBudget.ratio)" }
    if !BreakerPolicy.leastRange.contains(retryBudget.least) { return "the retry budget's least is \(retryBudget.least)" }
    if !(2...DurationText.maximum ~= retryBudget.per) { return "the retry budget's time is \(retryBudget.per) ns" }
    return nil
  }
}

// MARK: Text

extension DefinitionDecoder {
  mutating func breaker(_ value: Located, of task: Int?) -> BreakerPolicy? {
    let keys = ["destination", "failure_rate", "window", "open_for", "longest", "canaries", "retry_budget"]
    guard let entries = map(value, "'breaker'", keys, fix: "write 'breaker: { destination: payments }'") else { return nil }
    require(["destination"], in: entries, of: "'breaker'", examples: ["destination: payments"], at: value.position)
    var policy = BreakerPolicy("")
    var longest: UInt64?
    for entry in entries {
      switch entry.name {
      case "destination": policy.destination = key(entry.value, "'destination'", of: task) ?? ""
      case "failure_rate":
        policy.breaker.failureRate =
          share(entry.value, "'failure_rate'", Double.leastNonzeroMagnitude...1, "more than 0, up to 1", "0.5")
          ?? policy.breaker.failureRate
      case "window": policy.breaker.window = integer(entry.value, "'window'", 1...64) ?? policy.breaker.window
      case "open_for": policy.breaker.openFor = time(entry.value, "'open_for'", "5s") ?? policy.breaker.openFor
      case "longest": longest = time(entry.value, "'longest'", "5m")
      case "canaries": policy.breaker.canaries = integer(entry.value, "'canaries'", 1...1_000) ?? policy.breaker.canaries
      case "retry_budget": policy.retryBudget = retryBudget(entry.value)
      default: break
      }
    }
    if let longest, longest < policy.breaker.openFor {
      faults.add(
        .badValue, "'longest' is shorter than 'open_for' (\(DurationText.text(policy.breaker.openFor)))",
        fix: "write at least \(DurationText.text(policy.breaker.openFor))", at: value.position)
    }
    policy.breaker.longestOpen = max(longest ?? policy.breaker.longestOpen, policy.breaker.openFor)
    return policy.destination.isEmpty ? nil : policy
  }

  private mutating func retryBudget(_ value: Located) -> BreakerPolicy.RetryShare? {
    guard let entries = map(value, "'retry_budget'", ["ratio", "least", "per"], fix: "write 'retry_budget: { ratio: 0.2 }'") else {
      return nil
    }
    var share = BreakerPolicy.RetryShare()
    for entry in entries {
      switch entry.name {
      case "ratio": share.ratio = self.share(entry.value, "'ratio'", BreakerPolicy.ratioRange, "0 to 1000", "0.2") ?? share.ratio
      case "least": share.least = integer(entry.value, "'least'", BreakerPolicy.leastRange) ?? share.least
      case "per": share.per = time(entry.value, "'per'", "10s") ?? share.per
      default: break
      }
    }
    return share
  }

  private mutating func share(
    _ value: Located, _ label: String, _ range: ClosedRange<Double>, _ words: String, _ example: String
  ) -> Double? {
    guard let number = value.scalar?.double else {
      wrongType(value, label, "a number", fix: "write \(example)")
      return nil
    }
    if range.contains(number) { return number }
    faults.add(.badValue, "\(label) is \(value.json.text()); it may be \(words)", fix: "write \(example)", at: value.position)
    return nil
  }

  private mutating func time(_ value: Located, _ label: String, _ example: String) -> UInt64? {
    guard let time = duration(value, label) else { return nil }
    if time >= 2 { return time }
    faults.add(.badDuration, "\(label) is \(DurationText.text(time))", fix: "write \(example)", at: value.position)
    return nil
  }
}

// MARK: Records

extension BreakerPolicy {
  var canonical: JSON {
    var parts: [JSON] = [
      .string(destination), .number(breaker.failureRate), .integer(Int64(breaker.window)), .integer(Int64(clamping: breaker.openFor)),
      .integer(Int64(clamping: breaker.longestOpen)), .integer(Int64(breaker.canaries)),
    ]
    if let retryBudget {
      parts += [.number(retryBudget.ratio), .integer(Int64(retryBudget.least)), .integer(Int64(clamping: retryBudget.per))]
    }
    return .array(parts)
  }

  /// nil: it is none.
  init?(canonical value: JSON) {
    guard let destination = value[0]?.string, let rate = value[1]?.double, let window = value[2]?.integer, let open = value[3]?.integer,
      let longest = value[4]?.integer, let canaries = value[5]?.integer
    else { return nil }
    var breaker = BreakerMachine.Configuration()
    breaker.failureRate = rate
    breaker.window = Int(window)
    breaker.openFor = UInt64(clamping: open)
    breaker.longestOpen = UInt64(clamping: longest)
    breaker.canaries = Int(canaries)
    var share: RetryShare?
    if let ratio = value[6]?.double, let least = value[7]?.integer, let per = value[8]?.integer {
      share = RetryShare(ratio: ratio, least: Int(least), per: UInt64(clamping: per))
    }
    self.init(destination, breaker: breaker, retryBudget: share)
  }
}
