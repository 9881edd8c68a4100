/// The layered list: one line a node, its layer at the left, what it waits for at the right.
enum GraphText {
  private static let maximumNames = 4
  private static let maximumTitle = 40

  static func text(_ definition: Definition, _ graph: TaskGraph, _ outline: GraphOutline) -> String {
    var rows = [[Int]](repeating: [], count: Int(outline.layers.max() ?? -1) + 1)
    for (node, layer) in outline.layers.enumerated() { rows[Int(layer)].append(node) }
    let edges = graph.dependencies.targets.count
    let depth = Int(graph.layers.max() ?? -1) + 1
    var lines = [
      "\(definition.name): \(count(graph.count, definition.noun)), \(count(edges, "dependency", "dependencies")), \(count(depth, "layer"))",
      "",
    ]
    let titleWidth = min(outline.nodes.map(\.title.count).max() ?? 0, maximumTitle)
    let detailWidth = min(outline.nodes.map(\.detail.count).max() ?? 0, maximumTitle)
    let numberWidth = String(rows.count).count
    for (layer, row) in rows.enumerated() {
      for (place, node) in row.enumerated() {
        let number = place == 0 ? String(layer + 1) : ""
        let branch = row.count == 1 ? "─" : place == 0 ? "┬" : place == row.count - 1 ? "└" : "├"
        let shown = outline.nodes[node]
        var line =
          "\(padded(number, numberWidth, left: true)) \(branch) \(padded(shown.title, titleWidth))  \(padded(shown.detail, detailWidth))"
        let sources = outline.dependencies[node]
        if !sources.isEmpty {
          let names = sources.prefix(maximumNames).map { outline.nodes[Int($0)].title }.joined(separator: ", ")
          line += "  ← \(names)" + (sources.count > maximumNames ? " and \(sources.count - maximumNames) more" : "")
        }
        while line.last == " " { line.removeLast() }
        lines.append(line)
      }
    }
    if outline.omitted > 0 { lines.append("and \(outline.omitted) more") }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func count(_ number: Int, _ noun: String, _ plural: String? = nil) -> String {
    "\(number) \(number == 1 ? noun : plural ?? noun + "s")"
  }

  private static func padded(_ text: String, _ width: Int, left: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return left ? space + text : text + space
  }
}
