/// A dot for each task, coloured by kind; a layer is a field of dots, several columns wide where it holds many. The edges of a kind are one faint path.
enum DottedSVG {
  private static let dot = 7.0
  private static let pitch = 10.0
  private static let leastRows = 24
  private static let mostRows = 90
  /// Edges that are drawn; of more, the first.
  private static let maximumEdges = 40_000

  static func svg(_ definition: Definition, _ graph: TaskGraph) -> String {
    let kinds = TaskKinds(definition)
    let layers = graph.layers
    let layout = LayeredLayout(graph.dependencies, layers: layers)
    let fields = layout.layers.map { layer in layer.filter { $0 < layout.realNodes } }
    let rows = min(max(leastRows, Int((Double(graph.count) * 1.2).squareRoot())), mostRows)
    let gap = min(150, max(18, 1_500 / Double(fields.count)))
    let top = SVGText.margin + SVGText.headerHeight + 18
    let height = pitch * Double(min(rows, fields.map(\.count).max() ?? 0))

    var x = [Double](repeating: 0, count: graph.count)
    var y = x
    var left = SVGText.margin
    var svg = SVGText()
    for field in fields {
      let columns = (field.count + rows - 1) / rows
      let used = (field.count + columns - 1) / columns
      let start = top + (height - pitch * Double(used)) / 2
      for (place, task) in field.enumerated() {
        // Row by row, so that neighbours in the order stay at one height.
        x[task] = left + pitch * Double(place % columns)
        y[task] = start + pitch * Double(place / columns)
      }
      if gap > 30 { svg.add("<text class=\"d\" x=\"\(SVGText.number(left))\" y=\"\(SVGText.number(start - 8))\">\(field.count)</text>") }
      left += pitch * Double(columns) + gap
    }

    drawEdges(graph, kinds, x, y, &svg)
    for kind in kinds.names.indices {
      svg.add("<g class=\"\(SVGText.colourClass(kind))\">")
      for task in 0..<graph.count where kinds.ofTask[task] == kind {
        svg.add(
          """
          <rect x="\(SVGText.number(x[task]))" y="\(SVGText.number(y[task]))" width="\(SVGText.number(dot))" height="\(SVGText.number(dot))" rx="1.5">\
          <title>\(SVGText.escaped(definition.tasks[task].id)) (\(SVGText.escaped(definition.tasks[task].doing)))</title></rect>
          """)
      }
      svg.add("</g>")
    }
    var counts = [Int](repeating: 0, count: kinds.names.count)
    for kind in kinds.ofTask { counts[kind] += 1 }
    let width = max(left - gap + SVGText.margin, 640)
    let legendTop = top + height + 20
    let legend = svg.legend(
      kinds.names.indices.map { ($0, "\(kinds.names[$0]) \(counts[$0])") }, x: SVGText.margin, y: legendTop,
      width: width - 2 * SVGText.margin)
    let edges = graph.dependencies.targets.count
    let drawn = edges > maximumEdges ? " (\(maximumEdges) drawn)" : ""
    return svg.document(
      title: definition.name, subtitle: "\(graph.count) tasks, \(edges) dependencies\(drawn), \(fields.count) layers", width: width,
      height: legendTop + legend + SVGText.margin)
  }

  private static func drawEdges(_ graph: TaskGraph, _ kinds: TaskKinds, _ x: [Double], _ y: [Double], _ svg: inout SVGText) {
    var paths = [String](repeating: "", count: kinds.names.count)
    var drawn = 0
    for target in 0..<graph.count {
      for source in graph.dependencies[target] {
        guard drawn < maximumEdges else { break }
        drawn += 1
        let from = (x: x[Int(source)] + dot, y: y[Int(source)] + dot / 2)
        paths[kinds.ofTask[Int(source)]] +=
          "M\(SVGText.number(from.x)) \(SVGText.number(from.y))" + SVGText.curve(from.x, from.y, x[target], y[target] + dot / 2)
      }
    }
    for (kind, path) in paths.enumerated() where !path.isEmpty {
      svg.add("<path class=\"f s\(SVGText.colourClass(kind).dropFirst())\" d=\"\(path)\"/>")
    }
  }
}
