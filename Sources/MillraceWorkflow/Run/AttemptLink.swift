package import CMillrace
internal import MillraceCore
internal import Synchronization

/// A reference to an attempt that may be kept for any time: when the attempt has gone it finds nothing, and harms nothing. What Swift handlers
/// with a context hold, and what cancels the Swift task of one that is asynchronous.
///
/// It keeps the run, so that inputs may be read at any time. The attempt keeps it.
///
/// # Threads
/// Any, but where a function says otherwise.
/// # Fields
/// `gate`: how many are inside (27 bits), and the bits below. `current`, `ending`: written before their bit is set, read by who has seen it.
/// `attempt`: used only inside. `next`, `previous`: under the lock of the lane's list.
@safe package final class AttemptLink: @unchecked Sendable {
  /// Nobody enters any more.
  private static let shut: UInt32 = 1 << 31
  /// `current` is there.
  private static let hasTask: UInt32 = 1 << 30
  /// The attempt should stop.
  private static let stopped: UInt32 = 1 << 29
  /// `ending` is there.
  private static let ended: UInt32 = 1 << 28
  /// The handler's call has returned: whoever ends the attempt completes its token.
  private static let pending: UInt32 = 1 << 27
  private static let inside = pending - 1

  private let gate = Atomic<UInt32>(0)
  private let attempt: AttemptPointer
  let run: WorkflowRun
  let node: UInt32
  /// Of an item, which it keeps with all that lies around it.
  private let turn: ItemTurn?
  private let anchor: WorkflowRun?
  private let job: JobID
  private let lane: Int
  /// From 1.
  package let number: Int
  /// When start-to-close ends, on the host's clock; 0: there is no such timeout.
  package let deadline: UInt64
  /// nil: nobody is told of the attempt.
  private let observation: AttemptObservation?
  private var current: UnsafeCurrentTask?
  private var ending: AttemptEnding?
  var next: AttemptLink?
  unowned(unsafe) var previous: AttemptLink?

  /// unsafe: in the handler's call, once.
  @unsafe package init(_ call: UnsafePointer<millrace_call>) {
    unsafe attempt = AttemptPointer(call.pointee.attempt!)
    unsafe run = attempt.pointee.run.takeUnretainedValue()
    unsafe node = attempt.pointee.node
    turn = run.items == nil ? nil : unsafe attempt.turn
    anchor = run.items == nil ? nil : run.anchor
    unsafe job = attempt.pointee.job
    unsafe lane = attempt.pointee.lane
    unsafe number = Int(attempt.pointee.number)
    unsafe deadline = call.pointee.deadline
    unsafe observation = attempt.ownObservation
    unsafe attempt.keep(self)
  }

  /// The link of the call's attempt: the one it has, or a new one. unsafe: as `init`.
  @unsafe package static func link(of call: UnsafePointer<millrace_call>) -> AttemptLink {
    unsafe AttemptPointer(call.pointee.attempt!).ownLink ?? AttemptLink(call)
  }

  /// The call's handler finds its context. unsafe: as `init`.
  @unsafe package static func bindsContext(_ call: UnsafePointer<millrace_call>) -> Bool {
    unsafe AttemptPointer(call.pointee.attempt!).pointee.run._withUnsafeGuaranteedRef { $0.bindsContext }
  }

  // MARK: The gate

  private func enter() -> Bool {
    // Order: acquiring and releasing. Pairs with `close`: who gets in finds the attempt and the task, and is waited for.
    if gate.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue & AttemptLink.shut == 0 { return true }
    leave()
    return false
  }

  private func leave() {
    // Order: releasing. Pairs with the acquiring load in `close`.
    gate.wrappingSubtract(1, ordering: .releasing)
  }

  /// The attempt, or the Swift task, is about to go: waits for those inside. Any number of times.
  func close() {
    // Order: acquiring and releasing. Pairs with `enter`.
    gate.bitwiseOr(AttemptLink.shut, ordering: .acquiringAndReleasing)
    // Order: acquiring. Pairs with `leave`.
    while gate.load(ordering: .acquiring) & AttemptLink.inside != 0 { millrace_yield() }
  }

  // MARK: What a handler asks

  /// True once the attempt should stop, and when it has ended. Two loads.
  package var isCancelled: Bool {
    // Order: relaxed. A hint: nothing else is read because of it.
    gate.load(ordering: .relaxed) & (AttemptLink.stopped | AttemptLink.shut) != 0 || run.host.scheduler.isCancelled(job)
  }

  package var taskID: String { run.definition.tasks[run.task(node)].id + (turn.map { "[\($0.index)]" } ?? "") }
  package var runID: RunID { run.id }
  package var workflow: String { run.definition.name }
  package var tenant: String { run.tenant.name }
  /// What the run was started for; nil: it stands in its definition.
  package var subject: (any RunSubject)? { run.subject }
  /// Who is told of the attempt; nil: nobody.
  package var observer: (any AttemptObserver)? { observation?.observer }
  /// What the attempt is part of; nil: nothing.
  package var trace: TraceContext? { observation?.trace ?? run.observation?.trace }
  package var bindsContext: Bool { run.bindsContext }

  /// The value of a variable of the task's `env`, copied; nil: it has none of that name.
  package func environment(_ name: String) -> String? {
    // unsafe: the variables are the object's, which is held; the value is copied.
    run.environment(node).flatMap { variables in unsafe variables.value(name).map { unsafe String(cString: $0) } }
  }
  /// Nanoseconds of the host's clock.
  package var now: UInt64 { run.host.scheduler.clock.now }
  package var inputCount: Int { run.inputCount(node) }

  /// Index of the input that is the output of a task; nil: it is none of the dependencies. Complexity: O(dependencies).
  package func inputIndex(of task: String) -> Int? {
    let (run, node) = run.home(node)
    guard let wanted = run.compiled.index[task] else { return nil }
    let row = Int(run.compiled.rows[Int(node)])..<Int(run.compiled.rows[Int(node) + 1])
    return run.compiled.predecessors[row].firstIndex(of: wanted).map { $0 - row.lowerBound + 1 }
  }

  /// The task that made an input; nil: it is the definition's own.
  package func inputName(_ index: Int) -> String? {
    guard index > 0, index < inputCount else { return nil }
    let (run, node) = run.home(node)
    return run.definition.tasks[Int(run.compiled.predecessors[Int(run.compiled.rows[Int(node)]) + index - 1])].id
  }

  /// Calls `body` with the bytes of an input where they lie, and what they are; nil: there is no such input.
  package func withInput<Result>(_ index: Int, _ body: (UnsafeRawBufferPointer, UInt32) throws -> Result) rethrows -> Result? {
    guard index >= 0, let input = unsafe run.input(node, index, turn) else { return nil }
    return try unsafe body(
      UnsafeRawBufferPointer(start: input.bytes, count: Int(input.payload.length)), input.payload.content_type)
  }

  /// How many items an input is made of; nil: it is no list of items.
  package func itemCount(_ index: Int) -> Int? { run.items(node, input: index)?.count }

  /// As `withInput`, for one of them.
  package func withItem<Result>(_ index: Int, _ item: Int, _ body: (UnsafeRawBufferPointer, UInt32) throws -> Result) rethrows -> Result? {
    guard let input = unsafe run.input(node, index, item: item) else { return nil }
    return try unsafe body(
      UnsafeRawBufferPointer(start: input.bytes, count: Int(input.payload.length)), input.payload.content_type)
  }

  /// Says that the attempt is alive, and how much of it is done, per mille; 0 says nothing of that. With `details`: what the next attempt is told, should there
  /// be one. False: the attempt has ended.
  @discardableResult package func heartbeat(perMille: Int = 0, _ details: [UInt8]?) -> Bool {
    guard enter() else { return false }
    defer { leave() }
    unsafe attempt.beat.storeRelaxed(now)
    unsafe run.say(UInt32(clamping: perMille), of: attempt)
    if let details { run.keep(details: details, of: node) }
    return true
  }

  /// The details of the last heartbeat of an earlier attempt.
  package var lastDetails: [UInt8]? {
    run.monitor.locked {
      // The place may be another item's by now.
      if let turn, run.items?.item(node) != turn.index { return nil }
      return run.slow[node]?.details
    }
  }

  // MARK: Stopping

  /// Asks the attempt to stop: cancels its Swift task. Calls the task's cancellation handlers, so with no lock or claim held.
  package func stop() {
    guard enter() else { return }
    defer { leave() }
    // Order: acquiring and releasing. Pairs with the one in `taskBegins`: the later of the two cancels.
    let before = gate.bitwiseOr(AttemptLink.stopped, ordering: .acquiringAndReleasing).oldValue
    if before & AttemptLink.stopped == 0, before & AttemptLink.hasTask != 0 { unsafe current?.cancel() }
  }

  // MARK: An asynchronous handler

  /// Before its Swift task is made. On the handler's thread.
  package func begin() {
    run.host.links(lane).insert(self)
    // The other half of `WorkflowRun.stop`: either it finds us in the list, or we find the reason.
    if run.shouldStop { stop() }
  }

  package var executor: (any TaskExecutor)? { run.host.executor }

  /// The first thing that the Swift task does.
  package func taskBegins() {
    // unsafe: used by `stop` only, from inside the gate, which the task closes before it ends.
    unsafe withUnsafeCurrentTask { unsafe current = $0 }
    // Order: acquiring and releasing. Pairs with the one in `stop`.
    let before = gate.bitwiseOr(AttemptLink.hasTask, ordering: .acquiringAndReleasing).oldValue
    if before & AttemptLink.stopped != 0 { unsafe current?.cancel() }
  }

  /// The last thing that the Swift task does.
  package func taskEnds(_ ending: AttemptEnding) {
    close()
    self.ending = ending
    // Order: acquiring and releasing. Pairs with the one in `returns`: the later of the two says how the attempt ended.
    let before = gate.bitwiseOr(AttemptLink.ended, ordering: .acquiringAndReleasing).oldValue
    if before & AttemptLink.pending != 0 { complete(ending) }
    run.host.links(lane).remove(self)
    run.host.linkEnded()
  }

  /// The last thing that the handler's call does: its status. unsafe: `call` and `outcome` are the call's.
  @unsafe package func returns(_ call: UnsafePointer<millrace_call>, _ outcome: UnsafeMutablePointer<millrace_outcome>) -> UInt32 {
    // Order: acquiring. Pairs with `taskEnds`. A task that never waited has ended here, and no token is needed.
    if gate.load(ordering: .acquiring) & AttemptLink.ended != 0 { return unsafe ending!.fill(outcome, call) }
    _ = unsafe call.pointee.host.pointee.token(call.pointee.attempt)
    // Order: acquiring and releasing. Pairs with the one in `taskEnds`.
    let before = gate.bitwiseOr(AttemptLink.pending, ordering: .acquiringAndReleasing).oldValue
    return before & AttemptLink.ended == 0 ? UInt32(MILLRACE_PENDING) : unsafe ending!.fill(outcome, call)
  }

  /// Too late is no fault: the host has ended the attempt by then.
  private func complete(_ ending: AttemptEnding) {
    let host = run.host
    // unsafe: the outcome lives through the call.
    unsafe ending.withOutcome(in: run.arena, lane: host.workers) { outcome in
      _ = unsafe host.table.pointee.complete(host.table, job.rawValue, outcome)
    }
  }
}

extension UnsafeMutablePointer where Pointee == Attempt {
  /// Keeps the link. On the handler's thread, once.
  func keep(_ own: AttemptLink) {
    // Order: releasing. Pairs with the load in `ownLink`.
    unsafe link.storeReleasing(UInt64(UInt(bitPattern: Unmanaged.passRetained(own).toOpaque())))
  }

  /// Who may use the attempt may use its link.
  var ownLink: AttemptLink? {
    // Order: acquiring. Pairs with the store in `keep`.
    let bits = unsafe link.loadAcquiring()
    return bits == 0 ? nil : unsafe Unmanaged<AttemptLink>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(bits))!).takeUnretainedValue()
  }

  /// Nobody uses the attempt any more: nor does its link.
  @inline(__always) func dropLink() {
    if unsafe link.loadRelaxed() != 0 { unsafe dropOwnLink() }
  }

  @inline(never) private func dropOwnLink() {
    guard let own = unsafe ownLink else { return }
    unsafe link.storeRelaxed(0)
    own.close()
    // unsafe: the retain of `keep`.
    unsafe Unmanaged.passUnretained(own).release()
  }
}

/// The links of asynchronous handlers that began on one lane and have not ended.
@safe final class LinkList: @unchecked Sendable {
  private let memory: UnsafeMutableRawPointer
  private let lock: SpinLock
  private var first: AttemptLink?

  init() {
    // unsafe: freed in deinit.
    unsafe memory = .allocate(byteCount: padding, alignment: padding)
    unsafe memory.initializeMemory(as: UInt64.self, repeating: 0, count: padding / 8)
    unsafe lock = SpinLock(at: memory)
  }

  deinit { unsafe memory.deallocate() }

  func insert(_ link: AttemptLink) {
    lock.lock()
    defer { lock.unlock() }
    link.next = first
    unsafe first?.previous = link
    first = link
  }

  func remove(_ link: AttemptLink) {
    lock.lock()
    let next = link.next
    unsafe next?.previous = link.previous
    if let previous = unsafe link.previous { previous.next = next } else { first = next }
    link.next = nil
    unsafe link.previous = nil
    lock.unlock()
  }

  /// The links of a run, or all.
  func links(of run: WorkflowRun?) -> [AttemptLink] {
    lock.lock()
    defer { lock.unlock() }
    var links: [AttemptLink] = []
    var link = first
    while let one = link {
      if run == nil || one.run === run { links.append(one) }
      link = one.next
    }
    return links
  }

  var isEmpty: Bool {
    lock.lock()
    defer { lock.unlock() }
    return first == nil
  }
}
