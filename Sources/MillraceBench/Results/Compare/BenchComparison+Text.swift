internal import Millrace
public import MillraceWorkflow

extension BenchComparison {
  /// What a terminal shows. Ends with a newline.
  public var text: String {
    let form =
      isPaired ? "\(Quantity.count(units.first, "pair")) of files, measured in turns" : "\(units.first) and \(units.second) \(unit)s"
    let percent = { (share: Double) in Quantity.number((share * 10_000).rounded() / 100) + " %" }
    var text =
      "\(TerminalText.escaped(suite)): B to A, \(form), \(percent(options.confidence)) for all intervals together, differences up to \(percent(options.margin)) not told\n"
    var table = TextTable(["level", "metric", "A", "B", "ratio", "interval", "verdict"], left: [0, 1, 5, 6])
    for row in rows {
      let interval = row.low.flatMap { low in row.high.map { Self.figure(low) + " ... " + Self.figure($0) } }
      table.add([
        "\(row.level)", row.metric.rawValue, row.metric.figure(row.first), row.metric.figure(row.second),
        row.ratio.map(Self.figure) ?? BenchTable.gap, interval ?? BenchTable.gap,
        row.verdict.rawValue,
      ])
    }
    text += table.text + reasons.map { TerminalText.escaped($0) + "\n" }.joined() + "verdict: \(verdict.rawValue)\n"
    if let hint { text += hint + "\n" }
    return text
  }

  /// Why there are rows without a ratio, each level's once: `level 32: refused in B: ...`.
  var reasons: [String] {
    var reasons: [String] = []
    for level in Set(rows.map(\.level)).sorted() {
      let of = rows.filter { $0.level == level }
      for reason in Set(of.compactMap(\.reason)).sorted() {
        let metrics = of.filter { $0.reason == reason }.map(\.metric.rawValue)
        reasons.append("level \(level)\(metrics.count == of.count ? "" : ", " + metrics.joined(separator: ", ")): \(reason)")
      }
    }
    return reasons
  }

  /// How to find out more, where nothing was found; nil: not needed.
  public var hint: String? {
    guard verdict == .cannotTell, let needed = unitsForFivePercent else { return nil }
    let most = max(units.first, units.second)
    guard needed > most else {
      return "a difference of 5 % would have been found in 9 of 10 such comparisons"
    }
    return
      "\(most) \(unit)s are too few to find a difference of 5 % in 9 of 10 comparisons: about \(Quantity.integer(needed)) of each are needed here"
  }

  /// For the throughput when closed, as for the median latency when open: of the level in the middle.
  public var unitsForFivePercent: Int? {
    for metric in [Metric.throughput, .p50] {
      let needed = rows.filter { $0.metric == metric }.compactMap(\.unitsForFivePercent).sorted()
      if !needed.isEmpty { return needed[needed.count / 2] }
    }
    return nil
  }

  /// The object of `-o json`.
  public var json: JSON {
    .object([
      .init("suite", .string(suite)),
      .init("verdict", .string(verdict.rawValue)),
      .init("paired", .bool(isPaired)),
      .init("unit", .string(unit)),
      .init("confidence", .number(options.confidence)),
      .init("margin", .number(options.margin)),
      .init("unitsForFivePercent", unitsForFivePercent.map { .integer(Int64($0)) } ?? .null),
      .init("warnings", .array(warnings.map(JSON.string))),
      .init("rows", .array(rows.map(\.json))),
    ])
  }

  private static func figure(_ ratio: Double) -> String { Quantity.fixed(ratio, decimals: 3) }
}

extension BenchComparison.Metric {
  fileprivate func figure(_ value: Double?) -> String {
    guard let value else { return BenchTable.gap }
    return self == .throughput ? BenchTable.rate(value) + "/s" : Quantity.seconds(value / 1e9)
  }
}

extension BenchComparison.Row {
  var json: JSON {
    let number = { (value: Double?) in value.map(JSON.number) ?? .null }
    return .object([
      .init("level", .integer(Int64(level))),
      .init("metric", .string(metric.rawValue)),
      .init("a", number(first)),
      .init("b", number(second)),
      .init("ratio", number(ratio)),
      .init("low", number(low)),
      .init("high", number(high)),
      .init("unitsA", .integer(Int64(firstUnits))),
      .init("unitsB", .integer(Int64(secondUnits))),
      .init("verdict", .string(verdict.rawValue)),
      .init("reason", reason.map(JSON.string) ?? .null),
      .init("unitsForFivePercent", unitsForFivePercent.map { .integer(Int64($0)) } ?? .null),
    ])
  }
}
