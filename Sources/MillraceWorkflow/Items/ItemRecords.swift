internal import CMillrace
internal import MillraceCore

/// What became of each item of a task: 40 bytes, written once by the thread that settles the item, readable by anyone at any time.
///
/// Words of an item: start, end, output (arena 32, offset 32), output length (32) with content type (8), status (4) and attempts (20), lane.
@safe struct ItemRecords {
  static let bytes = 40
  private let region: Region
  let count: Int

  init(count: Int) throws(MemoryError) {
    region = try Region(bytes: max(count, 1) * ItemRecords.bytes)
    self.count = count
  }

  func deallocate() { region.free() }

  @inline(__always) private func word(_ item: Int, _ i: Int) -> SharedWord {
    precondition(item >= 0 && item < count)
    // unsafe: the item is one of `count`.
    return unsafe SharedWord(region.base + (item &* ItemRecords.bytes &+ i &* 8))
  }

  /// Takes over what a node knows of the item that was its last.
  func take(_ item: Int, from records: NodeRecords, _ node: UInt32) {
    word(item, 0).storeRelaxed(records.start(node))
    word(item, 1).storeRelaxed(records.end(node))
    let output = records.output(node)
    word(item, 2).storeRelaxed(UInt64(output.arena) << 32 | output.offset)
    word(item, 4).storeRelaxed(UInt64(bitPattern: Int64(records.lane(node))))
    // Order: releasing. Pairs with the load in `status`: who sees that the item is over reads what it made.
    word(item, 3).storeReleasing(
      UInt64(records.attempts(node)) << 44 | UInt64(records.status(node).rawValue) << 40 | UInt64(output.content_type & 0xFF) << 32
        | output.length)
  }

  /// What an item was before its run was taken over. Before anybody else has the records.
  func restore(
    _ item: Int, _ status: NodeRecords.Status, start: UInt64, end: UInt64, output: millrace_payload, attempts: Int
  ) {
    word(item, 0).storeRelaxed(start)
    word(item, 1).storeRelaxed(end)
    word(item, 2).storeRelaxed(UInt64(output.arena) << 32 | output.offset)
    word(item, 4).storeRelaxed(UInt64(bitPattern: -1))
    word(item, 3).storeReleasing(
      UInt64(attempts) << 44 | UInt64(status.rawValue) << 40 | UInt64(output.content_type & 0xFF) << 32 | output.length)
  }

  /// `pending`: it is not over.
  func status(_ item: Int) -> NodeRecords.Status {
    NodeRecords.Status(rawValue: UInt8(word(item, 3).loadAcquiring() >> 40 & 0xF)) ?? .pending
  }
  func start(_ item: Int) -> UInt64 { word(item, 0).loadRelaxed() }
  func end(_ item: Int) -> UInt64 { word(item, 1).loadRelaxed() }
  func attempts(_ item: Int) -> Int { Int(word(item, 3).loadRelaxed() >> 44) }
  func lane(_ item: Int) -> Int { Int(Int64(bitPattern: word(item, 4).loadRelaxed())) }
  func output(_ item: Int) -> millrace_payload {
    let place = word(item, 2).loadRelaxed()
    let more = word(item, 3).loadRelaxed()
    return millrace_payload(
      offset: place & 0xFFFF_FFFF, length: more & 0xFFFF_FFFF, arena: UInt32(place >> 32), content_type: UInt32(more >> 32 & 0xFF))
  }
}
