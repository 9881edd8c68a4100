internal import CMillrace
internal import Synchronization

// Every word that threads of the core share goes through these two types. With MODEL_CHECK (Tests/Schedules) each operation first calls
// `ModelCheck.step`, so that a test decides which thread goes next: the code under test is the code that ships.

/// One 64-bit word in memory that outlives its users.
///
/// The order of each operation is in its name. `sequentiallyConsistent` forms are used where a store must be seen before a later load of
/// another word (Dekker's pattern); on x86-64 they cost nothing over the plain locked instruction.
@safe package struct SharedWord {
  private let cell: UnsafeMutablePointer<Atomic<UInt64>>

  /// unsafe: `address` must be 8-byte aligned, zeroed or initialised, and live for as long as this value is used.
  @unsafe @inline(__always) package init(_ address: UnsafeMutableRawPointer) {
    unsafe cell = address.assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  @inline(__always) package var address: UnsafeRawPointer { unsafe UnsafeRawPointer(cell) }

  @inline(__always) package func loadRelaxed() -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.load(ordering: .relaxed)
  }
  @inline(__always) package func loadAcquiring() -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.load(ordering: .acquiring)
  }
  @inline(__always) package func loadSequential() -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.load(ordering: .sequentiallyConsistent)
  }
  @inline(__always) package func storeRelaxed(_ value: UInt64) {
    ModelCheck.step()
    unsafe cell.pointee.store(value, ordering: .relaxed)
  }
  @inline(__always) package func storeReleasing(_ value: UInt64) {
    ModelCheck.step()
    unsafe cell.pointee.store(value, ordering: .releasing)
  }
  /// As `storeRelaxed`, for memory that nobody else looks at yet. Atomic only so that the compiler joins no two of them: a wide load of
  /// what narrow stores have just written waits for them to leave the store buffer.
  @inline(__always) package func put(_ value: UInt64) { unsafe cell.pointee.store(value, ordering: .relaxed) }
  @inline(__always) package func exchange(_ value: UInt64) -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.exchange(value, ordering: .sequentiallyConsistent)
  }
  /// True if the word was `expected` and is now `desired`.
  @inline(__always) package func replace(_ expected: UInt64, by desired: UInt64) -> Bool {
    ModelCheck.step()
    return unsafe cell.pointee.compareExchange(expected: expected, desired: desired, ordering: .sequentiallyConsistent).exchanged
  }
  /// The value before.
  @inline(__always) package func add(_ value: UInt64) -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.wrappingAdd(value, ordering: .sequentiallyConsistent).oldValue
  }
  /// The value after.
  @inline(__always) package func subtract(_ value: UInt64) -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.wrappingSubtract(value, ordering: .sequentiallyConsistent).newValue
  }
  /// The value before.
  @inline(__always) package func insert(bits: UInt64) -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.bitwiseOr(bits, ordering: .sequentiallyConsistent).oldValue
  }
  /// The value before.
  @inline(__always) package func remove(bits: UInt64) -> UInt64 {
    ModelCheck.step()
    return unsafe cell.pointee.bitwiseAnd(~bits, ordering: .sequentiallyConsistent).oldValue
  }
}

/// As `SharedWord`, 32 bits wide.
@safe package struct SharedHalf {
  private let cell: UnsafeMutablePointer<Atomic<UInt32>>

  /// unsafe: `address` must be 4-byte aligned, zeroed or initialised, and live for as long as this value is used.
  @unsafe @inline(__always) package init(_ address: UnsafeMutableRawPointer) {
    unsafe cell = address.assumingMemoryBound(to: Atomic<UInt32>.self)
  }

  @inline(__always) package var address: UnsafeRawPointer { unsafe UnsafeRawPointer(cell) }

  @inline(__always) package func loadRelaxed() -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.load(ordering: .relaxed)
  }
  @inline(__always) package func loadAcquiring() -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.load(ordering: .acquiring)
  }
  @inline(__always) package func storeRelaxed(_ value: UInt32) {
    ModelCheck.step()
    unsafe cell.pointee.store(value, ordering: .relaxed)
  }
  @inline(__always) package func storeReleasing(_ value: UInt32) {
    ModelCheck.step()
    unsafe cell.pointee.store(value, ordering: .releasing)
  }
  @inline(__always) package func exchange(_ value: UInt32) -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.exchange(value, ordering: .sequentiallyConsistent)
  }
  /// The value after.
  @inline(__always) package func subtract(_ value: UInt32) -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.wrappingSubtract(value, ordering: .acquiringAndReleasing).newValue
  }
}

/// Where a test takes hold of the threads. Costs nothing without the trait.
package enum ModelCheck {
  #if MODEL_CHECK
    /// Called before each operation on a shared word; set before any thread starts.
    nonisolated(unsafe) static var hook: (@convention(c) () -> Void)?

    /// Called instead of waiting: the thread cannot go on before another one has done something.
    nonisolated(unsafe) static var waitHook: (@convention(c) () -> Void)?

    @inline(__always) package static func step() {
      if let hook = unsafe hook { hook() }
    }
    /// False: the caller waits by itself.
    package static func wait() -> Bool {
      guard let hook = unsafe waitHook else { return false }
      hook()
      return true
    }
  #else
    @inline(__always) package static func step() {}
    @inline(__always) package static func wait() -> Bool { false }
  #endif
}

extension SharedHalf {
  /// The value before, sequentially consistent.
  @inline(__always) package func add(_ value: UInt32, ordered: Bool) -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.wrappingAdd(value, ordering: .sequentiallyConsistent).oldValue
  }
  @inline(__always) package func loadSequential() -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.load(ordering: .sequentiallyConsistent)
  }
  /// The value before.
  @inline(__always) package func remove(bits: UInt32) -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.bitwiseAnd(~bits, ordering: .sequentiallyConsistent).oldValue
  }
  /// For counts of holders, each of whom keeps what is counted.
  @inline(__always) package func add(_ value: UInt32) {
    ModelCheck.step()
    unsafe cell.pointee.wrappingAdd(value, ordering: .relaxed)
  }
  /// The value before.
  @inline(__always) package func insert(bits: UInt32) -> UInt32 {
    ModelCheck.step()
    return unsafe cell.pointee.bitwiseOr(bits, ordering: .sequentiallyConsistent).oldValue
  }
  /// True if the word was `expected` and is now `desired`.
  @inline(__always) package func replace(_ expected: UInt32, by desired: UInt32) -> Bool {
    ModelCheck.step()
    return unsafe cell.pointee.compareExchange(expected: expected, desired: desired, ordering: .sequentiallyConsistent).exchanged
  }
}

/// One round of a short spin: the processor's hint alone at first, then the rest of the time slice is given away.
package struct Backoff {
  private var rounds: UInt32 = 0

  package init() {}

  package mutating func pause() {
    if ModelCheck.wait() { return }
    rounds &+= 1
    if rounds < 64 { millrace_pause() } else { millrace_yield() }
  }
}

/// Stops the process if `condition` does not hold: our own mistake, never the caller's. Stays on in release.
@inlinable @inline(__always) package func invariant(_ condition: Bool, _ what: @autoclosure () -> StaticString) {
  if !condition { preconditionFailure("invariant broken: \(what())") }
}

/// One byte that several threads may write; relaxed, ordered by what comes after.
@safe package struct SharedByte {
  private let cell: UnsafeMutablePointer<Atomic<UInt8>>

  /// unsafe: `address` lives for as long as this value is used.
  @unsafe @inline(__always) package init(_ address: UnsafeMutablePointer<UInt8>) {
    unsafe cell = UnsafeMutableRawPointer(address).assumingMemoryBound(to: Atomic<UInt8>.self)
  }

  @inline(__always) package func load() -> UInt8 { unsafe cell.pointee.load(ordering: .relaxed) }
  @inline(__always) package func store(_ value: UInt8) { unsafe cell.pointee.store(value, ordering: .relaxed) }
}
