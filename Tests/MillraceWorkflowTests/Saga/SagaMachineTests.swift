import Testing

@testable import MillraceWorkflow

/// One sentence of the rules each; `SagaExhaustiveTests` has all of them in all orders.
@Suite struct SagaMachineTests {
  /// quote -> (reserve, print) -> charge -> (ship, thank)
  private let plan: SagaPlan
  private let quote = 0
  private let reserve = 1
  private let print = 2
  private let charge = 3
  private let ship = 4
  private let thank = 5
  private let error = SagaError(type: "no", message: "not today")

  init() throws {
    plan = try SagaPlan(DefinitionReader().read(Array(SagaDefinitionTests.order.utf8), name: "order.yaml").definition)
  }

  private func machine(_ facts: SagaFact...) throws -> SagaMachine { try SagaMachine(plan, facts) }

  @Test("a saga goes along its dependencies, and is COMPLETED when all is done")
  func forward() throws {
    var saga = SagaMachine(plan)
    #expect(saga.status == .started)
    #expect(try saga.apply(.began) == [.launch(quote)])
    #expect(saga.status == .running)
    #expect(try saga.apply(.stepCompleted(quote)) == [.launch(reserve), .launch(print)])
    #expect(try saga.apply(.stepCompleted(print)) == [])
    #expect(try saga.apply(.stepCompleted(reserve)) == [.launch(charge)])
    #expect(try saga.apply(.stepCompleted(charge)) == [.launch(ship), .launch(thank)])
    #expect(try saga.apply(.stepCompleted(thank)) == [])
    #expect(try saga.apply(.stepCompleted(ship)) == [])
    #expect(saga.status == .completed)
  }

  @Test("a failure stops siblings, waits for what becomes of them, and undoes what was done against the order; queries need nothing")
  func failure() throws {
    var saga = try machine(.began, .stepCompleted(quote))
    #expect(try saga.apply(.stepFailed(reserve, error)) == [.requestStop(print)])
    #expect(saga.status == .compensating && saga.cause == reserve && saga.error(of: reserve) == error)
    #expect(try saga.apply(.stepCompleted(print)) == [.compensate(print)])
    #expect(try saga.apply(.compensationCompleted(print)) == [])
    #expect(saga.status == .compensated)
    #expect(saga.state(of: quote) == .completed)
  }

  @Test("a sibling that was asked to stop before it started is not undone, one of which nobody knows is")
  func siblings() throws {
    var never = try machine(.began, .stepCompleted(quote), .stepFailed(reserve, error))
    #expect(try never.apply(.stepWithdrawn(print)) == [])
    #expect(never.status == .compensated && never.state(of: print) == .waiting)
    var perhaps = try machine(.began, .stepCompleted(quote), .stepUnknown(reserve, error))
    #expect(try Set(perhaps.apply(.stepUnknown(print, error))) == [.compensate(reserve), .compensate(print)])
  }

  @Test("two siblings that fail at once turn the saga back once; the first is the cause")
  func twice() throws {
    let saga = try machine(.began, .stepCompleted(quote), .stepFailed(print, error), .stepFailed(reserve, error))
    #expect(saga.status == .compensated && saga.cause == print)
  }

  @Test("a pivot of which nobody knows is parked; an operator finds out, passes it over, or declares it done")
  func pivotParked() throws {
    let facts: [SagaFact] = [.began, .stepCompleted(quote), .stepCompleted(reserve), .stepCompleted(print), .stepUnknown(charge, error)]
    let parked = try SagaMachine(plan, facts)
    #expect(parked.status == .pivotParked && parked.parkedSteps == [charge])
    var resumed = parked
    #expect(try resumed.apply(.resumed(nil, by: "ada")) == [.launch(charge)])
    #expect(resumed.status == .running)
    var forced = parked
    #expect(try forced.apply(.forced(by: "ada", reason: "the bank says so")) == [.launch(ship), .launch(thank)])
    #expect(forced.status == .running)
    var skipped = parked
    #expect(try Set(skipped.apply(.skipped(charge, by: "ada", reason: "the bank says no"))) == [.compensate(reserve), .compensate(print)])
    #expect(try skipped.apply(.compensationCompleted(print)) == [])
    #expect(try skipped.apply(.compensationCompleted(reserve)) == [])
    #expect(skipped.status == .compensatedWithSkips)
    var cancelled = parked
    #expect(throws: SagaRefusal.pivotUnknown) { try cancelled.apply(.cancelAsked(by: "ada", reason: "")) }
  }

  @Test("after the pivot nothing is undone: a step that fails for good is parked, the others go on")
  func forwardParked() throws {
    var saga = try machine(
      .began, .stepCompleted(quote), .stepCompleted(reserve), .stepCompleted(print), .stepCompleted(charge), .stepFailed(ship, error))
    #expect(saga.status == .forwardParked && saga.parkedSteps == [ship])
    #expect(throws: SagaRefusal.pivotCommitted) { try saga.apply(.cancelAsked(by: "ada", reason: "")) }
    #expect(try saga.apply(.stepCompleted(thank)) == [])
    #expect(saga.status == .forwardParked)
    var resumed = saga
    #expect(try resumed.apply(.resumed(ship, by: "ada")) == [.launch(ship)])
    #expect(try resumed.apply(.stepCompleted(ship)) == [])
    #expect(resumed.status == .completed && resumed.error(of: ship) == nil)
    #expect(try saga.apply(.skipped(ship, by: "ada", reason: "by hand")) == [])
    #expect(saga.status == .completed && saga.hasSkips)
  }

  @Test("a compensation that fails for good is parked, other branches go on, and what comes before it waits")
  func compensationParked() throws {
    var definition = try DefinitionReader().read(Array(SagaDefinitionTests.order.utf8), name: "order.yaml").definition
    definition.tasks[quote].compensation = "shop/unquote"
    var saga = try SagaMachine(
      SagaPlan(definition), [.began, .stepCompleted(quote), .stepCompleted(reserve), .stepCompleted(print), .stepFailed(charge, error)])
    #expect(try saga.apply(.compensationFailed(print, error)) == [])
    #expect(saga.status == .compensationParked && saga.parkedSteps == [print])
    #expect(try saga.apply(.compensationCompleted(reserve)) == [])
    var skipped = saga
    #expect(try skipped.apply(.skipped(print, by: "ada", reason: "shredded by hand")) == [.compensate(quote)])
    #expect(try skipped.apply(.compensationCompleted(quote)) == [])
    #expect(skipped.status == .compensatedWithSkips)
    var forced = saga
    #expect(try forced.apply(.forced(by: "ada", reason: "let it be")) == [])
    #expect(forced.status == .compensatedWithSkips && forced.state(of: quote) == .skipped)
    #expect(try saga.apply(.resumed(nil, by: "ada")) == [.compensate(print)])
    #expect(saga.status == .compensating)
  }

  @Test("forcing waits for what is in flight, whatever becomes of it, and launches nothing more")
  func force() throws {
    var saga = try machine(
      .began, .stepCompleted(quote), .stepCompleted(reserve), .stepCompleted(print), .stepCompleted(charge), .stepUnknown(ship, error),
      .forced(by: "ada", reason: "enough"))
    #expect(saga.status == .running)
    #expect(try saga.apply(.stepFailed(thank, error)) == [])
    #expect(saga.status == .completed && saga.state(of: thank) == .skipped)
  }

  @Test("cancelling before the pivot undoes, at the pivot lets it decide, and is taken once")
  func cancel() throws {
    var early = SagaMachine(plan)
    #expect(try early.apply(.cancelAsked(by: "ada", reason: "")) == [])
    #expect(early.status == .compensated)
    var before = try machine(.began, .stepCompleted(quote), .stepCompleted(reserve))
    #expect(try before.apply(.cancelAsked(by: "ada", reason: "")) == [.requestStop(print)])
    #expect(throws: SagaRefusal.compensating) { try before.apply(.cancelAsked(by: "bob", reason: "")) }
    var at = try machine(.began, .stepCompleted(quote), .stepCompleted(reserve), .stepCompleted(print))
    #expect(try at.apply(.cancelAsked(by: "ada", reason: "")) == [.requestStop(charge)])
    #expect(at.status == .running && at.isCancelled)
    #expect(throws: SagaRefusal.alreadyCancelled) { try at.apply(.cancelAsked(by: "bob", reason: "")) }
    var late = at
    #expect(try late.apply(.stepCompleted(charge)) == [.launch(ship), .launch(thank)])
    #expect(try Set(at.apply(.stepWithdrawn(charge))) == [.compensate(reserve), .compensate(print)])
  }

  @Test("after a crash what was in flight runs once more, but for what had been asked to stop")
  func crash() throws {
    var forward = try machine(.began, .stepCompleted(quote))
    #expect(try forward.apply(.recovered) == [.launch(reserve), .launch(print)])
    var stopping = try machine(.began, .stepCompleted(quote), .stepFailed(reserve, error))
    #expect(try stopping.apply(.recovered) == [.compensate(print)])
    #expect(try stopping.apply(.recovered) == [.compensate(print)])
    var pivot = try machine(
      .began, .stepCompleted(quote), .stepCompleted(reserve), .stepCompleted(print), .cancelAsked(by: "ada", reason: ""))
    #expect(try pivot.apply(.recovered) == [.launch(charge)])
    #expect(throws: SagaRefusal.notAskedToStop("charge")) { try pivot.apply(.stepWithdrawn(charge)) }
  }

  @Test("the longest saga goes forward and all the way back, over steps that have nothing to undo")
  func long() throws {
    var definition = Definition(saga: "long")
    var last: [TaskReference] = []
    for number in 0..<SagaPlan.maximumSteps {
      last = [definition.step("s\(number)", handler: "h", dependencies: last, compensation: number == 0 ? "u" : .notNeeded)]
    }
    var saga = try SagaMachine(SagaPlan(definition), [.began])
    for step in 0..<SagaPlan.maximumSteps - 1 { #expect(try saga.apply(.stepCompleted(step)) == [.launch(step + 1)]) }
    #expect(try saga.apply(.stepFailed(SagaPlan.maximumSteps - 1, error)) == [.compensate(0)])
    #expect(try saga.apply(.compensationCompleted(0)) == [])
    #expect(saga.status == .compensated)
  }

  @Test("an operator's verb needs a name, a reason, and something parked; errors and reasons have their limits")
  func refusals() throws {
    var saga = try machine(.began)
    #expect(throws: SagaRefusal.notParked(.running)) { try saga.apply(.resumed(nil, by: "ada")) }
    #expect(throws: SagaRefusal.unknownStep(6)) { try saga.apply(.stepCompleted(6)) }
    #expect(throws: SagaRefusal.stepIs("ship", .waiting)) { try saga.apply(.stepCompleted(ship)) }
    #expect(throws: SagaRefusal.alreadyBegun) { try saga.apply(.began) }
    #expect(throws: SagaRefusal.missingName) { try saga.apply(.cancelAsked(by: "", reason: "")) }
    #expect(throws: SagaRefusal.tooLong(limit: 64)) {
      try saga.apply(.stepFailed(quote, SagaError(type: String(repeating: "x", count: 65))))
    }
    #expect(throws: SagaRefusal.tooLong(limit: 4096)) {
      try saga.apply(.stepFailed(quote, SagaError(type: "x", message: String(repeating: "x", count: 4097))))
    }
    #expect(saga == (try machine(.began)))
    var parked = try machine(
      .began, .stepCompleted(quote), .stepCompleted(reserve), .stepCompleted(print), .stepUnknown(charge, error))
    #expect(throws: SagaRefusal.missingReason) { try parked.apply(.forced(by: "ada", reason: "")) }
    #expect(throws: SagaRefusal.missingReason) { try parked.apply(.skipped(charge, by: "ada", reason: "")) }
    #expect(throws: SagaRefusal.tooLong(limit: 256)) { try parked.apply(.resumed(nil, by: String(repeating: "x", count: 257))) }
    #expect(throws: SagaRefusal.stepNotParked("ship", .waiting)) { try parked.apply(.resumed(ship, by: "ada")) }
    var ended = try machine(.cancelAsked(by: "ada", reason: ""))
    #expect(throws: SagaRefusal.ended(.compensated)) { try ended.apply(.began) }
  }
}
