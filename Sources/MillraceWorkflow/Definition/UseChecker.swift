/// Judges the tasks that expressions name: each must come before the task whose expression it is.
struct UseChecker {
  /// Steps along dependencies that are taken in all for uses that no direct dependency covers: a second or so.
  static let maximumSteps = 100_000_000

  /// Cleanup tasks stand behind the others, from `main` on.
  let definition: Definition
  let main: Int
  let graph: TaskGraph
  let indices: [String: Int]
  var positions: DefinitionPositions?

  /// Complexity: O(uses) for uses of direct dependencies; O(tasks + dependencies) for others, and for each other task that is named those between it
  /// and the tasks that name it.
  func check(_ uses: [ExpressionChecker.Use], _ faults: inout FaultList, _ nearest: inout NearestName) {
    var distant: [(target: Int, use: ExpressionChecker.Use)] = []
    for use in uses {
      let label = definition.label(use.user)
      let task = definition.tasks[use.user].id
      guard let target = indices[use.target] else {
        let near = faults.hasRoom ? nearest.nearest(to: use.target, among: definition.tasks.lazy.map(\.id)) : nil
        faults.add(
          .unknownTask, "\(label) refers to '\(use.target)', which is not a \(definition.noun)",
          fix: positions?.use(holding: use.target).map { "name '\($0)': what stands inside of it cannot be named" }
            ?? near.map { "did you mean '\($0)'?" } ?? "name a \(definition.noun) that it depends on", at: use.position, task: task)
        continue
      }
      if use.user >= main, target < main { continue }
      if use.isOfCompensation, target == use.user { continue }
      if use.user < main, target >= main {
        faults.add(
          .badDependency, "\(label) refers to '\(use.target)', a cleanup task, which runs after it", fix: "name a task that it depends on",
          at: use.position, task: task)
      } else if target == use.user {
        faults.add(
          .selfDependency, "\(label) refers to itself", fix: "name a \(definition.noun) that it depends on", at: use.position, task: task)
      } else if !graph.dependencies[use.user].contains(Int32(truncatingIfNeeded: target)) {
        distant.append((target, use))
      }
    }
    checkDistant(distant.sorted { $0.target < $1.target }, &faults)
  }

  /// One walk for each task that is named, no further than the tasks that name it.
  private func checkDistant(_ uses: [(target: Int, use: ExpressionChecker.Use)], _ faults: inout FaultList) {
    if uses.isEmpty { return }
    let levels = levels
    var reached = [Int32](repeating: -1, count: graph.count)
    var steps = 0
    var first = 0
    while first < uses.count {
      let target = uses[first].target
      let group = uses[first...].prefix { $0.target == target }
      first += group.count
      guard steps < Self.maximumSteps else {
        let use = group[group.startIndex].use
        return faults.add(
          .limit, "too many expressions refer to tasks that are far before theirs", fix: "add '\(use.target)' to the dependencies",
          at: use.position, task: definition.tasks[use.user].id)
      }
      walk(from: target, to: group.reduce(0) { max($0, levels[$1.use.user]) }, levels, &reached, &steps)
      for (_, use) in group where reached[use.user] != Int32(truncatingIfNeeded: target) {
        faults.add(
          .noDependency, "\(definition.label(use.user)) refers to '\(use.target)', which it does not depend on",
          fix: "add '\(use.target)' to its dependencies", at: use.position, task: definition.tasks[use.user].id)
      }
    }
  }

  /// Marks what depends on `target`, directly or through others, up to a level.
  private func walk(from target: Int, to level: Int32, _ levels: [Int32], _ reached: inout [Int32], _ steps: inout Int) {
    let stamp = Int32(truncatingIfNeeded: target)
    var stack = [stamp]
    while let next = stack.popLast() {
      steps += 1 + graph.dependents[Int(next)].count
      for dependent in graph.dependents[Int(next)] where reached[Int(dependent)] != stamp && levels[Int(dependent)] <= level {
        reached[Int(dependent)] = stamp
        stack.append(dependent)
      }
    }
  }

  /// How many tasks the longest way to a task has; the highest for those on a cycle and behind it.
  private var levels: [Int32] {
    var levels = [Int32](repeating: .max, count: graph.count)
    for task in graph.order {
      levels[Int(task)] = graph.dependencies[Int(task)].reduce(0) { max($0, levels[Int($1)] + 1) }
    }
    return levels
  }
}
