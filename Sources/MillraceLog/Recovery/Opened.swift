internal import MillraceCore

/// A log as the scan has found it, or a new one.
struct Opened {
  let index: LogIndex
  let end: LogScan.End
  let ids: IDWindow
  let recovery: EventLog.Recovery

  init(_ storage: any LogStorage, _ settings: EventLog.Settings) throws(LogError) {
    let scan: LogScan
    var isNew = false
    do throws(LogError) { scan = try LogScan(storage) } catch {
      guard error == .none else { throw error }
      isNew = true
      do throws(StorageError) { try Self.makeFirst(storage, settings) } catch { throw .storage(error) }
      scan = try LogScan(storage)
    }
    // One that a process left which was stopped in the midst of renaming may be a segment's file by another name.
    do throws(StorageError) { if try storage.names().contains(Retirement.spare) { try storage.remove(Retirement.spare) } } catch {
      throw .storage(error)
    }
    do throws(MemoryError) { ids = try IDWindow(size: settings.idWindow, salt: settings.random()) } catch {
      throw .configuration(error.description)
    }
    var builder = IndexBuilder(storage, ids)
    let end = try scan.walk(&builder)
    index = builder.index
    index.end = end.nextPosition
    self.end = end
    recovery = EventLog.Recovery(
      firstPosition: index.segments[0].header.firstPosition, nextPosition: end.nextPosition, streams: index.streams.count,
      segments: index.segments.count, wasClean: isNew || end.isSealed, unfinishedBytes: end.tail)
  }

  /// The file appears under its name when its header is on stable storage.
  private static func makeFirst(_ storage: any LogStorage, _ settings: EventLog.Settings) throws(StorageError) {
    // What a process left that was killed here.
    if try storage.names().contains(SegmentSupply.name) { try storage.remove(SegmentSupply.name) }
    let file = try storage.create(SegmentSupply.name, bytes: settings.firstSegmentBytes) { _ in 1 << 20 }
    let log = LogID(high: settings.random(), low: settings.random())
    let builder: BlockBuilder
    do throws(MemoryError) {
      builder = try BlockBuilder(bytes: storage.unit, unit: storage.unit, seed: Seed(log, segment: 1))
    } catch { throw StorageError("mmap", "", code: error.code, error.description) }
    let header = SegmentHeader(
      log: log, number: 1, firstPosition: 0, fileBytes: settings.firstSegmentBytes, unit: storage.unit, time: settings.wall())
    try unsafe file.write(builder.header(header), at: 0)
    try storage.rename(SegmentSupply.name, to: SegmentHeader.name(of: 1))
    try storage.syncNames()
  }
}

/// Makes the index from what the scan passes.
struct IndexBuilder: LogScan.Visitor {
  let index = LogIndex()
  private let ids: IDWindow?
  private let storage: any LogStorage

  /// - Parameter ids: learns all that pass; nil: nobody will ask.
  init(_ storage: any LogStorage, _ ids: IDWindow?) {
    self.storage = storage
    self.ids = ids
  }

  mutating func segment(_ header: SegmentHeader) throws(LogError) {
    do throws(StorageError) {
      let file = try storage.open(SegmentHeader.name(of: header.number), writing: false)
      index.segments.append(LogIndex.Segment(header: header, file: file))
    } catch { throw .storage(error) }
  }

  mutating func block(_ header: BlockHeader, segment: UInt64) throws(LogError) {
    guard header.events > 0 else { return }
    index.add(
      LogIndex.Block(
        firstPosition: header.firstPosition, place: LogIndex.Place(segment: segment, offset: header.offset).word, time: header.time))
  }

  mutating func entry(_ entry: EntryView, segment: UInt64, offset: Int) throws(LogError) -> Bool {
    if entry.isSystem {
      try system(entry, segment, offset)
      return true
    }
    guard entry.flags.isSubset(of: .known) else { throw .unknownEntry(type: entry.type, position: entry.position) }
    guard entry.stream < index.streams.count, index.streams[Int(entry.stream)].end == entry.version else {
      throw .damaged(position: entry.position, segment: segment, offset: offset, "version \(entry.version) does not follow in its stream")
    }
    guard entry.tenant < index.tenants.names.count, entry.type < index.types.names.count, entry.contentType < index.contentTypes.names.count
    else { throw .damaged(position: entry.position, segment: segment, offset: offset, "it has a name that was not told before") }
    index.add(LogIndex.Place(segment: segment, offset: offset).word, stream: entry.stream)
    ids?.insert(entry.stream, entry.id, IDWindow.Place(version: entry.version, position: entry.position))
    return true
  }

  private mutating func system(_ entry: EntryView, _ segment: UInt64, _ offset: Int) throws(LogError) {
    let damaged = LogError.damaged(
      position: entry.position, segment: segment, offset: offset, "an entry of the log's own is not as it must be")
    switch entry.type {
    case Entry.SystemType.name:
      guard let name = NameEntry(entry.payload) else { throw damaged }
      switch name.kind {
      case .stream:
        guard let stream = try? StreamName(name.name) else { throw damaged }
        try set(name, stream, damaged)
      case .tenant: index.tenants.set(Int(name.number), name.name)
      case .type: index.types.set(Int(name.number), name.name)
      case .contentType: index.contentTypes.set(Int(name.number), name.name)
      }
    case Entry.SystemType.limits, Entry.SystemType.snapshot:
      guard entry.stream < index.streams.count,
        let own = OwnEntry(entry.type, entry.payload, entry.stream, index.streams[Int(entry.stream)].name)
      else { throw damaged }
      index.set(own, at: LogIndex.Place(segment: segment, offset: offset))
    default:
      if !entry.flags.contains(.optional) { throw .unknownEntry(type: entry.type, position: entry.position) }
    }
  }

  /// Streams are numbered one after the other, but where segments are gone numbers may be, too.
  private func set(_ name: NameEntry, _ stream: StreamName, _ damaged: LogError) throws(LogError) {
    guard name.number < 1 << 31 else { throw damaged }
    if let known = index.streamNumbers[stream.description] {
      guard known == name.number else { throw damaged }
      if index.streams[Int(known)].end == name.next { return }
      // It was forgotten, and began anew: its retired segment is still here, or a segment that has its name and no event of it.
      guard name.next == 0 else { throw damaged }
      index.forget(known)
      return
    }
    index.set(stream, number: name.number, firstVersion: name.next)
  }
}
