import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let s: UInt64 = 1_000_000_000

/// Items with rates, keys, priorities and templates, on one thread and a virtual clock.
@Suite struct RunForeachLimitsTests {
  private func play(_ world: SteppedWorld) {
    world.drain()
    while world.passToNextTimer() != nil {}
  }

  @Test("a rate bounds the starts of items, in their order, whatever the places", arguments: [1, 3, 10])
  func rate(parallelism: Int) throws {
    let world = try SteppedWorld()
    let starts = Left<[String]>([])
    world.handler("h") { [unowned world] call in
      starts.value.append("\(call.task) \(world.now / s)")
      return call.done("")
    }
    var workflow = Definition("w")
    workflow.task(
      "each", handler: "h", foreach: .range(from: 0, to: 9), parallelism: parallelism, rate: RateLimit(key: "api", limit: 1, per: s))
    let run = try world.start(workflow.resolve())
    play(world)
    #expect(run.status == .completed)
    #expect(starts.value == (0..<10).map { "each[\($0)] \($0)" })
    #expect(run.accounts == [11, 0, 0, 0])
    #expect(world.timers.count == 0)
  }

  @Test("items in a rate's line end with their run, and with schedule-to-start")
  func line() throws {
    let world = try SteppedWorld()
    world.handler("h") { call in call.done("") }
    let rate = RateLimit(key: "api", limit: 1, per: s)
    var workflow = Definition("w")
    workflow.task("each", handler: "h", foreach: .range(from: 0, to: 9), parallelism: 4, rate: rate)
    let run = try world.start(workflow.resolve())
    world.drain()
    world.pass(s)
    #expect(run.progress().completed == 2)
    run.cancel()
    world.drain()
    #expect(run.status == .cancelled)
    #expect(run.accounts == [2, 0, 0, 9])
    play(world)
    #expect(world.timers.count == 0)

    var late = Definition("w", onFailure: .continue)
    late.task(
      "each", handler: "h", foreach: .range(from: 0, to: 5), parallelism: 3, timeouts: Timeouts(scheduleToStart: s + s / 2), rate: rate)
    world.pass(10 * s)
    let second = try world.start(late.resolve())
    play(world)
    let record = second.record(slots: 1, threads: 1)
    #expect(second.status == .failed)
    #expect(record.tasks.first { $0.id == "each[2]" }?.attempts.map(\.errorType) == [EngineErrorType.scheduleToStart])
    #expect(second.accounts.reduce(0, +) == 7 && second.progress().running == 0)
    #expect(world.timers.count == 0)
  }

  @Test("each item takes the task's weight of its key")
  func weight() throws {
    let world = try SteppedWorld()
    let held = Left<[HeldAttempt]>([])
    world.handler("h") { call in
      held.value.append(call.hold())
      return UInt32(MILLRACE_PENDING)
    }
    for (weight, atOnce) in [(1, 5), (2, 2), (3, 1)] {
      var workflow = Definition("w")
      workflow.task(
        "each", handler: "h", foreach: .range(from: 0, to: 9), concurrencyKey: "k\(weight)", concurrencyLimit: 5, concurrencyWeight: weight)
      let run = try world.start(workflow.resolve())
      world.drain()
      #expect(held.value.count == atOnce, "weight \(weight)")
      #expect(world.complete(held.value[0].token, MILLRACE_DONE))
      world.drain()
      #expect(held.value.count == atOnce + 1, "one goes, one comes")
      run.cancel()
      held.value = []
      world.drain()
      #expect(run.status == .cancelled)
    }
  }

  @Test("items have the priority that an output gave their task; one that is none fails the task before there are items")
  func ranks() throws {
    let world = try SteppedWorld(slots: 1)
    let order = Left<[String]>([])
    world.handler("json") { call in
      order.value.append(call.task)
      return call.done(call.input(0), MILLRACE_JSON)
    }
    var workflow = Definition("w", onFailure: .continue)
    let first = workflow.task("first", handler: "json", input: ["word": "critical"])
    for i in 0..<3 { workflow.task("n\(i)", handler: "json", dependencies: [first]) }
    let each = workflow.task("each", handler: "json", dependencies: [first], foreach: .list([1, 2]))
    workflow.task("bad", handler: "json", dependencies: [first], foreach: .list([1]))
    workflow.tasks[4].policy.priorityExpression = "${tasks.first.output.word}"
    workflow.tasks[5].policy.priorityExpression = "${tasks.first.output}"
    #expect(workflow.tasks[4].id == each.id)
    try DefinitionChecker().check(workflow)
    let run = try world.start(workflow.resolve())
    play(world)
    #expect(order.value.prefix(3) == ["first", "each[0]", "each[1]"])
    #expect(order.value.dropFirst(3).sorted() == ["n0", "n1", "n2"])
    let tasks = run.record(slots: 1, threads: 1).tasks
    #expect(tasks.filter { $0.id.hasPrefix("each") }.map(\.priority) == [.critical, .critical, .critical])
    #expect(tasks.first { $0.id == "bad" }?.attempts.map(\.errorType) == [EngineErrorType.expression])

    workflow.tasks[4].policy.priorityExpression = "${item}"
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(workflow) }
    #expect(error?.faults.first?.message.contains("a priority is settled by parameters") == true)
  }

  private static let template = """
    format: 1
    workflow: w
    parameters: { on: { type: boolean, default: true } }
    templates:
      - template: sums
        parameters: { from: {}, add: { type: integer, default: 10 } }
        result: each
        tasks:
          - { id: list, handler: json, input: "${params.from}" }
          - id: each
            handler: json
            dependencies: [list]
            foreach: "${tasks.list.output}"
            when: "${item != 2}"
            input: ["${item}", "${index}", "${params.add}"]
    tasks:
      - { id: source, handler: json, input: [1, 2, 3] }
      - { id: one, template: sums, dependencies: [source], with: { from: "${tasks.source.output}" } }
      - { id: two, template: sums, when: "${params.on}", with: { from: [7], add: 5 } }
      - { id: last, handler: json, dependencies: [one, two], input: ["${tasks.one.output[2]}", "${tasks.two.output}"] }
    """

  @Test("foreach in a template: its list, items and conditions keep their names; a use that its condition leaves out has no items")
  func template() throws {
    let world = try RunExpressionTests.world()
    let definition = try DefinitionReader().read(Array(Self.template.utf8), name: "w.yaml").definition
    try DefinitionChecker().check(definition)
    let both = try world.start(definition.resolve())
    play(world)
    #expect(both.status == .completed)
    #expect(both.text("one.each") == "[[1,0,10],null,[3,2,10]]")
    #expect(both.text("last") == "[[3,2,10],[[7,0,5]]]")

    let one = try world.start(definition.resolve(parameters: ["on": false]))
    play(world)
    #expect(one.status == .completed)
    #expect(one.text("last") == "[[3,2,10],null]")
    #expect(one.record(slots: 1, threads: 1).tasks.filter { $0.id.hasPrefix("two") }.map(\.status) == [.skipped, .skipped])
  }

  @Test("what waits has no items")
  func ways() throws {
    let text = "format: 1\nworkflow: w\ntasks:\n  - { id: a, wait: for 1s, foreach: [1] }\n"
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(text.utf8), name: "w.yaml") }
    #expect(error?.faults.first?.message == "task 'a' has 'foreach', and waits")
  }
}
