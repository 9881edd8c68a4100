import MillraceWorkflow
import Testing

@Suite struct DefinitionGraphTests {
  private var diamond: Definition {
    var definition = Definition("diamond")
    let a = definition.task("a", handler: "shell/run")
    let left = definition.task("left", handler: "files/hash", dependencies: [a])
    let right = definition.task("right", handler: "files/hash", dependencies: [a])
    definition.task("join", handler: "shell/run", dependencies: [left, right, a])
    return definition
  }

  /// A start, `layers` times `width` tasks that each wait for all of the layer before, an end.
  private func lattice(layers: Int, width: Int) -> Definition {
    var definition = Definition("lattice")
    var before = [definition.task("start", handler: "p/start")]
    for layer in 0..<layers {
      before = (0..<width).map { definition.task("t\(layer)-\($0)", handler: "p/h\(layer)", dependencies: [before[$0 % before.count]]) }
    }
    definition.task("end", handler: "p/end", dependencies: before)
    return definition
  }

  @Test("a small graph is a list of layers")
  func smallText() throws {
    #expect(
      try Graph.text(diamond) == """
        diamond: 4 tasks, 5 dependencies, 3 layers

        1 ─ a      shell/run
        2 ┬ left   files/hash  ← a
          └ right  files/hash  ← a
        3 ─ join   shell/run   ← left, right, a

        """)
  }

  @Test("a large graph is summed up by kind and layer")
  func largeText() throws {
    #expect(
      try Graph.text(lattice(layers: 3, width: 100)) == """
        lattice: 302 tasks, 400 dependencies, 5 layers

        1 ─ p/start  1 task
        2 ─ p/h0     100 tasks  ← p/start
        3 ─ p/h1     100 tasks  ← p/h0
        4 ─ p/h2     100 tasks  ← p/h1
        5 ─ p/end    1 task     ← p/h2

        """)
  }

  @Test("tasks of one handler are told apart by the beginning of their ids")
  func kinds() throws {
    var definition = Definition("trace")
    let first = (0..<150).map { definition.task("mProject_ID\($0)", handler: "replay/task") }
    for index in 0..<150 { definition.task("mDiffFit_ID\(index)", handler: "replay/task", dependencies: [first[index]]) }
    #expect(try Graph.text(definition).contains("2 ─ mDiffFit  150 tasks  ← mProject"))
  }

  @Test("a long chain is cut, and says by how much")
  func longChain() throws {
    var definition = Definition("chain")
    var previous = definition.task("t0", handler: "h")
    for index in 1..<1_000 { previous = definition.task("t\(index)", handler: "h", dependencies: [previous]) }
    #expect(try Graph.text(definition).hasSuffix("\nand 600 more\n"))
  }

  @Test("a small picture has a box for each task, a curve for each dependency, and nothing from elsewhere")
  func smallPicture() throws {
    let svg = try Graph.svg(diamond)
    #expect(occurrences(of: "<rect class=\"b\"", in: svg) == 4)
    #expect(occurrences(of: "<path d=\"M", in: svg) == 5)
    #expect(svg.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\""))
    #expect(svg.hasSuffix("</svg>\n"))
    #expect(svg.contains("prefers-color-scheme:dark"))
    #expect(!svg.contains("<script") && !svg.contains("href") && !svg.contains("url("))
  }

  @Test("boxes of a layer do not overlap")
  func boxes() throws {
    let svg = try Graph.svg(lattice(layers: 3, width: 30))
    var columns: [Substring: [Double]] = [:]
    for part in svg.split(separator: "translate(").dropFirst() {
      let numbers = part.prefix { $0 != ")" }.split(separator: " ")
      columns[numbers[0], default: []].append(try #require(Double(numbers[1])))
    }
    #expect(columns.values.map(\.count).sorted() == [1, 1, 30, 30, 30])
    for column in columns.values {
      let sorted = column.sorted()
      #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $1 - $0 >= 45.9 })
    }
  }

  @Test("a larger picture has a dot for each task and a legend")
  func dots() throws {
    let svg = try Graph.svg(lattice(layers: 3, width: 100))
    #expect(occurrences(of: "<title>", in: svg) == 302 + 1)
    #expect(svg.contains(">p/h1 100</text>"))
  }

  @Test("a definition that is not valid has no picture")
  func invalid() {
    let definition = Definition("w", tasks: [TaskDefinition("a", handler: "h", dependencies: ["a"])])
    #expect(throws: DefinitionError.self) { try Graph.text(definition) }
    #expect(throws: DefinitionError.self) { try Graph.svg(definition) }
  }

  private func occurrences(of part: String, in text: String) -> Int {
    text.split(separator: part, omittingEmptySubsequences: false).count - 1
  }
}

/// The graph in other languages.
@Suite struct GraphMarkupTests {
  private static var diamond: Definition {
    var definition = Definition("diamond")
    let a = definition.task("a", handler: "shell/run")
    let left = definition.task("left", handler: "files/hash", dependencies: [a])
    let right = definition.task("end", handler: "files/hash", dependencies: [a])
    definition.task("join", handler: "shell/run", dependencies: [left, right])
    return definition
  }

  private static func fan(_ width: Int) -> Definition {
    var definition = Definition("fan")
    let first = definition.task("first", handler: "p/a")
    let middle = (0..<width).map { definition.task("m\($0)", handler: "p/b", dependencies: [first]) }
    definition.task("last", handler: "p/c", dependencies: middle)
    return definition
  }

  /// `rows` times `rows` dependencies between two layers.
  private static func dense(_ rows: Int) -> Definition {
    var definition = Definition("dense")
    let first = (0..<rows).map { definition.task("a\($0)", handler: "p/a") }
    for index in 0..<rows { definition.task("b\(index)", handler: "p/b", dependencies: first) }
    return definition
  }

  @Test("Mermaid: nodes are numbered, so that no id is a word of the language")
  func mermaid() throws {
    #expect(
      try Graph.mermaid(Self.diamond) == """
        flowchart LR
          %% diamond: 4 tasks
          n0["a<br/>shell/run"]
          n1["left<br/>files/hash"]
          n2["end<br/>files/hash"]
          n3["join<br/>shell/run"]
          n0 --> n1
          n0 --> n2
          n1 --> n3
          n2 --> n3

        """)
  }

  @Test("DOT: nodes are numbered, texts stand in labels")
  func dot() throws {
    let text = try Graph.dot(Self.diamond)
    #expect(text.hasPrefix("digraph \"diamond\" {\n  graph [rankdir=LR, "))
    #expect(text.contains("label=\"diamond: 4 tasks\"];\n"))
    #expect(text.contains("  n2 [label=\"end\\nfiles/hash\"];\n"))
    #expect(text.hasSuffix("  n2 -> n3;\n}\n"))
  }

  @Test("large graphs are summed up, and say so; so are those with more edges than Mermaid draws")
  func large() throws {
    for text in [try Graph.mermaid(Self.fan(1_000)), try Graph.dot(Self.fan(1_000))] {
      #expect(text.contains("fan: 1002 tasks, summed up by kind and layer"))
      #expect(text.contains("1000 tasks"))
      #expect(text.utf8.count < 1_000)
    }
    #expect(try Graph.mermaid(Self.dense(22)).split(separator: "\n").count == 484 + 44 + 2)
    #expect(try Graph.mermaid(Self.dense(23)).contains("summed up"))
    #expect(try Graph.dot(Self.dense(23)).contains("dense: 46 tasks\""))
  }
}
