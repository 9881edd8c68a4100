internal import MillraceWorkflow

/// Members stand in the order of docs/bench-result.md. What is not known is null.
extension BenchSearch {
  /// Trials that are read: no search needs so many.
  private static let trialLimit = 10_000

  var json: JSON {
    .object([
      .init("objective", .string(objective)),
      .init("level", .integer(Int64(level))),
      .init("rate", rate.map(JSON.number) ?? .null),
      .init("isLimitedByGenerator", .bool(isLimitedByGenerator)),
      .init("refusal", refusal.map(JSON.string) ?? .null),
      .init("trials", .array(trials.map(\.json))),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    objective = try field.member("objective").text()
    level = try field.member("level").count(least: 1)
    rate = try field.optional("rate")?.number()
    isLimitedByGenerator = try field.member("isLimitedByGenerator").flag()
    refusal = try field.optional("refusal")?.text()
    trials = []
    for trial in try field.member("trials").list(limit: Self.trialLimit) { trials.append(try BenchTrial(trial)) }
  }
}

extension BenchTrial {
  var json: JSON {
    .object([
      .init("phase", .string(phase.rawValue)),
      .init("rate", .number(rate)),
      .init("durationNanoseconds", JSON(count: durationNanoseconds)),
      .init("value", value.map(JSON.init(count:)) ?? .null),
      .init("backlogGrowth", .integer(backlogGrowth)),
      .init("hasPassed", .bool(hasPassed)),
      .init("reason", reason.map(JSON.string) ?? .null),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    let word = try field.member("phase")
    guard let phase = Phase(rawValue: try word.text()) else { throw word.fault("must be \"bracket\", \"bisect\" or \"confirm\"") }
    self.phase = phase
    rate = try field.member("rate").number()
    durationNanoseconds = try field.member("durationNanoseconds").unsigned()
    value = try field.optional("value")?.unsigned()
    backlogGrowth = try field.member("backlogGrowth").signed()
    hasPassed = try field.member("hasPassed").flag()
    reason = try field.optional("reason")?.text()
  }
}
