/// A list in memory that grows and never shrinks, so that a steady state allocates nothing.
///
/// # Threads
/// One.
@safe struct Growing<Element: BitwiseCopyable>: ~Copyable {
  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var count = 0
  private var room = 64

  init() { unsafe base = .allocate(capacity: 64) }
  deinit { unsafe base.deallocate() }

  /// Complexity: O(1) on average.
  @inline(__always) mutating func append(_ element: Element) {
    if count == room { grow() }
    unsafe base[count] = element
    count &+= 1
  }

  @inline(__always) subscript(index: Int) -> Element {
    // unsafe: below the count, as the caller sees to.
    unsafe base[index]
  }

  @inline(__always) mutating func removeAll() { count = 0 }

  @inline(never) private mutating func grow() {
    // unsafe: what is there moves to room for twice as much.
    let new = UnsafeMutablePointer<Element>.allocate(capacity: room * 2)
    unsafe new.update(from: base, count: count)
    unsafe base.deallocate()
    unsafe base = new
    room *= 2
  }
}

/// A set of small numbers that grows with the largest. Whoever adds takes out again.
@safe struct Marks: ~Copyable {
  private var words: UnsafeMutablePointer<UInt64>
  private var count: Int

  /// For numbers below `capacity`, at first.
  init(capacity: Int) {
    count = (capacity + 63) / 64
    // unsafe: new memory, zeroed.
    unsafe words = .allocate(capacity: count)
    unsafe words.initialize(repeating: 0, count: count)
  }

  deinit { unsafe words.deallocate() }

  /// False: it was in. `number` is below the capacity.
  @inline(__always) func insert(_ number: UInt32) -> Bool {
    // unsafe: below the capacity, as the caller sees to.
    let word = unsafe words + Int(number >> 6)
    let bit = 1 as UInt64 &<< UInt64(number & 63)
    let old = unsafe word.pointee
    unsafe word.pointee = old | bit
    return old & bit == 0
  }

  @inline(__always) func remove(_ number: UInt32) {
    // unsafe: as above.
    unsafe words[Int(number >> 6)] &= ~(1 &<< UInt64(number & 63))
  }

  /// Takes all out from `low` to `high`, in order. Complexity: O(high - low). Where they are written there is room.
  func drain(from low: UInt32, through high: UInt32, into numbers: UnsafeMutablePointer<UInt32>) {
    var count = 0
    for index in Int(low >> 6)...Int(high >> 6) {
      // unsafe: as above.
      var word = unsafe words[index]
      unsafe words[index] = 0
      while word != 0 {
        unsafe numbers[count] = UInt32(index * 64 + word.trailingZeroBitCount)
        count += 1
        word &= word - 1
      }
    }
  }

  /// For numbers below `capacity`.
  mutating func grow(to capacity: Int) {
    let wanted = (capacity + 63) / 64
    if wanted <= count { return }
    let new = Swift.max(wanted, count * 2)
    // unsafe: the old words, and zeroes behind.
    let grown = UnsafeMutablePointer<UInt64>.allocate(capacity: new)
    unsafe grown.update(from: words, count: count)
    unsafe (grown + count).initialize(repeating: 0, count: new - count)
    unsafe words.deallocate()
    unsafe words = grown
    count = new
  }
}
