import MillraceBroker
import MillraceSimulation
import Testing

@testable import Millrace

/// What is alive is written again while others settle, count and delete: whatever is on its way when a copy is decided, whatever part of the log has gone, and wherever a crash cuts the rest
/// off, recovery gives what a plain model has.
@Suite struct CopyProtocolTests {
  @Test("copies that others overtake neither bring anything back nor lose anything, wherever the log is cut off at both ends")
  func overtaken() throws {
    var passes = 0
    var overtaken = 0
    for seed in 0..<100 {
      let world = CopyWorld(UInt64(seed))
      for _ in 0..<1_500 { try world.step() }
      passes += world.passes
      overtaken += world.overtaken
    }
    // That something was tested.
    #expect(passes > 300)
    #expect(overtaken > 500)
  }
}

/// A journal's state with its log as a list, a queue of what is on its way into it, and a copier that decides early.
private final class CopyWorld {
  struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  private enum Record {
    case batch([UInt8])
    case definitions([UInt8])
  }

  private struct OnTheWay {
    var record: Record
    var isOwn = false
    var apply: (inout JournalModel) -> Void = { _ in }
  }

  /// The copier's next step.
  private enum Copier {
    case idle
    case definitions(floor: UInt64)
    case messages(floor: UInt64, next: UInt64)
    case mends(floor: UInt64)
  }

  private let seed: UInt64
  private var random: Seed
  private var state = JournalState(recoveringFrom: 0)
  private var model = JournalModel()
  private var log: [Record] = []
  /// The version of the log's first record, and the one that it may become.
  private var first = 0
  private var floor = 0
  private var ring: [OnTheWay] = []
  private var copier = Copier.idle
  /// The copier's own on the way.
  private var waiting = 0
  private var isWaiting: Bool { waiting > 0 }
  private var nextMessage: UInt64 = 1
  private var nextQueue: UInt32 = 0
  private(set) var passes = 0
  private(set) var overtaken = 0

  init(_ seed: UInt64) {
    self.seed = seed
    random = Seed(seed)
    state.recovered()
  }

  private var end: Int { first + log.count }

  func step() throws {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<36: send()
    case 36..<72: commit()
    case 72..<99: copy()
    default: try crash()
    }
  }

  // MARK: The log

  private func commit() {
    guard !ring.isEmpty else { return }
    let next = ring.removeFirst()
    let before = state.unwritten.settlements.count + state.unwritten.undos.count + state.unwritten.counts.count
    log.append(next.record)
    apply(next.record, UInt64(end - 1), &state)
    next.apply(&model)
    if next.isOwn {
      waiting -= 1
      overtaken += state.unwritten.settlements.count + state.unwritten.undos.count + state.unwritten.counts.count - before
    }
  }

  private func apply(_ record: Record, _ version: UInt64, _ state: inout JournalState) {
    switch record {
    case .batch(let bytes):
      unsafe bytes.withUnsafeBytes { unsafe try! state.apply(batch: $0, version: version) }
    case .definitions(let bytes):
      unsafe bytes.withUnsafeBytes { unsafe try! state.apply(definitions: $0, version: version) }
    }
  }

  /// Some of what is on its way comes to be, the rest does not; some of what may go has gone.
  private func crash() throws {
    for _ in 0..<Int.random(in: 0...ring.count, using: &random) { commit() }
    ring = []
    let head = Int.random(in: first...max(first, floor), using: &random)
    log.removeFirst(head - first)
    first = head
    state = JournalState(recoveringFrom: UInt64(first))
    for (index, record) in log.enumerated() { apply(record, UInt64(first + index), &state) }
    state.recovered()
    copier = .idle
    waiting = 0
    if let difference { throw Violation(description: "seed \(seed), records \(first)..<\(end): \(difference)") }
  }

  private var difference: String? {
    let definitions = Set(state.definitions.ordered.map(\.definition))
    let wanted = Set(
      model.exchanges.map(DurableDefinition.exchange) + model.queues.map(DurableDefinition.queue)
        + model.bindings.map(DurableDefinition.binding))
    if definitions != wanted { return "definitions differ: \(definitions.symmetricDifference(wanted).map(\.name))" }
    var counts: [JournalCount] = []
    state.live.visit { counts.append($0.count) }
    let order = { (one: JournalCount, other: JournalCount) in (one.message, one.queue) < (other.message, other.queue) }
    let places = model.messages.values.flatMap(\.places.values).sorted(by: order)
    if counts.sorted(by: order) != places { return "\(counts.sorted(by: order)) are there, not \(places)" }
    return nil
  }

  // MARK: The broker

  private func send() {
    if Int.random(in: 0..<4, using: &random) == 0 { return change() }
    var messages: [SentMessage] = []
    var settled: [JournalSettlement] = []
    var counts: [JournalCount] = []
    if Bool.random(using: &random), !model.queues.isEmpty {
      let queues = model.queues.map(\.number).shuffled(using: &random).prefix(Int.random(in: 1...2, using: &random))
      messages = [SentMessage(queues: Array(queues))]
    }
    let known = model.messages.values.flatMap(\.places.values).sorted { ($0.message, $0.queue) < ($1.message, $1.queue) }
    for place in known.shuffled(using: &random).prefix(Int.random(in: 0...2, using: &random)) {
      if Bool.random(using: &random) {
        settled.append(JournalSettlement(place.message, in: place.queue, .acknowledged))
      } else {
        counts.append(
          JournalCount(
            place.message, in: place.queue, acquired: place.acquired + 1, failed: place.failed + UInt16.random(in: 0...1, using: &random)))
      }
    }
    let number = nextMessage
    nextMessage += UInt64(messages.count)
    var bytes = [UInt8](repeating: 0, count: 16 + 48 * messages.count + 16 * (settled.count + counts.count))
    unsafe bytes.withUnsafeMutableBytes { bytes in
      var writer = unsafe RecordWriter(bytes.baseAddress!, room: bytes.count)
      writer.putBatchHeader(messages: messages.count, settlements: settled.count, counts: counts.count, seen: 0)
      for message in messages {
        unsafe message.queues.withUnsafeBufferPointer { queues in
          let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
          writer.put(unsafe JournalMessage(queues: queues, properties: none, payload: none), number: number)
        }
      }
      for settlement in settled { writer.put(settlement) }
      for count in counts { writer.put(count) }
    }
    ring.append(
      OnTheWay(record: .batch(bytes)) { [settled, counts, messages] model in
        model.apply(messages, first: number, settled: settled, counts: counts)
      })
  }

  private func change() {
    let exchange = try! BrokerName("exchange-\(Int.random(in: 0..<2, using: &random))")
    let queue = try! BrokerName("queue-\(Int.random(in: 0..<3, using: &random))")
    let binding = Binding(exchange, to: .queue(queue), key: "\(Int.random(in: 0..<2, using: &random))")
    let change: JournalChange
    switch Int.random(in: 0..<8, using: &random) {
    case 0: change = .declare(.exchange(DurableExchange(exchange, .direct, ExchangeOptions())))
    case 1..<4:
      change = .declare(.queue(DurableQueue(queue, number: nextQueue, QueueConfiguration())))
      nextQueue += 1
    case 4..<5: change = .declare(.binding(binding))
    case 5: change = .delete(.queue(queue))
    case 6: change = .delete(.exchange(exchange))
    default: change = .delete(.binding(binding))
    }
    ring.append(OnTheWay(record: .definitions(definitions([WrittenChange(change: change)]))) { $0.apply(change) })
  }

  private func definitions(_ changes: [WrittenChange]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: JournalRecord.changesHeader + changes.reduce(0) { $0 + $1.bytes })
    unsafe bytes.withUnsafeMutableBytes { bytes in
      var writer = unsafe RecordWriter(bytes.baseAddress!, room: bytes.count)
      writer.put(UInt32(changes.count))
      writer.put(0 as UInt32)
      for change in changes { writer.put(change) }
    }
    return bytes
  }

  // MARK: The copier

  private func own(_ record: Record) {
    waiting += 1
    ring.append(OnTheWay(record: record, isOwn: true))
  }

  /// One step of a pass, as `LogQueueJournal` makes them: each waits for the one before.
  private func copy() {
    if isWaiting { return }
    switch copier {
    case .idle:
      // Up to the end of some segment.
      let start = max(first, floor)
      if start < end { copier = .definitions(floor: UInt64(Int.random(in: start + 1...end, using: &random))) }
    case .definitions(let floor):
      copier = .messages(floor: floor, next: UInt64(max(first, self.floor)))
      let copies = state.definitions.copies(before: floor)
      if !copies.isEmpty { own(.definitions(definitions(copies))) }
    case .messages(let floor, var next):
      while next < floor, !isWaiting {
        copyRecord(next)
        next += 1
      }
      copier = next < floor ? .messages(floor: floor, next: next) : .mends(floor: floor)
    case .mends(let floor):
      if state.unwritten.isEmpty {
        self.floor = Int(floor)
        passes += 1
        copier = .idle
      } else {
        mend()
      }
    }
  }

  private func copyRecord(_ version: UInt64) {
    guard case .batch(let bytes) = log[Int(version) - first] else { return }
    var copies = CopyBatch()
    unsafe bytes.withUnsafeBytes { bytes in
      var reader = unsafe RecordReader(bytes)
      let header = try! BatchHeader(&reader)
      for _ in 0..<header.messages {
        let message = try! StoredMessage(&reader)
        let alive = state.alive(message, at: version)
        if !alive.isEmpty { copies.add(message, alive, source: version) }
      }
    }
    guard !copies.isEmpty else { return }
    var record = [UInt8](repeating: 0, count: copies.bytes)
    unsafe record.withUnsafeMutableBytes { bytes in
      var writer = unsafe RecordWriter(bytes.baseAddress!, room: bytes.count)
      copies.put(&writer)
    }
    own(.batch(record))
  }

  private func mend() {
    let unwritten = state.unwritten
    state.unwritten = JournalState.Unwritten()
    if !unwritten.undos.isEmpty {
      own(.definitions(definitions(unwritten.undos)))
    }
    let counts = unwritten.counts.compactMap { state.live[$0.message, $0.queue]?.count }
    if unwritten.settlements.isEmpty, counts.isEmpty { return }
    var bytes = [UInt8](repeating: 0, count: 16 + 16 * (unwritten.settlements.count + counts.count))
    unsafe bytes.withUnsafeMutableBytes { bytes in
      var writer = unsafe RecordWriter(bytes.baseAddress!, room: bytes.count)
      writer.putBatchHeader(messages: 0, settlements: unwritten.settlements.count, counts: counts.count, seen: 0)
      for settlement in unwritten.settlements { writer.put(settlement) }
      for count in counts { writer.put(count) }
    }
    own(.batch(bytes))
  }
}
