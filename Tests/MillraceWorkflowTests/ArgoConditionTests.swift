import Testing

@testable import MillraceWorkflow

@Suite struct ArgoConditionTests {
  /// What `when` of a task becomes: it waits for the program `flip` and a step that waits, `hold`; nil: it is a task that fails.
  private static func when(_ text: String, items: String? = nil) throws -> String? {
    let reading = try ArgoTests.read(
      """
        entrypoint: main
        arguments: { parameters: [{ name: mode, value: full }, { name: n, value: 3 }, { name: on, value: true }] }
        templates:
      \(ArgoTests.echo)\
          - name: hold
            suspend: {}
          - name: main
            inputs: { parameters: [{ name: mode }, { name: fixed, value: "7" }] }
            dag:
              tasks:
                - { name: flip, template: echo }
                - { name: hold, template: hold }
                - { name: it, template: echo, dependencies: [flip, hold], when: \(JSON.quoted(text))\(items.map { ", withParam: \(JSON.quoted($0))" } ?? "") }

      """)
    guard let task = reading.definition.tasks.first(where: { $0.id == "it" }) else { return "left out" }
    if task.input["command"] != nil { return nil }
    return task.condition ?? "always"
  }

  private static let result = "{{tasks.flip.outputs.result}}"

  @Test(
    "a condition keeps its meaning: words are texts, what looks like a number is one, quotes make text of it",
    arguments: [
      ("\(result) == heads", "tasks.flip.output.value == \"heads\""),
      ("\(result) == 'heads'", "tasks.flip.output.value == \"heads\""),
      ("\"\(result)\" == \"heads\"", "tasks.flip.output.result == \"heads\""),
      ("tails != {{ tasks.flip.outputs.result }}", "tasks.flip.output.value != \"tails\""),
      ("\(result) == 5", "tasks.flip.output.value == 5"),
      ("\(result) == 05.50", "tasks.flip.output.value == 5.5"),
      ("'\(result)' == '5'", "tasks.flip.output.result == \"5\""),
      ("'\(result)' == 5", "left out"),
      ("\(result) > 5", "tasks.flip.output.value > 5"),
      ("-2 <= \(result)", "tasks.flip.output.value >= -2"),
      ("\(result) == true", "tasks.flip.output.value == true"),
      ("\(result)", "tasks.flip.output.value"),
      ("!\(result) && (\(result) != no)", "not tasks.flip.output.value and tasks.flip.output.value != \"no\""),
      (
        "\(result) == a && (\(result) == b || !(\(result) < 3))",
        "tasks.flip.output.value == \"a\" and (tasks.flip.output.value == \"b\" or not tasks.flip.output.value < 3)"
      ),
      ("\(result) in (a, 2, 'x y')", "tasks.flip.output.value in [\"a\", 2, \"x y\"]"),
      ("!(\(result) in (a, b))", "not tasks.flip.output.value in [\"a\", \"b\"]"),
      ("\(result) =~ 'part'", "\"part\" in tasks.flip.output.result"),
      ("\(result) == null", "tasks.flip.output.value in [\"null\", null]"),
      ("(\(result) == a) == false", "not tasks.flip.output.value == \"a\""),
      ("{{workflow.parameters.mode}} == full", "params.mode == \"full\""),
      ("{{inputs.parameters.mode}} != \"full\"", "params.mode != \"full\""),
      ("{{workflow.parameters.n}} >= 3", "params.n >= 3"),
      ("{{workflow.parameters.n}} == 3", "params.n in [3, \"3\"]"),
      ("{{workflow.parameters.on}} == true", "params.on in [true, \"true\"]"),
      ("{{workflow.parameters.n}} > \(result)", "params.n > tasks.flip.output.value"),
      ("{{inputs.parameters.fixed}} < 10 && {{inputs.parameters.fixed}} == 7.0", "always"),
      ("{{inputs.parameters.fixed}} == '7'", "left out"),
      ("'{{inputs.parameters.fixed}}' == '7'", "always"),
      ("{{tasks.flip.status}} == Succeeded", "tasks.flip.status == \"COMPLETED\""),
      ("{{tasks.flip.status}} != Failed", "tasks.flip.status not in [\"FAILED\", \"TIMED_OUT\"]"),
      ("{{tasks.hold.status}} in (Succeeded, Skipped)", "tasks.hold.status in [\"COMPLETED\", \"SKIPPED\"]"),
      ("{{tasks.flip.status}} == Error", "left out"),
      ("{{=tasks.flip.outputs.result == 'heads'}}", "tasks.flip.output.result == \"heads\""),
      (
        "{{= inputs.parameters[\"mode\"] == 'full' and not (asInt(tasks['flip'].outputs.result) < 3)}}",
        "params.mode == \"full\" and not tasks.flip.output.value < 3"
      ),
      ("{{=workflow.parameters.n == 3}}", "left out"),
      ("'{{workflow.parameters.n}}' == '3' && {{workflow.parameters.n}} > 1", "params.n in [3, \"3\"] and params.n > 1"),
      ("{{=workflow.parameters.n == '3' && asInt(workflow.parameters.n) > 1}}", "params.n in [3, \"3\"] and params.n > 1"),
      (
        "{{=tasks.flip.outputs.result in ['a', 'b'] || workflow.parameters.mode contains 'ul'}}",
        "tasks.flip.output.result in [\"a\", \"b\"] or \"ul\" in params.mode"
      ),
      ("", "always"), ("true", "always"), ("1 < 2 && b > a", "always"), ("'x' == x", "always"), ("false == true", "left out"),
      ("Error in (Failed, Error)", "always"), ("!(Succeeded in (Failed, Error))", "always"), ("true == 'true'", "left out"),
    ])
  func conditions(argo: String, ours: String) throws {
    let expected = ["always", "left out"].contains(ours) ? ours : "${\(ours)}"
    #expect(try Self.when(argo) == expected)
  }

  @Test(
    "a condition that is not understood becomes a task that fails",
    arguments: [
      "\(result) == my-word", "\(result) == \"a\(result)\"", "\(result)x == a", "\(result)\(result) == a", "\(result) =~ \"^a\"",
      "1 + 1 == 2", "\(result) == @a", "(\(result) == a", "\(result) == a)", "\(result) == 'a", "\(result) a", "== a", "a", "1", "'true'",
      "!5", "a < 1", "true < false", "{{tasks.flip.status}} > a", "{{tasks.flip.status}}", "{{tasks.hold.outputs.result}} == a",
      "{{tasks.gone.outputs.result}} == a", "{{tasks.flip.outputs.parameters.p}} == a", "{{tasks.flip.exitCode}} == 0", "{{item}} == 1",
      "{{pod.name}} == a", "{{=sprig.trim(tasks.flip.outputs.result) == 'a'}}", "{{=tasks.flip.outputs.result == }}",
      "{{=1 == 1}} == true", String(repeating: "(", count: 5_000), String(repeating: "!", count: 5_000) + "true",
      String(repeating: "a", count: 20_000) + " == a", "\(result) == '" + String(repeating: "x", count: 5_000) + "'",
      (0..<200).map { "\(result) == a\($0)" }.joined(separator: " && "),
    ])
  func refusals(argo: String) throws { #expect(try Self.when(argo) == nil) }

  @Test("a condition on items is asked for each of them")
  func items() throws {
    #expect(try Self.when("{{item.os}} == debian && {{item.n}} > 1", items: Self.result) == "${item.os == \"debian\" and item.n > 1}")
    #expect(try Self.when("{{item}} == 1", items: Self.result) == "${item in [1, \"1\"]}")
    #expect(try Self.when("{{=item.n == '1' or item.n == 2}}", items: Self.result) == "${item.n in [1, \"1\"] or item.n in [2, \"2\"]}")
    #expect(try Self.when("'{{item}}' != '1'", items: Self.result) == "${item not in [1, \"1\"]}")
  }

  // MARK: depends

  private func conditions(_ tasks: String) throws -> (conditions: [String: String], cleanup: [String: String], notes: [String]) {
    let reading = try ArgoTests.read(
      """
        entrypoint: main
        templates:
      \(ArgoTests.echo)\
          - name: pair
            steps: [[{ name: x, template: echo }], [{ name: y, template: echo, when: "{{steps.x.outputs.result}} == 1" }]]
          - name: main
            dag:
              tasks:
                - { name: a, template: echo }
                - { name: b, template: echo, dependencies: [a], when: "{{tasks.a.outputs.result}} == b" }
      \(tasks)

      """)
    let table = { (list: [TaskDefinition]) in Dictionary(uniqueKeysWithValues: list.map { ($0.id, $0.condition ?? "always") }) }
    return (table(reading.definition.tasks), table(reading.definition.cleanup), reading.notes.map(\.message))
  }

  @Test("depends becomes dependencies and a condition on what was skipped")
  func depends() throws {
    let (found, _, notes) = try conditions(
      """
                - { name: c, template: echo, depends: "b.Succeeded" }
                - { name: d, template: echo, depends: "b.Skipped && a" }
                - { name: e, template: echo, depends: "(b.Succeeded || b.Skipped) && a.Succeeded" }
                - { name: f, template: echo, depends: "c" }
                - { name: g, template: echo, depends: "c.Omitted" }
                - { name: h, template: echo, depends: "c.Succeeded || d.Succeeded" }
                - { name: i, template: pair, depends: "b.Succeeded" }
                - { name: j, template: echo, depends: "i.Succeeded" }
      """)
    let b = "tasks.b.status == \"COMPLETED\""
    #expect(found["c"] == "${\(b)}")
    #expect(found["d"] == "${tasks.b.status == \"SKIPPED\"}")
    #expect(found["e"] == "always")
    // What was left out by its own `depends` leaves out what depends on it.
    #expect(found["f"] == "${\(b)}")
    #expect(found["g"] == "${not \(b)}")
    #expect(found["h"] == "${tasks.c.status == \"COMPLETED\" or tasks.d.status == \"COMPLETED\"}")
    // A template of tasks is skipped with all of its own, and its conditions come before theirs.
    #expect(found["i.x"] == "${\(b)}")
    #expect(found["i.y"] == "${\(b) and tasks[\"i.x\"].output.value == 1}")
    #expect(found["j"] == "${\(b)}")
    #expect(notes.filter { $0.contains("does not run here") } == ["'h' does not run here if a task that it depends on fails"])
  }

  @Test("what depends on a failure alone runs as cleanup; what is not understood is told")
  func failures() throws {
    let (found, cleanup, notes) = try conditions(
      """
                - { name: c, template: echo, depends: "a.Failed || a.Errored" }
                - { name: d, template: echo, depends: "a.Succeeded || a.Failed" }
                - { name: e, template: echo, depends: "a.Failed" }
                - { name: f, template: echo, depends: "e.Succeeded" }
                - { name: g, template: echo, depends: "a ? b" }
                - { name: h, template: echo, depends: "a.Unheard" }
      """)
    #expect(cleanup == ["c": "${tasks.a.status in [\"FAILED\", \"TIMED_OUT\"]}"])
    #expect(found["c"] == nil && found["d"] == "always" && found["g"] == "always")
    for expected in [
      "'c' runs at the end of the run, as cleanup, and the run stays FAILED", "'d' does not run here if a task that it depends on fails",
      "'e' is not imported: 'depends: a.Failed' is not imported: it asks for a failure",
      "'depends: a ? b' is not understood: all tasks that it names must complete",
      "'h' is not imported: 'depends: a.Unheard' is not imported: 'a.Unheard' is not known here",
    ] { #expect(notes.contains(expected), "\(expected)\n\(notes.joined(separator: "\n"))") }
  }
}
