/// Judges the tasks that expressions name: each must come before the task whose expression it is.
struct UseChecker {
  /// Steps along dependencies that are taken in all for uses that no direct dependency covers: a second or so.
  static let maximumSteps = 100_000_000

  let definition: Definition
  let graph: TaskGraph
  let indices: [String: Int]

  /// Complexity: O(uses) for uses of direct dependencies; O(tasks + dependencies) more for each other task that is named.
  func check(_ uses: [ExpressionChecker.Use], _ faults: inout FaultList, _ nearest: inout NearestName) {
    var distant: [(target: Int, use: ExpressionChecker.Use)] = []
    for use in uses {
      let label = definition.label(use.user)
      let task = definition.tasks[use.user].id
      guard let target = indices[use.target] else {
        let near = faults.hasRoom ? nearest.nearest(to: use.target, among: definition.tasks.lazy.map(\.id)) : nil
        faults.add(
          .unknownTask, "\(label) refers to '\(use.target)', which is not a task",
          fix: near.map { "did you mean '\($0)'?" } ?? "name a task that it depends on", at: use.position, task: task)
        continue
      }
      if target == use.user {
        faults.add(
          .selfDependency, "\(label) refers to itself", fix: "name a task that it depends on", at: use.position, task: task)
      } else if !graph.dependencies[use.user].contains(Int32(truncatingIfNeeded: target)) {
        distant.append((target, use))
      }
    }
    checkDistant(distant.sorted { $0.target < $1.target }, &faults)
  }

  /// One walk for each task that is named.
  private func checkDistant(_ uses: [(target: Int, use: ExpressionChecker.Use)], _ faults: inout FaultList) {
    var reached = [Int32](repeating: -1, count: uses.isEmpty ? 0 : graph.count)
    var steps = 0
    var last = -1
    for (target, use) in uses {
      let stamp = Int32(truncatingIfNeeded: target)
      let task = definition.tasks[use.user].id
      if target != last {
        guard steps < Self.maximumSteps else {
          return faults.add(
            .limit, "too many expressions refer to tasks that are no direct dependencies", fix: "add '\(use.target)' to its dependencies",
            at: use.position, task: task)
        }
        last = target
        var stack = [stamp]
        reached[target] = stamp
        while let next = stack.popLast() {
          steps += 1 + graph.dependents[Int(next)].count
          for dependent in graph.dependents[Int(next)] where reached[Int(dependent)] != stamp {
            reached[Int(dependent)] = stamp
            stack.append(dependent)
          }
        }
      }
      if reached[use.user] != stamp {
        faults.add(
          .noDependency, "\(definition.label(use.user)) refers to '\(use.target)', which it does not depend on",
          fix: "add '\(use.target)' to its dependencies", at: use.position, task: task)
      }
    }
  }
}
