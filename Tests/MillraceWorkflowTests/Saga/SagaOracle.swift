@testable import MillraceWorkflow

/// What a saga must do, said once more and in another way: sets of steps, and for each question a sentence over them. Written from the rules of
/// sagas (docs/sagas.md), not from the machine. Up to 64 steps.
struct SagaOracle {
  typealias Steps = UInt64

  /// What a plan says, closed under "comes before".
  struct Rules {
    let count: Int
    let all: Steps
    let pivot: Steps
    let retriable: Steps
    let compensatable: Steps
    let compensated: Steps
    /// All that comes before a step, or after it, directly or not.
    let before: [Steps]
    let after: [Steps]

    init(_ plan: SagaPlan) {
      count = plan.count
      all = count == 64 ? ~0 : (1 << Steps(count)) - 1
      var before = [Steps](repeating: 0, count: count)
      // As often as a way can be long: this need not be quick, and the order of the numbers need not matter.
      for _ in 0..<count {
        for step in 0..<count {
          for dependency in plan.dependencies(of: step) { before[step] |= 1 << Steps(dependency) | before[Int(dependency)] }
        }
      }
      var after = [Steps](repeating: 0, count: count)
      for step in 0..<count {
        for other in 0..<count where before[other] >> Steps(step) & 1 == 1 { after[step] |= 1 << Steps(other) }
      }
      self.before = before
      self.after = after
      pivot = plan.pivot.map { 1 << Steps($0) } ?? 0
      retriable = plan.pivot.map { after[$0] } ?? 0
      compensatable = all & ~pivot & ~retriable
      compensated = (0..<count).reduce(0) { $0 | (plan.hasCompensation($1) ? 1 << Steps($1) : 0) }
    }
  }

  /// What is asked for.
  struct Work: Equatable {
    var launch: Steps = 0
    var stop: Steps = 0
    var compensate: Steps = 0
  }

  let rules: Rules
  // What has happened. A step is in at most one of these sets.
  var running: Steps = 0
  var askedToStop: Steps = 0
  var done: Steps = 0
  var failed: Steps = 0
  var unknown: Steps = 0
  var undoing: Steps = 0
  var undone: Steps = 0
  var undoFailed: Steps = 0
  /// Passed over by an operator: the step after the pivot, the pivot, the compensation.
  var passed: Steps = 0
  var hasBegun = false
  var isCancelled = false
  var isForced = false

  init(_ plan: SagaPlan) { rules = Rules(plan) }

  /// Room for five steps: equal numbers, equal histories.
  var key: UInt64 {
    var key: UInt64 = 0
    for set in [running, askedToStop, done, failed, unknown, undoing, undone, undoFailed, passed] { key = key << 5 | set }
    return key << 3 | (hasBegun ? 1 : 0) | (isCancelled ? 2 : 0) | (isForced ? 4 : 0)
  }

  // MARK: The rules

  private var inFlight: Steps { running | askedToStop }

  /// A step that can be undone failed or may have; the pivot failed or an operator says that it did not happen; or cancellation was asked for while no
  /// pivot was in flight, done, or perhaps done.
  var goesBack: Bool {
    if (failed | unknown | undoing | undone | undoFailed) & rules.compensatable != 0 || passed & rules.compensatable != 0 { return true }
    if (failed | passed) & rules.pivot != 0 { return true }
    return isCancelled && rules.pivot & (inFlight | done | unknown) == 0
  }

  /// Has an effect that is to be undone, and is not yet being undone.
  private var toUndo: Steps { (done | unknown) & rules.compensated }

  /// What an operator must decide upon.
  var parked: Steps {
    if goesBack { return undoFailed }
    return unknown & rules.pivot | (failed | unknown) & rules.retriable
  }

  var hasEnded: Bool { status == .completed || status == .compensated || status == .compensatedWithSkips }

  var status: SagaStatus {
    if goesBack {
      if inFlight != 0 { return .compensating }
      if undoFailed != 0 { return .compensationParked }
      if undoing != 0 || toUndo != 0 { return .compensating }
      return passed == 0 ? .compensated : .compensatedWithSkips
    }
    if !hasBegun { return .started }
    if unknown & rules.pivot != 0 { return .pivotParked }
    if parked != 0 { return .forwardParked }
    return done | passed == rules.all || isForced && inFlight == 0 ? .completed : .running
  }

  /// What must be asked for now, that has not been: with what happened last already counted.
  private var due: Work {
    var work = Work()
    if goesBack {
      work.stop = running
      guard inFlight == 0, !isForced else { return work }
      // A step is undone once all that started after it is.
      let standing = toUndo | undoing | undoFailed
      for step in 0..<rules.count where toUndo >> Steps(step) & 1 == 1 && rules.after[step] & standing == 0 {
        work.compensate |= 1 << Steps(step)
      }
      return work
    }
    guard hasBegun, !isForced else { return work }
    let begun = inFlight | done | failed | unknown | passed
    for step in 0..<rules.count where begun >> Steps(step) & 1 == 0 && rules.before[step] & ~(done | passed) == 0 {
      work.launch |= 1 << Steps(step)
    }
    return work
  }

  // MARK: What happens

  /// Whether a fact is possible.
  func allows(_ fact: SagaFact) -> Bool {
    if hasEnded { return false }
    func holds(_ step: Int, _ set: Steps) -> Bool { 0..<rules.count ~= step && set >> Steps(step) & 1 == 1 }
    switch fact {
    case .began: return !hasBegun
    case .stepCompleted(let step), .stepFailed(let step, _), .stepUnknown(let step, _): return holds(step, inFlight)
    case .stepWithdrawn(let step): return holds(step, askedToStop)
    case .compensationCompleted(let step), .compensationFailed(let step, _): return holds(step, undoing)
    case .cancelAsked:
      if goesBack || rules.pivot & (done | unknown) != 0 { return false }
      return !isCancelled
    case .resumed(nil, _), .forced: return parked != 0
    case .resumed(let step?, _), .skipped(let step, _, _): return holds(step, parked)
    case .recovered: return true
    }
  }

  /// Takes a fact that is possible, and gives what it makes due.
  mutating func take(_ fact: SagaFact) -> Work {
    var again = Work()
    switch fact {
    case .began: hasBegun = true
    case .stepCompleted(let step): move(step, to: .completed)
    case .stepFailed(let step, _): move(step, to: isForced ? .skipped : .failed)
    case .stepUnknown(let step, _): move(step, to: isForced ? .skipped : .unknown)
    case .stepWithdrawn(let step): move(step, to: .waiting)
    case .compensationCompleted(let step): move(step, to: .compensated)
    case .compensationFailed(let step, _): move(step, to: isForced ? .skipped : .compensationFailed)
    case .cancelAsked: isCancelled = true
    case .resumed(let step, _):
      let resumed = step.map { 1 << Steps($0) } ?? parked
      if goesBack {
        undoFailed &= ~resumed
        undoing |= resumed
        again.compensate = resumed
      } else {
        failed &= ~resumed
        unknown &= ~resumed
        running |= resumed
        again.launch = resumed
      }
    case .skipped(let step, _, _): move(step, to: .skipped)
    case .forced: force()
    case .recovered: again = recover()
    }
    var work = due
    // Only while it has not started; so not one that is run once more.
    if case .cancelAsked = fact, !goesBack { work.stop = running & rules.pivot }
    // Asked for now, so that it is in flight from now on.
    running = running & ~work.stop | work.launch
    askedToStop |= work.stop
    done &= ~work.compensate
    unknown &= ~work.compensate
    undoing |= work.compensate
    work.launch |= again.launch
    work.compensate |= again.compensate
    return work
  }

  private mutating func force() {
    if !goesBack, unknown & rules.pivot != 0 {
      unknown &= ~rules.pivot
      done |= rules.pivot
      return
    }
    isForced = true
    let left = goesBack ? undoFailed | toUndo : parked
    for step in 0..<rules.count where left >> Steps(step) & 1 == 1 { move(step, to: .skipped) }
  }

  /// What ran runs once more, but not what was to stop: of that nobody knows any more.
  private mutating func recover() -> Work {
    var again = Work()
    again.compensate = undoing
    if goesBack {
      unknown |= inFlight
      (running, askedToStop) = (0, 0)
    } else {
      running |= askedToStop
      askedToStop = 0
      again.launch = running
    }
    return again
  }

  private mutating func move(_ step: Int, to state: SagaStepState) {
    let bit: Steps = 1 << Steps(step)
    running &= ~bit
    askedToStop &= ~bit
    done &= ~bit
    failed &= ~bit
    unknown &= ~bit
    undoing &= ~bit
    undoFailed &= ~bit
    switch state {
    case .completed: done |= bit
    case .failed: failed |= bit
    case .unknown: unknown |= bit
    case .compensated: undone |= bit
    case .compensationFailed: undoFailed |= bit
    case .skipped: passed |= bit
    case .waiting, .running, .stopping, .compensating: break
    }
  }

  func state(of step: Int) -> SagaStepState {
    let bit: Steps = 1 << Steps(step)
    let sets: [(Steps, SagaStepState)] = [
      (running, .running), (askedToStop, .stopping), (done, .completed), (failed, .failed), (unknown, .unknown), (undoing, .compensating),
      (undone, .compensated), (undoFailed, .compensationFailed), (passed, .skipped),
    ]
    return sets.first { $0.0 & bit != 0 }?.1 ?? .waiting
  }
}
