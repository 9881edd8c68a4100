/// What a queue knows of its messages, by place: 64 bytes each, a cache line, for a message or for some of a `QueueRun`. Places are used again; the generation tells their users apart.
///
/// # Threads
/// One at a time.
@safe struct QueueEntries: ~Copyable {
  enum State: UInt8 {
    case free
    /// In the list of its priority.
    case listed
    /// In the heap of its priority: it was there before, and keeps its place by its sequence.
    case returned
    case delayed
    /// In the hands of a consumer.
    case acquired
    /// In the hands of somebody who moves it to another queue, or puts it back.
    case lifted
  }

  struct Entry {
    /// Or the run, where `runCount` is not 0.
    var message: UInt64 = 0
    /// Its place among those of its priority.
    var sequence: UInt64 = 0
    /// The last nanosecond at which it may be delivered.
    var expiry: UInt64 = .max
    var bytes: UInt32 = 0
    /// Changes whenever its state does.
    var generation: UInt32 = 0
    /// Changes whenever its deadline does.
    var stamp: UInt32 = 0
    /// Of the list of its priority, of its consumer, or of free places.
    var next = QueueEntries.none
    var previous = QueueEntries.none
    var consumer: UInt32 = 0
    /// When its consumer got it, in units of `QueueEntries.tick`.
    var since: UInt32 = 0
    var acquired: UInt16 = 0
    var failed: UInt16 = 0
    var priority: UInt8 = 0
    var state = State.free
    /// A deadline with the stamp stands in the heap.
    var hasDeadline = false
    /// Of the run, the messages that this is: from which on, and how many; none: it is one message.
    var runFrom: UInt16 = 0
    var runCount: UInt16 = 0

    /// Messages.
    @inline(__always) var weight: Int { max(1, Int(runCount)) }
  }

  static let none = UInt32.max
  /// Nanoseconds, some 1 ms: what ages are told in.
  static let tick: UInt64 = 1 << 20

  // unsafe: `capacity` entries, the first `touched` of which are initialised; freed in `deinit`.
  private var entries: UnsafeMutablePointer<Entry>
  private var capacity: UInt32
  private var free = QueueEntries.none
  private var touched: UInt32 = 0
  private(set) var count = 0

  init() {
    capacity = 16
    unsafe entries = QueueEntries.memory(16)
  }

  deinit { unsafe entries.deallocate() }

  /// unsafe: nothing is made while it is used.
  @inline(__always) subscript(_ index: UInt32) -> UnsafeMutablePointer<Entry> {
    assert(index < capacity)
    return unsafe entries + Int(index)
  }

  /// Places that have ever been used.
  var touchedCount: UInt32 { touched }

  func contains(_ index: UInt32) -> Bool { index < touched }

  /// A free place; what it held last is there still. Complexity: O(1), amortised.
  @inline(__always) mutating func make() -> UInt32 {
    count &+= 1
    if free != QueueEntries.none {
      let index = free
      free = unsafe self[index].pointee.next
      return index
    }
    return makeNew()
  }

  @inline(never) private mutating func makeNew() -> UInt32 {
    if touched == capacity { grow() }
    unsafe self[touched].initialize(to: Entry())
    touched += 1
    return touched - 1
  }

  @inline(__always) mutating func give(_ index: UInt32) {
    let entry = unsafe self[index]
    unsafe entry.pointee.state = .free
    unsafe entry.pointee.runCount = 0
    unsafe entry.pointee.generation &+= 1
    unsafe entry.pointee.next = free
    free = index
    count &-= 1
  }

  private static func memory(_ count: Int) -> UnsafeMutablePointer<Entry> {
    let size = count * MemoryLayout<Entry>.stride
    // unsafe: a whole line each.
    return unsafe UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64).assumingMemoryBound(to: Entry.self)
  }

  private mutating func grow() {
    let larger = unsafe QueueEntries.memory(Int(capacity) * 2)
    unsafe larger.moveInitialize(from: entries, count: Int(capacity))
    unsafe entries.deallocate()
    unsafe entries = larger
    capacity *= 2
  }
}
