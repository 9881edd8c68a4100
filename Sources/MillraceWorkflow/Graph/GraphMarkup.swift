/// The graph in the language of Graphviz. Nodes are numbered, so that no id can mean anything; texts stand in labels, escaped.
enum DotText {
  static func text(_ definition: Definition, _ outline: GraphOutline) -> String {
    var lines = [
      "digraph \(quoted(definition.name)) {",
      "  graph [rankdir=LR, fontname=\"Helvetica\", labelloc=t, label=\(quoted(outline.caption(definition)))];",
      "  node [shape=box, style=rounded, fontname=\"Helvetica\", fontsize=11];",
      "  edge [color=\"#8b949c\"];",
    ]
    for (index, node) in outline.nodes.enumerated() {
      lines.append("  n\(index) [label=\(quoted(node.title + "\n" + node.detail))];")
    }
    for target in outline.nodes.indices {
      for source in outline.dependencies[target] { lines.append("  n\(source) -> n\(target);") }
    }
    lines.append("}")
    return lines.joined(separator: "\n") + "\n"
  }

  /// A quoted string of the language, where `&` would begin an entity and a backslash an escape.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "&": result += "&amp;"
      case ..<" ": result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// The graph as a Mermaid flowchart, for Markdown that draws it.
enum MermaidText {
  /// Edges that Mermaid draws unless the page that holds it raises its `maxEdges`.
  static let maximumEdges = 500

  static func text(_ definition: Definition, _ outline: GraphOutline) -> String {
    var lines = ["flowchart LR", "  %% \(outline.caption(definition))"]
    let edges = outline.dependencies.targets.count
    if edges > maximumEdges { lines.append("  %% \(edges) edges: raise maxEdges, which is \(maximumEdges), where this is drawn") }
    for (index, node) in outline.nodes.enumerated() {
      lines.append("  n\(index)[\"\(escaped(node.title))<br/>\(escaped(node.detail))\"]")
    }
    for target in outline.nodes.indices {
      for source in outline.dependencies[target] { lines.append("  n\(source) --> n\(target)") }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Inside a quoted label, where `#` begins an entity code.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "#", "<", ">", "&", "`", ";", "\\", ..<" ": result += "#\(scalar.value);"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

extension GraphOutline {
  /// What is shown, and that it is summed up or cut where it is.
  func caption(_ definition: Definition) -> String {
    let tasks = definition.tasks.count
    var text = "\(definition.name): \(tasks) \(definition.noun)\(tasks == 1 ? "" : "s")"
    if nodes.count < tasks { text += ", summed up by kind and layer" }
    if omitted > 0 { text += ", \(omitted) more left out" }
    return text
  }
}
