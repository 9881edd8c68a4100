import CMillrace
import Glibc
import MillraceLog

/// Appends of one event each, in memory that stays: as an engine keeps its running jobs. An event is 256 bytes on the disk, as a record of the peers is: 64 of header, 32 of
/// correlation and causation, 160 of payload.
@safe final class Slots: @unchecked Sendable {
  static let payload = 160
  static let event = 256

  let count: Int
  private let requests: UnsafeMutablePointer<AppendRequest>
  private let parts: UnsafeMutablePointer<RawStreamAppend>
  private let events: UnsafeMutablePointer<RawEvent>
  private let payloads: UnsafeMutableRawPointer
  private let context: UnsafeMutablePointer<EventContext>
  /// When each was appended, or should have been.
  let starts: UnsafeMutablePointer<UInt64>
  private let type: EventTypeNumber
  let sink: UnsafeMutablePointer<AppendSink>

  /// - Parameter streams: that the events go to, in turns; nil: one for each.
  init(
    _ log: EventLog, _ count: Int, name: String = "bench", streams: Int? = nil, _ context: UnsafeMutableRawPointer?,
    _ told: @escaping AppendSink.Told
  ) {
    self.count = count
    type = try! log.number(ofType: "measured")
    unsafe sink = .allocate(capacity: 1)
    unsafe sink.initialize(to: AppendSink(context: context, told: told))
    unsafe requests = .allocate(capacity: count)
    unsafe parts = .allocate(capacity: count)
    unsafe events = .allocate(capacity: count)
    unsafe starts = .allocate(capacity: count)
    unsafe self.context = .allocate(capacity: 1)
    unsafe self.context.initialize(to: EventContext(correlation: EventID(high: 1, low: 1), causation: EventID(high: 2, low: 2)))
    unsafe payloads = .allocate(byteCount: count * Self.payload, alignment: 64)
    for index in 0..<count {
      let stream = log.number(of: try! StreamName("\(name)-\(index % (streams ?? count))"))
      unsafe (events + index).initialize(
        to: RawEvent(
          id: EventID(high: UInt64(index), low: 0), type: type, payload: payloads + index * Self.payload, bytes: Self.payload,
          context: self.context))
      unsafe (parts + index).initialize(to: RawStreamAppend(stream: stream, events: events + index, count: 1))
      unsafe (requests + index).initialize(to: AppendRequest(parts + index, sink: UnsafePointer(sink)))
      unsafe starts[index] = 0
    }
  }

  @inline(__always) func request(_ index: Int) -> UnsafeMutablePointer<AppendRequest> { unsafe requests + index }
  @inline(__always) func index(_ request: UnsafeMutablePointer<AppendRequest>) -> Int { unsafe request - requests }

  /// Fills the payload anew, and gives the event an id of its own.
  @inline(__always) func fill(_ index: Int) {
    unsafe events[index].id.low &+= 1
    unsafe _ = memset(payloads + index &* Self.payload, Int32(truncatingIfNeeded: events[index].id.low & 0x7f), Self.payload)
  }
}
