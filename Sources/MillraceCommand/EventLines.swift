internal import CMillrace
internal import Glibc
internal import Millrace
internal import MillraceLog

/// Events as lines: for people, or one JSON object on each.
struct EventLines {
  var format: Output.Format

  /// Milliseconds between two looks at a log that is written by another process.
  private static let pause: useconds_t = 100

  /// Prints what a request gives, page by page. Gives the start of what comes next.
  func print(_ reader: LogReader, _ request: ReadRequest, limit: Int) throws(Refusal) -> UInt64 {
    var request = request
    var left = limit
    while true {
      request.limit = min(left, 512)
      let page = try page(reader, request)
      try print(page.events)
      left -= page.events.count
      guard let next = page.next else { return 0 }
      if page.isLast || left == 0 { return next }
      request.start = .at(next)
    }
  }

  /// Prints what is appended from `start` on, until a signal.
  func follow(_ reader: LogReader, _ scope: ReadRequest.Scope, from start: UInt64, directory: String) throws(Refusal) {
    Signals.watch()
    defer { Signals.unwatch() }
    var next = start
    while Signals.received == nil {
      usleep(Self.pause * 1000)
      do throws(LogError) { try reader.refresh() } catch { throw Refusal(error, directory) }
      next = try print(reader, ReadRequest(scope, from: .at(next)), limit: .max)
    }
  }

  private func page(_ reader: LogReader, _ request: ReadRequest) throws(Refusal) -> EventPage {
    do throws(EventStoreError) { return try reader.page(request) } catch { throw Refusal(error) }
  }

  private func print(_ events: [RecordedEvent]) throws(Refusal) {
    var text = ""
    for event in events { text += (format == .json ? json(event).text() : line(event)) + "\n" }
    if !text.isEmpty { try Output.result(text) }
  }

  private func line(_ event: RecordedEvent) -> String {
    let payload =
      event.contentType == EventDraft.json ? String(decoding: event.payload.prefix(200), as: UTF8.self) : "\(event.payload.count) bytes"
    let more = event.contentType == EventDraft.json && event.payload.count > 200 ? "..." : ""
    return
      "\(event.position)  \(UTCTime(seconds: event.time / 1_000_000_000))  \(event.stream)@\(event.version)  \(event.type)  \(payload)\(more)"
  }

  private func json(_ event: RecordedEvent) -> JSON {
    var members: [JSON.Member] = [
      .init("position", .integer(Int64(event.position))), .init("stream", .string(event.stream.description)),
      .init("version", .integer(Int64(event.version))), .init("id", .string(event.id.description)), .init("type", .string(event.type)),
      .init("typeVersion", .integer(Int64(event.typeVersion))), .init("time", .integer(event.time)),
      .init("contentType", .string(event.contentType)),
    ]
    if let tenant = event.tenant { members.append(.init("tenant", .string(tenant))) }
    if let id = event.correlation { members.append(.init("correlation", .string(id.description))) }
    if let id = event.causation { members.append(.init("causation", .string(id.description))) }
    members.append(payload(event))
    return .object(members)
  }

  /// JSON as what it is; all else, and what only claims to be JSON, as base64.
  private func payload(_ event: RecordedEvent) -> JSON.Member {
    if event.contentType == EventDraft.json {
      do throws(JSONSyntaxError) {
        return .init("payload", try JSON(parsing: String(decoding: event.payload, as: UTF8.self)))
      } catch { return base64(event) }
    }
    return base64(event)
  }

  private func base64(_ event: RecordedEvent) -> JSON.Member {
    .init("payloadBase64", .string(Base64.text(event.payload)))
  }
}
