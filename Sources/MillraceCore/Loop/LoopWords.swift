internal import Synchronization

/// The words that other threads share with the loop, in memory of their own.
///
/// # Fields
/// `alarm`: when the descriptor is to be readable, `UInt64.max` for never. All lower it; only the loop raises it, by taking it.
/// `wake`: 1 while a wake-up is under way. All set it, the loop clears it.
/// `stopping`: 1 once the own thread is to end. `turns`: how often the loop woke up; only the loop adds.
/// # Progress
/// `lowerAlarm`, `askWake` and what the loop does are lock-free.
@safe
struct LoopWords: @unchecked Sendable {
  private static let line = 128
  private let memory: UnsafeMutableRawPointer
  let gate: Gate

  init() {
    // Safe: five words, each on a line of its own, initialised at once.
    unsafe memory = .allocate(byteCount: 5 * Self.line, alignment: Self.line)
    unsafe memory.initializeMemory(as: Atomic<UInt64>.self, to: Atomic(.max))
    unsafe (memory + Self.line).initializeMemory(as: Atomic<UInt32>.self, to: Atomic(0))
    unsafe (memory + 2 * Self.line).initializeMemory(as: Atomic<UInt32>.self, to: Atomic(0))
    unsafe (memory + 3 * Self.line).initializeMemory(as: Atomic<UInt64>.self, to: Atomic(0))
    unsafe gate = Gate(word: (memory + 4 * Self.line).assumingMemoryBound(to: Atomic<UInt32>.self))
  }

  /// Nobody uses the words any more. Atomics of integers need no deinitialisation.
  func deallocate() { unsafe memory.deallocate() }

  private var alarm: UnsafeMutablePointer<Atomic<UInt64>> { unsafe memory.assumingMemoryBound(to: Atomic<UInt64>.self) }
  private var wake: UnsafeMutablePointer<Atomic<UInt32>> { unsafe (memory + Self.line).assumingMemoryBound(to: Atomic<UInt32>.self) }
  private var stopping: UnsafeMutablePointer<Atomic<UInt32>> {
    unsafe (memory + 2 * Self.line).assumingMemoryBound(to: Atomic<UInt32>.self)
  }
  private var turnCount: UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe (memory + 3 * Self.line).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  /// Lowers the alarm. True if it was later: the caller then sets the descriptor.
  func lowerAlarm(to at: UInt64) -> Bool {
    // Order: sequentially consistent, and always a read-modify-write, even where nothing changes. Pairs with `takeAlarm()`: either that comes
    // later and its thread sees what this one published before, or this comes later and finds the alarm taken. And with `Gate.open()`.
    var old = alarmAt
    while true {
      // Not `Atomic.min`, which compares unsigned values as signed ones in Swift 6.3.
      let exchange = unsafe alarm.pointee.compareExchange(expected: old, desired: min(old, at), ordering: .sequentiallyConsistent)
      if exchange.exchanged { return at < old }
      old = exchange.original
    }
  }

  /// The alarm as it is.
  var alarmAt: UInt64 {
    // Order: sequentially consistent. Pairs with `lowerAlarm(to:)`: see docs/loop.md for the argument.
    unsafe alarm.pointee.load(ordering: .sequentiallyConsistent)
  }

  /// The loop takes the alarm that went off; what is due next is looked up after.
  func takeAlarm() {
    // Order: sequentially consistent. Pairs with `lowerAlarm(to:)`.
    _ = unsafe alarm.pointee.exchange(.max, ordering: .sequentiallyConsistent)
  }

  /// Asks for a wake-up. True if none is under way: the caller then sends it.
  func askWake() -> Bool {
    // Order: sequentially consistent, always a read-modify-write. Pairs with `takeWake()`: who finds a wake-up under way has its work seen by
    // it. And with `Gate.open()`.
    unsafe wake.pointee.exchange(1, ordering: .sequentiallyConsistent) == 0
  }

  /// The loop takes the wake-up; work is looked up after. True if there was one.
  @discardableResult
  func takeWake() -> Bool {
    // Order: sequentially consistent. Pairs with `askWake()`.
    unsafe wake.pointee.exchange(0, ordering: .sequentiallyConsistent) == 1
  }

  /// A wake-up was asked for and not taken.
  var isWakeAsked: Bool {
    // Order: sequentially consistent. Pairs with `askWake()` before a shut gate.
    unsafe wake.pointee.load(ordering: .sequentiallyConsistent) == 1
  }

  var isStopping: Bool {
    // Order: acquiring. Pairs with the releasing store in `stop()`.
    unsafe stopping.pointee.load(ordering: .acquiring) == 1
  }

  func stop() {
    // Order: releasing. Pairs with the acquiring load in `isStopping`.
    unsafe stopping.pointee.store(1, ordering: .releasing)
  }

  /// Order: relaxed: a count for reports.
  var turns: UInt64 { unsafe turnCount.pointee.load(ordering: .relaxed) }

  func countTurn() {
    // Order: relaxed, as only the loop adds.
    unsafe turnCount.pointee.add(1, ordering: .relaxed)
  }
}
