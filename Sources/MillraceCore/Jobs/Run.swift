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
  /// What `node` asks of the limit of its key, a `PermitRequest`; only with `Plan.NodeFlag.keyed`.
  public typealias Keyed = @convention(c) (UnsafeMutableRawPointer, _ node: UInt32) -> UInt32
  /// The priority of `node`, 0 ... 3, when all its predecessors are finished; only with `Plan.NodeFlag.ranked`. Before `ready`, on the thread that released it.
  public typealias Rank = @convention(c) (UnsafeMutableRawPointer, _ node: UInt32) -> UInt8
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
  public var rank: Rank?
  public var overdue: Overdue?
  public var late: Late?
  public var completed: Completed
  // unsafe: the owner's; valid until `completed` returns, used by many threads.
  public nonisolated(unsafe) var context: UnsafeMutableRawPointer

  @unsafe public init(
    context: UnsafeMutableRawPointer, completed: @escaping Completed, finished: Finished? = nil, bypassed: Bypassed? = nil,
    ready: Ready? = nil,
    timeout: Timeout? = nil, keyed: Keyed? = nil, rank: Rank? = nil, overdue: Overdue? = nil, late: Late? = nil
  ) {
    unsafe self.context = context
    unsafe self.completed = completed
    unsafe self.finished = finished
    unsafe self.bypassed = bypassed
    unsafe self.ready = ready
    unsafe self.timeout = timeout
    unsafe self.keyed = keyed
    unsafe self.rank = rank
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

/// One execution of a plan: a counter for each node, and what is left to do. 5 bytes a node.
///
/// Made by the owner, handed to `Scheduler.start`, freed by the owner after `RunHooks.completed`.
@safe public final class Run: @unchecked Sendable {
  public let plan: Plan
  public let hooks: RunHooks
  public let tenant: UInt16
  /// Lease epoch of the run's owner: stamped by the owner into every record that the run causes.
  public let epoch: UInt32
  let body: RunBody
  /// Nodes that `Scheduler.start` gives to the workers.
  let roots: [UInt32]
  /// Nodes that are not finished when the run starts.
  let unfinished: Int
  private let region: Region

  /// Where a run begins whose plan has been under way before: what is finished stays so.
  public struct Resumption: Sendable {
    /// By node: it is finished. All predecessors of such a node are finished as well.
    public var finished: [Bool]
    /// Nodes that are not given to the workers at the start, though nothing before them is left: the owner calls `resubmit` for them, or `release`.
    public var held: Set<UInt32>

    /// `finished` has a place for each node.
    public init(finished: [Bool], held: Set<UInt32> = []) {
      self.finished = finished
      self.held = held
    }
  }

  /// `resumption`: at least one node is not finished. Complexity: O(nodes), one copy; O(nodes + edges) for a resumption. Throws `MemoryError`.
  public init(
    _ plan: Plan, hooks: RunHooks, tenant: UInt16 = 0, epoch: UInt32 = 0, resumption: Resumption? = nil
  ) throws(MemoryError) {
    self.plan = plan
    self.hooks = hooks
    self.tenant = tenant
    self.epoch = epoch
    region = try Region(bytes: RunBody.bytes(nodes: plan.count))
    // unsafe: the region is as long as the body asks for; the body lives as long as this object, which keeps the plan.
    body = unsafe RunBody(region.base, plan: plan, hooks: hooks, tenant: tenant)
    guard let resumption else {
      roots = plan.roots
      unfinished = plan.count
      return
    }
    precondition(resumption.finished.count == plan.count, "a resumption has a place for each of the \(plan.count) nodes")
    roots = body.resume(resumption, plan)
    unfinished = resumption.finished.count { !$0 }
    precondition(unfinished > 0, "a run with nothing left to do is not started")
  }

  deinit { region.free() }

  /// Marks a node that has not become ready: it is bypassed instead of run. Only a thread that is about to release one of its predecessors may call this.
  public func poison(_ node: UInt32) {
    precondition(node < UInt32(plan.count))
    body.poison(node)
  }

  /// Nodes that have not started are bypassed from now on. Any thread; O(1). What runs is asked to stop by the owner.
  public func stop() { body.stop() }
  public var isStopping: Bool { body.isStopping }

  /// The context of the hooks of a run whose node's job has `first` as its first word.
  ///
  /// unsafe: `first` is what `JobContext.first` or `Scheduler.words(ofClaimed:)` gave for a job that has not ended.
  @unsafe public static func context(first: UInt64) -> UnsafeMutableRawPointer { unsafe RunBody(bits: first).context }
}

/// A node that was answered with `Verdict.hold`.
@safe public struct HeldNode: Sendable {
  let run: Run
  let node: UInt32

  /// Complexity: O(1).
  public init(_ run: Run, _ node: UInt32) {
    precondition(node < UInt32(run.plan.count))
    self.run = run
    self.node = node
  }
}
