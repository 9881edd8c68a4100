@testable import MillraceWorkflow

/// All plans of a few steps, one of each shape: graphs that differ in the numbers of their steps alone are one.
enum SagaPlans {
  /// Of so many steps: every graph without cycles, with every pivot that the check allows and without one, with every choice of compensatable steps that
  /// have nothing to undo.
  static func all(steps: Int) -> [SagaPlan] { graphs(steps).flatMap { plans($0, steps) } }

  /// Every graph without cycles, as rows of bits: what a step waits for.
  static func graphs(_ steps: Int) -> [[UInt8]] {
    let pairs = (0..<steps).flatMap { later in (0..<later).map { (later, $0) } }
    let orders = permutations(steps)
    var seen: Set<[UInt8]> = []
    var graphs: [[UInt8]] = []
    for choice in 0..<(1 << pairs.count) {
      var rows = [UInt8](repeating: 0, count: steps)
      for (bit, pair) in pairs.enumerated() where choice >> bit & 1 == 1 { rows[pair.0] |= 1 << UInt8(pair.1) }
      if seen.contains(rows) { continue }
      graphs.append(rows)
      for order in orders { seen.insert(renumbered(rows, order)) }
    }
    return graphs
  }

  private static func plans(_ rows: [UInt8], _ steps: Int) -> [SagaPlan] {
    let automorphisms = permutations(steps).filter { renumbered(rows, $0) == rows }
    let graph = TaskGraph(dependencies: taskRows(rows))
    var seen: Set<[Int]> = []
    var plans: [SagaPlan] = []
    for pivot in [nil] + (0..<steps).map(Optional.init) {
      var before = (0..<steps).map { _ in true }
      if let pivot {
        before = graph.reachable(from: pivot, along: graph.dependencies)
        let after = graph.reachable(from: pivot, along: graph.dependents)
        guard (0..<steps).allSatisfy({ $0 == pivot || before[$0] || after[$0] }) else { continue }
      }
      let compensatable = (0..<steps).filter { before[$0] }
      for choice in 0..<(1 << compensatable.count) {
        var compensated = [Bool](repeating: false, count: steps)
        for (bit, step) in compensatable.enumerated() { compensated[step] = choice >> bit & 1 == 0 }
        let colour = { (order: [Int]) in
          (0..<steps).map { order[$0] == pivot ? 2 : compensated[order[$0]] ? 1 : 0 }
        }
        guard seen.insert(colour(Array(0..<steps))).inserted else { continue }
        for order in automorphisms { seen.insert(colour(order)) }
        plans.append(
          SagaPlan(ids: (0..<steps).map { "s\($0)" }, graph: graph, pivot: pivot, compensated: compensated))
      }
    }
    return plans
  }

  /// A plan of many steps by chance: three of four have a pivot.
  static func random(steps: Int, _ random: inout SeededRandom) -> SagaPlan {
    let pivot = Int.random(in: 0..<4, using: &random) == 0 ? nil : Int.random(in: 0..<steps, using: &random)
    let width = Int.random(in: 1...6, using: &random)
    var rows = TaskRows()
    var hasDependent = [Bool](repeating: false, count: steps)
    for step in 0..<steps {
      // What comes after the pivot waits for it, and the pivot for all that nothing else waits for.
      let first = pivot.map { step > $0 ? $0 : 0 } ?? 0
      var targets: [Int] = []
      if step == pivot {
        targets = (0..<step).filter { !hasDependent[$0] }
      } else {
        for target in max(first, step - width)..<max(step, first) where Int.random(in: 0..<3, using: &random) == 0 {
          targets.append(target)
        }
        if let pivot, step > pivot, targets.isEmpty { targets = [pivot] }
      }
      for target in targets {
        hasDependent[target] = true
        rows.append(target)
      }
      rows.endRow()
    }
    let compensated = (0..<steps).map { step in
      pivot.map { step < $0 } != false && Int.random(in: 0..<4, using: &random) != 0
    }
    return SagaPlan(ids: (0..<steps).map { "s\($0)" }, graph: TaskGraph(dependencies: rows), pivot: pivot, compensated: compensated)
  }

  private static func taskRows(_ rows: [UInt8]) -> TaskRows {
    var result = TaskRows()
    for row in rows {
      for target in 0..<8 where row >> UInt8(target) & 1 == 1 { result.append(target) }
      result.endRow()
    }
    return result
  }

  /// The graph in which step `i` is what `order[i]` was.
  private static func renumbered(_ rows: [UInt8], _ order: [Int]) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: rows.count)
    for (step, old) in order.enumerated() {
      for (target, oldTarget) in order.enumerated() where rows[old] >> UInt8(oldTarget) & 1 == 1 { result[step] |= 1 << UInt8(target) }
    }
    return result
  }

  private static func permutations(_ count: Int) -> [[Int]] {
    if count == 0 { return [[]] }
    return permutations(count - 1).flatMap { rest in
      (0..<count).map { place in
        var order = rest
        order.insert(count - 1, at: place)
        return order
      }
    }
  }
}
