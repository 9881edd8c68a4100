/// What workers see of a run: plain memory at the address that each of its jobs carries, so that a step touches no object.
///
/// # Fields
/// What the plan and the owner gave: constant. `signals`: 1 the run stops, 2 some node is poisoned; any thread. `remaining`: sinks that are not finished,
/// workers in lots. `pending[n]`: predecessors that node n waits for; workers. `marks[n]`: nonzero if node n is poisoned; whoever releases a predecessor.
@safe struct RunBody {
  private static let stops: UInt32 = 1
  private static let poisons: UInt32 = 2
  private static let signalsAt = padding
  private static let remainingAt = 2 * padding
  private static let pendingAt = 3 * padding

  /// Constant while the run lives.
  @safe struct Constants {
    let rows: UnsafeMutablePointer<Plan.Row>
    let successors: UnsafeMutablePointer<UInt32>
    /// The tenant, where `Job.Word` has it.
    let tenant: UInt64
    let finished: RunHooks.Finished?
    let bypassed: RunHooks.Bypassed?
    let context: UnsafeMutableRawPointer
    let ready: RunHooks.Ready?
    let timeout: RunHooks.Timeout?
    let keyed: RunHooks.Keyed?
    let rank: RunHooks.Rank?
    let overdue: RunHooks.Overdue?
    let late: RunHooks.Late?
    let completed: RunHooks.Completed
    let marks: UnsafeMutablePointer<UInt8>
  }

  private let constants: UnsafeMutablePointer<Constants>

  static func bytes(nodes: Int) -> Int { pendingAt + nodes * 5 }

  /// unsafe: `memory` is zeroed, `bytes(nodes:)` long, and outlives all jobs of the run, as `plan` does.
  @unsafe init(_ memory: UnsafeMutableRawPointer, plan: Plan, hooks: RunHooks, tenant: UInt16) {
    invariant(MemoryLayout<Constants>.size <= padding, "the constants of a run fit before its first shared word")
    unsafe constants = memory.bindMemory(to: Constants.self, capacity: 1)
    unsafe constants.initialize(
      to: Constants(
        rows: plan.table.rows, successors: plan.table.successors, tenant: Job.Word.tenant(tenant), finished: hooks.finished,
        bypassed: hooks.bypassed, context: hooks.context, ready: hooks.ready, timeout: hooks.timeout, keyed: hooks.keyed,
        rank: hooks.rank, overdue: hooks.overdue, late: hooks.late, completed: hooks.completed,
        marks: (memory + RunBody.pendingAt + plan.count * 4).assumingMemoryBound(to: UInt8.self)))
    let counts = unsafe plan.table.predecessorCount
    let pending = unsafe (memory + RunBody.pendingAt).bindMemory(to: UInt32.self, capacity: plan.count)
    for i in 0..<plan.count { unsafe pending[i] = UInt32(counts[i]) }
    for crowd in plan.crowds { unsafe pending[crowd.node] = crowd.predecessors }
    remaining.storeRelaxed(UInt64(plan.sinks))
  }

  /// Before the run starts: what is finished counts as such. Gives the nodes that are ready and not held.
  func resume(_ resumption: Run.Resumption, _ plan: Plan) -> [UInt32] {
    var sinks: UInt64 = 0
    for node in 0..<UInt32(plan.count) {
      let successors = unsafe successors(node)
      if !resumption.finished[Int(node)] {
        if successors.isEmpty { sinks += 1 }
        continue
      }
      for i in successors.indices {
        let pending = unsafe pending(successors[i])
        pending.storeRelaxed(pending.loadRelaxed() &- 1)
      }
    }
    remaining.storeRelaxed(sinks)
    return (0..<UInt32(plan.count)).filter {
      !resumption.finished[Int($0)] && pending($0).loadRelaxed() == 0 && !resumption.held.contains($0)
    }
  }

  /// unsafe: `bits` is the first word of a job that belongs to a run and has not ended.
  @unsafe @inline(__always) init(bits: UInt64) {
    unsafe constants = UnsafeMutablePointer(bitPattern: UInt(bits)).unsafelyUnwrapped
  }

  /// What each job of the run carries as its first word.
  @inline(__always) var bits: UInt64 { unsafe UInt64(UInt(bitPattern: constants)) }

  @inline(__always) private var memory: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(constants) }
  @inline(__always) private var signals: SharedHalf { unsafe SharedHalf(memory + RunBody.signalsAt) }
  @inline(__always) var remaining: SharedWord { unsafe SharedWord(memory + RunBody.remainingAt) }
  @inline(__always) private func pending(_ node: UInt32) -> SharedHalf {
    unsafe SharedHalf(memory + RunBody.pendingAt + Int(node) &* 4)
  }

  /// The run stops, or has a poisoned node: a node must be looked at before it is run.
  @inline(__always) var isDisturbed: Bool { signals.loadRelaxed() != 0 }
  var isStopping: Bool { signals.loadRelaxed() & RunBody.stops != 0 }
  func stop() { _ = signals.insert(bits: RunBody.stops) }
  @inline(__always) var context: UnsafeMutableRawPointer { unsafe constants.pointee.context }
  @inline(__always) var tenant: UInt64 { unsafe constants.pointee.tenant }
  // unsafe: hooks and context are the owner's, valid until `completed` has been called.
  @inline(__always) var finished: RunHooks.Finished? { unsafe constants.pointee.finished }
  @inline(__always) var hooks: Constants { unsafe constants.pointee }

  @inline(__always) func row(_ node: UInt32) -> Plan.Row { unsafe constants.pointee.rows[Int(node)] }

  @inline(__always) func word(_ node: UInt32) -> Job.Word { Job.Word(bits: row(node).word) }

  /// Where the node's successors lie among all. unsafe: rows lie within `successors`.
  @inline(__always) func successors(_ node: UInt32) -> UnsafeBufferPointer<UInt32> {
    let rows = unsafe constants.pointee.rows + Int(node)
    let begin = unsafe rows[0].successors
    let end = unsafe rows[1].successors
    return unsafe UnsafeBufferPointer(start: constants.pointee.successors + Int(begin), count: Int(end &- begin))
  }

  func poison(_ node: UInt32) {
    // unsafe: the caller has checked the index. Two predecessors may store the same value at once; readers come after the last of them by `arrive`.
    unsafe SharedByte(constants.pointee.marks + Int(node)).store(1)
    _ = signals.insert(bits: RunBody.poisons)
  }

  func isBypassed(_ node: UInt32) -> Bool { unsafe isStopping || SharedByte(constants.pointee.marks + Int(node)).load() != 0 }

  /// The node waits for `count` predecessors at least. A look without an order.
  @inline(__always) func waits(for count: UInt32, _ node: UInt32) -> Bool { pending(node).loadRelaxed() >= count }

  /// `count` predecessors of `node` are finished. True: it waits for no more. `alone`: no other thread releases nodes.
  @inline(__always) func arrive(_ node: UInt32, count: UInt32 = 1, alone: Bool) -> Bool {
    let pending = pending(node)
    // Order: acquiring. Pairs with the subtraction: what the other predecessors wrote happened before.
    let left = pending.loadAcquiring()
    // Whoever sees itself as the last has no need of a locked instruction.
    if left == count { return true }
    if alone {
      pending.storeRelaxed(left &- count)
      return false
    }
    // Order: acquiring and releasing. What every predecessor wrote happened before the last one's caller goes on.
    return pending.subtract(count) == 0
  }
}
