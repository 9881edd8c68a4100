import MillraceBroker
import MillraceCore

/// Collects what a journal tells.
final class JournalEndings: @unchecked Sendable {
  private let monitor = Monitor()
  private var all: [JournalEnding] = []
  private var outcomes: [UInt64: JournalOutcome] = [:]

  deinit { monitor.deallocate() }

  var list: [JournalEnding] { monitor.locked { all } }
  func outcome(_ token: UInt64) -> JournalOutcome? { monitor.locked { outcomes[token] } }
  /// How it ends.
  func wait(_ token: UInt64) -> JournalOutcome {
    monitor.locked {
      while true {
        if let outcome = outcomes[token] { return outcome }
        monitor.wait(.ended)
      }
    }
  }

  var sink: JournalSink {
    unsafe JournalSink(context: Unmanaged.passUnretained(self).toOpaque()) { context, array, count in
      let endings = unsafe Unmanaged<JournalEndings>.fromOpaque(context!).takeUnretainedValue()
      let told = unsafe Array(JournalSink.endings(array, count))
      endings.monitor.locked {
        endings.all += told
        for ending in told { endings.outcomes[ending.token] = ending.outcome }
        endings.monitor.broadcast(.ended)
      }
    }
  }
}

/// A message as tests write it.
struct SentMessage: Equatable {
  var queues: [UInt32]
  var payload: [UInt8] = []
  var properties: [UInt8] = []
  var priority: UInt8 = 0
  var expiry: Int64?
  var due: Int64?
  var id: [UInt8] = []
  var idExpiry: Int64 = 0
}

/// A message as it comes back.
struct BackMessage: Equatable {
  var number: UInt64
  var places: [RecoveredMessage.Place]
  var payload: [UInt8]
  var properties: [UInt8]
  var priority: UInt8
  var expiry: Int64?
  var due: Int64?
  var id: [UInt8]
  var idExpiry: Int64
}

struct SeenID: Hashable {
  var id: [UInt8]
  var until: Int64
}

/// Keeps what recovery tells, in its order.
struct Recovered: JournalVisitor {
  var seen: [SeenID] = []
  var definitions: [DurableDefinition] = []
  var messages: [BackMessage] = []

  mutating func seen(_ id: UnsafeRawBufferPointer, until: Int64) { unsafe seen.append(SeenID(id: Array(id), until: until)) }
  mutating func declared(_ definition: DurableDefinition) { definitions.append(definition) }
  mutating func message(_ message: RecoveredMessage) {
    unsafe messages.append(
      BackMessage(
        number: message.number, places: Array(message.places), payload: Array(message.payload), properties: Array(message.properties),
        priority: message.priority, expiry: message.expiry, due: message.due, id: Array(message.id), idExpiry: message.idExpiry))
  }

  /// Numbers of the messages of a queue, in order.
  func numbers(of queue: UInt32) -> [UInt64] { messages.filter { $0.places.contains { $0.queue == queue } }.map(\.number) }
}

extension QueueJournal {
  /// A batch of values.
  @discardableResult
  func send(
    _ messages: [SentMessage] = [], settled: [JournalSettlement] = [], counts: [JournalCount] = [], token: UInt64 = 0, mayWait: Bool = false
  ) throws(JournalRefusal) -> UInt64 {
    let bytes = messages.flatMap { $0.payload + $0.properties + $0.id }
    let queues = messages.flatMap(\.queues)
    let result: Result<UInt64, JournalRefusal> = unsafe bytes.withUnsafeBytes { bytes in
      unsafe queues.withUnsafeBufferPointer { queues in
        var (at, queueAt) = (0, 0)
        func take(_ count: Int) -> UnsafeRawBufferPointer {
          defer { at += count }
          return unsafe UnsafeRawBufferPointer(rebasing: bytes[at..<at + count])
        }
        let raw = messages.map { message in
          defer { queueAt += message.queues.count }
          return unsafe JournalMessage(
            queues: UnsafeBufferPointer(rebasing: queues[queueAt..<queueAt + message.queues.count]), properties: take(0),
            payload: take(message.payload.count), priority: message.priority, expiry: message.expiry, due: message.due
          )
          .with(properties: take(message.properties.count), id: take(message.id.count), message.idExpiry)
        }
        return unsafe raw.withUnsafeBufferPointer { raw in
          unsafe settled.withUnsafeBufferPointer { settled in
            unsafe counts.withUnsafeBufferPointer { counts in
              Result { () throws(JournalRefusal) in
                try unsafe write(JournalBatch(messages: raw, settlements: settled, counts: counts), token: token, mayWait: mayWait)
              }
            }
          }
        }
      }
    }
    return try result.get()
  }

  /// Recovers into a new visitor.
  func back(_ endings: JournalEndings) throws(JournalError) -> (Recovered, JournalRecovery) {
    var visitor = Recovered()
    let recovery = try recover(endings.sink, &visitor)
    return (visitor, recovery)
  }
}

extension JournalMessage {
  fileprivate func with(properties: UnsafeRawBufferPointer, id: UnsafeRawBufferPointer, _ idExpiry: Int64) -> JournalMessage {
    var message = self
    unsafe message.properties = properties
    unsafe message.id = id
    message.idExpiry = idExpiry
    return message
  }
}

extension DurableDefinition {
  static func queue(_ name: String, _ number: UInt32) throws -> DurableDefinition {
    .queue(DurableQueue(try BrokerName(name), number: number, QueueConfiguration()))
  }
}
