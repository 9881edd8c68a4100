internal import Millrace
internal import MillraceWorkflow

extension ReceivedMessage {
  /// All that it says, but for what is left out as it does not say it.
  func json(queue: String) -> JSON {
    var members: [JSON.Member] = [
      .init("queue", .string(queue)), .init("key", .string(key)), .init("priority", .integer(Int64(priority))),
      .init("redelivered", .bool(isRedelivered)), .init("failures", .integer(Int64(failedCount))),
    ]
    for (name, text) in [
      ("id", messageID), ("correlationID", correlationID), ("replyTo", replyTo), ("contentType", contentType), ("type", type),
      ("tenant", tenant), ("trace", trace),
    ] { if let text { members.append(.init(name, .string(text))) } }
    if let timestamp { members.append(.init("timestamp", .integer(timestamp))) }
    let headers = headers
    if !headers.names.isEmpty {
      members.append(.init("headers", .object(headers.names.map { .init($0, headers[$0]?.json ?? .null) })))
    }
    let deaths = deaths
    if !deaths.all.isEmpty { members.append(.init("deaths", .array(deaths.all.map(\.json)))) }
    if let redrives = deaths.redrives { members.append(.init("redrives", redrives.json)) }
    let bytes = copy()
    if let text = String(validating: bytes, as: UTF8.self) {
      members.append(.init("payload", .string(text)))
    } else {
      members.append(.init("payloadBase64", .string(Base64.text(bytes))))
    }
    return .object(members)
  }

  /// The payload of such an object.
  static func payload(of json: JSON) -> [UInt8] {
    if let text = json["payload"]?.string { return Array(text.utf8) }
    return json["payloadBase64"]?.string.flatMap { Base64.bytes($0) } ?? []
  }
}

extension Deaths.Death {
  var json: JSON {
    .object([
      .init("queue", .string(queue)), .init("reason", .string(reason.words)), .init("count", .integer(Int64(clamping: count))),
      .init("time", .integer(time)), .init("exchange", .string(exchange)), .init("keys", .array(routingKeys.map(JSON.string))),
    ])
  }
}

extension Deaths.Redrives {
  var json: JSON {
    .object([
      .init("count", .integer(Int64(clamping: count))), .init("time", .integer(time)), .init("from", .string(queue)),
      .init("by", .string(by)),
    ])
  }
}

extension QueueExit {
  /// As the command's options have them.
  var words: String {
    switch self {
    case .acknowledged: "acknowledged"
    case .rejected: "rejected"
    case .expired: "expired"
    case .maxLength: "max-length"
    case .deliveryLimit: "delivery-limit"
    case .purged: "purged"
    case .moved: "moved"
    }
  }
}

extension DeadLetterTarget {
  var words: JSON {
    switch self {
    case .queue(let name): .string(name.description)
    case .exchange(let name, let key): .string("\(name):\(key ?? "")")
    }
  }
}

extension RedrivePreview {
  var members: [JSON.Member] {
    [
      .init("examined", .integer(Int64(examined))), .init("matching", .integer(Int64(matching))), .init("stay", .integer(Int64(stay))),
      .init("targets", .object(targets.sorted { $0.key < $1.key }.map { .init($0.key, .integer(Int64($0.value))) })),
      .init(
        "letters",
        .array(
          letters.map { letter in
            .object([
              .init("id", letter.messageID.map(JSON.string) ?? .null), .init("key", .string(letter.key)),
              .init("bytes", .integer(Int64(letter.bytes))), .init("target", letter.target.map(JSON.string) ?? .null),
              .init("stays", letter.refusal.map { .string("\($0)") } ?? .null), .init("deaths", .array(letter.deaths.all.map(\.json))),
              .init("redrives", letter.deaths.redrives?.json ?? .null),
            ])
          })),
    ]
  }
}

extension RedriveProgress {
  var members: [JSON.Member] {
    [
      .init("total", .integer(Int64(total))), .init("examined", .integer(Int64(examined))), .init("moved", .integer(Int64(moved))),
      .init("passed", .integer(Int64(passed))), .init("missed", .integer(Int64(missed))), .init("stayed", .integer(Int64(stayedCount))),
      .init(
        "reasons",
        .array(stayed.map { .object([.init("message", .string($0.message)), .init("reason", .string("\($0.why)"))]) })),
    ]
  }
}
