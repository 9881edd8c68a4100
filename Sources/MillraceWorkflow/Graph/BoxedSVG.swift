/// A box with two lines of text for each node, curves between them.
enum BoxedSVG {
  private static let boxHeight = 36.0
  private static let pitch = 46.0
  /// Distance of edges that pass a layer.
  private static let edgePitch = 12.0
  private static let gap = 64.0
  private static let letterWidth = 7.3
  private static let maximumLetters = 36

  static func svg(_ definition: Definition, _ outline: GraphOutline) -> String {
    let layout = LayeredLayout(outline.dependencies, layers: outline.layers)
    let places = layout.places { $0 < layout.realNodes ? pitch : edgePitch }
    let top = SVGText.margin + SVGText.headerHeight
    var svg = SVGText()

    var left: [Double] = []
    var widths: [Double] = []
    var x = SVGText.margin
    for layer in layout.layers {
      let letters =
        layer.filter { $0 < layout.realNodes }.map { max(outline.nodes[$0].title.count, outline.nodes[$0].detail.count) }.max() ?? 0
      let width = 26 + letterWidth * Double(min(letters, maximumLetters))
      left.append(x)
      widths.append(width)
      // Long bundles of edges need room to turn.
      x += width + gap + min(80, 2 * Double(layer.count))
    }
    var layerOf = [Int](repeating: 0, count: places.count)
    for (index, layer) in layout.layers.enumerated() {
      for node in layer { layerOf[node] = index }
    }

    svg.add("<g class=\"e\">")
    for route in layout.routes {
      var path = ""
      for (from, to) in zip(route, route.dropFirst()) {
        let start = left[layerOf[from]] + widths[layerOf[from]]
        let y = top + places[from] + boxHeight / 2
        let isLast = to < layout.realNodes
        if path.isEmpty { path = "M\(SVGText.number(start)) \(SVGText.number(y))" }
        // Through the column of an invisible node the line goes straight; before a box it leaves room for the arrow head.
        path += SVGText.curve(start, y, left[layerOf[to]] - (isLast ? 6 : 0), top + places[to] + boxHeight / 2)
        if !isLast { path += "H\(SVGText.number(left[layerOf[to]] + widths[layerOf[to]]))" }
      }
      svg.add("<path d=\"\(path)\"/>")
    }
    svg.add("</g>")
    for node in outline.nodes.indices where !outline.dependencies[node].isEmpty {
      let tip = left[layerOf[node]]
      let y = top + places[node] + boxHeight / 2
      svg.add("<path class=\"a\" d=\"M\(SVGText.number(tip)) \(SVGText.number(y))l-7 -3.5v7z\"/>")
    }
    for (node, shown) in outline.nodes.enumerated() {
      let x = left[layerOf[node]]
      let y = top + places[node]
      svg.add(
        """
        <g transform="translate(\(SVGText.number(x)) \(SVGText.number(y)))"><title>\(SVGText.escaped(shown.title)) (\(SVGText.escaped(shown.detail)))</title>\
        <rect class="b" width="\(SVGText.number(widths[layerOf[node]]))" height="\(SVGText.number(boxHeight))" rx="5"/>\
        <rect class="\(SVGText.colourClass(shown.kind))" x="0" width="5" height="\(SVGText.number(boxHeight))" rx="2"/>\
        <text x="14" y="16">\(SVGText.escaped(cut(shown.title)))</text><text class="d" x="14" y="29">\(SVGText.escaped(cut(shown.detail)))</text></g>
        """)
    }
    let bottom = top + (places.max() ?? 0) + boxHeight
    let width = max((left.last ?? 0) + (widths.last ?? 0) + SVGText.margin, 320)
    var subtitle = "\(definition.tasks.count) tasks, \(definition.tasks.reduce(0) { $0 + $1.dependencies.count }) dependencies"
    if outline.omitted > 0 { subtitle += ", \(outline.omitted) groups not shown" }
    return svg.document(title: definition.name, subtitle: subtitle, width: width, height: bottom + SVGText.margin)
  }

  /// Long ids often begin alike: the middle goes.
  private static func cut(_ text: String) -> String {
    text.count <= maximumLetters ? text : text.prefix(maximumLetters / 3) + "…" + text.suffix(maximumLetters - maximumLetters / 3 - 1)
  }
}
