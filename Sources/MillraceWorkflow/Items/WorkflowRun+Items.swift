internal import CMillrace
internal import MillraceCore

/// A run whose nodes are the places of a task's items (`Items`). What a task is to another run, an item is to this one: attempts, retries, timeouts and
/// cancellation are the same code.
///
/// The two ways in which it differs: what is over is written down by item, and the place goes on with the next one (`itemOver`); and what late code still
/// needs is kept apart from the place (`Orphans`), which is another item's by then.
extension WorkflowRun {
  /// The items of a task, and their run.
  struct ItemsOfTask {
    let items: Items
    /// nil: it has not started, or there is no item.
    var run: WorkflowRun?
  }

  /// Late handlers of items that are over, by node: their place may be another item's.
  @safe struct Orphans {
    var attempts: [AttemptPointer] = unsafe []
    /// Those that had not begun here when they timed out: they come back at once.
    var unnamed = 0
  }

  /// The task and the run that a node belongs to: of an item, those around it.
  @inline(__always) func home(_ node: UInt32) -> (run: WorkflowRun, node: UInt32) {
    guard let items else { return (self, node) }
    return (items.owner, items.node)
  }

  /// Index of a node's task in the definition.
  @inline(__always) func task(_ node: UInt32) -> Int { items == nil ? Int(node) : 0 }

  /// What a node is called: the task's id, with the number of the item that it works on.
  func name(_ node: UInt32) -> String { items.map { $0.id($0.item(node)) } ?? definition.tasks[Int(node)].id }

  /// The number that an entry of the log has for a node.
  func logged(_ node: UInt32) -> UInt32 { items.map { UInt32($0.item(node)) } ?? node }

  // MARK: Of the owner

  /// `run`: about to start, so that `stop` finds it.
  func keep(_ items: Items, _ run: WorkflowRun? = nil) { monitor.locked { itemsOf[items.node] = ItemsOfTask(items: items, run: run) } }

  /// They do not start.
  func drop(_ items: Items) { monitor.locked { itemsOf[items.node] = nil } }

  /// The items of a task; nil: it has none, or none yet.
  func items(of node: UInt32) -> Items? {
    if compiled.foreaches[node] == nil { return nil }
    return monitor.locked { itemsOf[node]?.items }
  }

  /// The runs of all items that have begun.
  var itemRuns: [WorkflowRun] {
    if compiled.foreaches.isEmpty { return [] }
    return monitor.locked { itemsOf.values.compactMap(\.run) }
  }

  /// By the order of their tasks.
  var allItems: [ItemsOfTask] {
    if compiled.foreaches.isEmpty { return [] }
    return monitor.locked { itemsOf.values.sorted { $0.items.node < $1.items.node } }
  }

  // MARK: An item begins

  /// Looks at what a node's expressions make, when its attempt begins. On the lane that begins it.
  func begin(_ node: UInt32, lane: Int) -> Beginning {
    guard let items else {
      guard let own = compiled.expressions[node] else { return .goes }
      return begin(own, node, lane: lane)
    }
    let turn = items.turn(node)
    guard let own = compiled.expressions[0], let values else { return .goes }
    do throws(ExpressionError) {
      let item = ItemScope(list: items.list, index: turn.index)
      if let condition = own.condition, try !isTrue(condition, values, item) { return .skipped }
      if let input = own.input, turn.input == nil {
        turn.input = KeptBytes(try input.bytes { RunScope(run: items.owner, values: values, roots: own.inputRoots[$0], item: item) })
      }
      if !own.environment.isEmpty, turn.environment == nil { turn.environment = try environment(own.environment, values, item) }
      return .goes
    } catch {
      return .failed("\(error.message): \(error.fix)")
    }
  }

  /// Names an attempt after its item: `run/task[index]`. unsafe: the attempt is the caller's; its key is `run/task`.
  @unsafe func name(_ attempt: AttemptPointer, after items: Items) {
    let turn = unsafe items.turn(attempt.pointee.node)
    unsafe attempt.turnWord.storeRelaxed(UInt64(UInt(bitPattern: Unmanaged.passUnretained(turn).toOpaque())))
    var end = unsafe attempt.key
    while unsafe end.pointee != 0 { unsafe end += 1 }
    for byte in "[\(turn.index)]".utf8 {
      unsafe end.pointee = CChar(bitPattern: byte)
      unsafe end += 1
    }
    unsafe end.pointee = 0
  }

  /// The input of an item: what expressions made, or the definition's; then the outputs of its task's dependencies.
  func input(_ items: Items, _ turn: ItemTurn?, _ index: Int) -> millrace_input? {
    guard index == 0 else { return unsafe items.owner.input(items.node, index) }
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    unsafe input.name = texts.inputName
    let literal = unsafe texts.input(0)
    var (base, count) = unsafe (UnsafeRawPointer(literal.baseAddress), literal.count)
    if let made = turn?.input {
      unsafe (base, count) = (UnsafeRawPointer(made.address(of: 0)), made.bytes.count)
    }
    unsafe input.payload = millrace_payload(offset: 0, length: UInt64(count), arena: .max, content_type: UInt32(MILLRACE_JSON))
    unsafe input.bytes = base
    return unsafe input
  }

  /// An input that a handler names as its output lies in the run's memory for tasks; for an item it is copied there. unsafe: the attempt is the caller's.
  @unsafe func copyInput(_ payload: millrace_payload, _ attempt: AttemptPointer) -> millrace_payload? {
    guard items != nil, payload.arena == .max, payload.offset == 0, let made = unsafe attempt.turn?.input,
      payload.length == UInt64(made.bytes.count),
      let (target, claimed) = unsafe arena.claim(lane: attempt.pointee.arenaLane, length: made.bytes.count)
    else { return nil }
    unsafe made.bytes.withBuffer { unsafe target.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    var copy = claimed
    copy.content_type = payload.content_type
    return copy
  }

  // MARK: An item ends

  func finishedItem(lane: Int, node: UInt32, outcome: UInt8) -> UInt8 {
    // Held: the next attempt may have begun elsewhere by now.
    if finished(lane: lane, node: node, outcome: outcome) == Verdict.hold.rawValue { return Verdict.hold.rawValue }
    return itemOver(node) ? Verdict.hold.rawValue : Verdict.release.rawValue
  }

  func bypassedItem(lane: Int, node: UInt32) {
    bypassed(lane: lane, node: node)
    guard let items else { return }
    takeRecord(items, node)
    items.drop(node)
  }

  /// What became of the item of a place.
  func takeRecord(_ items: Items, _ node: UInt32) {
    let item = items.item(node)
    items.records.take(item, from: records, node)
    if let runs = monitor.locked({ children.removeValue(forKey: node) }) { items.keep(runs, of: item) }
  }

  /// The item of a node is over. True: the place has the next one, and its node is on its way to a worker. False: the node is to be released.
  func itemOver(_ node: UInt32) -> Bool {
    guard let items else { return false }
    takeRecord(items, node)
    items.drop(node)
    // With the stop of the run as with any node: what is resubmitted nevertheless is bypassed.
    if shouldStop { return false }
    if compiled.hasTimers(node) {
      // Under the monitor: a timer of the old item that fires now finds another one.
      let hasNext = monitor.locked {
        orphan(node)
        return items.take(node)
      }
      if !hasNext { return false }
    } else if !items.take(node) {
      return false
    }
    records.clear(node)
    if observation != nil { records.setEnd(node, host.scheduler.clock.now) }
    if let past = items.past(node), let due = takeUp(past, node) {
      goOnWaiting(node, due)
    } else {
      host.scheduler.resubmit(coreRun, node: node)
    }
    return true
  }

  /// What is late of an item that is over goes apart. With the monitor held.
  private func orphan(_ node: UInt32) {
    guard let state = slow.removeValue(forKey: node), state.lateHandlers > 0 else { return }
    var left = orphans[node] ?? Orphans()
    for i in unsafe state.lateAttempts.indices { unsafe left.attempts.append(state.lateAttempts[i]) }
    let named = unsafe state.lateAttempts.count
    left.unnamed += state.lateHandlers - named
    orphans[node] = left
  }

  /// A late handler is back on its lane: is it one of an item that is over? Its attempt, if it has one. With the monitor held.
  func lateOrphan(_ node: UInt32, lane: Int) -> (isOne: Bool, attempt: AttemptPointer?) {
    guard var left = orphans[node] else { return (false, nil) }
    defer { if unsafe left.attempts.isEmpty && left.unnamed == 0 { orphans[node] = nil } else { orphans[node] = left } }
    if let index = unsafe left.attempts.firstIndex(where: { unsafe $0.pointee.lane == lane }) {
      return unsafe (true, left.attempts.remove(at: index))
    }
    // One that is the item's own is known by its attempt.
    let isOwn = unsafe slow[node]?.lateAttempts.contains { unsafe $0.pointee.lane == lane } ?? false
    if left.unnamed == 0 || isOwn { return (false, nil) }
    left.unnamed -= 1
    return (true, nil)
  }

  /// Places that have no item any more, and items that no place has taken: after the last node.
  func endItems(_ items: Items) {
    counters.count(.cancelled, lane: -1, by: items.untaken)
    tellWatcher()
  }
}
