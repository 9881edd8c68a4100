/// The consumers of a queue, and whose turn it is.
///
/// # Threads
/// One at a time.
@safe struct QueueConsumers: ~Copyable {
  struct Consumer {
    var isThere = false
    /// It stands in the line of those that may get one.
    var isInLine = false
    /// Messages that it may hold.
    var prefetch: UInt32 = 0
    var held: UInt32 = 0
    /// What it holds, in the order in which that was delivered.
    var first = QueueEntries.none
    var last = QueueEntries.none
    /// When it came.
    var arrival: UInt64 = 0

    @inline(__always) var hasCredit: Bool { isThere && held < prefetch }
  }

  // unsafe: `capacity` consumers, all initialised, freed in `deinit`.
  private var all: UnsafeMutablePointer<Consumer>
  private var capacity = 4
  private var used: UInt32 = 0
  private var free: [UInt32] = []
  private var arrivals: UInt64 = 0
  private(set) var count = 0
  /// Those that have credit, next first; some may have lost it meanwhile. Empty while there is one consumer at most.
  private var line: [UInt32] = []
  private var lineStart = 0
  /// The only consumer.
  private var only: UInt32?

  init() {
    unsafe all = .allocate(capacity: 4)
    unsafe all.initialize(repeating: Consumer(), count: 4)
  }

  deinit { unsafe all.deallocate() }

  /// unsafe: nobody is added while it is used.
  @inline(__always) subscript(_ number: UInt32) -> UnsafeMutablePointer<Consumer> { unsafe all + Int(number) }

  func isThere(_ number: UInt32) -> Bool { unsafe number < used && all[Int(number)].isThere }

  /// Complexity: O(1), amortised.
  mutating func add(prefetch: UInt32) -> UInt32 {
    let number = free.popLast() ?? used
    if number == used {
      if Int(used) == capacity { grow() }
      used += 1
    }
    arrivals += 1
    unsafe all[Int(number)] = Consumer(isThere: true, prefetch: prefetch, arrival: arrivals)
    count += 1
    if let only {
      self.only = nil
      enter(only)
    }
    if count == 1 { only = number } else { enter(number) }
    return number
  }

  /// It holds nothing any more. Complexity: O(consumers).
  mutating func remove(_ number: UInt32) {
    unsafe self[number].pointee.isThere = false
    unsafe self[number].pointee.isInLine = false
    line.removeFirst(lineStart)
    lineStart = 0
    line.removeAll { $0 == number }
    free.append(number)
    count -= 1
    only = nil
    guard count == 1, let last = oldest else { return }
    only = last
    line.removeAll()
    unsafe self[last].pointee.isInLine = false
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<Consumer>.allocate(capacity: capacity * 2)
    unsafe larger.moveInitialize(from: all, count: capacity)
    unsafe (larger + capacity).initialize(repeating: Consumer(), count: capacity)
    unsafe all.deallocate()
    unsafe all = larger
    capacity *= 2
  }

  /// The one that came first. Complexity: O(consumers).
  var oldest: UInt32? {
    var oldest: UInt32?
    var arrival = UInt64.max
    for number in 0..<used {
      let consumer = unsafe all[Int(number)]
      if consumer.isThere, consumer.arrival < arrival { (oldest, arrival) = (number, consumer.arrival) }
    }
    return oldest
  }

  /// It may get one again.
  @inline(__always) mutating func enter(_ number: UInt32) {
    if only == nil { enterLine(number) }
  }

  private mutating func enterLine(_ number: UInt32) {
    if unsafe all[Int(number)].isInLine || !all[Int(number)].hasCredit { return }
    unsafe self[number].pointee.isInLine = true
    line.append(number)
  }

  /// Whose turn it is; it leaves the line. nil: nobody may get one. Complexity: O(1), amortised.
  @inline(__always) mutating func next() -> UInt32? {
    if let only { return unsafe all[Int(only)].hasCredit ? only : nil }
    return nextInLine()
  }

  private mutating func nextInLine() -> UInt32? {
    while lineStart < line.count {
      let number = line[lineStart]
      lineStart += 1
      if lineStart > 64, lineStart > line.count / 2 {
        line.removeFirst(lineStart)
        lineStart = 0
      }
      unsafe self[number].pointee.isInLine = false
      if unsafe all[Int(number)].hasCredit { return number }
    }
    line.removeAll(keepingCapacity: true)
    lineStart = 0
    return nil
  }
}
