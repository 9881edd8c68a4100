internal import MillraceCore

/// Where everything stands: for each stream and category the places of its events, for each commit its block. In memory, made again by the scan when a log is opened.
///
/// # Threads
/// Any: all of it under one monitor, held for a copy of at most a page of places, or for one commit's events.
/// # Memory
/// 16 bytes an event, 32 a block, a stream's name and some 150 bytes.
final class LogIndex: @unchecked Sendable {
  /// Segment and offset of an entry.
  struct Place: Equatable {
    let word: UInt64
    init(segment: UInt64, offset: Int) { word = segment << 32 | UInt64(offset) }
    init(word: UInt64) { self.word = word }
    var segment: UInt64 { word >> 32 }
    var offset: Int { Int(word & 0xffff_ffff) }
  }

  struct Stream {
    /// The version of an event is the number of its place and `firstVersion`.
    var places = Places()
    let category: Int
    /// Of place 0.
    var firstVersion: UInt64 = 0
    let name: StreamName
    var limits: StreamLimits?

    init(_ name: StreamName, category: Int, firstVersion: UInt64) {
      self.name = name
      self.category = category
      self.firstVersion = firstVersion
    }

    /// The version of the first event that is still there.
    var start: UInt64 { firstVersion + UInt64(places.start) }
    /// One more than the last event's version; also when no place is left.
    var end: UInt64 { firstVersion + UInt64(places.end) }
    /// The numbers of the places of these versions, which are there.
    func numbers(_ versions: Range<UInt64>) -> Range<Int> {
      Int(versions.lowerBound - firstVersion)..<Int(versions.upperBound - firstVersion)
    }
  }

  struct Block {
    var firstPosition: UInt64
    var place: UInt64
    var time: Int64
  }

  struct Segment {
    let header: SegmentHeader
    let file: any LogFile
  }

  let monitor = Monitor()
  var streams: [Stream] = []
  var streamNumbers: [String: UInt32] = [:]
  var categories: [Places] = []
  let memory = PlaceMemory()
  var categoryNumbers: [String: Int] = [:]
  /// Number 0 is nobody, and JSON.
  var tenants = NumberedNames(first: "")
  var types = NumberedNames(first: "")
  var contentTypes = NumberedNames(first: EventDraft.json)
  /// Those that are still there. A block keeps its number for good.
  private(set) var blocks: [Block] = []
  private var blocksGone = 0
  var segments: [Segment] = []
  /// The first position without a durable event.
  var end: UInt64 = 0
  var waits: [LogWait] = []
  /// The least position that somebody waits for.
  private var leastWait = UInt64.max
  var hasLimits = false
  /// Streams of the library's own, in which groups and projections keep how far they are.
  private(set) var systemStreams: [UInt32] = []
  /// Why nothing is written any more.
  var failure: StorageError?
  /// Asked when an entry is not what was written: false means that its segment is gone. nil: all that the index knows are there.
  var isThere: (@Sendable (UInt64) -> Bool)?
  /// By stream and reducer.
  var snapshots: [UInt32: [String: SnapshotPlace]] = [:]

  struct SnapshotPlace {
    var version: UInt64
    var reducerVersion: UInt32
    var place: Place
    func isNewer(than other: SnapshotPlace) -> Bool { (reducerVersion, version) > (other.reducerVersion, other.version) }
  }

  deinit { monitor.deallocate() }

  /// The stream's number, a new one if it has none.
  func number(of name: StreamName) -> UInt32 {
    if let number = streamNumbers[name.description] { return number }
    let number = UInt32(streams.count)
    set(name, number: number, firstVersion: 0)
    return number
  }

  /// The stream has this number, which is free. Numbers that are left out are nobody's.
  func set(_ name: StreamName, number: UInt32, firstVersion: UInt64) {
    streamNumbers[name.description] = number
    let text = name.category
    let category = categoryNumbers[text] ?? categories.count
    if category == categories.count {
      categoryNumbers[text] = category
      categories.append(Places())
    }
    let stream = Stream(name, category: category, firstVersion: firstVersion)
    while streams.count < number { streams.append(stream) }
    if streams.count == number { streams.append(stream) } else { streams[Int(number)] = stream }
    if name.isSystem, !systemStreams.contains(number) { systemStreams.append(number) }
  }

  /// Nothing is left of the stream, or what is left is to go: as if it had never been.
  func forget(_ stream: UInt32) {
    streams[Int(stream)].places.removeAll(memory)
    streams[Int(stream)].firstVersion = 0
    streams[Int(stream)].limits = nil
    snapshots[stream] = nil
  }

  /// An event and where it stands.
  struct Written {
    var place: UInt64
    var stream: UInt32
  }

  /// Events are on stable storage. In the order of positions.
  func add(_ written: ContiguousArray<Written>) {
    // One check for exclusive access each, not one for every event.
    unsafe streams.withUnsafeMutableBufferPointer { streams in
      unsafe categories.withUnsafeMutableBufferPointer { categories in
        for event in written {
          let stream = Int(event.stream)
          unsafe streams[stream].places.append(event.place, memory)
          unsafe categories[streams[stream].category].append(event.place, memory)
        }
      }
    }
  }

  /// As above, one.
  @inline(__always) func add(_ place: UInt64, stream: UInt32) {
    streams[Int(stream)].places.append(place, memory)
    categories[streams[Int(stream)].category].append(place, memory)
  }

  /// An entry of the log's own is on stable storage.
  func set(_ own: OwnEntry, at place: Place) {
    switch own {
    case .limits(let limits, let stream):
      streams[Int(stream.value)].limits = limits
      hasLimits = true
    case .snapshot(let snapshot, let number):
      let stream = number.value
      let new = SnapshotPlace(version: snapshot.version, reducerVersion: snapshot.reducerVersion, place: place)
      if let old = snapshots[stream]?[snapshot.reducer], old.isNewer(than: new) { return }
      snapshots[stream, default: [:]][snapshot.reducer] = new
    case .retire: break
    }
  }

  func add(_ wait: LogWait) {
    waits.append(wait)
    leastWait = min(leastWait, wait.position)
  }

  /// Those whose position is there now, or all.
  func takeWaits(all: Bool = false) -> [EventCompletion<UInt64>] {
    guard all || end > leastWait else { return [] }
    var told: [EventCompletion<UInt64>] = []
    leastWait = .max
    waits.removeAll { wait in
      guard all || end > wait.position else {
        leastWait = min(leastWait, wait.position)
        return false
      }
      if let completion = wait.take() { told.append(completion) }
      return true
    }
    return told
  }

  func segment(_ number: UInt64) -> Segment? {
    guard let first = segments.first?.header.number, number >= first, Int(number - first) < segments.count else { return nil }
    return segments[Int(number - first)]
  }

  func add(_ block: Block) { blocks.append(block) }

  /// Those that begin before `place` go.
  func dropBlocks(before place: UInt64) {
    let count = blocks.prefix { $0.place < place }.count
    blocks.removeFirst(count)
    blocksGone += count
  }

  /// By number. nil: it is gone, or has not come yet.
  func block(_ number: Int) -> Block? { blocks.indices.contains(number - blocksGone) ? blocks[number - blocksGone] : nil }
  /// The number of the first block that is there.
  var firstBlock: Int { blocksGone }

  /// The number of the block that holds `position`, or of the one where it would go on; one less than `firstBlock` before the first.
  func block(at position: UInt64) -> Int {
    var low = 0
    var high = blocks.count
    while low < high {
      let middle = (low + high) / 2
      if blocks[middle].firstPosition <= position { low = middle + 1 } else { high = middle }
    }
    return blocksGone + low - 1
  }
}

/// Names that are written once and then called by number.
struct NumberedNames {
  private(set) var names: [String]
  private var numbers: [String: Int]

  init(first: String) {
    names = [first]
    numbers = [first: 0]
  }

  /// nil: there are `limit` already.
  mutating func number(of name: String, limit: Int) -> Int? {
    if let number = numbers[name] { return number }
    guard names.count < limit else { return nil }
    numbers[name] = names.count
    names.append(name)
    return names.count - 1
  }

  /// The scan has found it.
  mutating func set(_ number: Int, _ name: String) {
    while names.count <= number { names.append("") }
    names[number] = name
    numbers[name] = number
  }
}

/// Somebody who waits for a position.
final class LogWait: EventWait, @unchecked Sendable {
  private let index: LogIndex
  let position: UInt64
  private var completion: EventCompletion<UInt64>?

  init(_ index: LogIndex, _ position: UInt64, _ completion: @escaping EventCompletion<UInt64>) {
    self.index = index
    self.position = position
    self.completion = completion
  }

  /// Whoever gets the completion calls it. Under the index's monitor.
  func take() -> EventCompletion<UInt64>? {
    defer { completion = nil }
    return completion
  }

  func cancel() {
    let completion = index.monitor.locked {
      index.waits.removeAll { $0 === self }
      return take()
    }
    completion?(.failure(.cancelled))
  }
}
