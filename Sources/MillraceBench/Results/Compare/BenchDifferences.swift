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
    if !first.isOfFiles || !second.isOfFiles {
      warnings.append(
        "measured one after the other: what the machine changed between the two is taken for a difference; files of both in turns tell more"
      )
    }
    return warnings
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
