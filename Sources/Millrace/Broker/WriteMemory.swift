internal import MillraceCore
internal import MillraceLog

/// Memory of one event on its way into the log: the request and all it points to, and behind it the payload.
@safe struct PendingWrite {
  enum Kind: UInt8 { case batch, definitions, state }

  // unsafe: as the block that it is in.
  @safe struct Head {
    var request: AppendRequest
    var token: UInt64 = 0
    /// Which blocks it is one of; nil: of its own.
    var size: Int?
    var kind = Kind.batch
    /// It has messages or definitions: whoever gave it has it still where there is no space.
    var isWhole = true
    /// nil: nobody waits.
    var waiter: Unmanaged<WriteWaiter>?
    /// The next one that is free.
    var next: UnsafeMutableRawPointer?
  }

  // The request comes first: its address is that of the block. Each has words in it, so that its stride keeps the next one aligned.
  private static var partAt: Int { MemoryLayout<Head>.stride }
  private static var eventAt: Int { partAt + MemoryLayout<RawStreamAppend>.stride }
  static var payloadAt: Int { (eventAt + MemoryLayout<RawEvent>.stride + 15) & ~15 }

  // unsafe: a block of `WriteMemory`.
  let base: UnsafeMutableRawPointer
  var head: UnsafeMutablePointer<Head> { unsafe base.assumingMemoryBound(to: Head.self) }
  var request: UnsafeMutablePointer<AppendRequest> { unsafe base.assumingMemoryBound(to: AppendRequest.self) }
  var part: UnsafeMutablePointer<RawStreamAppend> { unsafe (base + PendingWrite.partAt).assumingMemoryBound(to: RawStreamAppend.self) }
  var event: UnsafeMutablePointer<RawEvent> { unsafe (base + PendingWrite.eventAt).assumingMemoryBound(to: RawEvent.self) }
  var payload: UnsafeMutableRawPointer { unsafe base + PendingWrite.payloadAt }

  /// unsafe: a block that is in use.
  @unsafe init(_ base: UnsafeMutableRawPointer) { unsafe self.base = base }

  var payloadBytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: payload, count: Int(event.pointee.bytes)) }
}

/// Waits for the end of one write. Under the journal's monitor.
final class WriteWaiter {
  var outcome: AppendRequest.Outcome?
  var version: UInt64 = 0
}

/// Blocks for writes, used again and again.
///
/// # Threads
/// Any; under a monitor.
@safe final class WriteMemory: @unchecked Sendable {
  private static let smallest = 512
  /// 512 bytes to 1 MiB; what is larger has memory of its own.
  private static let sizes = 12
  /// Bytes of free blocks of each size that are kept, at most.
  private static let kept = 4 << 20

  // unsafe: lists of free blocks, linked by `next`.
  @safe private struct List {
    var first: UnsafeMutableRawPointer?
    var count = 0
  }

  private let monitor = Monitor()
  private var lists = [List](repeating: List(), count: WriteMemory.sizes)

  deinit {
    for list in lists {
      var next = unsafe list.first
      while let block = unsafe next {
        unsafe next = PendingWrite(block).head.pointee.next
        unsafe block.deallocate()
      }
    }
    monitor.deallocate()
  }

  /// A block with room for a payload. unsafe: its head is not initialised, but for `size`, which `give` needs.
  @unsafe func take(_ payload: Int) -> (block: UnsafeMutableRawPointer, size: Int?) {
    let bytes = PendingWrite.payloadAt + payload
    let size = max(0, Int.bitWidth - (max(bytes, 1) - 1).leadingZeroBitCount - WriteMemory.smallest.trailingZeroBitCount)
    guard size < WriteMemory.sizes else { return (.allocate(byteCount: bytes, alignment: 16), nil) }
    let block: UnsafeMutableRawPointer? = unsafe monitor.locked {
      guard let block = unsafe lists[size].first else { return nil }
      unsafe lists[size].first = PendingWrite(block).head.pointee.next
      lists[size].count -= 1
      return unsafe block
    }
    return unsafe (block ?? .allocate(byteCount: WriteMemory.smallest << size, alignment: 16), size)
  }

  /// The blocks of requests, which are over.
  func give(_ requests: UnsafeBufferPointer<UnsafeMutablePointer<AppendRequest>>) {
    monitor.locked {
      for index in 0..<requests.count { unsafe put(UnsafeMutableRawPointer(requests[index])) }
    }
  }

  /// As above, one.
  func give(_ write: PendingWrite) { monitor.locked { unsafe put(write.base) } }

  /// With the monitor.
  private func put(_ block: UnsafeMutableRawPointer) {
    let head = unsafe PendingWrite(block).head
    guard let size = unsafe head.pointee.size, lists[size].count < WriteMemory.kept / (WriteMemory.smallest << size) else {
      return unsafe block.deallocate()
    }
    unsafe head.pointee.next = lists[size].first
    unsafe lists[size].first = block
    lists[size].count += 1
  }
}
