/// What a saga consists of, checked and compiled: its steps by number, what each waits for, which of them is the pivot, which can be undone.
///
/// Steps before the pivot are compensatable, those after it are retriable; without a pivot all are compensatable. Flat arrays, which copies share.
public struct SagaPlan: Sendable, Hashable {
  /// Most steps of a saga.
  public static let maximumSteps = 10_000
  /// Most dependencies of all its steps together.
  public static let maximumDependencies = 1_000_000

  /// What a step may do to the saga.
  public enum Kind: UInt8, Sendable, Hashable, CaseIterable {
    /// It can be undone, or has nothing to undo.
    case compensatable
    /// The last step that may fail: once it is done, the saga only goes forward.
    case pivot
    /// It must succeed, and is never undone.
    case retriable
  }

  /// In the order of the definition.
  public let ids: [String]
  /// Its number; nil: the saga has none.
  public let pivot: Int?
  private let numbers: [String: Int]
  private let kinds: [Kind]
  private let compensated: [Bool]
  private let predecessors: TaskRows
  private let successors: TaskRows

  /// `graph` has no cycles, and the pivot is comparable with every step.
  init(ids: [String], graph: TaskGraph, pivot: Int?, compensated: [Bool]) {
    self.ids = ids
    numbers = Dictionary(uniqueKeysWithValues: ids.enumerated().map { ($1, $0) })
    self.pivot = pivot
    self.compensated = compensated
    predecessors = graph.dependencies
    successors = graph.dependents
    var kinds = [Kind](repeating: .compensatable, count: ids.count)
    if let pivot {
      let after = graph.reachable(from: pivot, along: graph.dependents)
      for step in ids.indices where after[step] { kinds[step] = .retriable }
      kinds[pivot] = .pivot
    }
    self.kinds = kinds
  }

  /// How many steps there are.
  public var count: Int { ids.count }

  /// By a step's number. Complexity: O(1).
  public func kind(of step: Int) -> Kind { kinds[step] }

  /// Whether there is something to run when the step, by its number, is undone. Complexity: O(1).
  public func hasCompensation(_ step: Int) -> Bool { compensated[step] }

  /// The number of a step; nil: there is none of this id. Complexity: O(1).
  public func number(of id: String) -> Int? { numbers[id] }

  func dependencies(of step: Int) -> ArraySlice<Int32> { predecessors[step] }

  func dependents(of step: Int) -> ArraySlice<Int32> { successors[step] }
}

extension TaskGraph {
  /// Which tasks can be reached from one along these rows; itself only by a cycle. Complexity: O(tasks + edges).
  func reachable(from start: Int, along rows: TaskRows) -> [Bool] {
    var reached = [Bool](repeating: false, count: count)
    var stack = [Int32(truncatingIfNeeded: start)]
    while let next = stack.popLast() {
      for target in rows[Int(next)] where !reached[Int(target)] {
        reached[Int(target)] = true
        stack.append(target)
      }
    }
    return reached
  }
}
