import Foundation
import Testing

@testable import MillraceWorkflow

/// The machine beside an oracle that says the rules once more: all plans of few steps, all that can happen to them in every order, a crash after every
/// fact.
@Suite struct SagaExhaustiveTests {
  @Test("there are 1, 2, 6, 31 and 302 graphs without cycles of one to five steps")
  func graphs() {
    #expect((1...5).map { SagaPlans.graphs($0).count } == [1, 2, 6, 31, 302])
  }

  @Test("all plans of up to three steps do as the rules say, whatever happens, and refuse all else")
  func small() throws {
    let sum = try explore((1...3).flatMap { SagaPlans.all(steps: $0) }, triesRefusals: true)
    #expect(sum == Sum(plans: 71, states: 7_707, facts: 18_787, refusals: 323_668))
  }

  @Test("all plans of four steps do as the rules say, whatever happens")
  func four() throws {
    let sum = try explore(SagaPlans.all(steps: 4))
    #expect(sum == Sum(plans: 616, states: 165_602, facts: 445_725, refusals: 616))
  }

  /// All of them by hand: `MILLRACE_FULL=1 swift test -c release -Xswiftc -enable-testing --filter SagaExhaustiveTests`.
  @Test("plans of five steps, some by seed or all if MILLRACE_FULL is set, do as the rules say, whatever happens")
  func five() throws {
    var random = SeededRandom(seed: 5)
    let plans = SagaPlans.all(steps: 5)
    if ProcessInfo.processInfo.environment["MILLRACE_FULL"] != nil {
      let all = try explore(plans)
      #expect(all == Sum(plans: 12_763, states: 6_358_878, facts: 17_786_646, refusals: 12_763))
      return
    }
    let sum = try explore((0..<120).map { _ in plans[Int.random(in: 0..<plans.count, using: &random)] })
    #expect(plans.count == 12_763)
    #expect(sum == Sum(plans: 120, states: 57_915, facts: 162_020, refusals: 120))
  }

  @Test("all plans of five steps do as the rules say on ways by chance, with a crash wherever one may be, and come to an end")
  func walks() throws {
    var random = SeededRandom(seed: 55)
    for plan in SagaPlans.all(steps: 5) { try walk(plan, &random) }
  }

  @Test("plans of up to sixty steps do as the rules say on ways by chance, and come to an end")
  func large() throws {
    var random = SeededRandom(seed: 60)
    for _ in 0..<100 { try walk(SagaPlans.random(steps: Int.random(in: 6...60, using: &random), &random), &random) }
  }

  private struct Sum: Equatable {
    var plans = 0
    var states = 0
    var facts = 0
    var refusals = 0
  }

  private func explore(_ plans: [SagaPlan], triesRefusals: Bool = false) throws -> Sum {
    var sum = Sum(plans: plans.count)
    for plan in plans {
      var explorer = SagaExplorer(plan)
      explorer.triesRefusals = triesRefusals
      try explorer.explore()
      sum.states += explorer.states
      sum.facts += explorer.facts
      sum.refusals += explorer.refusals
    }
    return sum
  }

  /// One way to an end: each next fact by chance, with failures, crashes and cancellation seldom enough that all phases are come by.
  private func walk(_ plan: SagaPlan, _ random: inout SeededRandom) throws {
    var machine = SagaMachine(plan)
    var oracle = SagaOracle(plan)
    var facts: [SagaFact] = []
    // Each step starts and ends once, its compensation too; each operator's verb and each crash repeats a part of that.
    let limit = 40 * (plan.count + 10)
    while !oracle.hasEnded {
      let possible = SagaExplorer.facts(in: oracle, all: false)
      var fact = possible[Int.random(in: 0..<possible.count, using: &random)]
      for _ in 0..<3 where fact.isSeldom { fact = possible[Int.random(in: 0..<possible.count, using: &random)] }
      facts.append(fact)
      (machine, oracle) = try SagaExplorer.step(machine, oracle, fact) { SagaExplorer.Difference(plan: plan, facts: facts, what: $0) }
      if Int.random(in: 0..<8, using: &random) == 0 { #expect(try SagaMachine(plan, facts) == machine) }
      if facts.count > limit { throw SagaExplorer.Difference(plan: plan, facts: facts, what: "no end") }
    }
    #expect(machine.status.hasEnded)
    #expect(try SagaMachine(plan, facts) == machine)
  }
}

extension SagaFact {
  fileprivate var isSeldom: Bool {
    switch self {
    case .stepFailed, .stepUnknown, .cancelAsked, .recovered, .forced: true
    default: false
    }
  }
}
