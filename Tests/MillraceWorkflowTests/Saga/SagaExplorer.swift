import Testing

@testable import MillraceWorkflow

/// Holds the machine of one plan against the oracle: in every state that can be reached, every fact.
struct SagaExplorer {
  /// What went wrong, with the way to it.
  struct Difference: Error, CustomStringConvertible {
    let plan: SagaPlan
    let facts: [SagaFact]
    let what: String

    var description: String {
      let steps = plan.ids.indices.map { step in
        let undone = plan.hasCompensation(step) ? "" : ", nothing to undo"
        return "\(step): \(plan.kind(of: step))\(undone), after \(plan.dependencies(of: step).map { $0 })"
      }
      return "\(what)\nafter \(facts)\nof \(steps.joined(separator: "; "))"
    }
  }

  private struct Node {
    let machine: SagaMachine
    let oracle: SagaOracle
    /// The way to it.
    let parent: Int
    let fact: SagaFact?
  }

  static let error = SagaError(type: "e")
  static let operators: [SagaFact] = [.resumed(nil, by: "ada"), .forced(by: "ada", reason: "r")]

  let plan: SagaPlan
  /// Facts that are not possible are tried in every state.
  var triesRefusals = false
  /// A crash is tried in every state.
  var triesCrashes = true
  private var nodes: [Node] = []
  private var numbers: [UInt64: Int] = [:]
  /// For each state those that lead to it.
  private var sources: [[Int32]] = []
  private(set) var facts = 0
  private(set) var refusals = 0

  var states: Int { nodes.count }

  init(_ plan: SagaPlan) { self.plan = plan }

  mutating func explore() throws {
    _ = try add(SagaMachine(plan), SagaOracle(plan), from: -1, nil)
    var next = 0
    while next < nodes.count {
      try expand(next)
      next += 1
    }
    try checkWaysOut()
  }

  private mutating func expand(_ number: Int) throws {
    let node = nodes[number]
    var possible = 0
    for fact in Self.facts(in: node.oracle, all: triesRefusals) {
      if fact == .recovered, !triesCrashes { continue }
      guard node.oracle.allows(fact) else {
        try refuse(fact, node, number)
        continue
      }
      possible += 1
      facts += 1
      let (machine, oracle) = try Self.step(node.machine, node.oracle, fact) { difference(number, fact, $0) }
      let target = try add(machine, oracle, from: number, fact)
      if target != number { sources[target].append(Int32(number)) }
    }
    if node.oracle.hasEnded != (possible == 0) { throw difference(number, nil, "\(possible) facts possible, \(node.machine.status)") }
  }

  /// The number of the state, new or known: equal histories are one state, which the machine must find the same by every way.
  private mutating func add(_ machine: SagaMachine, _ oracle: SagaOracle, from parent: Int, _ fact: SagaFact?) throws -> Int {
    if let known = numbers[oracle.key] {
      guard machine.isSame(as: nodes[known].machine) else {
        throw difference(parent, fact, "another state than by another way: \(machine.states), \(nodes[known].machine.states)")
      }
      return known
    }
    numbers[oracle.key] = nodes.count
    nodes.append(Node(machine: machine, oracle: oracle, parent: parent, fact: fact))
    sources.append([])
    // Made again from the facts it goes on the same.
    let number = nodes.count - 1
    if number % 16 == 0 {
      let again = try SagaMachine(plan, way(to: number))
      if again != machine { throw difference(number, nil, "not the fold of its facts") }
    }
    return number
  }

  private mutating func refuse(_ fact: SagaFact, _ node: Node, _ number: Int) throws {
    var machine = node.machine
    var actions: [SagaAction] = []
    do throws(SagaRefusal) {
      try machine.apply(fact, &actions)
    } catch {
      refusals += 1
      if machine != node.machine || !actions.isEmpty { throw difference(number, fact, "\(error), but it has changed") }
      return
    }
    throw difference(number, fact, "taken, but not possible")
  }

  /// One fact that is possible, for both.
  static func step(
    _ machine: SagaMachine, _ oracle: SagaOracle, _ fact: SagaFact, _ difference: (String) -> Difference
  ) throws -> (SagaMachine, SagaOracle) {
    var machine = machine
    var oracle = oracle
    var actions: [SagaAction] = []
    do throws(SagaRefusal) { try machine.apply(fact, &actions) } catch { throw difference("refused: \(error)") }
    let due = oracle.take(fact)
    var asked = SagaOracle.Work()
    for action in actions {
      let isNew =
        switch action {
        case .launch(let step): insert(step, &asked.launch)
        case .requestStop(let step): insert(step, &asked.stop)
        case .compensate(let step): insert(step, &asked.compensate)
        }
      if !isNew { throw difference("asked for twice: \(action)") }
    }
    if asked != due { throw difference("asked for \(actions), due is \(due)") }
    if machine.status != oracle.status { throw difference("\(machine.status), and should be \(oracle.status)") }
    for step in 0..<machine.plan.count where machine.state(of: step) != oracle.state(of: step) {
      throw difference("step \(step) is \(machine.state(of: step)), and should be \(oracle.state(of: step))")
    }
    if machine.inFlight == 0, !machine.status.hasEnded, !machine.status.isParked, machine.status != .started {
      throw difference("\(machine.status), and nothing is in flight")
    }
    if machine.status.isParked != (oracle.parked != 0 && !oracle.hasEnded) { throw difference("parked or not") }
    return (machine, oracle)
  }

  private static func insert(_ step: Int, _ set: inout SagaOracle.Steps) -> Bool {
    let bit: SagaOracle.Steps = 1 << SagaOracle.Steps(step)
    defer { set |= bit }
    return set & bit == 0
  }

  /// Facts that may be possible, or all there are.
  static func facts(in oracle: SagaOracle, all: Bool) -> [SagaFact] {
    var facts: [SagaFact] = []
    if all || !oracle.hasBegun { facts.append(.began) }
    let parked = oracle.parked
    for step in all ? -1..<oracle.rules.count + 1 : 0..<oracle.rules.count {
      let isIn = { (set: SagaOracle.Steps) in all || set >> SagaOracle.Steps(step) & 1 == 1 }
      if isIn(oracle.running | oracle.askedToStop) { facts += [.stepCompleted(step), .stepFailed(step, error), .stepUnknown(step, error)] }
      if isIn(oracle.askedToStop) { facts.append(.stepWithdrawn(step)) }
      if isIn(oracle.undoing) { facts += [.compensationCompleted(step), .compensationFailed(step, error)] }
      if isIn(parked) { facts += [.resumed(step, by: "ada"), .skipped(step, by: "ada", reason: "r")] }
    }
    if all || parked != 0 { facts += operators }
    if all || oracle.allows(.cancelAsked(by: "ada", reason: "")) { facts.append(.cancelAsked(by: "ada", reason: "")) }
    if all || !oracle.hasEnded { facts.append(.recovered) }
    return facts
  }

  /// From every state there is a way to an end.
  private func checkWaysOut() throws {
    var leads = [Bool](repeating: false, count: nodes.count)
    var stack = nodes.indices.filter { nodes[$0].oracle.hasEnded }
    for end in stack { leads[end] = true }
    while let next = stack.popLast() {
      for source in sources[next] where !leads[Int(source)] {
        leads[Int(source)] = true
        stack.append(Int(source))
      }
    }
    if let lost = leads.firstIndex(of: false) { throw difference(lost, nil, "no way leads to an end") }
  }

  private func way(to number: Int) -> [SagaFact] {
    var facts: [SagaFact] = []
    var node = number
    while node >= 0 {
      if let fact = nodes[node].fact { facts.append(fact) }
      node = nodes[node].parent
    }
    return facts.reversed()
  }

  private func difference(_ number: Int, _ fact: SagaFact?, _ what: String) -> Difference {
    Difference(plan: plan, facts: (number < 0 ? [] : way(to: number)) + (fact.map { [$0] } ?? []), what: what)
  }
}

extension SagaMachine {
  /// But for what the order of failures tells, which was the first and what each said, and for counts that nothing asks for any more.
  func isSame(as other: SagaMachine) -> Bool {
    guard phase == other.phase, states == other.states, inFlight == other.inFlight, parked == other.parked,
      isCancelled == other.isCancelled,
      hasSkips == other.hasSkips, isForced == other.isForced, isTurnedBack == other.isTurnedBack
    else { return false }
    guard phase == .forward || phase == .undoing, !isForced else { return true }
    guard open == other.open else { return false }
    for step in states.indices where phase == .forward ? states[step] == .waiting : hasEffect(step) {
      if waiting[step] != other.waiting[step] { return false }
    }
    return true
  }
}
