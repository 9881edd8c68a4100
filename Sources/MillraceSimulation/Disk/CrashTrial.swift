internal import MillraceLog

/// One history of a log on a simulated disk that is switched off in its midst, and a look at what is there afterwards.
///
/// # What is shown
/// All that was acknowledged is there, as it was written, at the position that was told. What was under way is there wholly or not at all, each append by
/// itself. Nothing else is there. The log then goes on, is switched off again, and so on.
package struct CrashTrial {
  /// What went wrong, with the seed that shows it again.
  package struct Violation: Error, CustomStringConvertible {
    package let seed: UInt64
    package let text: String
    package var description: String { "seed \(seed): \(text)" }
  }

  /// An append that was tried.
  private struct Tried {
    var appends: [StreamAppend]
    var receipt: AppendReceipt?
  }

  private let seed: UInt64
  private var random: Seed
  private let fault: SimulatedDisk.Fault
  private var disk: SimulatedDisk
  private var tried: [Tried] = []
  private var nextID: UInt64 = 0
  /// Crash images that were opened.
  package private(set) var images = 0
  /// Events that were acknowledged.
  package private(set) var acknowledged = 0

  package init(seed: UInt64, fault: SimulatedDisk.Fault) {
    self.seed = seed
    self.fault = fault
    random = Seed(seed)
    disk = SimulatedDisk()
  }

  private func violated(_ text: String) -> Violation { Violation(seed: seed, text: "\(fault): \(text)") }

  /// `crashes` times: opens the log, looks, appends until the disk is switched off.
  package mutating func run(crashes: Int, images: Int = 1) throws -> CrashTrial {
    for _ in 0..<crashes {
      disk.setOff(after: Int.random(in: 0...24, using: &random))
      try session()
      // Several ways in which this crash may come out; the last one goes on.
      for image in 1...images {
        let survivor = disk.afterCrash(fault, &random)
        try look(survivor, goesOn: image == images)
        if image == images { disk = survivor }
      }
    }
    return self
  }

  private var configuration: EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.commitBytes = 16 << 10
    configuration.capacity = 16
    configuration.hasThreads = false
    return configuration
  }

  /// Appends until the disk is off, or some thirty appends are done.
  private mutating func session() throws {
    let log: EventLog
    do { log = try EventLog(disk, configuration) } catch {
      if disk.isOff { return disk.unlock() }
      throw violated("a log that was good cannot be opened: \(error)")
    }
    for _ in 0..<Int.random(in: 1...30, using: &random) {
      let first = tried.count
      tried.append(Tried(appends: draft()))
      let box = Box()
      log.append(tried[first].appends) { box.result = $0 }
      guard let result = box.result else { throw violated("an append was not answered") }
      switch result {
      case .success(let receipt):
        tried[first].receipt = receipt
        acknowledged += tried[first].appends.reduce(0) { $0 + $1.events.count }
      case .failure(.outcomeUnknown) where disk.isOff: break
      case .failure(.failed) where disk.isOff: tried.removeLast()
      case .failure(let error): throw violated("an append failed: \(error)")
      }
      if disk.isOff { break }
    }
    log.close()
  }

  private mutating func draft() -> [StreamAppend] {
    let streams = Array(0..<6).shuffled(using: &random).prefix(Int.random(in: 0..<4, using: &random) == 0 ? 2 : 1)
    return streams.map { stream in
      let events = (0..<Int.random(in: 1...3, using: &random)).map { _ in
        nextID += 1
        let bytes = [0, 1, 7, 100, 500, 3000, 9000].randomElement(using: &random)!
        return EventDraft(
          id: EventID(high: seed, low: nextID), type: "type-\(nextID % 3)",
          payload: Self.payload(nextID, bytes))
      }
      return StreamAppend(stream: try! StreamName("stream-\(stream)"), tenant: nextID % 2 == 0 ? "even" : nil, events: events)
    }
  }

  /// What payloads are cut from: where nothing is optimised, one made byte by byte takes longer than its append.
  private static let bytes: [UInt8] = {
    var random = Seed(1)
    let words = (0..<4096).map { _ in random.next() }
    return unsafe words.withUnsafeBytes { unsafe Array($0) }
  }()

  private static func payload(_ number: UInt64, _ count: Int) -> [UInt8] {
    let start = Int(number &* 97 % UInt64(bytes.count - count))
    return Array(bytes[start..<start + count])
  }

  /// Opens what is there after a crash, and compares.
  private mutating func look(_ survivor: SimulatedDisk, goesOn: Bool) throws {
    images += 1
    let looked = survivor.copy()
    let log: EventLog
    do { log = try EventLog(looked, configuration) } catch { throw violated("after a crash the log cannot be opened: \(error)") }
    defer { log.close() }
    var there: [EventID: RecordedEvent] = [:]
    var next: UInt64 = 0
    while true {
      let page = try log.page(ReadRequest(.all, from: .at(next), limit: 4096, bytes: 1 << 30))
      for event in page.events {
        guard event.position == UInt64(there.count) else { throw violated("position \(event.position) follows \(there.count - 1)") }
        there[event.id] = event
      }
      next = page.next!
      if page.isLast { break }
    }
    var count = 0
    for index in tried.indices {
      let appends = tried[index].appends
      let known = appends.flatMap(\.events).filter { there[$0.id] != nil }.count
      if known == 0, tried[index].receipt == nil { continue }
      guard known == appends.reduce(0, { $0 + $1.events.count }) else { throw violated("of append \(index) there are \(known) events") }
      count += known
      try compare(appends, tried[index].receipt, there)
      // Once seen, it must stay: whoever reads may act on it.
      if goesOn, tried[index].receipt == nil { tried[index].receipt = receipt(appends, there) }
    }
    guard count == there.count else { throw violated("\(there.count) events are there, \(count) were appended") }
    if goesOn { tried.removeAll { $0.receipt == nil } }
  }

  private func compare(_ appends: [StreamAppend], _ receipt: AppendReceipt?, _ there: [EventID: RecordedEvent]) throws {
    for (part, append) in appends.enumerated() {
      for (offset, draft) in append.events.enumerated() {
        let event = there[draft.id]!
        guard event.payload == draft.payload, event.stream == append.stream, event.type == draft.type, event.tenant == append.tenant else {
          throw violated("event \(draft.id) is not as it was appended")
        }
        guard let told = receipt?.streams[part] else { continue }
        guard event.position == told.firstPosition + UInt64(offset), event.version == told.firstVersion + UInt64(offset) else {
          throw violated("event \(draft.id) stands at \(event.position), version \(event.version), not as was told")
        }
      }
    }
  }

  private func receipt(_ appends: [StreamAppend], _ there: [EventID: RecordedEvent]) -> AppendReceipt {
    AppendReceipt(
      streams: appends.map { append in
        let first = there[append.events.first!.id]!
        let last = there[append.events.last!.id]!
        return .init(
          firstVersion: first.version, lastVersion: last.version, firstPosition: first.position, lastPosition: last.position)
      }, wasKnown: false)
  }

  /// Without threads each call is answered before it returns.
  private final class Box: @unchecked Sendable {
    var result: Result<AppendReceipt, EventStoreError>?
  }
}
