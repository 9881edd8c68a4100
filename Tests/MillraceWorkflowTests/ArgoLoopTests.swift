import Testing

@testable import MillraceWorkflow

@Suite struct ArgoLoopTests {
  /// A workflow of a program `list`, and of `each` with what is given.
  private static func read(_ each: String, parallelism: String = "") throws -> ArgoWorkflow.Reading {
    try ArgoTests.read(
      """
        entrypoint: main
        arguments: { parameters: [{ name: os, value: '["a", {"b": 1}]' }, { name: n, value: 3 }, { name: word, value: x }] }
        templates:
      \(ArgoTests.echo)\
          - name: pair
            steps: [[{ name: x, template: echo }]]
          - name: pause
            suspend: {}
          - name: made
            inputs: { parameters: [{ name: os }, { name: n }] }
      \(parallelism)
            steps: [[{ name: each, \(each) }]]
          - name: main
            inputs: { parameters: [{ name: os }] }
            steps:
              - - { name: list, template: echo }
              - - name: made
                  template: made
                  arguments: { parameters: [{ name: os, value: "{{inputs.parameters.os}}" }, { name: n, value: "{{steps.list.outputs.result}}" }] }

      """)
  }

  private static let text = "template: echo, arguments: { parameters: [{ name: text, value: \"<{{item}}>\" }] }"

  @Test("a list that only the run knows becomes a foreach, and its items text where text is wanted")
  func lists() throws {
    let reading = try Self.read("\(Self.text), withParam: \"{{inputs.parameters.n}}\"", parallelism: "      parallelism: 2")
    let each = try #require(reading.definition.tasks.first { $0.id == "made.each" })
    #expect(each.foreach == .list("${tasks.list.output.value}") && each.parallelism == 2 && each.dependencies == ["list"])
    #expect(each.input["arguments"]?[0] == "<${item}>")
    #expect(reading.definition.tasks[0].input["result"] == true && each.input["result"] == nil)

    // The list is written as text in the file of Argo, and is a list here.
    let parameter = try Self.read(
      "template: echo, withParam: \"{{inputs.parameters.os}}\", arguments: { parameters: [{ name: text, value: \"{{item.b}}\" }] }")
    #expect(parameter.definition.parameters[0] == .init("os", fallback: ["a", ["b": 1]]))
    #expect(parameter.definition.parameters[1].kind == .string)
    let other = try #require(parameter.definition.tasks.first { $0.id == "made.each" })
    #expect(other.foreach == .list("${params.os}") && other.parallelism == nil)
    #expect(other.input["arguments"] == ["${item.b}${''}", "$HOME and $${HOME}"])
  }

  @Test("sequences to a value become ranges, with numbers they are written out in their format")
  func sequences() throws {
    func foreach(_ sequence: String) throws -> TaskDefinition {
      try #require(try Self.read("\(Self.text), withSequence: \(sequence)").definition.tasks.first { $0.id == "made.each" })
    }
    let counted = try foreach("{ count: \"{{inputs.parameters.n}}\" }")
    #expect(counted.foreach == .range(from: 1, to: "${tasks.list.output.value}"))
    #expect(counted.input["arguments"]?[0] == "<${index}>")
    let between = try foreach("{ start: \"{{workflow.parameters.n}}\", end: 9 }")
    #expect(between.foreach == .range(from: "${params.n}", to: 9) && between.input["arguments"]?[0] == "<${item}>")
    for (sequence, texts) in [
      ("{ count: 3, start: 254, format: \"u%03X!\" }", ["<u0FE!>", "<u0FF!>", "<u100!>"]),
      ("{ start: 1, end: -1, format: \"%%%3d\" }", ["<%  1>", "<%  0>", "<% -1>"]),
      ("{ count: \"2\", format: \"%o%b\" }", []), ("{ count: 2, format: \"%s\" }", []),
      ("{ start: -9223372036854775808, end: 9223372036854775807 }", []), ("{ start: 9223372036854775807, count: 2 }", []),
      ("{ count: -1 }", []), ("{ start: 1, count: \"{{inputs.parameters.n}}\" }", []), ("{ count: \"{{item}}\" }", []),
      ("{ count: \"{{inputs.parameters.n}}\", format: \"%02d\" }", []),
    ] {
      let tasks = try Self.read("\(Self.text), withSequence: \(sequence)").definition.tasks.dropFirst()
      #expect(tasks.compactMap { $0.input["arguments"]?[0]?.string } == texts, "\(sequence)")
      #expect(texts.isEmpty == (tasks.first?.input["command"] != nil), "\(sequence)")
    }
  }

  @Test(
    "a loop that cannot be expressed is one task that fails",
    arguments: [
      ("template: pair, withParam: \"{{inputs.parameters.n}}\"", "and its template is no single program"),
      ("template: pause, withParam: \"{{inputs.parameters.n}}\"", "and it waits for each"),
      ("template: echo, withParam: \"[{{inputs.parameters.n}}]\"", "its list is put together of several parts"),
      ("template: echo, withParam: \"no list\"", "'withParam' is no list in JSON"),
      ("template: echo, withParam: \"{}\"", "'withParam' is no list"),
      ("template: echo, withParam: \"{{tasks.list.outputs.parameters.p}}\"", "is of no task that has ended before"),
      ("template: echo, withItems: x", "'withItems' is no list"),
      ("template: gone, withParam: \"{{inputs.parameters.n}}\"", "the template 'gone' is not in the file"),
    ])
  func refusals(call: String, reason: String) throws {
    let reading = try Self.read(call)
    let each = try #require(reading.definition.tasks.first { $0.id == "made.each" })
    #expect(each.foreach == nil && each.input["command"]?.string?.hasSuffix("exit 69") == true)
    #expect(
      reading.notes.contains { $0.message.hasPrefix("'made.each' is not imported: ") && $0.message.contains(reason) }, "\(reading.notes)")
  }

  @Test("the results of a loop have no counterpart, its items may have text of their own, and a value in a text after a dollar stays one")
  func texts() throws {
    let reading = try ArgoTests.read(
      """
        entrypoint: main
        arguments: { parameters: [{ name: who, value: me }] }
        templates:
      \(ArgoTests.echo)\
          - name: main
            steps:
              - - name: each
                  template: echo
                  withItems: ["{{workflow.parameters.who}}", "$"]
                  arguments: { parameters: [{ name: text, value: "${{item}}" }] }
              - - { name: after, template: echo, arguments: { parameters: [{ name: text, value: "{{steps.each.outputs.result}}" }] } }
                - name: names
                  template: echo
                  arguments: { parameters: [{ name: text, value: "{{workflow.name}} {{workflow.uid}} {{=workflow.parameters.who}} {{steps.each" }] }

      """)
    let tasks = reading.definition.tasks
    #expect(tasks.map(\.id) == ["each-0", "each-1", "after", "names"])
    #expect(tasks[0].input["arguments"]?[0] == "${'$'}${params.who}")
    #expect(tasks[1].input["arguments"]?[0] == "$$")
    #expect(tasks[2].input["command"] != nil)
    #expect(tasks[3].input["arguments"]?[0] == "${run.workflow}-${run.id} ${run.id} ${params.who} {{steps.each")
  }
}
