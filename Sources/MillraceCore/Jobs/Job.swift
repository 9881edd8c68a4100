internal import CMillrace

/// Names a job for as long as it exists: index in the slab (low half) and generation (high half). Zero is none.
public struct JobID: Sendable, Hashable, RawRepresentable {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inline(__always) init(index: UInt32, generation: UInt32) { rawValue = UInt64(generation) << 32 | UInt64(index) }
  @inline(__always) var index: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
  @inline(__always) var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
}

/// How a handler's call ended. The numbers are those of `millrace/plugin.h`, and `timedOut` is ours.
public enum Outcome: UInt8, Sendable, Hashable {
  case done = 0
  /// It goes on; whoever holds the completion token ends it.
  case pending = 1
  case retry = 2
  case failed = 3
  case cancelled = 4
  /// Start-to-close, schedule-to-start or heartbeat ran out. Never returned by a handler.
  case timedOut = 5
}

/// What is to be run.
public struct JobRequest: Sendable {
  /// As in the job's record, `Job.Word`: in one piece, so that it is written and read as one.
  @usableFromInline var word: UInt64
  /// Two words for the handler.
  public var first: UInt64
  public var second: UInt64
  /// Smaller starts first where the engine orders by key (`SchedulerConfiguration.ordered`).
  public var key: UInt64
  /// Start-to-close, nanoseconds; 0: none.
  public var timeout: UInt64

  @inlinable public init(
    handler: HandlerIndex, priority: UInt8 = 1, tenant: UInt16 = 0, first: UInt64 = 0, second: UInt64 = 0, key: UInt64 = 0,
    timeout: UInt64 = 0
  ) {
    word = UInt64(handler.rawValue) | UInt64(tenant) << 32 | UInt64(priority) << 48
    self.first = first
    self.second = second
    self.key = key
    self.timeout = timeout
  }

  @inlinable public var handler: HandlerIndex {
    get { HandlerIndex(rawValue: UInt32(truncatingIfNeeded: word)) }
    set { word = word & ~0xFFFF_FFFF | UInt64(newValue.rawValue) }
  }
  /// 0 low ... 3 critical.
  @inlinable public var priority: UInt8 {
    get { UInt8(truncatingIfNeeded: word >> 48) }
    set { word = word & ~(0xFF << 48) | UInt64(newValue) << 48 }
  }
  @inlinable public var tenant: UInt16 {
    get { UInt16(truncatingIfNeeded: word >> 32) }
    set { word = word & ~(0xFFFF << 32) | UInt64(newValue) << 32 }
  }
}

/// The record of one job: 64 bytes of the slab. It exists only while the job is ready, running or waiting.
///
/// # Fields
/// 0 `state`: generation (32), outcome (8), state (8): all threads. 8 `cancelled`: the generation that shall stop: all threads.
/// 16 ... 63: plain, written by whoever makes the job before it is published, read by whoever took it.
@safe struct Job {
  /// Where a job stands. Forward only; a retry is a new job.
  ///
  ///     ready -> running -> (freed)
  ///                 |  \-> claimedRunning -> completed -> (freed by the worker, when the handler returns)
  ///                 |            \-> claimedPending
  ///                 \-> pending -> claimedPending -> finished -> (freed by the worker that takes it from the completions)
  ///
  /// A timeout claims as a token does. A claim is taken by one CAS: whoever has it decides the outcome. A running job can be claimed only while it is `open`:
  /// its worker then ends it by CAS as well, which all other jobs are spared.
  enum State {
    static let free: UInt64 = 0
    static let ready: UInt64 = 1
    /// Nobody but its worker may end it.
    static let running: UInt64 = 2
    static let pending: UInt64 = 3
    static let claimedRunning: UInt64 = 4
    /// Its outcome is what the handler said; `Outcome.pending` if that, or if the job was pending.
    static let claimedPending: UInt64 = 5
    static let completed: UInt64 = 6
    /// Among the completions, with its slot.
    static let finished: UInt64 = 7
    /// Among the completions, ended by a timeout while its handler still runs, or before it began: without a slot.
    static let overdue: UInt64 = 8
    /// Timed out before it started; another record tells the owner.
    static let expired: UInt64 = 9
    /// Runs, and has a token or a deadline: others may end it.
    static let open: UInt64 = 10
    /// Timed out while its handler runs; the owner is being told, and will have been when it hears of the handler's late return.
    static let telling: UInt64 = 11
  }

  /// What a job is, in one word: handler (24 bits, 8 of a plan's own), tenant (16), priority (8), flags (8).
  struct Word {
    var bits: UInt64

    @inline(__always) init(bits: UInt64) { self.bits = bits }
    @inline(__always) init(handler: UInt32, tenant: UInt16, priority: UInt8, flags: UInt8) {
      bits = UInt64(handler) | Word.tenant(tenant) | UInt64(priority) << 48 | UInt64(flags) << 56
    }
    @inline(__always) static func tenant(_ tenant: UInt16) -> UInt64 { UInt64(tenant) << 32 }
    @inline(__always) var handler: UInt32 { UInt32(truncatingIfNeeded: bits) }
    @inline(__always) var tenant: Int { Int(bits >> 32 & 0xFFFF) }
    @inline(__always) var priority: Int {
      get { Int(bits >> 48 & 0xFF) }
      set { bits = bits & ~(0xFF << 48) | UInt64(newValue) << 48 }
    }
    @inline(__always) var flags: UInt8 {
      get { UInt8(truncatingIfNeeded: bits >> 56) }
      set { bits = bits & (1 << 56 - 1) | UInt64(newValue) << 56 }
    }
  }

  struct Fields {
    var first: UInt64
    var second: UInt64
    var key: UInt64
    var timeout: UInt64
    var word: Word
    /// Next in a limit's line: index + 1.
    var link: UInt32
    /// What the job asks of the limit of its key, if `Flag.keyed`: a `PermitRequest`.
    var limit: UInt32
  }

  enum Flag {
    /// `first` is a run, `second` a node of it.
    static let node: UInt8 = 1
    /// A permit of the handler's limit is held.
    static let permit: UInt8 = 2
    /// A permit of its key's limit is held.
    static let keyPermit: UInt8 = 8
    /// `limit` is the limit of its key.
    static let keyed: UInt8 = 16
    /// No job: its node is finished by the run's owner, and a worker shall release the successors.
    static let release: UInt8 = 32
    /// May be ended by `Scheduler.expireReady` before it starts: the start is a CAS.
    static let expires: UInt8 = 64
    /// Tells the owner of a node that has expired; the record that is left in the queue gives the admission back.
    static let expired: UInt8 = 128
  }

  private let record: UnsafeMutableRawPointer

  @inline(__always) init(_ slab: Slab, _ index: UInt32) { unsafe record = slab.record(index) }

  /// Asks for the record's line: another thread has had it last.
  @inline(__always) func prefetch() { unsafe millrace_prefetch(record) }

  @inline(__always) var state: SharedWord { unsafe SharedWord(record) }
  @inline(__always) var cancelled: SharedHalf { unsafe SharedHalf(record + 8) }
  // unsafe: a record is 64 bytes; `fields` are touched only by the thread that has the job.
  @inline(__always) var fields: UnsafeMutablePointer<Fields> { unsafe (record + 16).assumingMemoryBound(to: Fields.self) }

  @inline(__always) static func word(_ generation: UInt32, _ state: UInt64, _ outcome: UInt8 = 0) -> UInt64 {
    UInt64(generation) << 32 | UInt64(outcome) << 8 | state
  }
  @inline(__always) static func generation(_ word: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: word >> 32) }
  @inline(__always) static func state(_ word: UInt64) -> UInt64 { word & 0xFF }
  @inline(__always) static func outcome(_ word: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: word >> 8) }

  /// Begins the next life of a record that the caller has allocated, or takes over. Its generation, never 0.
  @inline(__always) private func renew(after last: UInt32) -> UInt32 {
    var generation = last &+ 1
    if generation == 0 { generation = 1 }
    state.storeRelaxed(Job.word(generation, State.ready))
    // Just behind, so that a late `cancel` of an earlier life can tell that it is late.
    cancelled.storeRelaxed(generation &- 1)
    return generation
  }

  /// Fills the record of a job of its own. Its generation. unsafe: the record is the caller's until it is published.
  @discardableResult @inline(__always) func begin(_ request: JobRequest) -> UInt32 {
    let generation = renew(after: Job.generation(state.loadRelaxed()))
    // unsafe: the fields, one after the other; they are plain memory of plain words.
    unsafe SharedWord(record + 16).put(request.first)
    unsafe SharedWord(record + 24).put(request.second)
    unsafe SharedWord(record + 32).put(request.key)
    unsafe SharedWord(record + 40).put(request.timeout)
    unsafe SharedWord(record + 48).put(request.word)
    unsafe SharedWord(record + 56).put(0)
    return generation
  }

  /// Fills the record of a node that is ready; its priority. unsafe: the record is the caller's until it is published.
  @discardableResult @inline(__always) func begin(_ run: RunBody, _ node: UInt32, index: UInt32, tellReady: Bool = true) -> Int {
    let row = run.row(node)
    let generation = begin(run, node, row, after: Job.generation(state.loadRelaxed()))
    ask(run, node, row, JobID(index: index, generation: generation), tellReady: tellReady)
    return unsafe fields.pointee.word.priority
  }

  /// Fills the record, whose last life had the generation `last`; `ask` must follow. The generation.
  @inline(__always) func begin(_ run: RunBody, _ node: UInt32, _ row: Plan.Row, after last: UInt32) -> UInt32 {
    let generation = renew(after: last)
    let word = Word(bits: row.word & ~(0xFF << 24) | run.tenant)
    unsafe fields.initialize(
      to: Fields(first: run.bits, second: UInt64(node), key: UInt64(row.key), timeout: 0, word: word, link: 0, limit: 0))
    return generation
  }

  /// What the run's owner has to say about a node before it is published: the priority among it.
  @inline(__always) func ask(_ run: RunBody, _ node: UInt32, _ row: Plan.Row, _ id: JobID, tellReady: Bool = true) {
    let asks = Plan.asks(row)
    if asks != 0 { ask(run, node, id, asks, tellReady) }
  }

  @inline(never) private func ask(_ run: RunBody, _ node: UInt32, _ id: JobID, _ asks: UInt8, _ tellReady: Bool) {
    let hooks = run.hooks
    // unsafe: hooks and context are the owner's, valid until `completed`; the record is the caller's.
    if asks & Plan.NodeFlag.ranked != 0, let rank = unsafe hooks.rank {
      unsafe fields.pointee.word.priority = min(Int(rank(hooks.context, node)), ReadySet.priorities - 1)
    }
    if asks & Plan.NodeFlag.timed != 0, let timeout = unsafe hooks.timeout { unsafe fields.pointee.timeout = timeout(hooks.context, node) }
    if asks & Plan.NodeFlag.keyed != 0, let keyed = unsafe hooks.keyed {
      unsafe fields.pointee.limit = keyed(hooks.context, node)
      unsafe fields.pointee.word.flags |= Flag.keyed
    }
    if asks & Plan.NodeFlag.expires != 0 { unsafe fields.pointee.word.flags |= Flag.expires }
    if tellReady, asks & Plan.NodeFlag.tellReady != 0, let ready = unsafe hooks.ready { unsafe ready(hooks.context, node, id.rawValue) }
  }
}
