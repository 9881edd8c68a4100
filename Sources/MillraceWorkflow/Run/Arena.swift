internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Memory for the payloads of one run: claimed piece by piece, never moved, freed with the run.
///
/// A payload names its bytes by chunk and offset, so that it means the same in another process that maps the chunk. Each worker has a chunk of its
/// own and claims without a lock; all other threads share one behind a lock.
///
/// # Threads
/// `claim(lane)`: the lane's own thread, or any for the shared lane. `bytes(of:)`: any, for payloads that were handed over with an acquire.
@safe final class Arena: @unchecked Sendable {
  /// Bytes that one run may claim.
  static let maxBytes: UInt64 = 64 << 30
  private static let firstChunk = 4 << 10
  private static let largestChunk = 1 << 20
  private static let firstSegment = 64
  private static let segments = 20

  @safe private struct Chunk {
    var base: UnsafeMutableRawPointer?
    var size: UInt64
  }
  @safe private struct Lane {
    var base: UnsafeMutableRawPointer?
    var used: Int
    var size: Int
    var chunk: UInt32
    var next: Int
  }

  private let lanes: UnsafeMutablePointer<Lane>
  private let laneCount: Int
  private let control: UnsafeMutableRawPointer
  /// Guards the shared lane; guards the table.
  private let sharedLock: SpinLock
  private let tableLock: SpinLock
  private let chunkCount: SharedWord
  private let total: SharedWord
  /// Tables of 64, 128, 256 ... chunks, so that no entry ever moves.
  private let tables: UnsafeMutablePointer<UnsafeMutablePointer<Chunk>?>

  /// `workers` lanes, and the shared one with index `workers`.
  init(workers: Int) {
    laneCount = workers + 1
    // unsafe: one piece, freed in deinit: the control words' line, the tables, the lanes. Zeroed memory is the empty state of the first two.
    let tableBytes = unsafe Arena.segments * MemoryLayout<UnsafeMutableRawPointer?>.stride
    unsafe control = .allocate(byteCount: 64 + tableBytes + laneCount * MemoryLayout<Lane>.stride, alignment: 64)
    unsafe control.initializeMemory(as: UInt64.self, repeating: 0, count: 8)
    unsafe tables = (control + 64).initializeMemory(as: UnsafeMutablePointer<Chunk>?.self, repeating: nil, count: Arena.segments)
    unsafe lanes = (control + 64 + tableBytes).initializeMemory(
      as: Lane.self, repeating: Lane(base: nil, used: 0, size: 0, chunk: 0, next: Arena.firstChunk), count: laneCount)
    unsafe sharedLock = SpinLock(at: control)
    unsafe tableLock = SpinLock(at: control + 4)
    unsafe chunkCount = SharedWord(control + 8)
    unsafe total = SharedWord(control + 16)
  }

  deinit {
    for i in 0..<Int(chunkCount.loadAcquiring()) { unsafe free(entry(i).pointee.base) }
    for i in 0..<Arena.segments { unsafe tables[i]?.deallocate() }
    unsafe control.deallocate()
  }

  private func entry(_ index: Int) -> UnsafeMutablePointer<Chunk> {
    let scaled = index / Arena.firstSegment + 1
    let segment = Int.bitWidth - 1 - scaled.leadingZeroBitCount
    // unsafe: the caller names a chunk that exists, or is about to, so that its table is there.
    return unsafe tables[segment]! + (index - Arena.firstSegment * (1 << segment - 1))
  }

  /// `length` bytes aligned to 16; nil if memory is exhausted. Complexity: O(1).
  func claim(lane: Int, length: Int) -> (bytes: UnsafeMutableRawPointer, payload: millrace_payload)? {
    if lane < laneCount - 1 { return unsafe claimLocked(lane, length) }
    sharedLock.lock()
    defer { sharedLock.unlock() }
    return unsafe claimLocked(laneCount - 1, length)
  }

  private func claimLocked(_ index: Int, _ length: Int) -> (bytes: UnsafeMutableRawPointer, payload: millrace_payload)? {
    // unsafe: the lane is the calling thread's.
    let lane = unsafe lanes + index
    let rounded = (max(length, 1) + 15) & ~15
    if unsafe lane.pointee.size - lane.pointee.used < rounded {
      if rounded > Arena.largestChunk / 4 {
        // Large claims get a chunk of their own; the lane goes on with its own.
        guard let (base, chunk) = unsafe makeChunk(rounded) else { return nil }
        return unsafe (base, millrace_payload(offset: 0, length: UInt64(length), arena: chunk, content_type: 0))
      }
      let size = unsafe max(lane.pointee.next, rounded)
      guard let (base, chunk) = unsafe makeChunk(size) else { return nil }
      unsafe lane.pointee = Lane(base: base, used: 0, size: size, chunk: chunk, next: min(size * 2, Arena.largestChunk))
    }
    let offset = unsafe lane.pointee.used
    unsafe lane.pointee.used += rounded
    return unsafe (
      lane.pointee.base! + offset,
      millrace_payload(offset: UInt64(offset), length: UInt64(length), arena: lane.pointee.chunk, content_type: 0)
    )
  }

  private func makeChunk(_ size: Int) -> (UnsafeMutableRawPointer, UInt32)? {
    if total.add(UInt64(size)) + UInt64(size) > Arena.maxBytes {
      _ = total.subtract(UInt64(size))
      return nil
    }
    // unsafe: freed in deinit.
    guard let base = unsafe aligned_alloc(64, (size + 63) & ~63) else { return nil }
    tableLock.lock()
    defer { tableLock.unlock() }
    let index = Int(chunkCount.loadRelaxed())
    let segment = Int.bitWidth - 1 - (index / Arena.firstSegment + 1).leadingZeroBitCount
    guard segment < Arena.segments else {
      unsafe free(base)
      return nil
    }
    if unsafe tables[segment] == nil { unsafe tables[segment] = .allocate(capacity: Arena.firstSegment << segment) }
    unsafe entry(index).initialize(to: Chunk(base: base, size: UInt64(size)))
    // Order: releasing. Pairs with the acquiring load in `bytes(of:)`.
    chunkCount.storeReleasing(UInt64(index + 1))
    return unsafe (base, UInt32(index))
  }

  /// Where a payload's bytes are; nil if it names bytes outside its chunk, or no chunk. The empty payload has no bytes, and no address.
  func bytes(of payload: millrace_payload) -> UnsafeRawPointer? {
    guard UInt64(payload.arena) < chunkCount.loadAcquiring() else { return nil }
    // unsafe: the chunk exists; its entry does not change.
    let chunk = unsafe entry(Int(payload.arena)).pointee
    guard payload.offset <= chunk.size, payload.length <= chunk.size - payload.offset, let base = unsafe chunk.base else { return nil }
    return unsafe UnsafeRawPointer(base) + Int(payload.offset)
  }

  /// Bytes taken from the system.
  var bytesTaken: UInt64 { total.loadRelaxed() }
}
