/// Why a JSON value is no fact of a saga.
public struct SagaFactError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What is wrong with it.
  public let message: String

  public var description: String { message }
}

/// The form of facts in a stream of events: `{"fact":"step-failed","step":"charge","error":{"type":"no-funds","message":"..."}}`.
extension SagaFact {
  /// The word of its kind, which the form begins with: `began`, `step-completed`, `step-failed`, `step-unknown`, `step-withdrawn`,
  /// `compensation-completed`, `compensation-failed`, `cancel-asked`, `resumed`, `skipped`, `forced` or `recovered`.
  public var word: String {
    switch self {
    case .began: "began"
    case .stepCompleted: "step-completed"
    case .stepFailed: "step-failed"
    case .stepUnknown: "step-unknown"
    case .stepWithdrawn: "step-withdrawn"
    case .compensationCompleted: "compensation-completed"
    case .compensationFailed: "compensation-failed"
    case .cancelAsked: "cancel-asked"
    case .resumed: "resumed"
    case .skipped: "skipped"
    case .forced: "forced"
    case .recovered: "recovered"
    }
  }

  /// An object with `fact`, and `step` (its id), `error`, `by` and `reason` as far as the fact has them. Its step is one of the plan.
  public func json(in plan: SagaPlan) -> JSON {
    var members: [JSON.Member] = [.init("fact", .string(word))]
    let step = { (number: Int) in JSON.Member("step", .string(plan.ids[number])) }
    switch self {
    case .began, .recovered: break
    case .stepCompleted(let number), .stepWithdrawn(let number), .compensationCompleted(let number): members.append(step(number))
    case .stepFailed(let number, let error), .stepUnknown(let number, let error), .compensationFailed(let number, let error):
      members += [step(number), .init("error", ["type": .string(error.type), "message": .string(error.message)])]
    case .cancelAsked(let name, let reason), .forced(let name, let reason):
      members += [.init("by", .string(name)), .init("reason", .string(reason))]
    case .resumed(let number, let name):
      if let number { members.append(step(number)) }
      members.append(.init("by", .string(name)))
    case .skipped(let number, let name, let reason):
      members += [step(number), .init("by", .string(name)), .init("reason", .string(reason))]
    }
    return .object(members)
  }

  /// What `json(in:)` gave for the same plan; members that it does not know are passed over, so that an event may say more. Throws `SagaFactError`.
  ///
  /// Whether the fact is possible is the machine's to say.
  public init(_ json: JSON, in plan: SagaPlan) throws(SagaFactError) {
    let reader = FactReader(json: json, plan: plan)
    switch try reader.text("fact") {
    case "began": self = .began
    case "step-completed": self = .stepCompleted(try reader.step())
    case "step-failed": self = .stepFailed(try reader.step(), try reader.error())
    case "step-unknown": self = .stepUnknown(try reader.step(), try reader.error())
    case "step-withdrawn": self = .stepWithdrawn(try reader.step())
    case "compensation-completed": self = .compensationCompleted(try reader.step())
    case "compensation-failed": self = .compensationFailed(try reader.step(), try reader.error())
    case "cancel-asked": self = .cancelAsked(by: try reader.text("by"), reason: try reader.text("reason"))
    case "resumed": self = .resumed(json["step"] == nil ? nil : try reader.step(), by: try reader.text("by"))
    case "skipped": self = .skipped(try reader.step(), by: try reader.text("by"), reason: try reader.text("reason"))
    case "forced": self = .forced(by: try reader.text("by"), reason: try reader.text("reason"))
    case "recovered": self = .recovered
    case let other: throw SagaFactError(message: "'\(other.prefix(80))' is no fact of a saga")
    }
  }
}

private struct FactReader {
  let json: JSON
  let plan: SagaPlan

  func text(_ name: String) throws(SagaFactError) -> String {
    guard let text = json[name]?.string else { throw SagaFactError(message: "a fact of a saga without the text '\(name)'") }
    return text
  }

  func step() throws(SagaFactError) -> Int {
    let id = try text("step")
    guard let number = plan.number(of: id) else { throw SagaFactError(message: "the saga has no step '\(id.prefix(128))'") }
    return number
  }

  func error() throws(SagaFactError) -> SagaError {
    guard let error = json["error"], let type = error["type"]?.string, let message = error["message"]?.string else {
      throw SagaFactError(message: "a fact of a saga without 'error': { 'type', 'message' }")
    }
    return SagaError(type: type, message: message)
  }
}
