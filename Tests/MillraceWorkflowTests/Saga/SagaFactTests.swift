import Testing

@testable import MillraceWorkflow

@Suite struct SagaFactTests {
  private let plan: SagaPlan

  init() throws {
    plan = try SagaPlan(DefinitionReader().read(Array(SagaDefinitionTests.order.utf8), name: "order.yaml").definition)
  }

  static let texts: [(SagaFact, String)] = [
    (.began, #"{"fact":"began"}"#),
    (.stepCompleted(1), #"{"fact":"step-completed","step":"reserve"}"#),
    (
      .stepFailed(3, SagaError(type: "no-funds", message: "no \"money\"")),
      #"{"fact":"step-failed","step":"charge","error":{"type":"no-funds","message":"no \"money\""}}"#
    ),
    (.stepUnknown(3, SagaError(type: "timeout")), #"{"fact":"step-unknown","step":"charge","error":{"type":"timeout","message":""}}"#),
    (.stepWithdrawn(2), #"{"fact":"step-withdrawn","step":"print"}"#),
    (.compensationCompleted(2), #"{"fact":"compensation-completed","step":"print"}"#),
    (.compensationFailed(2, SagaError(type: "jam")), #"{"fact":"compensation-failed","step":"print","error":{"type":"jam","message":""}}"#),
    (.cancelAsked(by: "ada", reason: ""), #"{"fact":"cancel-asked","by":"ada","reason":""}"#),
    (.resumed(nil, by: "ada"), #"{"fact":"resumed","by":"ada"}"#),
    (.resumed(2, by: "ada"), #"{"fact":"resumed","step":"print","by":"ada"}"#),
    (.skipped(2, by: "ada", reason: "by hand"), #"{"fact":"skipped","step":"print","by":"ada","reason":"by hand"}"#),
    (.forced(by: "ada", reason: "enough"), #"{"fact":"forced","by":"ada","reason":"enough"}"#),
    (.recovered, #"{"fact":"recovered"}"#),
  ]

  @Test("each fact has one form, and is read from it again", arguments: texts)
  func form(_ fact: SagaFact, _ text: String) throws {
    #expect(fact.json(in: plan).text() == text)
    #expect(try SagaFact(JSON(parsing: text), in: plan) == fact)
  }

  @Test("what an event says beyond the fact is passed over")
  func more() throws {
    #expect(try SagaFact(["output": 1, "fact": "step-completed", "step": "quote"], in: plan) == .stepCompleted(0))
  }

  @Test(
    "what is no fact is refused with a reason",
    arguments: [
      (#"{}"#, "a fact of a saga without the text 'fact'"),
      (#"[]"#, "a fact of a saga without the text 'fact'"),
      (#"{"fact":"stepped"}"#, "'stepped' is no fact of a saga"),
      (#"{"fact":"step-completed"}"#, "a fact of a saga without the text 'step'"),
      (#"{"fact":"step-completed","step":1}"#, "a fact of a saga without the text 'step'"),
      (#"{"fact":"step-completed","step":"buy"}"#, "the saga has no step 'buy'"),
      (#"{"fact":"step-failed","step":"quote"}"#, "a fact of a saga without 'error': { 'type', 'message' }"),
      (#"{"fact":"forced","by":"ada"}"#, "a fact of a saga without the text 'reason'"),
      (#"{"fact":"resumed","step":null,"by":"ada"}"#, "a fact of a saga without the text 'step'"),
    ])
  func refused(_ text: String, _ message: String) throws {
    let error = #expect(throws: SagaFactError.self) { try SagaFact(JSON(parsing: text), in: plan) }
    #expect(error?.message == message)
  }

  @Test("a saga read from its facts' texts is the saga")
  func fold() throws {
    let error = SagaError(type: "e", message: "\u{1}ü")
    let facts: [SagaFact] = [
      .began, .stepCompleted(0), .stepUnknown(1, error), .recovered, .compensationFailed(1, error), .compensationFailed(2, error),
      .resumed(1, by: "ada"), .skipped(2, by: "bob", reason: "done by hand"), .compensationCompleted(1),
    ]
    let texts = facts.map { $0.json(in: plan).text() }
    let saga = try SagaMachine(plan, texts.map { try SagaFact(JSON(parsing: $0), in: plan) })
    #expect(saga == (try SagaMachine(plan, facts)))
    #expect(saga.status == .compensatedWithSkips)
  }
}
