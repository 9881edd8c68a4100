internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Makes one commit's block in memory that direct writes may read.
///
/// # Threads
/// One at a time.
@safe struct BlockBuilder {
  private let region: OwnedRegion
  private let memory: Bytes
  let unit: Int
  /// Of the segment that the block goes to.
  private(set) var seed: Seed
  private(set) var offset: Int
  private(set) var used = BlockHeader.bytes
  private(set) var entries = 0
  private(set) var events = 0
  private(set) var firstPosition: UInt64 = 0
  private var digest: UInt32 = 0
  /// Of the block and its events.
  private(set) var time: Int64 = 0

  /// - Parameter bytes: the largest block, a multiple of the unit. Memory is taken as it is used.
  init(bytes: Int, unit: Int, seed: Seed) throws(MemoryError) {
    // One unit more, so that there is an aligned beginning.
    region = try OwnedRegion(bytes: max(bytes + unit, 64 << 10))
    // A direct write pins one page then instead of hundreds.
    region.region.useLargePages()
    let start = unsafe UnsafeMutableRawPointer(bitPattern: roundUp(Int(bitPattern: region.region.base), to: unit))!
    // Safe: the region has a unit more than that.
    unsafe memory = Bytes(base: start, count: bytes)
    self.unit = unit
    self.seed = seed
    offset = unit
  }

  var capacity: Int { memory.count }
  var isEmpty: Bool { entries == 0 }

  /// The next block goes to `offset` of the segment that `seed` is of.
  mutating func begin(_ seed: Seed, offset: Int, firstPosition: UInt64, time: Int64) {
    self.seed = seed
    self.offset = offset
    self.firstPosition = firstPosition
    self.time = time
    used = BlockHeader.bytes
    entries = 0
    events = 0
    digest = seed.at(offset)
  }

  /// Adds an event; the position is the next one. Gives its offset in the file.
  @inline(__always) mutating func add(_ event: RawEvent, stream: UInt32, version: UInt64, tenant: UInt32, flags: Entry.Flags) -> Int {
    var flags = flags
    var length = Entry.fixed
    if let context = unsafe event.context { unsafe length += put(context.pointee, &flags) }
    let at = used
    if let key = event.key {
      flags.insert(.sealed)
      memory.store(UInt64(key), at: at &+ length)
      length += Entry.keyBytes
    }
    // Safe: `event` promises so many bytes at its payload.
    if event.bytes > 0 { unsafe memory.put(event.payload!, Int(event.bytes), at: at &+ length) }
    length &+= Int(event.bytes)
    put(
      at, length, position: firstPosition &+ UInt64(events), version: version, id: event.id, stream: stream, tenant: tenant,
      type: event.type.value, typeVersion: event.typeVersion, flags: flags, contentType: event.contentType.value)
    events &+= 1
    return offset &+ at
  }

  /// Adds an entry of the log's own.
  mutating func addSystem(_ type: UInt16, stream: UInt32, payload: [UInt8], isOptional: Bool = false) {
    let at = used
    unsafe payload.withUnsafeBytes { unsafe memory.put($0.baseAddress!, $0.count, at: at + Entry.fixed) }
    put(
      at, Entry.fixed + payload.count, position: firstPosition + UInt64(events), version: 0, id: EventID(high: 0, low: 0), stream: stream,
      tenant: 0, type: type, typeVersion: 1, flags: isOptional ? [.system, .optional] : .system, contentType: 0)
  }

  @inline(__always) private mutating func put(
    _ at: Int, _ length: Int, position: UInt64, version: UInt64, id: EventID, stream: UInt32, tenant: UInt32, type: UInt16,
    typeVersion: UInt16,
    flags: Entry.Flags, contentType: UInt16
  ) {
    let entry = memory.slice(at, length)
    entry.store(UInt32(length), at: 0)
    entry.store(position, at: 8)
    entry.store(version, at: 16)
    entry.store(id.high, at: 24)
    entry.store(id.low, at: 32)
    entry.store(stream, at: 40)
    entry.store(tenant, at: 44)
    entry.store(time, at: 48)
    entry.store(type, at: 56)
    entry.store(typeVersion, at: 58)
    entry.store(flags.rawValue, at: 60)
    entry.store(contentType, at: 62)
    let checksum = Entry.checksum(entry, length: length, at: offset &+ at, seed)
    entry.store(checksum, at: 4)
    digest = Checksum.add(checksum, to: digest)
    let end = roundUp(at &+ length, to: 8)
    if end != at &+ length { memory.zero(at &+ length, end) }
    used = end
    entries &+= 1
  }

  /// The optional parts of an event, in the order of their flags. Gives their bytes.
  private func put(_ context: EventContext, _ flags: inout Entry.Flags) -> Int {
    var at = used + Entry.fixed
    if let id = context.correlation {
      flags.insert(.correlation)
      memory.store(id.high, at: at)
      memory.store(id.low, at: at + 8)
      at += 16
    }
    if let id = context.causation {
      flags.insert(.causation)
      memory.store(id.high, at: at)
      memory.store(id.low, at: at + 8)
      at += 16
    }
    if let trace = context.trace {
      flags.insert(.trace)
      memory.store(trace.trace.high, at: at)
      memory.store(trace.trace.low, at: at + 8)
      memory.store(trace.span, at: at + 16)
      memory.store(UInt64(trace.flags), at: at + 24)
      at += Entry.traceBytes
    }
    return at - used - Entry.fixed
  }

  /// Bytes of an event's entry, with the zeros behind it.
  @inline(__always) static func bytes(_ event: RawEvent) -> Int {
    var bytes = Entry.fixed &+ Int(event.bytes) &+ (event.key == nil ? 0 : Entry.keyBytes)
    if let context = unsafe event.context {
      unsafe bytes +=
        (context.pointee.correlation != nil ? 16 : 0) + (context.pointee.causation != nil ? 16 : 0)
        + (context.pointee.trace != nil ? Entry.traceBytes : 0)
    }
    return roundUp(bytes, to: 8)
  }

  /// The whole block, with its header and zeros up to a multiple of the unit.
  mutating func finish(durableUpTo: UInt64, session: UInt32, flags: UInt32 = 0) -> UnsafeRawBufferPointer {
    let end = roundUp(used, to: unit)
    memory.zero(used, end)
    BlockHeader(
      used: used, entries: entries, events: events, firstPosition: firstPosition, durableUpTo: durableUpTo, offset: offset,
      session: session,
      flags: flags, time: time, digest: digest
    ).write(to: memory.slice(0, BlockHeader.bytes), seed)
    return unsafe memory.slice(0, end).raw
  }

  /// A segment's first unit.
  func header(_ header: SegmentHeader) -> UnsafeRawBufferPointer {
    memory.zero(0, unit)
    header.write(to: memory.slice(0, SegmentHeader.bytes))
    return unsafe memory.slice(0, unit).raw
  }
}

/// Memory that goes with its last owner.
private final class OwnedRegion {
  let region: Region
  init(bytes: Int) throws(MemoryError) { region = try Region(bytes: bytes) }
  deinit { region.free() }
}
