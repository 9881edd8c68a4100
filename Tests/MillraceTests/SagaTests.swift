import Millrace
import Testing

@Suite struct SagaTests {
  private static func order() -> Saga {
    let saga = Saga("order")
    let reserve = saga.step("reserve", handler: "reserve", compensation: "release")
    let quote = saga.step("quote", handler: "quote", compensation: .notNeeded)
    let charge = saga.step("charge", handler: "charge", dependencies: [reserve, quote], isPivot: true)
    saga.step("ship", handler: "ship", dependencies: [charge], input: ["speed": "fast"], retry: RetryPolicy(attempts: 9))
    return saga
  }

  @Test("a saga put together step by step is the definition that a file gives")
  func builder() throws {
    let file = """
      format: 1
      kind: saga
      workflow: order
      steps:
        - { id: reserve, handler: reserve, compensation: { handler: release } }
        - { id: quote, handler: quote, compensation: none }
        - { id: charge, handler: charge, dependencies: [reserve, quote], pivot: true }
        - { id: ship, handler: ship, dependencies: [charge], input: { speed: fast }, retry: { attempts: 9 } }
      """
    let saga = Self.order()
    #expect(saga.name == "order")
    #expect(saga.definition == (try DefinitionReader().read(Array(file.utf8), name: "order.yaml").definition))
    let plan = try SagaPlan(saga.definition)
    #expect(plan.pivot == 2)
    var machine = SagaMachine(plan)
    #expect(try machine.apply(.began) == [.launch(0), .launch(1)])
  }

  @Test("the handlers of compensations must be there as well")
  func handlers() throws {
    let engine = try EngineTests.engine()
    defer { engine.shutdown() }
    for name in ["reserve", "quote", "charge", "ship"] { try engine.register(name) { _ in .text("") } }
    let error = #expect(throws: DefinitionError.self) { try engine.deploy(Self.order().definition) }
    #expect(error?.faults.map(\.message) == ["the compensation of step 'reserve' has the unknown handler 'release'"])
  }
}
