public import MillraceWorkflow

/// Members stand in the order of docs/bench-result.md. What is not known is null.
extension BenchResult {
  /// The content of a result file.
  public var json: JSON {
    .object([
      .init("schema", .string(schema)),
      .init("suite", .string(suite)),
      .init("date", .string(date)),
      .init("host", host.json),
      .init("configuration", configuration.json),
      .init("levels", .array(levels.map(\.json))),
      .init("search", search?.json ?? .null),
      .init("idle", idle?.json ?? .null),
    ])
  }

  /// Levels, rounds and buckets that are read: more was never measured in one run.
  static let levelLimit = 1_000
  static let roundLimit = 10_000
  static let bucketLimit = 100_000

  init(_ field: ResultField) throws(ResultFault) {
    schema = try field.member("schema").text()
    guard schema == Self.currentSchema else {
      throw ResultFault(
        at: "schema", "\"\(schema)\" is not known here, only \"\(Self.currentSchema)\": use the millrace that wrote the file")
    }
    suite = try field.member("suite").text()
    date = try field.member("date").text()
    host = try BenchHost(field.member("host"))
    configuration = try BenchConfiguration(field.member("configuration"))
    levels = []
    for level in try field.member("levels").list(limit: Self.levelLimit) { levels.append(try BenchLevel(level)) }
    search = if let search = try field.optional("search") { try BenchSearch(search) } else { nil }
    idle = if let idle = try field.optional("idle") { try BenchIdle(idle) } else { nil }
  }
}

extension BenchHost {
  public var json: JSON {
    .object([
      .init("cpuModel", .string(cpuModel)),
      .init("cpusOnline", .integer(Int64(cpusOnline))),
      .init("cpusGranted", .integer(Int64(cpusGranted))),
      .init("kernel", .string(kernel)),
      .init("clockSource", .string(clockSource)),
      .init("loadAverage", .array(loadAverage.map(JSON.number))),
      .init("pingPongNanoseconds", pingPongNanoseconds.map(JSON.number) ?? .null),
      .init("commit", .string(commit)),
      .init("version", .string(version)),
      .init(
        "cgroup",
        .object([
          .init("cpuMilli", cgroup.cpuMilli.map { .integer(Int64($0)) } ?? .null),
          .init("memoryBytes", cgroup.memoryBytes.map { .integer(Int64($0)) } ?? .null),
          .init("periods", cgroup.periods.map { .integer(Int64($0)) } ?? .null),
          .init("throttledPeriods", cgroup.throttledPeriods.map { .integer(Int64($0)) } ?? .null),
          .init("throttledNanoseconds", cgroup.throttledNanoseconds.map(JSON.init(count:)) ?? .null),
        ])),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    cpuModel = try field.member("cpuModel").text()
    cpusOnline = try field.member("cpusOnline").count(least: 1)
    cpusGranted = try field.member("cpusGranted").count(least: 1)
    kernel = try field.member("kernel").text()
    clockSource = try field.member("clockSource").text()
    loadAverage = []
    for load in try field.member("loadAverage").list(limit: 3) { loadAverage.append(try load.number()) }
    pingPongNanoseconds = try field.optional("pingPongNanoseconds")?.number()
    commit = try field.member("commit").text()
    version = try field.member("version").text()
    let group = try field.member("cgroup")
    cgroup = BenchCgroup(
      cpuMilli: try group.optional("cpuMilli")?.count(), memoryBytes: try group.optional("memoryBytes")?.count(),
      periods: try group.optional("periods")?.count(), throttledPeriods: try group.optional("throttledPeriods")?.count(),
      throttledNanoseconds: try group.optional("throttledNanoseconds")?.unsigned())
  }
}

extension BenchIdle {
  var json: JSON {
    .object([
      .init("nanoseconds", JSON(count: nanoseconds)), .init("wakeUps", JSON(count: wakeUps)),
      .init("cpuNanoseconds", JSON(count: cpuNanoseconds)),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    nanoseconds = try field.member("nanoseconds").unsigned()
    wakeUps = try field.member("wakeUps").unsigned()
    cpuNanoseconds = try field.member("cpuNanoseconds").unsigned()
  }
}

extension BenchConfiguration {
  public var json: JSON {
    .object([
      .init("mode", .string(mode.rawValue)),
      .init("rate", rate.map(JSON.number) ?? .null),
      .init("arrivals", arrivals.map(JSON.string) ?? .null),
      .init("seed", seed.map(JSON.init(count:)) ?? .null),
      .init("durationNanoseconds", JSON(count: durationNanoseconds)),
      .init("warmUpNanoseconds", JSON(count: warmUpNanoseconds)),
      .init("rounds", .integer(Int64(rounds))),
      .init("threads", .integer(Int64(threads))),
      .init("slots", .integer(Int64(slots))),
      .init("wait", .string(wait)),
      .init("isPinned", .bool(isPinned)),
      .init("subject", subject.map(JSON.string) ?? .null),
      .init("subjectHash", subjectHash.map(JSON.string) ?? .null),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    let word = try field.member("mode")
    guard let mode = Mode(rawValue: try word.text()) else { throw word.fault("must be \"open\" or \"closed\"") }
    self.mode = mode
    rate = try field.optional("rate")?.number()
    arrivals = try field.optional("arrivals")?.text()
    seed = try field.optional("seed")?.unsigned()
    durationNanoseconds = try field.member("durationNanoseconds").unsigned()
    warmUpNanoseconds = try field.member("warmUpNanoseconds").unsigned()
    rounds = try field.member("rounds").count()
    threads = try field.member("threads").count()
    slots = try field.member("slots").count()
    wait = try field.member("wait").text()
    isPinned = try field.member("isPinned").flag()
    subject = try field.optional("subject")?.text()
    subjectHash = try field.optional("subjectHash")?.text()
  }
}

extension BenchLevel {
  var json: JSON {
    .object([
      .init("level", .integer(Int64(level))),
      .init("refusal", refusal.map(JSON.string) ?? .null),
      .init("rounds", .array(rounds.map(\.json))),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    level = try field.member("level").count(least: 1)
    refusal = try field.optional("refusal")?.text()
    rounds = []
    for round in try field.member("rounds").list(limit: BenchResult.roundLimit) { rounds.append(try BenchRound(round)) }
  }
}

extension BenchRound {
  var json: JSON {
    .object([
      .init("nanoseconds", JSON(count: nanoseconds)),
      .init("completed", JSON(count: completed)),
      .init("failed", JSON(count: failed)),
      .init("cpuNanoseconds", JSON(count: cpuNanoseconds)),
      .init("generatorNanoseconds", generatorNanoseconds.map(JSON.init(count:)) ?? .null),
      .init("service", service.json),
      .init("response", response.json),
      .init("lag", lag?.json ?? .null),
      .init("backlogGrowth", .integer(backlogGrowth)),
      .init("pingPongNanoseconds", pingPongNanoseconds.map(JSON.number) ?? .null),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    nanoseconds = try field.member("nanoseconds").unsigned()
    completed = try field.member("completed").unsigned()
    failed = try field.member("failed").unsigned()
    cpuNanoseconds = try field.member("cpuNanoseconds").unsigned()
    generatorNanoseconds = try field.optional("generatorNanoseconds")?.unsigned()
    service = try BenchHistogram(field.member("service"))
    response = try BenchHistogram(field.member("response"))
    lag = if let lag = try field.optional("lag") { try BenchHistogram(lag) } else { nil }
    backlogGrowth = try field.member("backlogGrowth").signed()
    pingPongNanoseconds = try field.optional("pingPongNanoseconds")?.number()
  }
}

extension BenchHistogram {
  var json: JSON {
    .object([
      .init("count", JSON(count: count)),
      .init("minimum", JSON(count: minimum)),
      .init("maximum", JSON(count: maximum)),
      .init("sum", .number(sum)),
      .init("buckets", .array(buckets.map { .array($0.map(JSON.init(count:))) })),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    count = try field.member("count").unsigned()
    minimum = try field.member("minimum").unsigned()
    maximum = try field.member("maximum").unsigned()
    sum = try field.member("sum").number()
    buckets = try field.member("buckets").pairs(limit: BenchResult.bucketLimit)
  }
}

extension JSON {
  /// Nothing that is counted here reaches 2^63: 292 years of nanoseconds.
  init(count: UInt64) { self = .integer(Int64(clamping: count)) }
}
