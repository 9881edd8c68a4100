internal import CMillrace
internal import MillraceCore

/// The items of a task, summed up. Those that are listed have records of their own among the tasks of the run: all of up to `ItemsRecord.listedInFull` items;
/// of more the first that failed and the slowest.
public struct ItemsRecord: Sendable, Hashable {
  /// Up to so many items of a task, each has a record.
  public static let listedInFull = 1_000
  /// Of more items, so many of those that failed, and of the slowest.
  public static let listedOfMany = 100

  /// Length of the list, whatever became of its items.
  public var count: Int
  /// Items of each status.
  public var statuses: [TaskStatus: Int]
  /// Attempts of all items.
  public var attempts: Int
  /// Indices into `RunRecord.tasks`.
  public var listed: [Int]
  /// Items of each status, and attempts, that have no records of their own.
  public var unlistedStatuses: [TaskStatus: Int]
  /// 0 if every item has a record of its own.
  public var unlistedAttempts: Int
  /// Nanoseconds of their last attempts together.
  public var unlistedTime: UInt64

  /// By default no item has a record of its own, nor is any counted as without one.
  public init(
    count: Int, statuses: [TaskStatus: Int], attempts: Int, listed: [Int] = [], unlistedStatuses: [TaskStatus: Int] = [:],
    unlistedAttempts: Int = 0, unlistedTime: UInt64 = 0
  ) {
    self.count = count
    self.statuses = statuses
    self.attempts = attempts
    self.listed = listed
    self.unlistedStatuses = unlistedStatuses
    self.unlistedAttempts = unlistedAttempts
    self.unlistedTime = unlistedTime
  }

  /// Every item has a record of its own.
  public var areListed: Bool { listed.count == count }
}

extension TaskRecord {
  /// It is an item of a task, `ID[index]`: ids of tasks have no brackets.
  public var isItem: Bool { id.utf8.last == UInt8(ascii: "]") }
}

extension RunRecord {
  /// Tasks and items, whether they have records of their own or not.
  public var taskCount: Int { tasks.count + tasks.reduce(0) { $0 + ($1.items.map { $0.count - $0.listed.count } ?? 0) } }
}

extension WorkflowRun {
  /// Counters of the tasks with those of their items, and how many both are.
  func sumWithItems() -> (RunCounters.Sum, tasks: Int) {
    var sum = counters.sum()
    var tasks = count
    for entry in allItems {
      tasks += entry.items.count
      guard let own = entry.run?.counters.sum() else { continue }
      sum.started += own.started
      sum.ended += own.ended
      sum.completed += own.completed
      sum.failed += own.failed
      sum.skipped += own.skipped
      sum.cancelled += own.cancelled
      sum.attempts += own.attempts
    }
    return (sum, tasks)
  }

  /// Adds records of items behind those of all tasks, and the sums to the tasks they are of. `first`: where this run's tasks begin.
  ///
  /// Complexity: O(items + log).
  func addItems(to tasks: inout [TaskRecord], from first: Int, slots: Int, threads: Int) {
    for entry in allItems { addItems(entry, to: &tasks, first + Int(entry.items.node), slots, threads) }
  }

  private func addItems(_ entry: ItemsOfTask, to tasks: inout [TaskRecord], _ parent: Int, _ slots: Int, _ threads: Int) {
    let items = entry.items
    let view = ItemsView(entry)
    let work = compiled.foreaches[items.node]?.work
    // An item that the run does itself only waits.
    let time = { work == nil ? view.time($0) : 0 }
    var sum = ItemsRecord(count: items.count, statuses: [:], attempts: 0)
    for item in 0..<items.count {
      sum.statuses[view.status(item), default: 0] += 1
      sum.attempts += view.attempts(item)
      sum.unlistedTime += time(item)
    }
    sum.unlistedStatuses = sum.statuses
    sum.unlistedAttempts = sum.attempts
    var bytes: UInt64 = 0
    for item in 0..<items.count { bytes += items.records.output(item).length }
    let task = tasks[parent]
    for item in view.listed(withSlowest: work == nil) {
      let attempts = view.attemptRecords(item, since: anchor.beganAt)
      let status = view.status(item)
      sum.listed.append(tasks.count)
      sum.unlistedStatuses[status, default: 0] -= 1
      if sum.unlistedStatuses[status] == 0 { sum.unlistedStatuses[status] = nil }
      sum.unlistedAttempts -= view.attempts(item)
      sum.unlistedTime -= time(item)
      tasks.append(
        TaskRecord(
          id: items.id(item), handler: work?.word ?? definition.tasks[Int(items.node)].handler, priority: task.priority, status: status,
          dependencies: task.dependencies,
          ready: task.attempts.first?.start, attempts: attempts,
          outputBytes: status == .completed ? items.records.output(item).length : 0))
      tasks[tasks.count - 1].children = view.children(item).map { $0.run.record(slots: slots, threads: threads) }
    }
    // It ends with them.
    if sum.areListed { tasks[parent].dependencies += sum.listed }
    if task.status == .completed { tasks[parent].outputBytes = bytes }
    tasks[parent].items = sum
  }
}

/// A look at the items of a task, those in progress among them.
private struct ItemsView {
  let items: Items
  let run: WorkflowRun?
  /// Places of the items that have begun and are not over.
  private var places: [Int: UInt32] = [:]
  private var logged: [Int: [WorkflowRun.LoggedAttempt]] = [:]

  init(_ entry: WorkflowRun.ItemsOfTask) {
    items = entry.items
    run = entry.run
    guard let run else { return }
    for place in 0..<UInt32(items.places) where run.records.attempts(place) > 0 || run.records.status(place) == .running {
      places[items.item(place)] = place
    }
    for attempt in run.monitor.locked({ run.log }) { logged[Int(attempt.node), default: []].append(attempt) }
  }

  func status(_ item: Int) -> TaskStatus {
    let status = items.status(item)
    if status == .pending, let place = places[item], run?.records.status(place) == .running { return .running }
    return status.word
  }

  /// The runs that the item's attempts have started.
  func children(_ item: Int) -> [WorkflowRun.Child] {
    if let kept = items.monitor.locked({ items.children[item] }) { return kept }
    guard let run, let place = places[item] else { return [] }
    return run.monitor.locked { items.item(place) == item ? run.children[place] ?? [] : [] }
  }

  /// Of the last attempt, if it is over.
  func time(_ item: Int) -> UInt64 {
    let (start, end) = (items.records.start(item), items.records.end(item))
    return start != 0 && end > start ? end - start : 0
  }

  func attempts(_ item: Int) -> Int {
    let attempts = items.records.attempts(item)
    return attempts == 0 ? places[item].map { run?.records.attempts($0) ?? 0 } ?? 0 : attempts
  }

  /// Items that have records of their own, in their order. `withSlowest`: false where they did nothing but wait.
  func listed(withSlowest: Bool) -> [Int] {
    if items.count <= ItemsRecord.listedInFull { return Array(0..<items.count) }
    var chosen: Set<Int> = []
    for item in 0..<items.count where [.failed, .timedOut].contains(status(item)) {
      chosen.insert(item)
      if chosen.count == ItemsRecord.listedOfMany { break }
    }
    if !withSlowest { return chosen.sorted() }
    // The slowest of those that are over: a bar that rises, and is cut back when there are too many above it.
    var slowest: [(time: UInt64, item: Int)] = []
    var bar: UInt64 = 0
    for item in 0..<items.count {
      let time = time(item)
      guard time > bar else { continue }
      slowest.append((time, item))
      if slowest.count < 2 * ItemsRecord.listedOfMany { continue }
      slowest.sort { $0.time > $1.time }
      slowest.removeLast(slowest.count - ItemsRecord.listedOfMany)
      bar = slowest.last?.time ?? 0
    }
    for entry in slowest.sorted(by: { $0.time > $1.time }).prefix(ItemsRecord.listedOfMany) { chosen.insert(entry.item) }
    return chosen.sorted()
  }

  func attemptRecords(_ item: Int, since base: UInt64) -> [AttemptRecord] {
    func since(_ time: UInt64) -> UInt64 { time > base ? time - base : 0 }
    var attempts = (logged[item] ?? []).map { attempt in
      AttemptRecord(
        number: attempt.number, status: attempt.status.word, start: since(attempt.start), end: since(attempt.end), lane: attempt.lane,
        errorType: attempt.error?.type ?? "", message: attempt.error?.message ?? "")
    }
    let count = self.attempts(item)
    if count == 0 || attempts.last.map({ $0.number >= count }) ?? false { return attempts }
    let status = status(item)
    if let place = places[item], let run, items.records.attempts(item) == 0 {
      guard status == .running else { return attempts }
      attempts.append(
        AttemptRecord(number: count, status: status, start: since(run.records.start(place)), end: nil, lane: run.records.lane(place)))
    } else {
      attempts.append(
        AttemptRecord(
          number: count, status: status, start: since(items.records.start(item)), end: since(items.records.end(item)),
          lane: items.records.lane(item)))
    }
    return attempts
  }
}
