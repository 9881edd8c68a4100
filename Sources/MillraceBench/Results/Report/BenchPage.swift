internal import Millrace

/// Results as one self-contained page: no other file, no network, readable from `file://`, light and dark.
///
/// Throughput and latencies by level, latency by percentile on a logarithmic axis, and the tables behind them; several results in the same
/// drawings.
public enum BenchPage {
  /// Results in one page: more lines cannot be told apart.
  public static let limit = 16

  /// The page, UTF-8: some 20 KB, and 2 KB for each level.
  ///
  /// - Parameter results: at least one, at most `limit`, each with the name that stands for it.
  /// - Complexity: O(buckets).
  public static func html(_ results: [(name: String, result: BenchResult)]) -> String {
    precondition((1...limit).contains(results.count), "a page holds 1 to \(limit) results")
    let suites = results.map(\.result.suite)
    let title = Set(suites).count == 1 ? suites[0] : "\(Set(suites).count) suites"
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
      <link rel="icon" href="data:,">
      <title>\(PageStyle.escaped(title)): benchmark</title>
      <style>
      \(PageStyle.dense(PageStyle.css + "\n" + BenchPageStyle.css))
      </style>
      </head>
      <body>
      <header>
      <div class="title"><h1>\(PageStyle.escaped(title))</h1></div>
      <p class="sub">\(PageStyle.escaped(subtitle(results)))</p>
      </header>
      <main>
      <noscript><p>The drawings need JavaScript, which is part of this file; the tables below do not.</p></noscript>
      <div class="plots">
      <section class="card"><h2>Throughput by level</h2><ul class="legend" id="throughput-legend"></ul><div class="drawing" id="throughput" role="img" aria-label="Requests a second by level; the table below has the figures"></div>
      <p class="note">Median of the rounds; the bars reach from the slowest round to the fastest.</p></section>
      <section class="card"><div class="head"><h2>Latency by level</h2>\(choice("times"))</div><ul class="legend" id="latency-legend"></ul><div class="drawing" id="latency" role="img" aria-label="Latency percentiles by level; the table below has the figures"></div>
      <p class="note">Logarithmic. Where a line is broken there are fewer than 10 / (1 − p) samples: too few to say.</p></section>
      <section class="card wide"><div class="head"><h2>Latency by percentile</h2><span class="controls"><label>level <select id="level"></select></label> <label class="check"><input type="checkbox" id="log" checked>logarithmic</label></span></div><ul class="legend" id="percentiles-legend"></ul><div class="drawing tall" id="percentiles" role="img" aria-label="Latency by percentile"></div>
      <p class="note">Of all rounds together, up to the last percentile that has enough samples.</p></section>
      </div>
      <div class="tip" id="tip" role="tooltip" hidden></div>
      \(results.enumerated().map { table($1.name, $1.result, index: $0, of: results.count) }.joined(separator: "\n"))
      </main>
      <script type="application/json" id="data">\(BenchPageData.json(results))</script>
      <script>
      'use strict';
      (() => {
      \(PageStyle.dense(BenchPagePlotScript.source + "\n" + BenchPageScript.source))
      })();
      </script>
      </body>
      </html>

      """
  }

  private static func subtitle(_ results: [(name: String, result: BenchResult)]) -> String {
    if results.count > 1 { return "\(results.count) results: " + results.map(\.name).joined(separator: ", ") }
    return "\(results[0].name) · \(results[0].result.date)"
  }

  /// Which latencies are drawn; hidden by the script where they are the same.
  private static func choice(_ name: String) -> String {
    """
    <span class="controls" id="\(name)"><label class="check"><input type="radio" name="\(name)" value="response" checked>response</label> \
    <label class="check"><input type="radio" name="\(name)" value="service">service</label></span>
    """
  }

  private static func table(_ name: String, _ result: BenchResult, index: Int, of count: Int) -> String {
    let isOpen = result.configuration.mode == .open
    let swatch = count > 1 ? "<i class=\"swatch\" style=\"background:var(--h\(index % BenchPageData.colours))\"></i> " : ""
    let heads =
      ["level", "a second", "slowest ... fastest round", "CPUs"] + (isOpen ? ["generator"] : []) + ["p50", "p99", "p99.9", "max"]
      + (isOpen ? ["service p50", "service p99", "lag p99"] : []) + ["failed"]
    let rows = result.levels.map { row(BenchLevelSummary($0), isOpen: isOpen, columns: heads.count) }
    return """
      <section class="card measured"><h2>\(swatch)\(PageStyle.escaped(name))</h2>
      <p class="soft">\(PageStyle.escaped(BenchTable.heading(result).joined(separator: " · ")))</p>
      <div class="scroll" tabindex="0"><table><thead><tr>\(heads.map { "<th class=\"number\">\($0)</th>" }.joined())</tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table></div>\(result.search.map { "<p>\(PageStyle.escaped(BenchTable.sentence($0)))</p>" } ?? "")</section>
      """
  }

  private static func row(_ level: BenchLevelSummary, isOpen: Bool, columns: Int) -> String {
    let cell = { (text: String) in "<td class=\"number\">\(PageStyle.escaped(text))</td>" }
    if let refusal = level.refusal {
      return
        "<tr>\(cell("\(level.level)"))<td class=\"refusal\" colspan=\"\(columns - 1)\">refused: \(PageStyle.escaped(refusal))</td></tr>"
    }
    var cells = ["\(level.level)", level.throughput.map { BenchTable.rate($0.median) } ?? BenchTable.gap]
    cells.append(level.throughput.map { BenchTable.rate($0.least) + " ... " + BenchTable.rate($0.most) } ?? BenchTable.gap)
    cells.append(BenchTable.cpus(level.cpus))
    if isOpen { cells.append(BenchTable.cpus(level.generatorCPUs)) }
    cells += BenchTable.latencies(level)
    if isOpen { cells += BenchTable.waits(level) }
    cells.append(Quantity.integer(Int64(clamping: level.failed)))
    return "<tr>\(cells.map(cell).joined())</tr>"
  }
}
