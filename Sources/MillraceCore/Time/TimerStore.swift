internal import CMillrace
internal import Glibc

/// Timers of one thread: a hierarchical wheel for the many that never fire, and a 4-ary heap, exact to the nanosecond, for those due within
/// the current tick.
///
/// A timer is put by the highest digit in which its tick differs from the wheel's place, so all of a level lies before all of the next, and
/// eight levels of 64 slots cover every `UInt64`: nothing is clamped, nothing wraps around. A slot is taken apart when its earliest timer is
/// due, one timer a step; a timer moves down at most once per level. A slot's timers are eight lists by turns, so that while one is moved
/// the next ones of the others are on their way from memory.
///
/// # Threads
/// One at a time; `Timers` puts a lock around it.
/// # Fields
/// All plain. The wheel, the nodes and the heap lie in one mapping, which the kernel fills with zeros as it is touched.
/// # Limits
/// `capacity` timers, refused with `TimerFull`; 56 bytes each. Timers due at the same nanosecond fire in the order of arming.
/// # Source
/// G. Varghese and A. Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 7.
@safe
package struct TimerStore: ~Copyable {
  /// A tick is 2^20 nanoseconds, about a millisecond.
  package static let tickShift: UInt64 = 20
  /// What `nextDue` says when nothing is armed.
  package static let never = UInt64.max
  /// The most timers that a store may hold: a handle has 24 bits for the place.
  package static let capacityLimit = 1 << 24 - 1

  static let levels = 8
  static let slots = 512
  static let noSlot: UInt16 = .max
  /// Lists of a slot. Timers that were armed one after the other, and lie side by side, are in one.
  static let lists = 8
  @inline(__always) static func list(_ sequence: UInt64) -> Int { Int(truncatingIfNeeded: sequence >> 8) & (lists - 1) }

  /// One timer's record.
  struct Node {
    var due: UInt64
    var value: UInt64
    /// Counts armings: breaks ties.
    var sequence: UInt64
    var generation: UInt32
    /// The next of its list. 0: none.
    var next: UInt32
    /// In a list the one before it, 0 for the first; in the heap its position.
    var previous: UInt32
    var place: UInt16
    var kind: UInt16
  }

  /// `Node.place`: below `slots` a slot of the wheel, level * 64 + slot.
  enum Place {
    static let free: UInt16 = 0xFFFF
    static let heap: UInt16 = 0xFFFE
  }

  struct HeapEntry {
    var due: UInt64
    var index: UInt32
  }

  package let capacity: Int
  private let mapping: UnsafeMutableRawPointer
  private let mappingBytes: Int
  /// Bit s of `occupied[l]`: slot s of level l has timers.
  let occupied: UnsafeMutablePointer<UInt64>
  /// No timer of an occupied slot is due before this. Exact until one is cancelled.
  let earliest: UnsafeMutablePointer<UInt64>
  /// The first node of each list, `lists` for a slot; 0: none.
  let heads: UnsafeMutablePointer<UInt32>
  /// Bit k of `filled[s]`: list k of slot s has timers.
  let filled: UnsafeMutablePointer<UInt8>
  /// Node 0 is nobody: writing to it spares a branch when unlinking.
  let nodes: UnsafeMutablePointer<Node>
  let heap: UnsafeMutablePointer<HeapEntry>

  /// The wheel's place. Timers of this tick and earlier ones are in the heap, later ones in the wheel, but for the slot being taken apart.
  var tick: UInt64 = 0
  /// Bit l: level l has an occupied slot.
  var occupiedLevels: UInt64 = 0
  /// The slot being taken apart, or `noSlot`.
  var draining = TimerStore.noSlot
  /// The list that the last timer was moved from.
  var drained = 0
  var heapCount = 0
  private var sequence: UInt64 = 0
  private let freePlaces: FreePlaces
  private var touched = 0

  /// How many timers are armed.
  package private(set) var count = 0

  /// - Parameter capacity: 1 to `capacityLimit`. Address space is reserved, memory is taken as it is used.
  /// - Throws: `TimerMemoryError` if the kernel gives no address space.
  package init(capacity: Int) throws(TimerMemoryError) {
    precondition((1...Self.capacityLimit).contains(capacity), "a timer store holds 1 to \(Self.capacityLimit) timers, not \(capacity)")
    let earliestOffset = 64
    let headsOffset = earliestOffset + Self.slots * 8
    let filledOffset = headsOffset + Self.slots * Self.lists * 4
    let nodesOffset = filledOffset + Self.slots
    let heapOffset = (nodesOffset + (capacity + 1) * MemoryLayout<Node>.stride + 15) & ~15
    let freeOffset = heapOffset + capacity * MemoryLayout<HeapEntry>.stride
    let bytes = freeOffset + FreePlaces.bytes(places: capacity + 1)
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let memory = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), unsafe memory != MAP_FAILED else {
      throw TimerMemoryError(bytes: bytes, code: errno)
    }
    self.capacity = capacity
    unsafe mapping = memory
    mappingBytes = bytes
    // Zeroed memory is a valid value of all of these, and the offsets keep each aligned.
    unsafe occupied = memory.assumingMemoryBound(to: UInt64.self)
    unsafe earliest = (memory + earliestOffset).assumingMemoryBound(to: UInt64.self)
    unsafe heads = (memory + headsOffset).assumingMemoryBound(to: UInt32.self)
    unsafe filled = (memory + filledOffset).assumingMemoryBound(to: UInt8.self)
    unsafe nodes = (memory + nodesOffset).assumingMemoryBound(to: Node.self)
    unsafe heap = (memory + heapOffset).assumingMemoryBound(to: HeapEntry.self)
    unsafe freePlaces = FreePlaces(memory: memory + freeOffset, places: capacity + 1)
  }

  deinit { unsafe munmap(mapping, mappingBytes) }

  /// Arms a timer.
  ///
  /// - Parameters:
  ///   - due: nanoseconds; a past moment fires at the next `advance`. `UInt64.max` never comes before the end of time.
  ///   - value: handed back when it fires.
  ///   - kind: handed back when it fires.
  ///   - now: the time if the caller knows it: it moves an idle wheel on, so that later work is spread evenly. 0: not known.
  /// - Complexity: O(1), but O(log n) of those in the current tick if it is due within that.
  package mutating func arm(due: UInt64, value: UInt64, kind: UInt16, now: UInt64 = 0) throws(TimerFull) -> TimerHandle {
    let nowTick = now >> Self.tickShift
    if nowTick > tick { catchUp(to: nowTick) }
    if let index = freePlaces.take() { return arm(UInt32(truncatingIfNeeded: index), due, value, kind) }
    guard touched < capacity else { throw TimerFull(capacity: capacity) }
    touched += 1
    unsafe nodes[touched].generation = 1
    return arm(UInt32(truncatingIfNeeded: touched), due, value, kind)
  }

  @inline(__always)
  private mutating func arm(_ index: UInt32, _ due: UInt64, _ value: UInt64, _ kind: UInt16) -> TimerHandle {
    // Safe: index is a node of the slab that is in no list.
    let node = unsafe nodes + Int(index)
    unsafe node.pointee.due = due
    unsafe node.pointee.value = value
    unsafe node.pointee.sequence = sequence
    unsafe node.pointee.kind = kind
    sequence &+= 1
    count += 1
    put(index, due: due)
    return unsafe TimerHandle(index: index, generation: node.pointee.generation)
  }

  /// Cancels a timer. False if it has fired, was cancelled before, or never was.
  ///
  /// - Complexity: O(1), but O(log n) of those in the current tick if it is one of them.
  package mutating func cancel(_ handle: TimerHandle) -> Bool {
    let index = handle.index
    guard index != 0, Int(index) <= touched else { return false }
    // Safe: index was checked against the nodes in use. A free node's generation is that of its next use, so its place decides.
    let node = unsafe nodes + Int(index)
    let place = unsafe node.pointee.place
    guard unsafe node.pointee.generation == handle.generation, place != Place.free else { return false }
    if place == Place.heap {
      unsafe removeFromHeap(at: Int(node.pointee.previous))
    } else {
      unlink(index, from: place)
    }
    free(index)
    return true
  }

  /// The earliest moment at which `advance` has something to do; `never` if nothing is armed.
  ///
  /// Never later than the first timer; earlier only if a timer that was the first of its slot has been cancelled.
  /// - Complexity: O(1)
  package var nextDue: UInt64 {
    // Safe: places below `slots`, and the heap's first entry if there is one.
    let near = unsafe heapCount > 0 ? heap[0].due : Self.never
    let slot = draining != Self.noSlot ? Int(draining) : firstSlot
    return slot < 0 ? near : unsafe Swift.min(near, earliest[slot])
  }

  /// Fires what is due at `now`, in the order of due times, ties in the order of arming; never early.
  ///
  /// - Parameters:
  ///   - now: nanoseconds. An earlier time than before fires nothing new.
  ///   - limit: at most so many steps: a timer fired or moved within the wheel is one. If work is left, `nextDue` is not after `now`.
  ///   - each: called for each timer that fires; must not use this store.
  /// - Returns: how many fired.
  /// - Complexity: O(log n) of those in its tick for each that fires, and at most one move a level over its life.
  @inline(__always)
  package mutating func advance(to now: UInt64, limit: Int = .max, _ each: (TimerFire) -> Void) -> Int {
    var left = limit
    var fired = 0
    while left > 0 {
      if draining != Self.noSlot {
        moveOne()
      } else if let index = unsafe heapCount > 0 && heap[0].due <= now ? heap[0].index : nil {
        removeFromHeap(at: 0)
        // Safe: the heap holds nodes of the slab.
        let node = unsafe nodes + Int(index)
        let fire = unsafe TimerFire(due: node.pointee.due, value: node.pointee.value, kind: node.pointee.kind)
        free(index)
        fired += 1
        each(fire)
      } else if !beginDrain(at: now) {
        break
      } else {
        continue
      }
      left -= 1
    }
    let nowTick = now >> Self.tickShift
    if nowTick > tick, draining == Self.noSlot { catchUp(to: nowTick) }
    return fired
  }

  @inline(__always)
  private mutating func free(_ index: UInt32) {
    // Safe: the caller took the node out of its list.
    let node = unsafe nodes + Int(index)
    let generation = unsafe node.pointee.generation &+ 1
    unsafe node.pointee.generation = generation == 0 ? 1 : generation
    unsafe node.pointee.place = Place.free
    freePlaces.put(Int(index))
    count -= 1
  }
}

/// The kernel gave no address space for timers.
public struct TimerMemoryError: Error, Equatable, CustomStringConvertible {
  /// Bytes asked for.
  public let bytes: Int
  /// An errno value.
  public let code: Int32

  public var description: String {
    // Safe: strerror returns a terminated string; it is copied at once.
    "cannot reserve \(bytes) bytes for timers: \(unsafe String(cString: strerror(code))); lower the timer capacity"
  }
}
