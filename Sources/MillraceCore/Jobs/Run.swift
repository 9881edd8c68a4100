/// What the owner of a run is told, always on a worker unless said otherwise. Functions of C with the run's context.
@safe public struct RunHooks: Sendable {
  /// An attempt of `node` ended. Returns a `Verdict`.
  public typealias Finished = @convention(c) (UnsafeMutableRawPointer, _ lane: Int, _ node: UInt32, _ outcome: UInt8) -> UInt8
  /// `node` is not run: it was marked by `poison`, or the run is stopping. It counts as finished.
  public typealias Bypassed = @convention(c) (UnsafeMutableRawPointer, _ lane: Int, _ node: UInt32) -> Void
  /// All predecessors of `node` are finished, or its next attempt is due, and `job` is about to wait for its start; only with
  /// `Plan.NodeFlag.tellReady`. On the thread that released it.
  public typealias Ready = @convention(c) (UnsafeMutableRawPointer, _ node: UInt32, _ job: UInt64) -> Void
  /// Start-to-close of `node`'s next attempt, nanoseconds; only with `Plan.NodeFlag.timed`.
  public typealias Timeout = @convention(c) (UnsafeMutableRawPointer, _ node: UInt32) -> UInt64
  /// The limit of `node`'s key, from `Scheduler.makeLimit`; only with `Plan.NodeFlag.keyed`.
  public typealias Keyed = @convention(c) (UnsafeMutableRawPointer, _ node: UInt32) -> UInt32
  /// `node`'s attempt timed out while its handler runs on. On the loop's thread, before `finished` hears of it.
  public typealias Overdue = @convention(c) (UnsafeMutableRawPointer, _ node: UInt32) -> Void
  /// The handler of an overdue attempt came back. What it said is dropped. On its own thread.
  public typealias Late = @convention(c) (UnsafeMutableRawPointer, _ lane: Int, _ node: UInt32) -> Void
  /// All nodes are finished. The core does not touch the run after this call.
  public typealias Completed = @convention(c) (UnsafeMutableRawPointer) -> Void

  public var finished: Finished?
  public var bypassed: Bypassed?
  public var ready: Ready?
  public var timeout: Timeout?
  public var keyed: Keyed?
  public var overdue: Overdue?
  public var late: Late?
  public var completed: Completed
  // unsafe: the owner's; valid until `completed` returns, used by many threads.
  public nonisolated(unsafe) var context: UnsafeMutableRawPointer

  @unsafe public init(
    context: UnsafeMutableRawPointer, completed: @escaping Completed, finished: Finished? = nil, bypassed: Bypassed? = nil,
    ready: Ready? = nil,
    timeout: Timeout? = nil, keyed: Keyed? = nil, overdue: Overdue? = nil, late: Late? = nil
  ) {
    unsafe self.context = context
    unsafe self.completed = completed
    unsafe self.finished = finished
    unsafe self.bypassed = bypassed
    unsafe self.ready = ready
    unsafe self.timeout = timeout
    unsafe self.keyed = keyed
    unsafe self.overdue = overdue
    unsafe self.late = late
  }
}

/// What happens after an attempt of a node.
public enum Verdict: UInt8, Sendable {
  /// The node is finished: its successors may go on.
  case release = 0
  /// The owner goes on with it: it will call `Scheduler.resubmit` or `Scheduler.release` for this node.
  case hold = 1
}

/// One execution of a plan: a counter for each node that has several predecessors to wait for, and what is left to do. 5 bytes a node.
///
/// Made by the owner, handed to `Scheduler.start`, freed by the owner after `RunHooks.completed`.
@safe public final class Run: @unchecked Sendable {
  public let plan: Plan
  let table: Plan.Table
  public let hooks: RunHooks
  public let tenant: UInt16
  /// Lease epoch of the run's owner: stamped by the owner into every record that the run causes.
  public let epoch: UInt32
  /// Sinks that are not finished.
  let remaining: SharedWord
  /// Nonzero: nodes that have not started are bypassed.
  let stopping: SharedHalf
  // unsafe: `plan.count` counters and marks in `region`.
  private let pending: UnsafeMutableRawPointer
  private let marks: UnsafeMutablePointer<UInt8>
  private let region: Region

  /// Complexity: O(nodes), one copy. Throws `MemoryError`.
  public init(_ plan: Plan, hooks: RunHooks, tenant: UInt16 = 0, epoch: UInt32 = 0) throws(MemoryError) {
    self.plan = plan
    table = plan.table
    self.hooks = hooks
    self.tenant = tenant
    self.epoch = epoch
    region = try Region(bytes: 2 * padding + plan.count * 5)
    // unsafe: consecutive parts of one zeroed region whose length is the sum of theirs.
    unsafe remaining = SharedWord(region.base)
    unsafe stopping = SharedHalf(region.base + padding)
    unsafe pending = region.base + 2 * padding
    unsafe marks = (pending + plan.count * 4).assumingMemoryBound(to: UInt8.self)
    unsafe pending.copyMemory(from: plan.table.predecessorCount, byteCount: plan.count * 4)
    remaining.storeRelaxed(UInt64(plan.sinks))
  }

  deinit { region.free() }

  /// Marks a node that has not become ready: it is bypassed instead of run. Only a thread that is about to release one of its predecessors may call this.
  public func poison(_ node: UInt32) {
    precondition(node < UInt32(plan.count))
    // unsafe: index checked. Two predecessors may store the same value at once; readers come after the last of them by `arrive`.
    unsafe SharedByte(marks + Int(node)).store(1)
  }

  @inline(__always) func isPoisoned(_ node: UInt32) -> Bool { unsafe SharedByte(marks + Int(node)).load() != 0 }

  /// Nodes that have not started are bypassed from now on. Any thread; O(1). What runs is asked to stop by the owner.
  public func stop() { stopping.storeReleasing(1) }
  public var isStopping: Bool { stopping.loadRelaxed() != 0 }

  /// One predecessor of `node` is finished. True if it was the last.
  @inline(__always) func arrive(_ node: UInt32) -> Bool {
    // unsafe: a successor in the plan is a node of it.
    if unsafe table.predecessorCount[Int(node)] == 1 { return true }
    // Order: acquiring and releasing. What every predecessor wrote happened before the last one's caller goes on.
    return unsafe SharedHalf(pending + Int(node) &* 4).subtract(1) == 0
  }
}
