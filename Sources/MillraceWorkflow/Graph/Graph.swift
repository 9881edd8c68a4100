/// Pictures of a definition: what waits for what.
///
/// Small graphs show every task. Larger ones are summed up: tasks of one kind in one layer become one line, box or field of dots. A layer holds the tasks
/// whose longest way from a start has the same length.
public enum Graph {
  /// Up to this many tasks, each has a line or a box of its own.
  public static let detailedTasks = 200
  /// Up to this many tasks, an SVG has a dot for each; beyond, one box for each kind and layer.
  public static let dottedTasks = 20_000
  /// Lines of a text and boxes of an SVG, at most; what is left out is counted.
  static let maximumNodes = 400

  /// A layered list for the terminal. Throws `DefinitionError` if the definition is not valid. Complexity: O(tasks + dependencies).
  public static func text(_ definition: Definition) throws(DefinitionError) -> String {
    try DefinitionChecker().check(definition)
    let graph = TaskGraph(definition)
    let outline = GraphOutline(definition, graph, summed: definition.tasks.count > detailedTasks)
    return GraphText.text(definition, graph, outline)
  }

  /// One self-contained SVG, left to right, for light and dark pages; no scripts, no fonts. Throws `DefinitionError` if the definition is not valid.
  /// Complexity: O(tasks x log tasks + dependencies).
  public static func svg(_ definition: Definition) throws(DefinitionError) -> String {
    try DefinitionChecker().check(definition)
    let graph = TaskGraph(definition)
    if definition.tasks.count > detailedTasks, definition.tasks.count <= dottedTasks { return DottedSVG.svg(definition, graph) }
    return BoxedSVG.svg(definition, GraphOutline(definition, graph, summed: definition.tasks.count > dottedTasks))
  }

  /// In the language of Graphviz, for `dot`. Throws `DefinitionError` if the definition is not valid. Complexity: O(tasks + dependencies).
  public static func dot(_ definition: Definition) throws(DefinitionError) -> String {
    try DefinitionChecker().check(definition)
    return DotText.text(definition, GraphOutline(definition, TaskGraph(definition), summed: definition.tasks.count > detailedTasks))
  }

  /// A Mermaid flowchart, for Markdown. Graphs with more edges than Mermaid draws are summed up. Throws `DefinitionError` if the definition is not valid.
  /// Complexity: O(tasks + dependencies).
  public static func mermaid(_ definition: Definition) throws(DefinitionError) -> String {
    try DefinitionChecker().check(definition)
    let graph = TaskGraph(definition)
    let isLarge = definition.tasks.count > detailedTasks || graph.dependencies.targets.count > MermaidText.maximumEdges
    return MermaidText.text(definition, GraphOutline(definition, graph, summed: isLarge))
  }
}

/// What a picture shows: nodes with texts, and their edges; each task, or each kind of task in each layer.
struct GraphOutline {
  struct Node {
    var title: String
    var detail: String
    var kind: Int
  }

  var nodes: [Node] = []
  var dependencies = TaskRows()
  /// Layer of each node, from 0.
  var layers: [Int32] = []
  var kinds: [String] = []
  /// Nodes that were left out.
  var omitted = 0

  init(_ definition: Definition, _ graph: TaskGraph, summed: Bool) {
    let taskKinds = TaskKinds(definition)
    kinds = taskKinds.names
    let layers = graph.layers
    if summed { sum(taskKinds, graph, layers) } else { list(definition, taskKinds, graph, layers) }
  }

  private mutating func list(_ definition: Definition, _ taskKinds: TaskKinds, _ graph: TaskGraph, _ layers: [Int32]) {
    nodes = definition.tasks.indices.map { index in
      Node(title: definition.tasks[index].id, detail: definition.tasks[index].shown, kind: taskKinds.ofTask[index])
    }
    dependencies = graph.dependencies
    self.layers = layers
  }

  private mutating func sum(_ taskKinds: TaskKinds, _ graph: TaskGraph, _ layers: [Int32]) {
    struct Group: Hashable {
      let layer: Int32
      let kind: Int
    }
    var counts: [Group: Int] = [:]
    for task in 0..<graph.count { counts[Group(layer: layers[task], kind: taskKinds.ofTask[task]), default: 0] += 1 }
    let all = counts.keys.sorted { ($0.layer, $0.kind) < ($1.layer, $1.kind) }
    let shown = all.prefix(Graph.maximumNodes)
    omitted = all.count - shown.count
    let indices = Dictionary(uniqueKeysWithValues: shown.enumerated().map { ($1, $0) })
    var sources = [Set<Int>](repeating: [], count: shown.count)
    for task in 0..<graph.count {
      guard let target = indices[Group(layer: layers[task], kind: taskKinds.ofTask[task])] else { continue }
      for dependency in graph.dependencies[task] {
        let group = Group(layer: layers[Int(dependency)], kind: taskKinds.ofTask[Int(dependency)])
        if let source = indices[group] { sources[target].insert(source) }
      }
    }
    for (index, group) in shown.enumerated() {
      let count = counts[group] ?? 0
      nodes.append(Node(title: taskKinds.names[group.kind], detail: count == 1 ? "1 task" : "\(count) tasks", kind: group.kind))
      self.layers.append(group.layer)
      for source in sources[index].sorted() { dependencies.append(source) }
      dependencies.endRow()
    }
  }
}

/// Tasks sorted by what they do: by handler, or, where all have the same, by the beginning of their ids (`mProject_ID0000001` is an `mProject`).
struct TaskKinds {
  private(set) var names: [String] = []
  private(set) var ofTask: [Int] = []

  private static let maximumKinds = 24

  init(_ definition: Definition) {
    let candidates: [(TaskDefinition) -> String] = [\.doing, { Self.stem($0.id) }, { Self.prefix($0.id) }]
    for candidate in candidates {
      assign(definition, candidate)
      if names.count > 1, names.count <= Self.maximumKinds { return }
    }
    assign(definition) { $0.doing }
  }

  private mutating func assign(_ definition: Definition, _ name: (TaskDefinition) -> String) {
    var indices: [String: Int] = [:]
    names = []
    ofTask = definition.tasks.map { task in
      let name = name(task)
      if let index = indices[name] { return index }
      indices[name] = names.count
      names.append(name)
      return names.count - 1
    }
  }

  /// The id without a number at its end.
  private static func stem(_ id: String) -> String {
    var rest = id[...]
    while let last = rest.last, last.isNumber { rest.removeLast() }
    if rest.hasSuffix("_ID") { rest.removeLast(3) }
    while let last = rest.last, "._-".contains(last) { rest.removeLast() }
    return rest.isEmpty ? id : String(rest)
  }

  private static func prefix(_ id: String) -> String {
    let first = id.prefix { !"._-".contains($0) }
    return first.isEmpty ? id : String(first)
  }
}

extension TaskDefinition {
  /// What it does; of a step of a saga also how that is undone.
  fileprivate var shown: String {
    if isPivot { return "\(doing), pivot" }
    guard let compensation else { return doing }
    return compensation.isNeeded ? "\(doing), undone by \(compensation.handler)" : "\(doing), nothing to undo"
  }
}

extension TaskGraph {
  /// For each task the length of its longest way from a task without dependencies. The graph has no cycles.
  var layers: [Int32] {
    var layers = [Int32](repeating: 0, count: count)
    for task in order {
      for dependent in dependents[Int(task)] { layers[Int(dependent)] = max(layers[Int(dependent)], layers[Int(task)] + 1) }
    }
    return layers
  }
}
