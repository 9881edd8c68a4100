import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

/// Imported workflows, run on one thread with a virtual clock. What programs say is given by the test; `CommandArgoTests` has real ones.
@Suite struct ArgoRunTests {
  /// Runs a workflow: `says` is what the program of a task writes, by its id; nil: it fails.
  private func run(
    _ spec: String, _ parameters: [String: JSON] = [:], says: @escaping @Sendable (String) -> String? = { $0 }
  ) throws -> (run: WorkflowRun, world: SteppedWorld, record: RunRecord, ran: [String]) {
    let world = try SteppedWorld()
    let ran = Left<[String]>([])
    world.handler("shell/run") { call in
      let input = (try? JSON(parsing: call.input(0))) ?? .null
      if input["command"] != nil { return call.end(MILLRACE_FAILED, "exit-69") }
      ran.value.append("\(call.task): \((input["arguments"]?.array ?? []).compactMap(\.string).joined(separator: " "))")
      guard let text = says(call.task) else { return call.end(MILLRACE_FAILED, "exit-1") }
      var output: [JSON.Member] = [.init("exitCode", 0), .init("stdout", .string(text + "\n"))]
      if input["result"] == true {
        output += [.init("result", .string(text)), .init("value", (try? JSON(parsing: text)) ?? .string(text))]
      }
      return call.done(JSON.object(output).text(), MILLRACE_JSON)
    }
    let definition = try ArgoTests.read(spec).definition
    try DefinitionChecker().check(definition)
    let run = try world.start(definition.resolve(parameters: parameters))
    world.drain()
    return (run, world, run.record(slots: 1, threads: 1), ran.value)
  }

  private static let say = """
        - name: say
          inputs: { parameters: [{ name: text, value: hi }] }
          container: { command: [echo], args: ["{{inputs.parameters.text}}"] }

    """

  private static let coin = """
      entrypoint: coin
      templates:
    \(say)\
        - name: coin
          steps:
            - - { name: flip, template: say }
            - - { name: heads, template: say, when: "{{steps.flip.outputs.result}} == heads" }
              - { name: tails, template: again, when: "{{steps.flip.outputs.result}} == tails" }
            - - { name: last, template: say, arguments: { parameters: [{ name: text, value: "it was {{steps.flip.outputs.result}}" }] } }
        - name: again
          steps:
            - - { name: flip, template: say }
            - - { name: big, template: say, when: "{{steps.flip.outputs.result}} > 9 && {{steps.flip.outputs.result}} < 11.5" }
              - { name: small, template: say, when: "!({{steps.flip.outputs.result}} > 9)" }

    """

  @Test("of the branches of a condition the right ones run, and what they lead to")
  func branches() throws {
    let heads = try run(Self.coin) { $0 == "flip" ? "heads" : "" }
    #expect(heads.run.status == .completed)
    #expect(heads.ran == ["flip: hi", "heads: hi", "last: it was heads"])
    for (number, branch) in [("10", "big"), ("11.50", ""), ("9", "small"), ("-3", "small")] {
      let tails = try run(Self.coin) { $0 == "flip" ? "tails" : number }
      #expect(tails.run.status == .completed)
      #expect(
        Set(tails.ran) == Set(["flip: hi", "tails.flip: hi", "last: it was tails"] + (branch.isEmpty ? [] : ["tails.\(branch): hi"])),
        "\(number)")
    }
    // As in Argo: text has no order beside a number.
    let broken = try run(Self.coin) { $0 == "flip" ? "tails" : "many" }
    #expect(broken.run.status == .failed)
    #expect(broken.record.tasks.contains { $0.attempts.last?.errorType == "expression" })
  }

  @Test("parameters decide as what they stand for: numbers by value, words as they are")
  func parameters() throws {
    let spec = """
        entrypoint: main
        arguments: { parameters: [{ name: print, value: true }, { name: n, value: 10 }] }
        templates:
      \(Self.say)\
          - name: main
            inputs: { parameters: [{ name: print }, { name: n }] }
            steps:
              - - { name: a, template: say, when: "{{inputs.parameters.print}} == true" }
                - { name: b, template: say, when: "{{inputs.parameters.n}} > 9" }
                - { name: c, template: say, arguments: { parameters: [{ name: text, value: "{{inputs.parameters.n}}" }] } }

      """
    #expect(try run(spec).ran == ["a: hi", "b: hi", "c: 10"])
    #expect(try run(spec, ["print": false, "n": 9]).ran == ["c: 9"])
    let other = spec.replacing("name: n, value: 10", with: "name: n, value: \"9.50\"")
    #expect(try run(other).ran == ["a: hi", "b: hi", "c: 9.5"])
    #expect(try ArgoTests.read(other).notes.map(\.message) == ["the parameter 'n' is compared as a number: in texts it is 9.5"])
    #expect(try run(spec, ["print": "true", "n": 9.5]).ran == ["a: hi", "b: hi", "c: 9.5"])
  }

  @Test("what a program lists is gone through, item by item, with members and conditions")
  func items() throws {
    let spec = """
        entrypoint: main
        templates:
      \(Self.say)\
          - name: main
            dag:
              tasks:
                - { name: list, template: say }
                - name: each
                  template: say
                  dependencies: [list]
                  withParam: "{{tasks.list.outputs.result}}"
                  when: "{{item.n}} != 2"
                  arguments: { parameters: [{ name: text, value: "{{item.os}} {{item.n}} {{item}}" }] }
                - { name: after, template: say, dependencies: [each] }

      """
    let done = try run(spec) { $0 == "list" ? #"[{"os":"a","n":1},{"os":"b","n":2},{"os":"c","n":3}]"# : "" }
    #expect(done.run.status == .completed)
    #expect(done.ran == ["list: hi", #"each[0]: a 1 {"os":"a","n":1}"#, #"each[2]: c 3 {"os":"c","n":3}"#, "after: hi"])
    let plain = spec.replacing("{{item.os}} {{item.n}} {{item}}", with: "{{item}}").replacing("when: \"{{item.n}} != 2\"", with: "")
    #expect(
      try run(plain) { $0 == "list" ? #"["x",5,[1]]"# : "" }.ran == ["list: hi", "each[0]: x", "each[1]: 5", "each[2]: [1]", "after: hi"])
    #expect(try run(plain) { $0 == "list" ? "[]" : "" }.ran == ["list: hi", "after: hi"])
    let broken = try run(plain) { $0 == "list" ? "no list" : "" }
    #expect(broken.run.status == .failed && broken.ran == ["list: hi"])
  }

  @Test("a count that only the run knows gives as many numbers, from 0")
  func counts() throws {
    let spec = """
        entrypoint: main
        arguments: { parameters: [{ name: n, value: 3 }] }
        templates:
      \(Self.say)\
          - name: main
            steps:
              - - name: each
                  template: say
                  withSequence: { count: "{{workflow.parameters.n}}" }
                  arguments: { parameters: [{ name: text, value: "{{item}}" }] }

      """
    #expect(try run(spec).ran == ["each[0]: 0", "each[1]: 1", "each[2]: 2"])
    #expect(try run(spec, ["n": 0]).run.status == .completed)
    #expect(try run(spec, ["n": "many"]).run.status == .failed)
  }

  @Test("the exit handler runs when all others have ended, and sees what became of them")
  func exit() throws {
    let spec = """
        entrypoint: work
        onExit: handler
        templates:
      \(Self.say)\
          - name: work
            steps: [[{ name: first, template: say }], [{ name: second, template: say }]]
          - name: handler
            steps:
              - - { name: mail, template: say, arguments: { parameters: [{ name: text, value: "{{workflow.name}}" }] } }
                - { name: celebrate, template: say, when: "{{workflow.status}} == Succeeded" }
                - { name: cry, template: say, when: "{{workflow.status}} != Succeeded" }

      """
    let good = try run(spec)
    #expect(good.run.status == .completed)
    #expect(good.ran.map { $0.prefix { $0 != ":" } } == ["first", "second", "onExit.mail", "onExit.celebrate"])
    #expect(good.ran[2].hasPrefix("onExit.mail: sample-0"))
    let hook = spec.replacing(
      "  onExit: handler", with: "  hooks: { exit: { template: say, arguments: { parameters: [{ name: text, value: bye }] } } }")
    #expect(try run(hook).ran.last == "hooks.exit: bye")
    let bad = try run(spec) { $0 == "first" ? nil : "" }
    #expect(bad.run.status == .failed)
    #expect(bad.ran.map { $0.prefix { $0 != ":" } } == ["first", "onExit.mail", "onExit.cry"])
  }

  @Test("what depends on a failure runs after it, and only then")
  func failures() throws {
    let spec = """
        entrypoint: main
        templates:
      \(Self.say)\
          - name: main
            dag:
              tasks:
                - { name: a, template: say }
                - { name: b, template: say, depends: a }
                - { name: repair, template: say, depends: "a.Failed || a.Errored" }

      """
    #expect(try run(spec).ran == ["a: hi", "b: hi"])
    #expect(try run(spec).run.status == .completed)
    let bad = try run(spec) { $0 == "a" ? nil : "" }
    #expect(bad.ran == ["a: hi", "repair: hi"] && bad.run.status == .failed)
    // What comes after the dag waits for what stayed in it.
    let outer =
      spec.replacing("name: main\n", with: "name: inner\n")
      + "    - { name: main, steps: [[{ name: in, template: inner }], [{ name: last, template: say }]] }\n"
    #expect(try run(outer).ran == ["in.a: hi", "in.b: hi", "last: hi"])
    let alone = outer.replacing("{ name: b, template: say, depends: a }", with: "{ name: b, template: say, when: 1 > 2 }")
    #expect(try ArgoTests.read(alone).definition.tasks.map(\.dependencies) == [[], ["in.a"]])
  }

  @Test("a suspend waits for somebody, or for its time")
  func suspend() throws {
    let spec = """
        entrypoint: main
        templates:
      \(Self.say)\
          - { name: approve, suspend: {} }
          - { name: pause, suspend: { duration: "20" } }
          - name: main
            steps: [[{ name: pause, template: pause }], [{ name: ok, template: approve }], [{ name: go, template: say }]]

      """
    let (run, world, _, ran) = try run(spec)
    #expect(run.status == .running && ran.isEmpty)
    world.pass(19_999_999_999)
    #expect(run.runningTasks() == ["pause"])
    world.pass(1)
    #expect(run.runningTasks() == ["ok"])
    let tasks = try ArgoTests.read(spec).definition.tasks
    #expect(tasks.map(\.wait) == [.duration("20s"), .approval("Go on after 'approve'?"), nil])
  }

  @Test("outputs of a template of tasks are those of its tasks, and a mutex is a concurrency key")
  func outputs() throws {
    let spec = """
        entrypoint: main
        synchronization: { mutex: { name: whole } }
        arguments: { parameters: [{ name: disk, value: d1 }] }
        templates:
      \(Self.say)\
          - name: inner
            steps: [[{ name: make, template: locked }]]
            outputs: { parameters: [{ name: made, valueFrom: { parameter: "{{steps.make.outputs.result}}" } }] }
          - name: locked
            synchronization: { mutex: { name: "disk-{{workflow.parameters.disk}}" } }
            container: { command: [make] }
          - name: main
            steps:
              - [{ name: in, template: inner }]
              - [{ name: use, template: say, arguments: { parameters: [{ name: text, value: "{{steps.in.outputs.parameters.made}}" }] } }]

      """
    #expect(try run(spec) { _ in "thing" }.ran == ["in.make: ", "use: thing"])
    let definition = try ArgoTests.read(spec).definition
    #expect(definition.tasks[0].policy.concurrencyKey == "disk-${params.disk}" && definition.tasks[0].policy.concurrencyLimit == 1)
    #expect(definition.concurrency == RunConcurrency(key: "whole", limit: 1, whenFull: .queue))
  }
}
