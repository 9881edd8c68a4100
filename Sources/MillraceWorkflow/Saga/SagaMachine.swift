/// A saga as a value: facts go in, what is to be done comes out. No I/O, no clock, no threads.
///
/// The state is the fold of the facts: `SagaMachine(plan, facts)` is what `apply` of one after the other gives. Whoever runs a saga records a fact,
/// applies it, and does what it asks for; after a crash it folds what was recorded and adds `recovered`. See docs/sagas.md for the rules.
///
/// # Size
/// 5 bytes a step, beside the plan, which copies share.
public struct SagaMachine: Sendable, Hashable {
  enum Phase: UInt8, Sendable, Hashable {
    case created, forward
    /// Steps that still run have been asked to stop; their outcomes are awaited.
    case stopping
    case undoing, ended
  }

  /// What it goes by.
  public let plan: SagaPlan
  var phase = Phase.created
  var states: [SagaStepState]
  /// Forward: dependencies of a step that are not done. Undoing: its dependents that are to be undone before it.
  var waiting: [Int32]
  /// Steps, or compensations, whose outcome is awaited.
  var inFlight = 0
  /// Steps that wait for an operator.
  var parked = 0
  /// Forward: steps that are not done. Undoing: steps that are neither undone nor passed over.
  var open: Int
  var errors: [Int: SagaError] = [:]

  /// Cancellation was asked for.
  public internal(set) var isCancelled = false
  /// An operator passed something over.
  public internal(set) var hasSkips = false
  /// An operator declared it complete: nothing more is launched.
  public internal(set) var isForced = false
  /// The step whose outcome made the saga turn back; nil: it has not, or somebody asked for it.
  public internal(set) var cause: Int?

  /// A saga that is STARTED. Complexity: O(steps).
  public init(_ plan: SagaPlan) {
    self.plan = plan
    states = [SagaStepState](repeating: .waiting, count: plan.count)
    waiting = (0..<plan.count).map { Int32(truncatingIfNeeded: plan.dependencies(of: $0).count) }
    open = plan.count
  }

  /// The saga that these facts, in this order, have led to. Throws `SagaRefusal` of the first that is not possible.
  /// Complexity: O(facts + steps + dependencies), and O(steps) for each of `recovered` and `resumed` of all.
  public init(_ plan: SagaPlan, _ facts: some Sequence<SagaFact>) throws(SagaRefusal) {
    self.init(plan)
    var actions: [SagaAction] = []
    for fact in facts {
      try apply(fact, &actions)
      actions.removeAll(keepingCapacity: true)
    }
  }

  /// What has become of it. Complexity: O(1).
  public var status: SagaStatus {
    switch phase {
    case .created: .started
    case .forward: parked == 0 ? .running : isPivotParked ? .pivotParked : .forwardParked
    case .stopping: .compensating
    case .undoing: parked == 0 ? .compensating : .compensationParked
    case .ended: !isTurnedBack ? .completed : hasSkips ? .compensatedWithSkips : .compensated
    }
  }

  /// It goes back, or went: what follows is, or was, compensation.
  public internal(set) var isTurnedBack = false

  /// What has become of a step, by its number. Complexity: O(1).
  public func state(of step: Int) -> SagaStepState { states[step] }

  /// Why a step or its compensation failed, or is unknown, last; nil: it is not. Complexity: O(1).
  public func error(of step: Int) -> SagaError? { errors[step] }

  /// The steps at which an operator must say how it goes on. Complexity: O(steps).
  public var parkedSteps: [Int] { parked == 0 ? [] : states.indices.filter(isParked) }

  /// Takes a fact and gives what is to be done. Throws `SagaRefusal` where it is not possible; nothing has changed then.
  @discardableResult
  public mutating func apply(_ fact: SagaFact) throws(SagaRefusal) -> [SagaAction] {
    var actions: [SagaAction] = []
    try apply(fact, &actions)
    return actions
  }

  /// Takes a fact and adds what is to be done. Throws `SagaRefusal` where it is not possible; nothing has changed then.
  ///
  /// Complexity: O(dependencies and dependents of the step); O(steps + dependencies) where the saga turns back, O(steps) for `recovered` and for what
  /// an operator does.
  public mutating func apply(_ fact: SagaFact, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    if phase == .ended { throw .ended(status) }
    switch fact {
    case .began: try begin(&actions)
    case .stepCompleted(let step): try complete(step, &actions)
    case .stepFailed(let step, let error): try fail(step, .failed, error, &actions)
    case .stepUnknown(let step, let error): try fail(step, .unknown, error, &actions)
    case .stepWithdrawn(let step): try withdraw(step, &actions)
    case .compensationCompleted(let step): try completeCompensation(step, &actions)
    case .compensationFailed(let step, let error): try failCompensation(step, error)
    case .cancelAsked(let name, let reason): try cancel(name, reason, &actions)
    case .resumed(let step, let name): try resume(step, name, &actions)
    case .skipped(let step, let name, let reason): try skip(step, name, reason, &actions)
    case .forced(let name, let reason): try force(name, reason, &actions)
    case .recovered: recover(&actions)
    }
  }

  // MARK: What is asked of facts

  func check(_ step: Int, is expected: SagaStepState, or other: SagaStepState? = nil) throws(SagaRefusal) {
    guard states.indices.contains(step) else { throw .unknownStep(step) }
    if phase == .created { throw .notBegun }
    let state = states[step]
    guard state == expected || state == other else { throw .stepIs(plan.ids[step], state) }
  }

  func check(_ error: SagaError) throws(SagaRefusal) {
    if error.type.utf8.count > SagaError.maximumTypeBytes { throw .tooLong(limit: SagaError.maximumTypeBytes) }
    if error.message.utf8.count > SagaError.maximumMessageBytes { throw .tooLong(limit: SagaError.maximumMessageBytes) }
  }

  func check(name: String, reason: String? = nil) throws(SagaRefusal) {
    if name.isEmpty { throw .missingName }
    if reason?.isEmpty == true { throw .missingReason }
    if name.utf8.count > SagaFact.maximumNameBytes { throw .tooLong(limit: SagaFact.maximumNameBytes) }
    if let reason, reason.utf8.count > SagaFact.maximumReasonBytes { throw .tooLong(limit: SagaFact.maximumReasonBytes) }
  }

  var isPivotParked: Bool {
    guard let pivot = plan.pivot else { return false }
    return phase == .forward && states[pivot] == .unknown
  }

  func isParked(_ step: Int) -> Bool {
    switch phase {
    case .forward: states[step] == .failed || states[step] == .unknown
    case .undoing: states[step] == .compensationFailed
    case .created, .stopping, .ended: false
    }
  }

  mutating func end() {
    phase = .ended
    open = 0
  }
}
