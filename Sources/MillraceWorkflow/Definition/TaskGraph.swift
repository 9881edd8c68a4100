/// Rows of task indices, one behind the other in one array.
struct TaskRows: Sendable, Hashable {
  /// Row i is `targets[starts[i] ..< starts[i + 1]]`.
  private(set) var starts: [Int32] = [0]
  private(set) var targets: [Int32] = []

  var count: Int { starts.count - 1 }

  subscript(row: Int) -> ArraySlice<Int32> { targets[Int(starts[row])..<Int(starts[row + 1])] }

  mutating func reserve(rows: Int, targets count: Int) {
    starts.reserveCapacity(rows + 1)
    targets.reserveCapacity(count)
  }

  /// Adds a target to the row that is being written.
  mutating func append(_ target: Int) { targets.append(Int32(truncatingIfNeeded: target)) }

  mutating func endRow() { starts.append(Int32(truncatingIfNeeded: targets.count)) }

  /// The same edges the other way round, each row in ascending order. Complexity: O(rows + targets).
  var reversed: TaskRows {
    var result = TaskRows()
    var counts = [Int32](repeating: 0, count: count + 1)
    for target in targets { counts[Int(target) + 1] += 1 }
    for row in 0..<count { counts[row + 1] += counts[row] }
    result.starts = counts
    result.targets = [Int32](repeating: 0, count: targets.count)
    for row in 0..<count {
      for target in self[row] {
        result.targets[Int(counts[Int(target)])] = Int32(truncatingIfNeeded: row)
        counts[Int(target)] += 1
      }
    }
    return result
  }
}

/// The tasks of a definition as indices, and the cycles among them. All walks are loops: a chain of a million tasks needs no stack.
struct TaskGraph {
  /// Row i: the tasks that task i waits for, in its own order.
  let dependencies: TaskRows
  let dependents: TaskRows

  init(dependencies: TaskRows) {
    self.dependencies = dependencies
    self.dependents = dependencies.reversed
  }

  /// Of a definition that has been checked; unknown ids are left out.
  init(_ definition: Definition) {
    var indices: [String: Int] = [:]
    indices.reserveCapacity(definition.tasks.count)
    for (index, task) in definition.tasks.enumerated() where indices[task.id] == nil { indices[task.id] = index }
    var rows = TaskRows()
    rows.reserve(rows: definition.tasks.count, targets: definition.tasks.count)
    for task in definition.tasks {
      for dependency in task.dependencies {
        if let index = indices[dependency] { rows.append(index) }
      }
      rows.endRow()
    }
    self.init(dependencies: rows)
  }

  var count: Int { dependencies.count }

  /// The tasks so that each stands behind all it waits for; shorter than `count` if there are cycles. Complexity: O(tasks + edges).
  var order: [Int32] {
    var waiting = (0..<count).map { dependencies[$0].count }
    var order: [Int32] = []
    order.reserveCapacity(count)
    for task in 0..<count where waiting[task] == 0 { order.append(Int32(truncatingIfNeeded: task)) }
    var next = 0
    while next < order.count {
      for dependent in dependents[Int(order[next])] {
        waiting[Int(dependent)] -= 1
        if waiting[Int(dependent)] == 0 { order.append(dependent) }
      }
      next += 1
    }
    return order
  }

  /// For each task the number of its strongly connected component. Complexity: O(tasks + edges). Source: Tarjan 1972, with an explicit stack.
  func components() -> [Int32] {
    let none: Int32 = -1
    var component = [Int32](repeating: none, count: count)
    var number = [Int32](repeating: none, count: count)
    var lowest = [Int32](repeating: 0, count: count)
    var path: [Int32] = []
    var calls: [(task: Int, edge: Int)] = []
    var numbers: Int32 = 0
    var components: Int32 = 0
    for start in 0..<count where number[start] == none {
      calls.append((start, 0))
      while let (task, edge) = calls.last {
        if edge == 0 {
          number[task] = numbers
          lowest[task] = numbers
          numbers += 1
          path.append(Int32(truncatingIfNeeded: task))
        }
        let row = dependencies[task]
        if edge < row.count {
          let target = Int(row[row.startIndex + edge])
          calls[calls.count - 1].edge += 1
          if number[target] == none {
            calls.append((target, 0))
          } else if component[target] == none {
            lowest[task] = min(lowest[task], number[target])
          }
          continue
        }
        calls.removeLast()
        if let caller = calls.last?.task { lowest[caller] = min(lowest[caller], lowest[task]) }
        guard lowest[task] == number[task] else { continue }
        while let member = path.popLast() {
          component[Int(member)] = components
          if Int(member) == task { break }
        }
        components += 1
      }
    }
    return component
  }

  /// One cycle of each component that has one, as tasks that each wait for the next and the last for the first; it starts at the task that stands
  /// first in the definition. Self-dependencies are not counted. Complexity: O(tasks + edges).
  func cycles(_ component: [Int32]) -> [[Int]] {
    var sizes = [Int32](repeating: 0, count: count)
    for number in component { sizes[Int(number)] += 1 }
    var seen = [Bool](repeating: false, count: count)
    var placeInWalk = [Int32](repeating: -1, count: count)
    var cycles: [[Int]] = []
    for start in 0..<count where sizes[Int(component[start])] > 1 && !seen[Int(component[start])] {
      seen[Int(component[start])] = true
      var walk: [Int] = []
      var task = start
      // Every task of the component has a dependency in it, so the walk goes on until it meets itself.
      while placeInWalk[task] < 0 {
        placeInWalk[task] = Int32(truncatingIfNeeded: walk.count)
        walk.append(task)
        guard let next = dependencies[task].first(where: { component[Int($0)] == component[start] && Int($0) != task }) else { break }
        task = Int(next)
      }
      let cycle = Array(walk[Int(placeInWalk[task])...])
      let first = cycle.indices.min { cycle[$0] < cycle[$1] } ?? 0
      cycles.append(Array(cycle[first...] + cycle[..<first]))
    }
    return cycles
  }
}
