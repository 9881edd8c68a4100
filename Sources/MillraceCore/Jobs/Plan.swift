/// A graph of jobs compiled once into flat arrays; any number of runs use it at the same time. 17 bytes a node and 4 an edge.
///
/// Immutable after `init`. Nodes are 0 ..< count; who depends on whom is given by predecessor lists.
@safe public final class Plan: Sendable {
  /// Nodes of one plan, and edges.
  public static let maxNodes = 1 << 24
  public static let maxEdges = 1 << 28

  public let count: Int
  public let edges: Int
  /// Nodes without successors: the run is over when all of them are.
  public let sinks: Int
  let table: Table
  /// Nodes with `mostCounted` predecessors or more.
  let crowds: [Crowd]
  static let mostCounted: UInt8 = .max
  let roots: [UInt32]
  private let region: Region

  /// What a worker reads of a node when it ends, or becomes ready: 16 bytes, one look at memory.
  struct Row {
    /// Where the node's successors begin; they end where the next row's begin.
    var successors: UInt32 = 0
    var key: UInt32 = 0
    /// The job's `Job.Word`, without a tenant, and in the handler's high byte what the node asks for (`NodeFlag`).
    var word: UInt64 = 0
  }

  /// What the node of a row asks for: `NodeFlag`.
  @inline(__always) static func asks(_ row: Row) -> UInt8 { UInt8(truncatingIfNeeded: row.word >> 24) }

  /// The arrays. A run keeps their addresses, so that a step costs no look at the plan's object.
  @safe struct Table: Sendable {
    // unsafe: written by `Plan.init` alone; parts of its region, freed with the plan, which every run keeps. `rows` has one more than nodes.
    nonisolated(unsafe) let rows: UnsafeMutablePointer<Row>
    nonisolated(unsafe) let successors: UnsafeMutablePointer<UInt32>
    nonisolated(unsafe) let predecessorCount: UnsafeMutablePointer<UInt8>
  }

  /// A node's predecessors where a byte cannot count them.
  struct Crowd: Sendable {
    var node: Int
    var predecessors: UInt32
  }

  /// What a node asks of the core beyond being run.
  public enum NodeFlag {
    /// `RunHooks.ready` is called when all predecessors are finished.
    public static let tellReady: UInt8 = 1
    /// The run's hook gives the start-to-close timeout.
    public static let timed: UInt8 = 2
    /// The node needs a permit of the limit that the run's hook names.
    public static let keyed: UInt8 = 4
    /// `Scheduler.expireReady` may end the node before it starts.
    public static let expires: UInt8 = 8
    /// The run's hook gives the priority when the node is ready.
    public static let ranked: UInt8 = 16
  }

  public struct Node: Sendable {
    public var handler: HandlerIndex
    public var priority: UInt8
    public var flags: UInt8
    /// Smaller starts first where the engine orders by key.
    public var key: UInt32

    public init(handler: HandlerIndex, priority: UInt8 = 1, flags: UInt8 = 0, key: UInt32 = 0) {
      self.handler = handler
      self.priority = priority
      self.flags = flags
      self.key = key
    }
  }

  /// Compiles `count` nodes. `node(i)` describes node i; `predecessors(i, visit)` calls `visit` for each predecessor of i, twice over the whole
  /// of `init`. An edge may be named once only. The caller has checked that there is no cycle.
  ///
  /// Complexity: O(nodes + edges). Throws `MemoryError`.
  public init(count: Int, node: (Int) -> Node, predecessors: (Int, (Int) -> Void) -> Void) throws(MemoryError) {
    precondition(count > 0 && count <= Plan.maxNodes, "a plan has 1 to \(Plan.maxNodes) nodes")
    var edges = 0
    for i in 0..<count { predecessors(i) { _ in edges += 1 } }
    precondition(edges <= Plan.maxEdges, "a plan has at most \(Plan.maxEdges) edges")
    let region = try Region(bytes: (count + 1) * MemoryLayout<Row>.stride + edges * 4 + count)
    // unsafe: consecutive parts of one zeroed region whose length is the sum of theirs; every index below is checked against `count`.
    let rows = unsafe region.base.bindMemory(to: Row.self, capacity: count + 1)
    let successors = unsafe UnsafeMutableRawPointer(rows + count + 1).bindMemory(to: UInt32.self, capacity: edges)
    let predecessorCount = unsafe UnsafeMutableRawPointer(successors + edges).bindMemory(to: UInt8.self, capacity: count)
    var crowds: [Crowd] = []

    for i in 0..<count {
      let node = node(i)
      unsafe rows[i].key = node.key
      unsafe rows[i].word =
        Job.Word(
          handler: node.handler.rawValue | UInt32(node.flags) << 24, tenant: 0, priority: min(node.priority, 3), flags: Job.Flag.node
        ).bits
      var waits: UInt32 = 0
      predecessors(i) { p in
        precondition(p >= 0 && p < count, "predecessor \(p) of node \(i) is not a node")
        unsafe rows[p + 1].successors += 1
        waits += 1
      }
      unsafe predecessorCount[i] = UInt8(min(waits, UInt32(Plan.mostCounted)))
      if waits >= UInt32(Plan.mostCounted) { crowds.append(Crowd(node: i, predecessors: waits)) }
    }
    var sinks = 0
    var roots: [UInt32] = []
    for i in 0..<count {
      if unsafe rows[i + 1].successors == 0 { sinks += 1 }
      if unsafe predecessorCount[i] == 0 { roots.append(UInt32(i)) }
    }
    for i in 0..<count { unsafe rows[i + 1].successors += rows[i].successors }
    // Fill each row from its start; the starts move to the ends, that is to the next row's start, and are then moved back by one.
    for i in 0..<count {
      predecessors(i) { p in
        let at = unsafe rows[p].successors
        unsafe successors[Int(at)] = UInt32(i)
        unsafe rows[p].successors = at + 1
      }
    }
    for i in stride(from: count, to: 0, by: -1) { unsafe rows[i].successors = rows[i - 1].successors }
    unsafe rows[0].successors = 0

    self.count = count
    self.edges = edges
    self.sinks = sinks
    self.roots = roots
    self.crowds = crowds
    self.region = region
    table = unsafe Table(rows: rows, successors: successors, predecessorCount: predecessorCount)
  }

  deinit { region.free() }

  /// Indices of the nodes that depend on `node`. Complexity: O(successors).
  public func successors(of node: Int) -> [Int] {
    precondition(node >= 0 && node < count)
    return unsafe (Int(table.rows[node].successors)..<Int(table.rows[node + 1].successors)).map { unsafe Int(table.successors[$0]) }
  }
}
