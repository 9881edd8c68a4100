internal import CMillrace
internal import MillraceCore

/// The saga that a run executes: the machine, and which of its nodes are where. A node is held by the run until the machine launches it, given to the core for its
/// attempts, and held again when its outcome is known.
///
/// What happens to a saga happens one after the other, in the order in which it is recorded: `enqueue` lets one outcome, or one wish of an operator, in at a time.
///
/// # Threads
/// Any.
final class SagaRun: @unchecked Sendable {
  private struct Errand {
    let work: () -> Void
    let refuse: () -> Void
  }

  enum Place: UInt8 {
    /// The run has it.
    case held
    /// The core has it, or a timer for its next attempt.
    case inFlight
    /// Released: the run is about to end.
    case gone
  }

  let compiled: CompiledSaga
  private let monitor = Monitor()
  // The monitor's.
  private var machine: SagaMachine
  private var places: [Place]
  private var stopAsked: [Bool]
  private var isClosing = false
  private var queue: [Errand] = []
  private var isOver = false
  private var isBusy = false
  /// Nodes whose outcome is recorded, and not told to the machine yet.
  private var known: Set<UInt32> = []
  /// What is to be done first: of a saga that was taken over.
  private var first: [SagaAction]?

  init(_ compiled: CompiledSaga) {
    self.compiled = compiled
    machine = SagaMachine(compiled.plan)
    places = [Place](repeating: .held, count: compiled.steps.count)
    stopAsked = [Bool](repeating: false, count: compiled.steps.count)
  }

  deinit { monitor.deallocate() }

  var state: SagaMachine { monitor.locked { machine } }
  var nodes: Int { compiled.steps.count }

  /// Before the run starts: what the facts of another process have led to, the last of them its end. Throws `SagaRefusal`.
  func restore(_ facts: [SagaFact]) throws(SagaRefusal) {
    try monitor.locked { () throws(SagaRefusal) in
      var actions: [SagaAction] = []
      for fact in facts {
        actions.removeAll()
        if !machine.status.hasEnded { try machine.apply(fact, &actions) }
      }
      for step in 0..<compiled.plan.count where machine.state(of: step) == .stopping { stopAsked[step] = true }
      first = actions
    }
  }

  /// What is to be done when the run begins.
  func begin() -> [SagaAction] {
    // Whoever cancels a saga just before it begins has ended it.
    let (first, hasEnded) = monitor.locked { (self.first, machine.status.hasEnded) }
    return hasEnded ? [] : first ?? tell(.began)
  }

  /// The machine hears of a fact that it must take: it has been launched, or looked at with `check`.
  func tell(_ fact: SagaFact) -> [SagaAction] {
    monitor.locked {
      do throws(SagaRefusal) {
        let actions = try machine.apply(fact)
        for action in actions { if case .requestStop(let step) = action { stopAsked[step] = true } }
        return actions
      } catch {
        preconditionFailure("invariant broken: a saga refused \\(fact.word): \\(error)")
      }
    }
  }

  /// Whether the machine would take it now. Throws `SagaRefusal`.
  func check(_ fact: SagaFact) throws(SagaRefusal) {
    try monitor.locked { () throws(SagaRefusal) in
      var copy = machine
      try copy.apply(fact)
    }
  }

  // MARK: One after the other

  private enum Turn { case now, later, never }

  /// Does `work` when what came before it is done; it ends with `done`. `refuse`: in its place, if the run ends before.
  func enqueue(_ work: @escaping () -> Void, orElse refuse: @escaping () -> Void = {}) {
    let turn: Turn = monitor.locked {
      if isOver { return .never }
      if isBusy {
        queue.append(Errand(work: work, refuse: refuse))
        return .later
      }
      isBusy = true
      return .now
    }
    switch turn {
    case .now: work()
    case .later: break
    case .never: refuse()
    }
  }

  /// The run has ended: nothing more is done.
  func end() {
    let left = monitor.locked {
      isOver = true
      defer { queue = [] }
      return queue
    }
    for errand in left { errand.refuse() }
  }

  func done() {
    let next: (() -> Void)? = monitor.locked {
      if queue.isEmpty {
        isBusy = false
        return nil
      }
      return queue.removeFirst().work
    }
    next?()
  }

  /// The outcome of a node is recorded: `takeKnown` says so, once.
  func setKnown(_ node: UInt32) { monitor.locked { _ = known.insert(node) } }
  func takeKnown(_ node: UInt32) -> Bool { monitor.locked { known.remove(node) != nil } }

  // MARK: Places

  /// A node is given to the core. False: the run is about to end.
  func launch(_ node: UInt32) -> Bool {
    monitor.locked {
      guard places[Int(node)] == .held, !isClosing else { return false }
      places[Int(node)] = .inFlight
      return true
    }
  }

  /// An operator, or a recovery, has a node launched once more.
  func clearStop(_ node: UInt32) { monitor.locked { stopAsked[Int(node)] = false } }

  /// The step was asked to stop, and has not begun: it is not to.
  func isStopAsked(_ node: UInt32) -> Bool { monitor.locked { stopAsked[Int(node)] } }

  /// The core gives a node back. True: the run keeps it; false: it is released.
  func take(_ node: UInt32) -> Bool {
    monitor.locked {
      places[Int(node)] = isClosing ? .gone : .held
      return !isClosing
    }
  }

  /// The core has released a node by itself.
  func drop(_ node: UInt32) { monitor.locked { places[Int(node)] = .gone } }

  /// The run is about to end: the nodes that it has, which are to be released.
  func close() -> [UInt32] {
    monitor.locked {
      isClosing = true
      var held: [UInt32] = []
      for node in places.indices where places[node] == .held {
        places[node] = .gone
        held.append(UInt32(node))
      }
      return held
    }
  }
}
