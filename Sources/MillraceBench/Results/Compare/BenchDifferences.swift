internal import Glibc
internal import Millrace

/// What a reader must know before believing a comparison.
enum BenchDifferences {
  static func warnings(_ first: BenchSeries, _ second: BenchSeries) -> [String] {
    let pairs = facts(first.first)
    let others = Dictionary(uniqueKeysWithValues: facts(second.first).map { ($0.name, $0.value) })
    var warnings: [String] = []
    for fact in pairs {
      guard let other = others[fact.name], other != fact.value else { continue }
      warnings.append("\(fact.name) differs: \(fact.value) in A, \(other) in B")
    }
    for (name, series) in [("A", first), ("B", second)] {
      let known = Dictionary(uniqueKeysWithValues: facts(series.first).map { ($0.name, $0.value) })
      let odd = Set(series.results.flatMap { facts($0).filter { known[$0.name] != $0.value }.map(\.name) }).sorted()
      if !odd.isEmpty { warnings.append("the files of \(name) differ among themselves: \(odd.joined(separator: ", "))") }
      let load = series.results.compactMap(\.host.loadAverage.first).max() ?? 0
      let granted = series.first.host.cpusGranted
      if load > Double(granted) {
        warnings.append(
          "the machine was busy before \(name): load \(Quantity.fixed(load, decimals: 2)) on \(Quantity.count(granted, "processor"))")
      }
      let periods = series.results.compactMap(\.host.cgroup.throttledPeriods).reduce(0, +)
      if periods > 0 { warnings.append("the control group held \(name) back in \(Quantity.count(periods, "period"))") }
    }
    for (name, other, missing) in [("A", Set(first.levels), second.levels), ("B", Set(second.levels), first.levels)] {
      let missing = missing.filter { !other.contains($0) }
      if !missing.isEmpty { warnings.append("not in \(name): level \(missing.map(String.init).joined(separator: ", "))") }
    }
    if let warning = processors(first, second) { warnings.append(warning) }
    if !first.isOfFiles || !second.isOfFiles {
      warnings.append(
        "measured one after the other: what the machine changed between the two is taken for a difference; files of both in turns tell more"
      )
    }
    return warnings
  }

  /// Shares of a processor's time that differ by less are left alone.
  private static let processorShare = 0.1

  /// The level whose processor time differs most, if that is much: the ping-pong does not show other programs, this does.
  private static func processors(_ first: BenchSeries, _ second: BenchSeries) -> String? {
    let shares = first.levels.compactMap { level -> (level: Int, a: Double, b: Double)? in
      guard let a = first.cpus(level), let b = second.cpus(level), min(a, b) > 0 else { return nil }
      return (level, a, b)
    }
    let most = shares.max { abs(log($0.b / $0.a)) < abs(log($1.b / $1.a)) }
    guard let most, abs(log(most.b / most.a)) > log(1 + processorShare) else { return nil }
    let texts = [most.a, most.b].map { Quantity.fixed($0, decimals: 2) }
    return
      "level \(most.level) used \(texts[0]) processors in A, \(texts[1]) in B: if the subject does not explain it, other programs took the rest"
  }

  /// What should be the same on both sides. Commit, version and the subject's build are what people compare.
  private static func facts(_ result: BenchResult) -> [(name: String, value: String)] {
    let (host, configuration) = (result.host, result.configuration)
    return [
      ("CPU", host.cpuModel), ("processors online", "\(host.cpusOnline)"), ("processors granted", "\(host.cpusGranted)"),
      ("kernel", host.kernel), ("clock source", host.clockSource),
      ("CPU quota", host.cgroup.cpuMilli.map { "\($0) thousandths" } ?? "none"),
      ("memory limit", host.cgroup.memoryBytes.map { Quantity.bytes(Double($0)) } ?? "none"),
      ("mode", configuration.mode.rawValue), ("rate", configuration.rate.map(Quantity.number) ?? "none"),
      ("arrivals", configuration.arrivals ?? "none"), ("seed", configuration.seed.map { "\($0)" } ?? "none"),
      ("duration of a round", Quantity.nanoseconds(configuration.durationNanoseconds)),
      ("warm-up", Quantity.nanoseconds(configuration.warmUpNanoseconds)), ("threads", "\(configuration.threads)"),
      ("slots", "\(configuration.slots)"), ("waiting", configuration.wait), ("pinning", configuration.isPinned ? "on" : "off"),
      ("subject", configuration.subject ?? "none"),
    ]
  }
}
