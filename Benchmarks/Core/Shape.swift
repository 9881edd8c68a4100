import MillraceCore

/// The shapes of work.
enum Shape: String, CaseIterable {
  case independent, chain, fan, tree, grid

  /// Those in which two workers can share the work.
  static let parallel: [Shape] = [.independent, .fan, .tree, .grid]

  /// Heads of a fan's waves.
  static let fanWidth = 100

  /// How many jobs a request for `count` makes.
  func jobs(_ count: Int) -> Int {
    switch self {
    case .independent: max(count / Bed.batch, 1) * Bed.batch
    case .chain: count
    case .fan: max(count / (Shape.fanWidth + 1), 1) * (Shape.fanWidth + 1) + 1
    case .tree: 1 << Tree.depth(count) - 1
    case .grid: Shape.side(count) * Shape.side(count)
    }
  }

  /// The plan of about `count` nodes; nil: a shape of loose jobs.
  func plan(_ count: Int, handler: HandlerIndex, flags: UInt8 = 0) throws -> Plan? {
    let nodes = jobs(count)
    switch self {
    case .independent, .tree: return nil
    case .chain:
      return try Plan(
        count: nodes, node: { _ in Plan.Node(handler: handler, flags: flags) }, predecessors: { i, visit in if i > 0 { visit(i - 1) } })
    case .fan:
      let wave = Shape.fanWidth + 1
      return try Plan(
        count: nodes, node: { _ in Plan.Node(handler: handler, flags: flags) },
        predecessors: { i, visit in
          // Node `wave * w` is the join of wave w - 1 and the head of wave w.
          if i % wave != 0 { visit(i - i % wave) } else if i > 0 { for k in 1..<wave { visit(i - k) } }
        })
    case .grid:
      let side = Shape.side(count)
      return try Plan(
        count: nodes, node: { _ in Plan.Node(handler: handler, flags: flags) },
        predecessors: { i, visit in
          if i % side > 0 { visit(i - 1) }
          if i >= side { visit(i - side) }
        })
    }
  }

  private static func side(_ count: Int) -> Int { max(Int(Double(count).squareRoot()), 1) }
}

/// A binary tree of jobs.
enum Tree {
  /// Levels of a tree of about `count` jobs.
  static func depth(_ count: Int) -> Int { max(1, Int.bitWidth - 1 - max(count, 1).leadingZeroBitCount) }

  static func root(_ spawner: HandlerIndex, depth: Int) -> JobRequest {
    JobRequest(handler: spawner, first: UInt64(depth - 1), second: UInt64(spawner.rawValue))
  }
}

extension Bed {
  /// Prepares a shape. What it returns runs it once: nanoseconds for all of its jobs.
  func runs(_ shape: Shape, _ count: Int) throws -> () throws -> UInt64 {
    if let plan = try shape.plan(count, handler: node) { return { try self.run(plan) } }
    if shape == .tree { return { try self.tree(depth: Tree.depth(count)) } }
    return { try self.independent(count) { _ in JobRequest(handler: self.job) } }
  }
}
