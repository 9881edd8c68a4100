public import MillraceWorkflow

/// A run as one self-contained page: no other file, no network, readable from `file://`.
///
/// Attempts on rows of threads over time, the critical path marked, details on hover and tap, zoom by wheel, keys and fingers, search by id,
/// light and dark. The page holds up to `TimelineData.attemptLimit` attempts and says so where there were more.
public enum Timeline {
  /// Steps of the critical path that the page lists; all of them are drawn.
  static let listedSteps = 200
  /// Slowest tasks and failed tasks that it lists.
  static let listedSlowest = 8
  static let listedFailures = 50

  /// The page, UTF-8: about 80 bytes a task and 45 KB.
  ///
  /// - Parameters:
  ///   - record: a run that has ended, or one that goes on: what runs is shown up to now.
  ///   - result: the workflow's result, shown below the timeline; nil: none.
  /// - Complexity: O(n log n) in attempts, O(dependencies).
  public static func html(_ record: RunRecord, result: JSON?) -> String {
    html(record, result: result, limit: TimelineData.attemptLimit)
  }

  static func html(_ record: RunRecord, result: JSON?, limit: Int) -> String {
    let figures = RunFigures(record)
    let data = TimelineData.json(record, path: figures.path, releasers: figures.releasers, limit: limit)
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
      <link rel="icon" href="data:,">
      <title>\(PageStyle.escaped(title(record))): timeline</title>
      <style>
      \(PageStyle.dense(PageStyle.css + "\n" + TimelineStyle.css))
      </style>
      </head>
      <body>
      \(header(record, figures))
      \(stage(record, omitted: max(0, record.attemptCount - limit)))
      <div class="cards">
      <section class="card" id="details" hidden aria-live="polite"><h2>Selected</h2><div class="body"></div><p><button type="button" id="close">Close</button></p></section>
      \(pathCard(record, figures))
      \(failuresCard(record))
      \(slowestCard(record))
      </div>
      \(result.map(resultCard) ?? "")
      <script type="application/json" id="data">\(data)</script>
      <script>
      'use strict';
      (() => {
      \(script)
      })();
      </script>
      </body>
      </html>

      """
  }

  private static let script = PageStyle.dense(
    TimelineModelScript.source + "\n" + TimelineDrawScript.source + "\n" + TimelineActionScript.source)

  /// The workflow, and whose work it was where that was somebody's.
  private static func title(_ record: RunRecord) -> String {
    record.workflow + (record.tenant == RunTenant.standard.name ? "" : " for \(record.tenant)")
  }

  private static func header(_ record: RunRecord, _ figures: RunFigures) -> String {
    let path = figures.path
    var facts: [(name: String, value: String, note: String)] = []
    let recorded = record.recordedMakespanSeconds.map { "recorded: " + Quantity.seconds($0) } ?? ""
    facts.append((record.status == .running ? "Running for" : "Makespan", Quantity.nanoseconds(figures.makespan), recorded))
    facts.append(("Critical path", Quantity.nanoseconds(path.length), Quantity.percent(path.share) + " of the makespan"))
    facts.append(
      ("Graham\u{2019}s bound", Quantity.seconds(figures.bound), "for \(Quantity.integer(figures.machines)) at once, measured durations"))
    facts.append(
      (
        "Parallel efficiency", Quantity.percent(figures.efficiency),
        "\(Quantity.number((figures.parallelism * 100).rounded() / 100)) of \(Quantity.integer(figures.capacity)) busy on average"
      ))
    facts.append((record.taskCount == 1 ? "Task" : "Tasks", Quantity.integer(record.taskCount), record.countsInWords))
    if let items = record.unlistedItems { facts.append(("Items", "summed up", items)) }
    let repeated = record.tasks.count { $0.attempts.count > 1 }
    facts.append(
      (
        "Attempts", Quantity.integer(record.attemptCount),
        repeated == 0 ? "none repeated" : Quantity.count(repeated, "task") + " tried again"
      ))
    let items = facts.map {
      "<div><dt>\($0.name)</dt><dd>\(PageStyle.escaped($0.value))<small>\(PageStyle.escaped($0.note))</small></dd></div>"
    }
    return """
      <header>
      <div class="title"><h1>\(PageStyle.escaped(title(record)))</h1><span class="status \(record.status.rawValue)">\(record.status.rawValue)</span></div>
      <p class="sub">run \(PageStyle.escaped(record.run))<span id="started"></span> · \(Quantity.count(record.slots, "slot")) · \(Quantity.count(record.threads, "thread")) · order \(PageStyle.escaped(record.order))</p>
      <dl class="facts">\(items.joined(separator: "\n"))</dl>
      </header>
      """
  }

  private static func stage(_ record: RunRecord, omitted: Int) -> String {
    let note =
      omitted == 0
      ? ""
      : "<p class=\"note\">Shows \(Quantity.integer(record.attemptCount - omitted)) of \(Quantity.integer(record.attemptCount)) attempts: those of the critical path, those that did not complete, then the longest. The strip counts all; run.json has all.</p>"
    return """
      <main>
      <noscript><p>The drawing needs JavaScript, which is part of this file.</p></noscript>
      <div class="bar">
      <div class="search"><input type="search" id="search" placeholder="Find tasks by id" aria-label="Find tasks by id" autocomplete="off" spellcheck="false"><span class="hits" id="hits" aria-live="polite"></span></div>
      <div class="group"><button type="button" id="out" aria-label="Zoom out">−</button><button type="button" id="fit">Fit</button><button type="button" id="in" aria-label="Zoom in">+</button></div>
      <label class="check"><input type="checkbox" id="path" checked>critical path</label>
      </div>
      <ul class="legend" id="legend"></ul>
      \(note)
      <div class="stage"><div class="names" id="names" aria-hidden="true"></div>
      <div class="plot" id="plot" tabindex="0" role="img" aria-label="Attempts over time. Plus and minus zoom, arrows move, 0 fits, brackets step along the critical path."><canvas id="canvas"></canvas><div class="axis" id="axis"></div><div class="thumb" id="thumb" hidden></div></div></div>
      <div class="tip" id="tip" role="tooltip" hidden></div>
      <p class="help"><kbd>wheel</kbd> <kbd>+</kbd> <kbd>−</kbd> zoom · <kbd>drag</kbd> <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> move · <kbd>0</kbd> fit · <kbd>[</kbd> <kbd>]</kbd> walk the critical path · <kbd>/</kbd> find, <kbd>Enter</kbd> next · <kbd>c</kbd> path on or off · <kbd>click</kbd> details</p>
      </main>
      """
  }

  private static func pathCard(_ record: RunRecord, _ figures: RunFigures) -> String {
    let steps = figures.path.steps
    if steps.isEmpty { return "<section class=\"card\"><h2>Critical path</h2><p class=\"soft\">Nothing has started.</p></section>" }
    let rows = steps.prefix(listedSteps).map { step in
      let task = record.tasks[step.task]
      return
        "<tr><td>\(button(task))</td><td class=\"soft\">\(PageStyle.escaped(task.handler))</td><td class=\"number soft\">\(Quantity.nanoseconds(step.waiting))</td><td class=\"number\">\(Quantity.nanoseconds(step.running))</td></tr>"
    }
    let more = steps.count > listedSteps ? "<p class=\"note\">and \(Quantity.integer(steps.count - listedSteps)) more</p>" : ""
    return """
      <section class="card"><h2>Critical path: \(Quantity.count(steps.count, "task")), \(Quantity.nanoseconds(figures.path.length)) running, \(Quantity.nanoseconds(figures.path.waiting)) waiting</h2>
      <div class="scroll" tabindex="0"><table><thead><tr><th>task</th><th>handler</th><th class="number">waited</th><th class="number">ran</th></tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table></div>\(more)</section>
      """
  }

  /// The id of a task, to be clicked.
  private static func button(_ task: TaskRecord) -> String {
    "<button type=\"button\" class=\"task\">\(PageStyle.escaped(task.id))</button>"
  }

  private static func slowestCard(_ record: RunRecord) -> String {
    let slowest = record.slowest(listedSlowest).map { record.tasks[$0] }
    guard let longest = slowest.first.map(record.busy), longest > 0 else { return "" }
    let rows = slowest.map { task in
      let share = Quantity.fixed(Double(record.busy(task)) / Double(longest) * 100, decimals: 1)
      return "<tr><td>\(button(task))</td><td class=\"soft\">\(PageStyle.escaped(task.handler))</td>"
        + "<td class=\"number\">\(Quantity.nanoseconds(record.busy(task)))</td><td class=\"meter\"><i style=\"width:\(share)%\"></i></td></tr>"
    }
    return """
      <section class="card"><h2>Slowest tasks</h2>
      <table><thead><tr><th>task</th><th>handler</th><th class="number">ran</th><th></th></tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table></section>
      """
  }

  private static func failuresCard(_ record: RunRecord) -> String {
    let failed = record.failed
    if failed.isEmpty { return "" }
    let rows = failed.prefix(listedFailures).map { index in
      let task = record.tasks[index]
      let error = task.attempts.last.map { [$0.errorType, $0.message].filter { !$0.isEmpty }.joined(separator: ": ") } ?? ""
      return
        "<tr><td>\(button(task))<br><span class=\"soft\">\(task.status.word), \(Quantity.count(task.attempts.count, "attempt"))</span></td>"
        + "<td class=\"error\">\(clipped(error))</td></tr>"
    }
    let more = failed.count > listedFailures ? "<p class=\"note\">and \(Quantity.integer(failed.count - listedFailures)) more</p>" : ""
    return """
      <section class="card"><h2>\(Quantity.count(failed.count, "task")) failed</h2>
      <div class="scroll" tabindex="0"><table>
      \(rows.joined(separator: "\n"))
      </table></div>\(more)</section>
      """
  }

  private static func resultCard(_ result: JSON) -> String {
    "<section class=\"card\"><h2>Result</h2><div class=\"result\">\(ResultBlock.blocks(result).map { "<section>" + html($0) + "</section>" }.joined(separator: "\n"))</div></section>"
  }

  private static func html(_ block: ResultBlock) -> String {
    let more = { (count: Int) in count == 0 ? "" : "<p class=\"note\">and \(Quantity.integer(count)) more</p>" }
    switch block {
    case .facts(let facts):
      return "<table>"
        + facts.map { "<tr><td class=\"soft\">\(clipped($0.name))</td><td class=\"number\">\(clipped($0.value))</td></tr>" }.joined()
        + "</table>"
    case .list(let title, let items, let count):
      return "<h3>\(clipped(title))</h3><p>\(items.isEmpty ? "none" : items.map(clipped).joined(separator: ", "))</p>" + more(count)
    case .group(let title, let blocks):
      return "<h3>\(clipped(title))</h3>" + blocks.map(html).joined()
    case .table(let table):
      let numeric = table.rows.first.map { row in row.indices.map(table.isNumeric) } ?? []
      let head = table.columns.enumerated().map { "<th\(numeric[$0] ? " class=\"number\"" : "")>\(clipped($1))</th>" }.joined()
      let rows = table.rows.map { row in
        let cells = row.enumerated().map { "<td\(numeric[$0] ? " class=\"number\"" : "")>\(clipped($1.text))</td>" }.joined()
        let share = Quantity.fixed(table.share(row) * 100, decimals: 1)
        return "<tr>\(cells)\(table.measured == nil ? "" : "<td class=\"meter\"><i style=\"width:\(share)%\"></i></td>")</tr>"
      }
      return
        "<h3>\(clipped(table.title))</h3><table>\(head.isEmpty ? "" : "<tr>\(head)\(table.measured == nil ? "" : "<th></th>")</tr>")\(rows.joined())</table>"
        + more(table.more)
    }
  }

  /// Text of a result: at most 200 bytes, escaped.
  private static func clipped(_ text: String) -> String { PageStyle.escaped(TimelineData.shortened(text, 200)) }
}
