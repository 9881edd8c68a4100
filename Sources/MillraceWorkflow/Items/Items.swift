internal import CMillrace
internal import MillraceCore

/// The items of one task of a run: what they are, who works on which, and what became of them.
///
/// They are worked on by a run of its own behind the task's (`WorkflowRun.items`), whose nodes are places: a place takes one item after the other, so that
/// what is kept for an item that has not begun is a number. The places are as many as items may be in progress, and not more than the items.
///
/// # Threads
/// `turn`, `put`, `drop`: the one that has the place's node, or nobody has. `take`, `item`: any. The rest as said.
@safe final class Items: @unchecked Sendable {
  /// Places of a task that names no `parallelism`, beside one for each slot: items that wait for their next attempt keep their places.
  static let places = 1024

  /// The task: it outlives its items.
  unowned let owner: WorkflowRun
  let node: UInt32
  let list: ItemList
  let records: ItemRecords
  let places: Int
  /// Items that are left to do, where the run was taken over from another process; nil: all.
  private let left: [UInt32]?
  /// What those among them have had there.
  private let pasts: [UInt32: Past]
  private let memory: UnsafeMutableRawPointer
  /// Guards what follows.
  let monitor = Monitor()
  /// Whom to tell of the end.
  private var task: HeldTask?
  /// The first item that failed, and why.
  private(set) var failure: (item: Int, error: AttemptError)?
  /// Turns that are not used again while the run is there.
  private var kept: [ItemTurn] = []
  /// The runs that attempts of items have started which are over, by item: of those that have records of their own.
  private(set) var children: [Int: [WorkflowRun.Child]] = [:]
  /// The outputs as one list, once somebody has asked for it.
  var whole: Result<millrace_payload, ExpressionError>?

  /// What the items of a run that is taken over have come to.
  struct History {
    /// Those that are left to do, in their order.
    var left: [UInt32]
    /// Of those among them that have had attempts.
    var pasts: [UInt32: Past] = [:]
    /// What became of the others.
    var restore: (ItemRecords) -> Void
  }

  /// What an item that is not over has had in another process. Times are the host's clock's.
  struct Past {
    var attempts: Int
    /// Those that do not count for the retry policy: before somebody had the task done again.
    var before: Int
    /// When the next attempt is due; nil: at once.
    var due: UInt64?
    /// When schedule-to-close ends; nil: it has not begun.
    var closes: UInt64?
  }

  /// `task`: whom to tell of the end; nil: nobody.
  init(
    _ list: ItemList, of owner: WorkflowRun, node: UInt32, places: Int, task: HeldTask?, history: History? = nil
  ) throws(MemoryError) {
    self.owner = owner
    self.node = node
    self.list = list
    left = history?.left
    pasts = history?.pasts ?? [:]
    self.places = min(places, history?.left.count ?? list.count)
    self.task = task
    records = try ItemRecords(count: list.count)
    history?.restore(records)
    // unsafe: freed in deinit; a line for the number of items taken, then two words for each place.
    let bytes = padding + self.places * 16
    unsafe memory = .allocate(byteCount: bytes, alignment: padding)
    unsafe memory.initializeMemory(as: UInt64.self, repeating: 0, count: bytes / 8)
    next.storeRelaxed(UInt64(self.places))
    for place in 0..<self.places { number(UInt32(place)).storeRelaxed(UInt64(left?[place] ?? UInt32(place))) }
  }

  deinit {
    for place in 0..<places { drop(UInt32(place)) }
    records.deallocate()
    monitor.deallocate()
    unsafe memory.deallocate()
  }

  var count: Int { list.count }

  /// Bytes that are kept for each item, beside its output: ids and inputs are made when it begins.
  var bytesPerItem: Int { ItemRecords.bytes + list.bytesPerItem }

  // MARK: Places

  /// Items that places have taken; may be above `count`.
  private var next: SharedWord { unsafe SharedWord(memory) }
  private func number(_ place: UInt32) -> SharedWord {
    precondition(Int(place) < places)
    // unsafe: the place is one of `places`.
    return unsafe SharedWord(memory + (padding + Int(place) * 16))
  }
  private func turnWord(_ place: UInt32) -> SharedWord {
    precondition(Int(place) < places)
    // unsafe: as above.
    return unsafe SharedWord(memory + (padding + Int(place) * 16 + 8))
  }

  /// The item that a place works on, or did last. Any thread.
  func item(_ place: UInt32) -> Int { Int(number(place).loadAcquiring()) }

  /// Items that no place has taken.
  var untaken: Int { max(0, leftCount - Int(next.loadRelaxed())) }

  /// Items that places take.
  var leftCount: Int { left?.count ?? count }

  /// What the item of a place had before its run was taken over; nil: nothing.
  func past(_ place: UInt32) -> Past? { pasts.isEmpty ? nil : pasts[UInt32(item(place))] }

  /// The place takes the next item. False: there is none.
  func take(_ place: UInt32) -> Bool {
    let item = next.add(1)
    if item >= UInt64(leftCount) { return false }
    // Order: releasing. Pairs with the load in `item`.
    number(place).storeReleasing(left.map { UInt64($0[Int(item)]) } ?? item)
    return true
  }

  /// The turn of the item that a place works on: made with its first attempt.
  func turn(_ place: UInt32) -> ItemTurn {
    let word = turnWord(place)
    let bits = word.loadRelaxed()
    if bits != 0 { return unsafe Unmanaged<ItemTurn>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(bits))!).takeUnretainedValue() }
    let turn = ItemTurn(index: item(place))
    word.storeRelaxed(UInt64(UInt(bitPattern: unsafe Unmanaged.passRetained(turn).toOpaque())))
    return turn
  }

  /// The item is over.
  func drop(_ place: UInt32) {
    let word = turnWord(place)
    let bits = word.loadRelaxed()
    if bits == 0 { return }
    word.storeRelaxed(0)
    // unsafe: retained by `turn`.
    let turn = unsafe Unmanaged<ItemTurn>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(bits))!).takeRetainedValue()
    if turn.isOut { monitor.locked { kept.append(turn) } }
  }

  // MARK: What became of them

  private var over: SharedWord { unsafe SharedWord(memory + 8) }
  /// No place takes an item any more.
  var isOver: Bool { over.loadAcquiring() != 0 }
  // Order: releasing. Pairs with the load above.
  func end() { over.storeReleasing(1) }

  /// An item failed for good.
  func note(_ item: Int, _ error: AttemptError?) {
    monitor.locked {
      if failure == nil { failure = (item, error ?? AttemptError(type: "error", message: "")) }
    }
  }

  /// The runs of an item that is over. Of many items they are kept for those that have records, the first that failed. Complexity: O(items that have records).
  func keep(_ runs: [WorkflowRun.Child], of item: Int) {
    monitor.locked {
      let isListed = count <= ItemsRecord.listedInFull || [.failed, .timedOut].contains(records.status(item))
      if !isListed { return }
      children[item] = ((children[item] ?? []) + runs).sorted { $0.attempt < $1.attempt }
      if count > ItemsRecord.listedInFull, children.count > ItemsRecord.listedOfMany, let last = children.keys.max() {
        children[last] = nil
      }
    }
  }

  /// Whom to tell of the end; once.
  func takeTask() -> HeldTask? {
    monitor.locked {
      defer { task = nil }
      return task
    }
  }

  /// Of an item that is over, or of one that no place will take any more.
  func status(_ item: Int) -> NodeRecords.Status {
    let status = records.status(item)
    return status == .pending && isOver ? .cancelled : status
  }

  /// `ID[index]`.
  func id(_ item: Int) -> String { "\(owner.definition.tasks[Int(node)].id)[\(item)]" }
}
