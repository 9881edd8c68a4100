internal import CMillrace
internal import MillraceCore

/// Turns requests into blocks on stable storage.
///
/// # Threads
/// The holder of the committer's role: one at a time, each sees what the one before has done.
///
/// A value, so that one check for exclusive access serves a whole commit.
@safe struct LogWriter {
  /// What has been written of a stream, durable or not yet.
  private struct Head {
    /// The next event's version.
    var next: UInt64 = 0
    /// The last segment that holds the stream's name.
    var namedIn: UInt64 = 0
  }

  let settings: EventLog.Settings
  private let storage: any LogStorage
  private let index: LogIndex
  private let supply: SegmentSupply
  let log: LogID
  private let session: UInt32
  private var builder: BlockBuilder
  private var file: any LogFile
  private var segment: UInt64
  private(set) var fileBytes: Int
  private var offset: Int
  private var position: UInt64
  private var heads: ContiguousArray<Head>
  private var tenantsNamedIn: ContiguousArray<UInt64> = []
  private var typesNamedIn: ContiguousArray<UInt64> = []
  private var contentTypesNamedIn: ContiguousArray<UInt64> = []
  private let ids: IDWindow
  /// Events of the block at hand, for the index.
  private var written = ContiguousArray<LogIndex.Written>()
  /// Requests that are answered when the block is written.
  private var batch = unsafe ContiguousArray<UnsafeMutablePointer<AppendRequest>>()
  /// Why nothing is written any more.
  private var failure: StorageError? {
    didSet {
      let text = failure?.description ?? ""
      // What they wait for does not come any more.
      let waits = index.monitor.locked {
        index.failure = failure
        return index.takeWaits(all: true)
      }
      for completion in waits { completion(.failure(.failed(text))) }
    }
  }
  /// Those of the block at hand.
  private var ownEntries: [(OwnEntry, LogIndex.Place)] = []
  private(set) var commits: UInt64 = 0
  /// Segments that were begun since it was opened.
  private(set) var segments = 0
  private(set) var bytesWritten: UInt64 = 0

  /// Goes on behind `end`, which the scan has found.
  init(
    _ settings: EventLog.Settings, _ storage: any LogStorage, _ index: LogIndex, _ supply: SegmentSupply, _ end: LogScan.End,
    _ ids: IDWindow
  ) throws(LogError) {
    self.settings = settings
    self.storage = storage
    self.index = index
    self.supply = supply
    self.ids = ids
    log = end.log
    session = end.session + 1
    segment = end.segment
    offset = end.offset
    position = end.nextPosition
    let made = index.segments.last!.header.unit
    guard made >= storage.unit else {
      throw .storage(
        StorageError(
          "open", SegmentHeader.name(of: end.segment), code: 22,
          "the log was made for a disk that writes \(made) bytes at once, this one writes \(storage.unit): a commit would share such a piece with another. Keep it on a disk like the first"
        ))
    }
    do throws(StorageError) { file = try storage.open(SegmentHeader.name(of: end.segment), writing: true) } catch { throw .storage(error) }
    do throws(MemoryError) {
      // A log that was made for larger pieces is continued in them: where a block ends says where the next one begins.
      builder = try BlockBuilder(bytes: roundUp(settings.largestBlock, to: made), unit: made, seed: Seed(end.log, segment: end.segment))
    } catch { throw .configuration(error.description) }
    fileBytes = file.bytes
    heads = ContiguousArray(index.streams.map { Head(next: $0.end, namedIn: 0) })
    unsafe batch.reserveCapacity(settings.capacity)
    written.reserveCapacity(settings.capacity)
    guard end.tail > 0 else { return }
    // What an interrupted commit left is to count as not written for ever: a later one that is interrupted, too, must not make it whole.
    begin()
    write(flags: 0)
    if let failure { throw .storage(failure) }
  }

  // MARK: One commit

  /// Commits what waits in the ring, and answers it. `release` gives room in the ring back.
  ///
  /// - Parameter isLeader: it is an appending thread that commits.
  mutating func round(_ handOver: HandOver, isLeader: Bool, release: (Int) -> Void) {
    begin()
    collect(handOver)
    if unsafe batch.isEmpty { return }
    let isAlone = unsafe isLeader && batch.count == 1 && lastBatch <= 1
    if !isAlone { gather(handOver) }
    commit()
    unsafe release(batch.count)
    answer()
  }

  private mutating func collect(_ handOver: HandOver) {
    while let request = unsafe handOver.peek() {
      // Safe: `EventLog.append` demands that only requests are handed over.
      guard unsafe admit(request.assumingMemoryBound(to: AppendRequest.self)) else {
        isFull = true
        return
      }
      handOver.take()
      fetch(handOver)
    }
  }

  /// Has the memory on its way that requests behind the next one need: their own, and where their ids would stand. Nearly all of what a small append costs is waiting for that.
  @inline(__always) private func fetch(_ handOver: HandOver) {
    guard let near = unsafe handOver.peek(ahead: 3) else { return }
    let request = unsafe near.assumingMemoryBound(to: AppendRequest.self)
    if unsafe request.pointee.own != nil { return }
    let part = unsafe request.pointee.parts
    unsafe ids.fetch(part.pointee.stream.value, part.pointee.events.pointee.id)
    if let far = unsafe handOver.peek(ahead: 8) { unsafe millrace_prefetch(far) }
  }

  /// Waits until nothing has come for a moment: else a group that is appended one by one would be split in two for ever, each half waiting for the other's
  /// commit.
  private mutating func gather(_ handOver: HandOver) {
    let begin = millrace_monotonic()
    var last = begin
    while !isFull {
      if unsafe handOver.peek() != nil {
        collect(handOver)
        last = millrace_monotonic()
        continue
      }
      let now = millrace_monotonic()
      if now &- last > EventLog.Settings.quiet || now &- begin > EventLog.Settings.longestQuiet { return }
      millrace_pause()
    }
  }

  // MARK: Collecting

  /// Requests of the commit before.
  private var lastBatch = 0
  /// The block at hand takes nothing more.
  private var isFull = false

  /// Ready for the next block.
  private mutating func begin() {
    isFull = false
    builder.begin(Seed(log, segment: segment), offset: offset, firstPosition: position, time: settings.wall())
  }

  /// Takes a request into the block at hand, or finds its answer. False: it has no room in this block, which must be written first.
  private mutating func admit(_ request: UnsafeMutablePointer<AppendRequest>) -> Bool {
    if failure != nil {
      unsafe request.pointee.outcome = .unavailable
    } else if let own = unsafe request.pointee.own {
      return unsafe admit(request, own)
    } else if let answer = unsafe refusal(request) {
      unsafe request.pointee.outcome = answer
    } else {
      let bytes = unsafe size(request)
      guard hasRoom(bytes) else {
        if !builder.isEmpty { return false }
        if let answer = makeRoom(bytes) {
          unsafe request.pointee.outcome = answer
          unsafe batch.append(request)
          return true
        }
        return unsafe admit(request)
      }
      unsafe add(request)
    }
    unsafe batch.append(request)
    return true
  }

  /// As `admit`, for an entry of the log's own.
  private mutating func admit(_ request: UnsafeMutablePointer<AppendRequest>, _ own: OwnEntry) -> Bool {
    if case .retire(let number) = own {
      retire(number)
      unsafe request.pointee.outcome = .appended
      unsafe batch.append(request)
      return true
    }
    let stream = own.stream.value
    while heads.count <= Int(stream) { heads.append(Head()) }
    if case .snapshot(let snapshot, _) = own, snapshot.version >= heads[Int(stream)].next {
      // The stream has begun anew since it was asked.
      let next = heads[Int(stream)].next
      unsafe request.pointee.outcome = .wrongExpectedVersion(part: 0, actual: next == 0 ? nil : next - 1)
      unsafe batch.append(request)
      return true
    }
    let payload = own.payload
    let bytes = NameEntry.mostStreamBytes + roundUp(Entry.fixed + payload.count, to: 8)
    guard hasRoom(bytes) else {
      if !builder.isEmpty { return false }
      guard let answer = makeRoom(bytes) else { return unsafe admit(request, own) }
      unsafe request.pointee.outcome = answer
      unsafe batch.append(request)
      return true
    }
    name(stream: stream, tenant: 0)
    let place = LogIndex.Place(segment: segment, offset: offset + builder.used)
    builder.addSystem(own.type, stream: stream, payload: payload, isOptional: own.isOptional)
    ownEntries.append((own, place))
    unsafe request.pointee.outcome = .appended
    unsafe batch.append(request)
    return true
  }

  /// Streams of which nothing is left begin anew. One with events or entries in the block at hand has these.
  private mutating func retire(_ number: UInt64) {
    let pending = Set(written.map(\.stream) + ownEntries.map(\.0.stream.value))
    let forgotten = index.monitor.locked { index.drop(number, keeping: pending) }
    for stream in forgotten { heads[Int(stream)] = Head() }
  }

  /// Why the request is not written; nil: it is.
  private mutating func refusal(_ request: UnsafeMutablePointer<AppendRequest>) -> AppendRequest.Outcome? {
    guard let answer = unsafe mismatch(request) else { return nil }
    // Whether it is a repetition is found out by its owner: here is told where those of its parts stand that only this window knows.
    for index in unsafe 0..<request.pointee.count {
      let part = unsafe request.pointee.parts + index
      switch unsafe part.pointee.expected {
      case .noStream: unsafe part.pointee.firstVersion = 0
      case .exact(let version): unsafe part.pointee.firstVersion = version == .max ? .max : version + 1
      case .any, .streamExists:
        let place = unsafe ids.find(part.pointee.stream.value, part.pointee.events[0].id)
        unsafe part.pointee.firstVersion = place?.version ?? .max
      }
    }
    return answer
  }

  private mutating func mismatch(_ request: UnsafeMutablePointer<AppendRequest>) -> AppendRequest.Outcome? {
    for index in unsafe 0..<request.pointee.count {
      let part = unsafe request.pointee.parts + index
      let stream = unsafe Int(part.pointee.stream.value)
      while heads.count <= stream { heads.append(Head()) }
      let next = heads[stream].next
      switch unsafe part.pointee.expected {
      case .any: break
      case .noStream: if next != 0 { return .wrongExpectedVersion(part: index, actual: next &- 1) } else { continue }
      case .streamExists: if next == 0 { return .wrongExpectedVersion(part: index, actual: nil) }
      case .exact(let version):
        if version &+ 1 != next || version == .max {
          return .wrongExpectedVersion(part: index, actual: next == 0 ? nil : next &- 1)
        } else {
          continue
        }
      }
      if let answer = unsafe known(part, index) { return answer }
    }
    return nil
  }

  /// Looks for the part's ids among the last of the log.
  @inline(__always) private mutating func known(_ part: UnsafeMutablePointer<RawStreamAppend>, _ index: Int) -> AppendRequest.Outcome? {
    let stream = unsafe part.pointee.stream.value
    var first: IDWindow.Place?
    var found = 0
    var last = 0
    for event in unsafe 0..<part.pointee.count {
      guard let place = unsafe ids.find(stream, part.pointee.events[event].id) else { continue }
      last = event
      if event == 0 { first = place }
      if let first, place.version == first.version &+ UInt64(event) { found += 1 } else { found = -1 }
      if found < 0 { break }
    }
    if found == 0 { return nil }
    return unsafe .known(part: index, event: last, isWhole: found == part.pointee.count)
  }

  /// Bytes that the request's entries take, and the names that they need at most.
  private func size(_ request: UnsafeMutablePointer<AppendRequest>) -> Int {
    var bytes = 0
    for index in unsafe 0..<request.pointee.count {
      let part = unsafe request.pointee.parts[index]
      if heads[Int(part.stream.value)].namedIn != segment { bytes += NameEntry.mostStreamBytes }
      if part.tenant != .none, !tenantsNamedIn.has(part.tenant.value, segment) { bytes += NameEntry.mostBytes }
      for event in 0..<part.count {
        let event = unsafe part.events[event]
        bytes &+= BlockBuilder.bytes(event)
        if !typesNamedIn.has(UInt32(event.type.value), segment) { bytes += NameEntry.mostBytes }
        if event.contentType != .json, !contentTypesNamedIn.has(UInt32(event.contentType.value), segment) { bytes += NameEntry.mostBytes }
      }
    }
    return bytes
  }

  @inline(__always) private func hasRoom(_ bytes: Int) -> Bool {
    let end = roundUp(builder.used &+ bytes, to: builder.unit)
    return offset &+ end <= fileBytes && (end <= settings.commitBytes || builder.isEmpty && end <= builder.capacity)
  }

  /// Goes on to the next segment, where that helps. Gives the answer to a request for which it does not.
  private mutating func makeRoom(_ bytes: Int) -> AppendRequest.Outcome? {
    let block = roundUp(BlockHeader.bytes + bytes + NameEntry.mostStreamBytes, to: builder.unit)
    guard builder.unit + block <= settings.segmentBytes, block <= builder.capacity else {
      return .tooLarge
    }
    do throws(StorageError) {
      try nextSegment()
      return nil
    } catch {
      if error.isNoSpace { return .noSpace }
      failure = error
      return .unavailable
    }
  }

  /// Nothing of the block at hand is written yet.
  private mutating func nextSegment() throws(StorageError) {
    let next: any LogFile
    do throws(StorageError) { next = try supply.take() } catch {
      // The room that was missing may be there by the next time.
      try supply.prepare(after: fileBytes)
      throw error
    }
    let header = SegmentHeader(
      log: log, number: segment + 1, firstPosition: position, fileBytes: next.bytes, unit: builder.unit, time: settings.wall())
    let name = SegmentHeader.name(of: header.number)
    do throws(StorageError) {
      try unsafe next.write(builder.header(header), at: 0)
      try storage.rename(SegmentSupply.name, to: name)
      try storage.syncNames()
      let reading = try storage.open(name, writing: false)
      index.monitor.locked { index.segments.append(LogIndex.Segment(header: header, file: reading)) }
      // Its thread looks at once for what is to go.
      try supply.prepare(after: next.bytes)
    } catch {
      // How far it came is not known: the log is at an end, whatever the reason.
      throw StorageError(error.call, error.file, code: error.isNoSpace ? 5 : error.code, error.text)
    }
    file = next
    segment = header.number
    fileBytes = next.bytes
    offset = builder.unit
    segments += 1
    begin()
  }

  private mutating func add(_ request: UnsafeMutablePointer<AppendRequest>) {
    for index in unsafe 0..<request.pointee.count {
      let part = unsafe request.pointee.parts + index
      let stream = unsafe part.pointee.stream.value
      let tenant = unsafe part.pointee.tenant.value
      name(stream: stream, tenant: tenant)
      var version = heads[Int(stream)].next
      unsafe part.pointee.firstVersion = version
      unsafe part.pointee.firstPosition = position
      for number in unsafe 0..<part.pointee.count {
        let event = unsafe part.pointee.events[number]
        name(type: event.type, contentType: event.contentType)
        let at = builder.add(event, stream: stream, version: version, tenant: tenant, flags: number == 0 ? .first : [])
        written.append(LogIndex.Written(place: LogIndex.Place(segment: segment, offset: at).word, stream: stream))
        ids.insert(stream, event.id, IDWindow.Place(version: version, position: position))
        position &+= 1
        version &+= 1
      }
      heads[Int(stream)].next = version
    }
    unsafe request.pointee.outcome = .appended
  }

  // MARK: Names

  /// Writes the names that this segment does not know yet: so each can be read without those before it.
  @inline(__always) private mutating func name(stream: UInt32, tenant: UInt32) {
    if heads[Int(stream)].namedIn != segment { nameStream(stream) }
    if tenant != 0, !tenantsNamedIn.has(tenant, segment) {
      tenantsNamedIn.set(tenant, segment)
      write(.tenant, tenant) { $0.tenants.names[Int(tenant)] }
    }
  }

  @inline(__always) private mutating func name(type: EventTypeNumber, contentType: ContentTypeNumber) {
    if !typesNamedIn.has(UInt32(type.value), segment) {
      typesNamedIn.set(UInt32(type.value), segment)
      write(.type, UInt32(type.value)) { $0.types.names[Int(type.value)] }
    }
    if contentType != .json, !contentTypesNamedIn.has(UInt32(contentType.value), segment) {
      contentTypesNamedIn.set(UInt32(contentType.value), segment)
      write(.contentType, UInt32(contentType.value)) { $0.contentTypes.names[Int(contentType.value)] }
    }
  }

  private mutating func nameStream(_ stream: UInt32) {
    heads[Int(stream)].namedIn = segment
    let next = heads[Int(stream)].next
    let limits = index.monitor.locked { index.streams[Int(stream)].limits }
    write(.stream, stream, next) { $0.streams[Int(stream)].name.description }
    if let limits {
      builder.addSystem(Entry.SystemType.limits, stream: stream, payload: OwnEntry.limits(limits, of: StreamNumber(value: stream)).payload)
    }
  }

  private mutating func write(_ kind: Entry.NameKind, _ number: UInt32, _ next: UInt64 = 0, _ name: (LogIndex) -> String) {
    let name = index.monitor.locked { name(index) }
    builder.addSystem(Entry.SystemType.name, stream: 0, payload: NameEntry(kind: kind, number: number, next: next, name: name).payload)
  }

  // MARK: Writing

  /// Writes the block, if there is anything in it, and answers the requests that were admitted.
  private mutating func commit() {
    if !builder.isEmpty { write(flags: 0) }
    if failure != nil { fail() }
  }

  private mutating func write(flags: UInt32) {
    let bytes = unsafe builder.finish(durableUpTo: builder.firstPosition, session: session, flags: flags)
    do throws(StorageError) {
      try unsafe file.write(bytes, at: offset)
    } catch {
      failure = error
      return
    }
    commits &+= 1
    bytesWritten &+= UInt64(bytes.count)
    let block = LogIndex.Block(
      firstPosition: builder.firstPosition, place: LogIndex.Place(segment: segment, offset: offset).word, time: builder.time)
    offset += bytes.count
    supply.used(offset, of: fileBytes)
    let waits: [EventCompletion<UInt64>] = index.monitor.locked {
      if builder.events > 0 { index.add(block) }
      index.add(written)
      for (own, place) in ownEntries { index.set(own, at: place) }
      index.end = position
      return index.takeWaits()
    }
    written.removeAll(keepingCapacity: true)
    ownEntries.removeAll()
    for completion in waits { completion(.success(position)) }
  }

  /// The block at hand may be on the disk, in part or wholly, or not.
  private mutating func fail() {
    for index in unsafe batch.indices {
      switch unsafe batch[index].pointee.outcome {
      // Refusals may rest on what is in this block, too.
      case .appended, .known, .wrongExpectedVersion: unsafe batch[index].pointee.outcome = .outcomeUnknown
      default: break
      }
    }
    written.removeAll(keepingCapacity: true)
  }

  /// Tells the sinks. They may append meanwhile: that goes into the ring.
  private mutating func answer() {
    unsafe batch.withUnsafeBufferPointer { batch in
      var start = 0
      while start < batch.count {
        let sink = unsafe batch[start].pointee.sink
        var end = start + 1
        while end < batch.count, unsafe batch[end].pointee.sink == sink { end += 1 }
        // Safe: the requests are their owners' again from here on, and a sink outlives the calls for its requests.
        unsafe sink.pointee.told(sink.pointee.context, UnsafeRawPointer(batch.baseAddress! + start), end - start)
        start = end
      }
    }
    lastBatch = unsafe batch.count
    unsafe batch.removeAll(keepingCapacity: true)
  }

  /// A clean stop: nothing follows in this session.
  mutating func seal() {
    guard failure == nil, offset + builder.unit <= fileBytes else { return }
    begin()
    write(flags: BlockHeader.seal)
  }
}

extension ContiguousArray<UInt64> {
  /// What `number` names is named in `segment`.
  @inline(__always) fileprivate func has(_ number: UInt32, _ segment: UInt64) -> Bool { number < count && self[Int(number)] == segment }
  fileprivate mutating func set(_ number: UInt32, _ segment: UInt64) {
    while count <= Int(number) { append(0) }
    self[Int(number)] = segment
  }
}

extension StorageError {
  /// ENOSPC or EDQUOT.
  public var isNoSpace: Bool { code == 28 || code == 122 }
}
