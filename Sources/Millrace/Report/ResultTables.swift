public import MillraceWorkflow

/// The result of any workflow as tables for a terminal.
///
/// Single values become `Name: value` lines; arrays of objects and objects of names and numbers become tables with a bar for the first column
/// of numbers; keys become words, and keys that end in `KiB`, `Bytes` or `Seconds` have their values shown with a fitting unit. No text of the
/// result can move the cursor: what a terminal would act on is shown as an escape.
public enum ResultTables {
  /// Narrower terminals are treated as this wide.
  public static let minimumWidth = 20
  /// Columns of the widest bar.
  static let barWidth = 24

  /// Lines of at most `width` columns, each ended by a newline; empty for an empty object.
  ///
  /// - Complexity: O(size of the result + n log n) for objects of n names and numbers.
  public static func text(_ result: JSON, width: Int) -> String {
    var lines: [String] = []
    write(ResultBlock.blocks(result), indent: 0, width: max(minimumWidth, width), into: &lines)
    return lines.map { $0 + "\n" }.joined()
  }

  private static func write(_ blocks: [ResultBlock], indent: Int, width: Int, into lines: inout [String]) {
    for (index, block) in blocks.enumerated() {
      if index > 0 { lines.append("") }
      let margin = String(repeating: " ", count: indent)
      switch block {
      case .facts(let facts):
        let names = facts.map { TerminalText.cut(TerminalText.escaped($0.name), to: width / 2) + ":" }
        let column = names.map(TerminalText.width).max() ?? 0
        for (name, fact) in zip(names, facts) {
          let room = width - indent - column - 1
          let values = TerminalText.wrapped(TerminalText.escaped(fact.value), width: max(4, room))
          lines.append(TerminalText.cut(margin + TerminalText.padded(name, to: column) + " " + (values.first ?? ""), to: width))
          for value in values.dropFirst() { lines.append(margin + String(repeating: " ", count: column + 1) + value) }
        }
      case .list(let title, let items, let more):
        lines.append(heading(title, margin, width))
        let words =
          items.isEmpty
          ? "none" : items.map(TerminalText.escaped).joined(separator: ", ") + (more > 0 ? " and \(Quantity.integer(more)) more" : "")
        lines += TerminalText.wrapped(words, width: width - indent - 2).map { margin + "  " + $0 }
      case .group(let title, let nested):
        lines.append(heading(title, margin, width))
        write(nested, indent: indent + 2, width: width, into: &lines)
      case .table(let table):
        lines.append(heading(table.title, margin, width))
        lines += rows(table, width: width - indent - 2).map { $0.isEmpty ? "" : margin + "  " + $0 }
      }
    }
  }

  private static func heading(_ title: String, _ margin: String, _ width: Int) -> String {
    TerminalText.cut(margin + TerminalText.escaped(title), to: width)
  }

  private static func rows(_ table: ResultBlock.Table, width: Int) -> [String] {
    let count = table.rows.first?.count ?? 0
    let cells = table.rows.map { $0.map { TerminalText.escaped($0.text) } }
    let heads = table.columns.map(TerminalText.escaped)
    var widths = (0..<count).map { column in
      max(heads.isEmpty ? 0 : TerminalText.width(heads[column]), cells.lazy.map { TerminalText.width($0[column]) }.max() ?? 0)
    }
    let gaps = 2 * max(0, count - 1)
    // Too wide: the widest column gives first, and every column keeps something.
    while widths.reduce(gaps, +) > width, let widest = widths.indices.max(by: { widths[$0] < widths[$1] }), widths[widest] > 4 {
      widths[widest] -= 1
    }
    let line = { (texts: [String]) in
      texts.enumerated().map { TerminalText.padded(TerminalText.cut($1, to: widths[$0]), to: widths[$0], right: table.isNumeric($0)) }
        .joined(separator: "  ")
    }
    let room = min(barWidth, width - widths.reduce(gaps, +) - 2)
    var lines: [String] = heads.isEmpty ? [] : [line(heads)]
    for (row, texts) in zip(table.rows, cells) {
      let bar = table.measured == nil || room < 4 ? "" : "  " + TerminalText.bar(table.share(row), width: room)
      lines.append(line(texts) + bar)
    }
    if table.more > 0 { lines.append("and \(Quantity.integer(table.more)) more") }
    if table.moreColumns > 0 { lines.append("and \(Quantity.count(table.moreColumns, "more column"))") }
    return lines.map { line in
      let end = line.lastIndex { $0 != " " }.map { line.index(after: $0) } ?? line.startIndex
      return TerminalText.cut(String(line[..<end]), to: width)
    }
  }
}
