import MillraceWorkflow
import Testing

@Suite struct ArgoTests {
  static func read(_ spec: String, kind: String = "Workflow") throws -> ArgoWorkflow.Reading {
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: \(kind)\nmetadata: { generateName: sample- }\nspec:\n" + spec
    return try ArgoWorkflow.read(Array(text.utf8), name: "argo.yaml")
  }

  /// The templates that most samples use.
  static let echo = """
        - name: echo
          inputs: { parameters: [{ name: text, value: hello }] }
          container: { image: "busybox:1", command: [echo], args: ["{{inputs.parameters.text}}", "$HOME and ${HOME}"] }

    """

  private func task(_ reading: ArgoWorkflow.Reading, _ id: String) throws -> TaskDefinition {
    try #require(reading.definition.tasks.first { $0.id == id }, "\(reading.definition.tasks.map(\.id))")
  }

  @Test("a dag becomes tasks with dependencies, arguments in place, and parameters of the run")
  func dag() throws {
    let reading = try Self.read(
      """
        entrypoint: main
        arguments: { parameters: [{ name: who, value: world, description: whom }, { name: n, value: 3 }] }
        templates:
      \(Self.echo)\
          - name: main
            dag:
              tasks:
                - { name: c, template: echo, depends: "(a && b.Succeeded)" }
                - { name: a, template: echo, arguments: { parameters: [{ name: text, value: "hi {{workflow.parameters.who}}" }] } }
                - { name: b, template: echo, dependencies: [a] }

      """)
    #expect(reading.definition.name == "sample")
    #expect(
      reading.definition.parameters == [
        .init("who", description: "whom", fallback: "world", kind: .string), .init("n", fallback: "3", kind: .string),
      ])
    #expect(reading.definition.tasks.map(\.id) == ["a", "b", "c"])
    #expect(try task(reading, "a").input == ["program": "echo", "arguments": ["hi ${params.who}", "$HOME and $${HOME}"]])
    #expect(try task(reading, "b").dependencies == ["a"])
    #expect(try task(reading, "c").dependencies == ["a", "b"])
    #expect(reading.notes.map(\.message) == ["runs on this machine, not in the image 'busybox:1'"])
    #expect(reading.notes.first?.line == 10)
  }

  @Test("lists of steps run one after the other, those of a list at once, and items are written out")
  func steps() throws {
    let reading = try Self.read(
      """
        entrypoint: main
        templates:
      \(Self.echo)\
          - name: main
            steps:
              - - { name: first, template: echo }
              - - { name: each, template: echo, withItems: [x, 2], arguments: { parameters: [{ name: text, value: "{{item}}" }] } }
                - name: pair
                  template: echo
                  withItems: [{ a: 1, b: two }]
                  arguments: { parameters: [{ name: text, value: "{{item.a}} {{ item.b }}" }] }
              - - { name: count, template: echo, withSequence: { count: "2" } }
                - { name: list, template: echo, withParam: '["p"]' }
              - - { name: last, template: echo }

      """)
    #expect(reading.definition.tasks.map(\.id) == ["first", "each-0", "each-1", "pair-0", "count-0", "count-1", "list-0", "last"])
    #expect(try task(reading, "each-1").input["arguments"]?[0] == "2")
    #expect(try task(reading, "pair-0").input["arguments"]?[0] == "1 two")
    #expect(try task(reading, "count-0").dependencies == ["each-0", "each-1", "pair-0"])
    #expect(try task(reading, "last").dependencies == ["count-0", "count-1", "list-0"])
  }

  @Test("templates in templates are written out, between what comes before and after")
  func nested() throws {
    let reading = try Self.read(
      """
        entrypoint: main
        templates:
      \(Self.echo)\
          - name: inner
            inputs: { parameters: [{ name: word }] }
            dag:
              tasks:
                - { name: x, template: echo, arguments: { parameters: [{ name: text, value: "{{inputs.parameters.word}}!" }] } }
                - { name: y, template: echo }
          - name: main
            dag:
              failFast: false
              tasks:
                - { name: a, template: echo }
                - { name: b, template: inner, dependencies: [a], arguments: { parameters: [{ name: word, value: go }] } }
                - { name: c, template: echo, dependencies: [b] }

      """)
    #expect(reading.definition.tasks.map(\.id) == ["a", "b.x", "b.y", "c"])
    #expect(try task(reading, "b.x").dependencies == ["a"])
    #expect(try task(reading, "b.x").input["arguments"]?[0] == "go!")
    #expect(try task(reading, "c").dependencies == ["b.x", "b.y"])
    #expect(reading.definition.onFailure == .continue)
  }

  @Test("scripts, resources, environment, retries and deadlines keep their meaning")
  func leaves() throws {
    let reading = try Self.read(
      """
        entrypoint: main
        templates:
          - name: script
            activeDeadlineSeconds: "90"
            retryStrategy: { limit: "2", retryPolicy: Always, backoff: { duration: "5", factor: 2, cap: 1m } }
            script:
              image: python:3
              command: [python3]
              env: [{ name: A, value: 1 }]
              workingDir: /tmp
              source: |
                print("one")
                print("two")
          - name: sh
            retryStrategy: { limit: 1 }
            script: { command: [sh, -e], source: "echo $1" }
          - name: make
            resource: { action: create, manifest: "kind: ConfigMap" }
          - name: main
            steps:
              - [{ name: s, template: script }, { name: t, template: sh }, { name: r, template: make }]

      """)
    let script = try task(reading, "s")
    #expect(script.input["program"] == "python3" && script.input["arguments"] == ["-c", "print(\"one\")\nprint(\"two\")\n"])
    #expect(script.input["environment"] == ["A": "1"] && script.input["directory"] == "/tmp")
    #expect(script.policy.timeouts.startToClose == 90_000_000_000)
    #expect(script.policy.retry == RetryPolicy(attempts: 3, initial: 5_000_000_000, factor: 2, cap: 60_000_000_000))
    #expect(try task(reading, "t").input["arguments"] == ["-e", "-c", "echo $1"])
    #expect(try task(reading, "t").policy.retry?.attempts == 2 && task(reading, "t").policy.retry?.initial == 0)
    #expect(try task(reading, "r").input == ["program": "kubectl", "arguments": ["create", "-f", "-"], "stdin": "kind: ConfigMap"])
    #expect(reading.text.contains("        - |\n          print(\"one\")\n          print(\"two\")\n"))
  }

  @Test("what cannot be expressed is told with its line, and a task of it fails rather than be left out")
  func notExpressible() throws {
    let reading = try Self.read(
      """
        entrypoint: main
        parallelism: 4
        priority: 2
        serviceAccountName: me
        hooks: { running: { expression: "true", template: echo } }
        templates:
      \(Self.echo)\
          - name: image
            container: { image: "tool:2" }
          - name: file
            container: { command: [sh], args: ["{{inputs.artifacts.a.path}}"] }
            outputs: { parameters: [{ name: p, valueFrom: { path: /tmp/p } }] }
          - name: main
            dag:
              tasks:
                - { name: a, template: echo, when: "{{workflow.parameters.x}} == 1" }
                - { name: b, template: echo, when: "3 == 3" }
                - { name: c, template: echo, when: "a != a" }
                - { name: d, template: image, depends: "b || c" }
                - { name: e, template: file }
                - { name: f, template: gone }
                - { name: g, template: main, withParam: "{{tasks.b.outputs.result}}", dependencies: [b] }
                - { name: h, template: echo, arguments: { parameters: [{ name: text, value: "{{tasks.e.outputs.parameters.p}}" }] }, dependencies: [e] }
                - { name: i, template: echo, arguments: { parameters: [{ name: text, value: "{{tasks.b.outputs.result}}" }] } }
                - { name: j, template: echo, onExit: echo, arguments: { parameters: [{ name: text, value: "{{=asInt(retries) + 1}}" }] } }
                - { name: k, template: echo, arguments: { parameters: [{ name: text, value: "${{.ID}} {{ x }}" }] } }

      """)
    let ids = reading.definition.tasks.map(\.id)
    #expect(ids == ["a", "b", "e", "f", "i", "j", "j.onExit", "k", "d", "g", "h"])
    for id in ["a", "d", "e", "f", "g", "h", "i", "j", "j.onExit"] {
      let command = try #require(try task(reading, id).input["command"]?.string)
      #expect(command.hasPrefix("echo 'not imported from Argo, line ") && command.hasSuffix("exit 69"), "\(id)")
    }
    #expect(try task(reading, "d").dependencies == ["b"])
    #expect(try task(reading, "k").input["arguments"]?[0] == "$${{.ID}} {{ x }}")
    #expect(reading.definition.cleanup.map(\.id) == ["hooks.running"])
    let lines = reading.notes.map { "\($0.line ?? 0) \($0.message)" }
    for expected in [
      "6 a limit of 4 tasks at once belongs to the run", "7 the priority of a workflow among others has no counterpart",
      "8 'serviceAccountName' of the workflow has no counterpart",
      "9 'hooks.running' is not imported: a template that a state of the workflow calls",
      "22 'a' is not imported: the condition '{{workflow.parameters.x}} == 1' is not imported: '{{workflow.parameters.x}}' has no counterpart",
      "15 'd' is not imported: the program is the one that its image begins with",
      "25 'd' does not run here if a task that it depends on fails", "18 'outputs' of the template 'file' has no counterpart",
      "17 'e' is not imported: '{{inputs.artifacts.a.path}}' has no counterpart",
      "28 'g' is not imported: the template 'main' calls itself, as often as only the run knows",
      "30 'i' is not imported: '{{tasks.b.outputs.result}}' is of no task that has ended before",
      "31 'j.onExit' is not imported: a template that a task's end or state calls", "32 '{{ x }}' is not replaced",
    ] { #expect(lines.contains(expected), "\(expected)\n\(lines.joined(separator: "\n"))") }
    #expect(reading.notes.allSatisfy { $0.severity == .warning && $0.code == .notExpressible })
  }

  @Test("locks that cannot be expressed are told; results reach the environment and standard input")
  func locks() throws {
    let reading = try Self.read(
      """
        entrypoint: main
        synchronization: { semaphore: { configMapKeyRef: { name: limits, key: main } } }
        templates:
      \(Self.echo)\
          - name: locked
            synchronization: { mutexes: [{ name: a, namespace: other }, { name: b }] }
            script:
              command: [awk]
              env: [{ name: SAID, value: "{{inputs.parameters.x}}" }]
              source: "<{{inputs.parameters.x}}>"
            inputs: { parameters: [{ name: x }] }
          - name: named
            synchronization: { mutex: { name: "{{workflow.uid}}" } }
            suspend: { duration: soon }
          - name: main
            synchronization: { mutex: { name: m } }
            steps:
              - [{ name: first, template: echo }]
              - - { name: second, template: locked, arguments: { parameters: [{ name: x, value: "{{steps.first.outputs.result}}" }] } }
                - { name: third, inline: { script: { command: [cat], env: [{ name: S, value: "{{workflow.uid}}" }], source: "$" } } }
                - { name: fourth, template: named }

      """)
    let second = try task(reading, "second")
    #expect(second.input["environment"] == ["SAID": "${tasks.first.output.result}"])
    #expect(second.input["stdin"] == "<${tasks.first.output.result}>" && second.policy.concurrencyKey == "a")
    let third = try task(reading, "third")
    #expect(third.input["environment"] == ["S": "${run.id}"] && third.input["stdin"] == "$")
    #expect(try task(reading, "fourth").input["command"]?.string?.contains("how long it waits is not known") == true)
    #expect(reading.definition.concurrency == nil)
    let notes = reading.notes.map(\.message)
    for expected in [
      "'semaphore' of the synchronization has no counterpart", "'namespace' of the mutex has no counterpart",
      "a task holds one mutex: 'b' is left out", "the mutex '{{workflow.uid}}' is not known when a run starts",
      "'synchronization' of the template 'main' has no counterpart",
    ] { #expect(notes.contains(expected), "\(expected)\n\(notes.joined(separator: "\n"))") }
  }

  @Test("a cron workflow keeps its schedule")
  func cron() throws {
    let reading = try Self.read(
      """
        schedule: "0 3 * * MON-FRI"
        timezone: Europe/Berlin
        concurrencyPolicy: Replace
        startingDeadlineSeconds: 300
        workflowSpec:
          entrypoint: echo
          templates:
        \(Self.echo.replacing("\n", with: "\n  "))
      """, kind: "CronWorkflow")
    let schedule = try #require(reading.definition.schedule)
    #expect(schedule.zone.name == "Europe/Berlin" && schedule.overlap == .cancel && schedule.missed == .one)
    #expect(schedule.catchUp == 300_000_000_000)
    #expect(reading.definition.tasks.map(\.id) == ["echo"])
  }

  @Test("a template that calls itself, or tasks in a circle, end the import with a reason")
  func endless() throws {
    let recursive = try Self.read(
      """
        entrypoint: main
        templates:
          - name: main
            steps:
              - - { name: again, template: main }

      """)
    #expect(recursive.definition.tasks.count == 1)
    #expect(recursive.notes.map(\.message) == ["'again' is not imported: the template 'main' calls itself, as often as only the run knows"])
    let chain = (0..<20).map { "    - { name: t\($0), steps: [[{ name: s, template: t\($0 + 1) }]] }\n" }.joined()
    let deep = try Self.read("  entrypoint: t0\n  templates:\n" + chain)
    #expect(deep.definition.tasks.count == 1 && deep.notes.first?.message.hasSuffix("templates are nested more than 16 deep") == true)
    let error = #expect(throws: DefinitionError.self) {
      try Self.read(
        """
          entrypoint: main
          templates:
            - name: main
              dag:
                tasks:
                  - { name: a, template: main, dependencies: [b] }
                  - { name: b, template: main, dependencies: [a] }

        """)
    }
    #expect(error?.faults.first?.code == .cycle)
    #expect(throws: DefinitionError.self) { try Self.read("  entrypoint: nothing\n") }
    #expect(throws: DefinitionError.self) { try ArgoWorkflow.read(Array("format: 1\n".utf8), name: "w.yaml") }
  }

  @Test("a file of Argo that is checked or run leads to the import")
  func lead() {
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n"
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(text.utf8), name: "argo.yaml") }
    #expect(error?.faults.first?.fix == "make a definition of it: millrace workflow import argo.yaml --output mine.yaml")
    #expect(error?.faults.count == 1)
  }
}
