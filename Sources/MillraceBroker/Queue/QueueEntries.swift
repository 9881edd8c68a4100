internal import MillraceCore

/// What a queue knows of its messages, by place: 56 bytes each, for a message or for some of a `QueueRun`. Places are used again; the generation tells their users apart.
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

  /// Where its deadline stands.
  enum Deadline: UInt8 {
    /// It has none.
    case none
    /// In the line of those that expire: it is ready.
    case inLine
    /// In the heap, with its stamp.
    case inHeap
  }

  struct Entry {
    /// The message, or the run where `runCount` is not 0, and above its 48 bits, an address, how often it was acquired.
    private var messageWord: UInt64 = 0
    /// Its place among those of its priority.
    var sequence: UInt64 = 0
    /// The last nanosecond at which it may be delivered.
    var expiry: UInt64 = .max
    var bytes: UInt32 = 0
    /// Changes whenever its state does.
    var generation: UInt32 = 0
    /// Changes whenever a deadline of it leaves the heap.
    var stamp: UInt32 = 0
    /// Of the list of its priority, of its consumer, or of free places.
    var next = QueueEntries.none
    var previous = QueueEntries.none
    /// What consumers hold is in no line: one of the two needs these words at a time.
    private var one: UInt32 = 0
    private var other: UInt32 = 0
    /// Of a message how often it has failed. Nothing of a run has: where its messages begin that this is, and how many, 8 bits each.
    private var count: UInt16 = 0
    /// 5 bits of priority, 2 of the deadline, and whether it is of a run.
    private var traits: UInt8 = 0
    var state = State.free

    static let messageBits: UInt64 = 48

    @inline(__always) var message: UInt64 {
      get { messageWord & (1 << Entry.messageBits - 1) }
      set { messageWord = UInt64(acquired) << Entry.messageBits | newValue }
    }
    @inline(__always) var acquired: UInt16 {
      get { UInt16(truncatingIfNeeded: messageWord >> Entry.messageBits) }
      set { messageWord = message | UInt64(newValue) << Entry.messageBits }
    }
    @inline(__always) var priority: UInt8 {
      get { traits & 31 }
      set { traits = traits & ~31 | newValue }
    }
    @inline(__always) var deadline: Deadline {
      // unsafe: only cases are ever put there.
      get { unsafe Deadline(rawValue: traits >> 5 & 3).unsafelyUnwrapped }
      set { traits = traits & 0x9F | newValue.rawValue << 5 }
    }
    @inline(__always) private var isOfRun: Bool { traits & 0x80 != 0 }
    @inline(__always) var failed: UInt16 {
      get { isOfRun ? 0 : count }
      set { if !isOfRun { count = newValue } }
    }
    /// Of the run, the messages that this is: from which on, and how many; none: it is one message.
    @inline(__always) var runFrom: Int { isOfRun ? Int(count >> 8) : 0 }
    @inline(__always) var runCount: Int { isOfRun ? Int(count & 0xFF) : 0 }
    /// Some of a run, `QueuePlace.batch` messages at most; none: it is one message, which has not failed.
    @inline(__always) mutating func setRun(_ from: Int, _ some: Int) {
      traits = traits & 0x7F | (some > 0 ? 0x80 : 0)
      count = some > 0 ? UInt16(truncatingIfNeeded: from << 8 | some) : 0
    }
    /// Messages.
    @inline(__always) var weight: Int { max(1, runCount) }
    /// Who has it, while it is acquired.
    @inline(__always) var consumer: UInt32 {
      get { one }
      set { one = newValue }
    }
    /// When its consumer got it, in units of `QueueEntries.tick`.
    @inline(__always) var since: UInt32 {
      get { other }
      set { other = newValue }
    }
    /// Its neighbours, while it stands in the line of those that expire.
    @inline(__always) var earlier: UInt32 {
      get { one }
      set { one = newValue }
    }
    @inline(__always) var later: UInt32 {
      get { other }
      set { other = newValue }
    }
  }

  static let none = UInt32.max
  /// Nanoseconds, some 1 ms: what ages are told in.
  static let tick: UInt64 = 1 << 20

  /// Given back to the system when it was too small, not kept by the allocator in halves. Freed in `deinit`.
  private var region: Region
  // unsafe: in the region, `capacity` entries, the first `touched` of which are initialised.
  private var entries: UnsafeMutablePointer<Entry>
  private var capacity: UInt32
  private var free = QueueEntries.none
  private var touched: UInt32 = 0
  private(set) var count = 0

  init() {
    capacity = 16
    region = QueueEntries.memory(16)
    unsafe entries = region.base.assumingMemoryBound(to: Entry.self)
  }

  deinit { region.free() }

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
    unsafe entry.pointee.setRun(0, 0)
    unsafe entry.pointee.generation &+= 1
    unsafe entry.pointee.next = free
    free = index
    count &-= 1
  }

  private static func memory(_ count: Int) -> Region {
    do throws(MemoryError) { return try Region(bytes: count * MemoryLayout<Entry>.stride) } catch {
      preconditionFailure("\(error)")
    }
  }

  private mutating func grow() {
    let larger = QueueEntries.memory(Int(capacity) * 2)
    // unsafe: room for twice as many.
    let moved = unsafe larger.base.assumingMemoryBound(to: Entry.self)
    unsafe moved.moveInitialize(from: entries, count: Int(capacity))
    region.free()
    region = larger
    unsafe entries = moved
    capacity *= 2
  }
}
