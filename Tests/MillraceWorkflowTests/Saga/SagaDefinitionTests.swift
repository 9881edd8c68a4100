import Testing

@testable import MillraceWorkflow

@Suite struct SagaDefinitionTests {
  static let order = """
    format: 1
    kind: saga
    workflow: order
    durability: log
    parameters: { item: { type: string, default: book } }
    result: charge
    steps:
      - { id: quote, handler: shop/quote, input: { item: "${params.item}" }, compensation: none }
      - id: reserve
        handler: shop/reserve
        dependencies: [quote]
        retry: { attempts: 3 }
        compensation:
          handler: shop/release
          input: { item: "${params.item}", id: "${tasks.reserve.output.id ?? null}" }
          retry: { attempts: unlimited, cap: 10s }
          timeouts: { startToClose: 5s }
      - { id: print, handler: shop/print, dependencies: [quote], compensation: { handler: shop/shred, retry: { initial: 2s } } }
      - { id: charge, handler: shop/charge, dependencies: [reserve, print], pivot: true }
      - { id: ship, handler: shop/ship, dependencies: [charge] }
      - { id: thank, handler: shop/thank, dependencies: [charge], retry: { attempts: 5 } }
    """

  private func read(_ text: String) throws -> DefinitionReader.Reading { try DefinitionReader().read(Array(text.utf8), name: "order.yaml") }

  @Test("a saga is read: its steps, its pivot, and how each step is undone")
  func reads() throws {
    let reading = try read(Self.order)
    #expect(reading.warnings == [])
    let saga = reading.definition
    #expect(saga.kind == .saga && saga.durability == .log && saga.result == "charge")
    #expect(saga.tasks.map(\.isPivot) == [false, false, false, true, false, false])
    #expect(saga.tasks[0].compensation == .notNeeded)
    #expect(
      saga.tasks[1].compensation
        == Compensation(
          handler: "shop/release", input: ["item": "${params.item}", "id": "${tasks.reserve.output.id ?? null}"],
          retry: RetryPolicy(attempts: RetryPolicy.unlimited, cap: 10_000_000_000), timeouts: Timeouts(startToClose: 5_000_000_000)))
    #expect(
      saga.tasks[2].compensation
        == Compensation(handler: "shop/shred", retry: RetryPolicy(attempts: RetryPolicy.unlimited, initial: 2_000_000_000)))
    #expect(saga.tasks[3...].allSatisfy { $0.compensation == nil })
  }

  @Test("its plan knows the kind of each step, and whether there is something to undo")
  func plan() throws {
    let saga = try read(Self.order).definition
    let plan = try SagaPlan(saga)
    #expect(plan.ids == ["quote", "reserve", "print", "charge", "ship", "thank"])
    #expect(plan.pivot == 3)
    #expect((0..<6).map(plan.kind) == [.compensatable, .compensatable, .compensatable, .pivot, .retriable, .retriable])
    #expect((0..<6).map(plan.hasCompensation) == [false, true, true, false, false, false])
    #expect(plan.number(of: "ship") == 4 && plan.number(of: "shop") == nil)
    #expect((0..<6).map { saga.retry(ofStep: $0, in: plan)?.attempts } == [nil, 3, nil, nil, RetryPolicy.unlimited, 5])
  }

  @Test("the same saga made in Swift is the same, and passes the same check")
  func swift() throws {
    var saga = Definition(
      saga: "order", parameters: [.init("item", fallback: "book", kind: .string)], result: "charge", durability: .log)
    let quote = saga.step("quote", handler: "shop/quote", input: ["item": "${params.item}"], compensation: .notNeeded)
    let reserve = saga.step(
      "reserve", handler: "shop/reserve", dependencies: [quote],
      compensation: Compensation(
        handler: "shop/release", input: ["item": "${params.item}", "id": "${tasks.reserve.output.id ?? null}"],
        retry: RetryPolicy(attempts: RetryPolicy.unlimited, cap: 10_000_000_000), timeouts: Timeouts(startToClose: 5_000_000_000)),
      retry: RetryPolicy())
    let print = saga.step(
      "print", handler: "shop/print", dependencies: [quote],
      compensation: Compensation(
        handler: "shop/shred", retry: RetryPolicy(attempts: RetryPolicy.unlimited, initial: 2_000_000_000)))
    let charge = saga.step("charge", handler: "shop/charge", dependencies: [reserve, print], isPivot: true)
    saga.step("ship", handler: "shop/ship", dependencies: [charge])
    saga.step("thank", handler: "shop/thank", dependencies: [charge], retry: RetryPolicy(attempts: 5))
    #expect(try DefinitionChecker().check(saga) == [])
    #expect(saga == (try read(Self.order).definition))
  }

  @Test("a saga made in Swift that cannot be one is refused with every fault")
  func refused() throws {
    var saga = Definition(saga: "order")
    saga.onFailure = .continue
    let first = saga.step("first", handler: "a", compensation: Compensation(handler: "no name", retry: RetryPolicy(attempts: 0)))
    saga.step("pivot", handler: "b", dependencies: [first], compensation: "c", isPivot: true)
    saga.step("beside", handler: "b", dependencies: [first])
    saga.tasks[2].condition = "${true}"
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(saga) }
    #expect(
      error?.faults.map { "\($0.code.rawValue) \($0.message)" } == [
        "bad-value the compensation of step 'first': 'no name' is no name for a handler",
        "bad-value the compensation of step 'first': 0 attempts",
        "mismatch a saga that goes on after a failure",
        "mismatch step 'beside' has a condition",
        "mismatch the pivot 'pivot' has a compensation, which would never run",
        "bad-dependency step 'beside' comes neither before nor after the pivot 'pivot'",
      ])
    var workflow = Definition("w", tasks: [TaskDefinition("a", handler: "h")])
    workflow.tasks[0].compensation = "undo"
    #expect(throws: DefinitionError.self) { try DefinitionChecker().check(workflow) }
    #expect(throws: DefinitionError.self) { try SagaPlan(Definition("w", tasks: [TaskDefinition("a", handler: "h")])) }
  }

  @Test("a saga has at most 10,000 steps, and one of so many is checked and planned")
  func large() throws {
    var saga = Definition(saga: "long")
    var last: [TaskReference] = []
    for number in 0..<SagaPlan.maximumSteps { last = [saga.step("s\(number)", handler: "h", dependencies: last, compensation: "u")] }
    #expect(try SagaPlan(saga).count == 10_000)
    saga.step("more", handler: "h", dependencies: last, compensation: "u")
    let error = #expect(throws: DefinitionError.self) { try SagaPlan(saga) }
    #expect(error?.faults.map(\.code) == [.limit])
  }

  @Test("parameters are put into the inputs of compensations; what needs outputs stays")
  func parameters() throws {
    var saga = try read(Self.order).definition
    saga.tasks[1].compensation?.input = ["item": "${params.item}"]
    #expect(try saga.resolve(parameters: ["item": "pen"]).tasks[1].compensation?.input == ["item": "pen"])
    let resolved = try read(Self.order).definition.resolve().tasks[1].compensation
    #expect(resolved?.inputProgram != nil && resolved?.input?["id"] == "${tasks.reserve.output.id ?? null}")
  }

  @Test("a compensation, a pivot and the kind count in the one form of a definition")
  func canonical() throws {
    let form = { (text: String) throws -> String in
      var form = ""
      try self.read(text).definition.writeCanonicalForm { form += String(decoding: $0, as: UTF8.self) }
      return form
    }
    let first = try form(Self.order)
    for (old, new) in [
      ("shop/release", "shop/free"), ("startToClose: 5s", "startToClose: 6s"), ("cap: 10s", "cap: 11s"), ("?? null", "?? 1"),
      ("compensation: none", "compensation: { handler: shop/unquote }"),
      ("[reserve, print], pivot: true", "[reserve, print], compensation: none"),
    ] {
      var text = Self.order.replacing(old, with: new)
      // Without a pivot all steps are compensatable.
      if new.hasSuffix("none") { text = text.replacing("[charge]", with: "[charge], compensation: none") }
      #expect(try form(text) != first, "\(new)")
    }
  }

  @Test("a recorded saga is read again: its kind, its pivot, its compensations")
  func recorded() throws {
    let saga = try read(Self.order).definition
    let again = try Definition(recorded: saga.recorded)
    #expect(again.kind == .saga && again.tasks.map(\.isPivot) == saga.tasks.map(\.isPivot))
    #expect(again.tasks.map { $0.compensation?.handler } == saga.tasks.map { $0.compensation?.handler })
    #expect(again.tasks.map { $0.compensation?.retry } == saga.tasks.map { $0.compensation?.retry })
    // Members of objects stand by their names there.
    #expect(again.recorded == saga.recorded)
  }

  @Test("the graph shows the pivot and how each step is undone")
  func graph() throws {
    #expect(
      try Graph.text(read(Self.order).definition) == """
        order: 6 steps, 6 dependencies, 4 layers

        1 ─ quote    shop/quote, nothing to undo
        2 ┬ reserve  shop/reserve, undone by shop/release  ← quote
          └ print    shop/print, undone by shop/shred      ← quote
        3 ─ charge   shop/charge, pivot                    ← reserve, print
        4 ┬ ship     shop/ship                             ← charge
          └ thank    shop/thank                            ← charge

        """)
  }

  @Test("a workflow cannot run a saga as a child")
  func child() throws {
    let reader = DefinitionReader(workflows: ["order": try read(Self.order).definition])
    let text = "format: 1\nworkflow: w\ntasks: [{ id: a, workflow: order }]"
    let error = #expect(throws: DefinitionError.self) { try reader.read(Array(text.utf8), name: "w.yaml") }
    #expect(error?.faults.map(\.message) == ["task 'a' runs 'order', which is a saga"])
  }
}
