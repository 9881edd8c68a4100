import MillraceWorkflow

/// Where each attempt is drawn: rows of worker threads, then of blocking threads, then rows into which the asynchronous attempts are packed.
///
/// A record tells on which thread an attempt started, not whether it kept it. But a thread that begins another attempt while the first one
/// goes on was free: so an attempt during which another one starts on its lane is asynchronous, and with it all attempts of its handler.
/// A lane below 0 means the same. What stays on a thread's row never overlaps there.
struct Lanes {
  enum Kind: Int { case worker, blocking, asynchronous }

  struct Row: Equatable {
    var kind: Kind
    /// From 1, within its kind.
    var number: Int
  }

  /// One attempt, by index of its task and position in `TaskRecord.attempts`.
  struct Place: Equatable {
    var task: Int
    var attempt: Int
    var start: UInt64
    var end: UInt64
    var row: Int
  }

  private(set) var rows: [Row] = []
  /// By start, then by task.
  private(set) var places: [Place] = []
  /// How many tasks the run could have in progress at once: its slots if a handler completed asynchronously, else no more than its threads.
  private(set) var capacity: Int
  /// How many tasks were in progress at least whenever one that was ready had to wait: the machines of Graham's bound. The slots, or the
  /// worker threads or the blocking threads where those were what a task had to wait for.
  private(set) var machines: Int
  /// Attempts left out because of `limit`.
  private(set) var omitted = 0

  /// Up to this many threads, idle ones have a row too.
  static let idleRowsUpTo = 16

  /// - Parameters:
  ///   - limit: at most this many attempts get a place: first those of `kept` tasks, then those that did not complete, then the longest.
  /// - Complexity: O(n log n) in attempts.
  init(_ record: RunRecord, limit: Int, keeping kept: Set<Int> = []) {
    var all: [Place] = []
    all.reserveCapacity(record.attemptCount)
    for (task, taskRecord) in record.tasks.enumerated() {
      for (index, attempt) in taskRecord.attempts.enumerated() {
        all.append(Place(task: task, attempt: index, start: attempt.start, end: attempt.start + record.duration(attempt), row: -1))
      }
    }
    all.sort { ($0.start, $0.task, $0.attempt) < ($1.start, $1.task, $1.attempt) }
    let asynchronous = Self.asynchronousHandlers(record, all)
    let lane = { (place: Place) in record.tasks[place.task].attempts[place.attempt].lane }
    let isAsynchronous = { (place: Place) in lane(place) < 0 || asynchronous.contains(record.tasks[place.task].handler) }

    let threads = max(1, record.threads)
    var used = Set(all.lazy.filter { !isAsynchronous($0) }.map(lane))
    let caller = AttemptRecord.callerLane
    let workers = threads + (used.contains(caller) ? 1 : 0)
    let blocking = used.count { $0 >= threads && $0 != caller }
    capacity = max(1, record.slots)
    machines = capacity
    if used.count > blocking { machines = min(machines, workers) }
    if blocking > 0 { machines = min(machines, blocking) }
    if !all.contains(where: { isAsynchronous($0) && record.tasks[$0.task].items == nil }) { capacity = min(capacity, workers + blocking) }
    if threads <= Self.idleRowsUpTo, !used.isEmpty { used.formUnion(0..<threads) }
    var rowOfLane: [Int: Int] = [:]
    // A thread that awaited the run comes after the workers.
    for thread in used.sorted(by: { ($0 == caller ? threads : $0, $1) < ($1 == caller ? threads : $1, $0) }) {
      rowOfLane[thread] = rows.count
      if thread < threads || thread == caller {
        rows.append(Row(kind: .worker, number: thread == caller ? workers : thread + 1))
      } else {
        rows.append(Row(kind: .blocking, number: thread - threads + 1))
      }
    }

    if all.count > limit {
      omitted = all.count - limit
      all = Self.mostTelling(limit, of: all, in: record, keeping: kept)
    }
    places = all
    var packing = Packing()
    let firstPacked = rows.count
    for index in places.indices {
      if isAsynchronous(places[index]) {
        places[index].row = firstPacked + packing.row(from: places[index].start, to: places[index].end)
      } else {
        places[index].row = rowOfLane[lane(places[index])] ?? 0
      }
    }
    for number in 0..<packing.rows { rows.append(Row(kind: .asynchronous, number: number + 1)) }
  }

  /// Handlers with an attempt that went on while its thread began another one.
  private static func asynchronousHandlers(_ record: RunRecord, _ places: [Place]) -> Set<String> {
    let handler = { (place: Place) in record.tasks[place.task].handler }
    let lane = { (place: Place) in record.tasks[place.task].attempts[place.attempt].lane }
    var found = Set<String>()
    // By lane, those that began last and together; whatever overlaps a later start overlaps the next one.
    var latest: [Int: [Place]] = [:]
    for place in places {
      let before = latest[lane(place), default: []]
      if let first = before.first, first.start < place.start {
        for other in before where other.end > place.start { found.insert(handler(other)) }
        latest[lane(place)] = [place]
      } else {
        latest[lane(place), default: []].append(place)
      }
    }
    // Of several with one start (a virtual clock), all but one were asynchronous; which, only their handlers' other attempts tell.
    var previous: [Int: Place] = [:]
    for place in places where !found.contains(handler(place)) {
      if let before = previous[lane(place)], before.end > place.start, place.end > place.start { found.insert(handler(before)) }
      previous[lane(place)] = place
    }
    return found
  }

  private static func mostTelling(_ limit: Int, of places: [Place], in record: RunRecord, keeping kept: Set<Int>) -> [Place] {
    let rank = { (place: Place) in
      if kept.contains(place.task) { return 0 }
      return record.tasks[place.task].attempts[place.attempt].status == .completed ? 2 : 1
    }
    let ranked = places.map { (rank: rank($0), place: $0) }.sorted { a, b in
      (a.rank, b.place.end - b.place.start) < (b.rank, a.place.end - a.place.start)
    }
    return ranked.prefix(limit).map(\.place).sorted { ($0.start, $0.task, $0.attempt) < ($1.start, $1.task, $1.attempt) }
  }
}

/// Interval packing: each interval, given by start, goes to the lowest row that is free, so that n rows hold n overlapping intervals.
private struct Packing {
  private(set) var rows = 0
  private var busy = Heap<(end: UInt64, row: Int)> { $0.end < $1.end }
  private var free = Heap<Int> { $0 < $1 }

  mutating func row(from start: UInt64, to end: UInt64) -> Int {
    while let first = busy.first, first.end <= start {
      free.insert(first.row)
      busy.removeFirst()
    }
    let row: Int
    if let lowest = free.first {
      row = lowest
      free.removeFirst()
    } else {
      row = rows
      rows += 1
    }
    // An interval of no length still needs a row of its own among those that start with it.
    busy.insert((max(end, start + 1), row))
    return row
  }
}

/// A binary heap; `first` is the least by `precedes`.
private struct Heap<Element> {
  private var elements: [Element] = []
  private let precedes: (Element, Element) -> Bool

  init(_ precedes: @escaping (Element, Element) -> Bool) { self.precedes = precedes }

  var first: Element? { elements.first }

  mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, precedes(elements[child], elements[(child - 1) / 2]) {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeFirst() {
    elements.swapAt(0, elements.count - 1)
    elements.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < elements.count && precedes(elements[child], elements[least]) {
        least = child
      }
      if least == parent { return }
      elements.swapAt(parent, least)
      parent = least
    }
  }
}
