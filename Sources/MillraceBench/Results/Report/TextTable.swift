internal import Millrace

/// Columns for a terminal: the first to the left, numbers to the right.
struct TextTable {
  private var rows: [[String]]
  /// Columns whose text begins at the left.
  private let left: Set<Int>

  init(_ heads: [String], left: Set<Int> = [0]) {
    rows = [heads]
    self.left = left
  }

  mutating func add(_ cells: [String]) { rows.append(cells.map(TerminalText.escaped)) }

  /// Lines ended by newlines, without spaces at their ends.
  var text: String {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in rows.map { column < $0.count ? TerminalText.width($0[column]) : 0 }.max() ?? 0 }
    return rows.map { row in
      let line = row.enumerated().map { TerminalText.padded($1, to: widths[$0], right: !left.contains($0)) }.joined(separator: "  ")
      return String(line[..<(line.lastIndex { $0 != " " }.map { line.index(after: $0) } ?? line.startIndex)]) + "\n"
    }.joined()
  }
}
