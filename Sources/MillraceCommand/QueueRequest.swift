internal import Millrace
internal import MillraceWorkflow

/// A question about queues, read member by member: each that is not as it must be is named.
struct QueueRequest {
  let json: JSON

  init(_ json: JSON) { self.json = json }

  private func problem(_ name: String, _ words: String) -> QueueDesk.Problem {
    QueueDesk.Problem(code: "bad-request", message: "'\(name)' \(words)")
  }

  func optionalText(_ name: String) throws(QueueDesk.Problem) -> String? {
    switch json[name] {
    case nil, .null?: return nil
    case .string(let text)?: return text
    default: throw problem(name, "is no text")
    }
  }

  func text(_ name: String) throws(QueueDesk.Problem) -> String {
    guard let text = try optionalText(name) else { throw problem(name, "is missing") }
    return text
  }

  /// 0 or more.
  func integer(_ name: String) throws(QueueDesk.Problem) -> Int? {
    switch json[name] {
    case nil, .null?: return nil
    case .integer(let value)? where value >= 0: return Int(value)
    default: throw problem(name, "is no whole number from 0 on")
    }
  }

  private func nanoseconds(_ name: String) throws(QueueDesk.Problem) -> UInt64? { try integer(name).map { UInt64($0) } }

  func flag(_ name: String) -> Bool { json[name] == true }

  func list(_ name: String) throws(QueueDesk.Problem) -> [QueueRequest] { (json[name]?.array ?? []).map(QueueRequest.init) }

  func optionalName(_ name: String) throws(QueueDesk.Problem) -> BrokerName? {
    guard let text = try optionalText(name) else { return nil }
    do throws(RoutingError) { return try BrokerName(text) } catch { throw QueueDesk.Problem(code: "refused", message: "\(error)") }
  }

  func name(_ name: String) throws(QueueDesk.Problem) -> BrokerName {
    guard let found = try optionalName(name) else { throw problem(name, "is missing") }
    return found
  }

  func kind(_ name: String) throws(QueueDesk.Problem) -> ExchangeKind {
    let text = try text(name)
    guard let kind = ExchangeKind(named: text) else {
      throw problem(name, "is '\(text.prefix(32))': direct, fanout, topic, headers or mqtt")
    }
    return kind
  }

  func headers(_ name: String) throws(QueueDesk.Problem) -> Headers {
    let fields = (json[name]?.object ?? []).map { ($0.name, HeaderValue($0.value)) }
    do throws(RoutingError) { return try Headers(fields) } catch { throw QueueDesk.Problem(code: "refused", message: "\(error)") }
  }

  // MARK: Values

  func bodies() throws(QueueDesk.Problem) -> [[UInt8]] {
    var all: [[UInt8]] = []
    for body in json["bodies"]?.array ?? [] {
      if let text = body.string {
        all.append(Array(text.utf8))
      } else if let text = body["base64"]?.string, let bytes = Base64.bytes(text) {
        all.append(bytes)
      } else {
        throw problem("bodies", "has what is neither text nor {\"base64\"}")
      }
    }
    return all
  }

  func envelope(_ broker: Broker, wall: Int64) throws(QueueDesk.Problem) -> Envelope {
    var exchange = ExchangeID.default
    if let name = try optionalName("exchange") {
      guard let found = broker.router.exchange(named: name) else {
        throw QueueDesk.Problem(
          code: "refused", message: "there is no exchange '\(name)': `millrace queue declare QUEUE --exchange \(name):KIND` makes it")
      }
      exchange = found
    }
    var envelope = Envelope(to: exchange, key: try text("key"))
    if let priority = try integer("priority") { envelope.priority = UInt8(clamping: priority) }
    envelope.timeToLive = try nanoseconds("ttl")
    envelope.delay = try nanoseconds("delay") ?? 0
    envelope.messageID = try optionalText("id")
    envelope.correlationID = try optionalText("correlationID")
    envelope.replyTo = try optionalText("replyTo")
    envelope.contentType = try optionalText("contentType")
    envelope.type = try optionalText("type")
    envelope.headers = try headers("headers")
    envelope.timestamp = wall
    return envelope
  }

  func configuration() throws(QueueDesk.Problem) -> QueueConfiguration {
    let settings = QueueRequest(json["settings"] ?? .null)
    var configuration = QueueConfiguration()
    configuration.isDurable = true
    if let priorities = try settings.integer("priorities") { configuration.priorities = priorities }
    if let size = try settings.integer("maxSize") { configuration.maxSize = size }
    if let bytes = try settings.integer("maxBytes") { configuration.maxBytes = bytes }
    switch try settings.optionalText("overflow") {
    case nil: break
    case "drop-head": configuration.overflow = .dropHead
    case "reject-publish": configuration.overflow = .rejectPublish
    case "reject-publish-dead-letter": configuration.overflow = .rejectPublishDeadLetter
    default: throw problem("overflow", "is drop-head, reject-publish or reject-publish-dead-letter")
    }
    configuration.timeToLive = try settings.nanoseconds("ttl")
    if let limit = try settings.integer("deliveryLimit") { configuration.deliveryLimit = limit == 0 ? nil : limit }
    if let delay = try settings.nanoseconds("retryDelay") { configuration.retryDelay = delay }
    if let longest = try settings.nanoseconds("longestRetry") { configuration.longestRetry = longest }
    configuration.lease = try settings.nanoseconds("lease")
    configuration.isSingleActive = settings.flag("singleActive")
    configuration.isExclusive = settings.flag("exclusive")
    if let queue = try settings.optionalName("deadLetterQueue") { configuration.deadLetters = .queue(queue) }
    if let exchange = try settings.optionalName("deadLetterExchange") {
      configuration.deadLetters = .exchange(exchange, key: try settings.optionalText("deadLetterKey"))
    }
    return configuration
  }

  func redriveOptions() throws(QueueDesk.Problem) -> RedriveOptions {
    var options = RedriveOptions()
    if let queue = try optionalName("toQueue") {
      options.target = .queue(queue)
    } else if let exchange = try optionalName("toExchange") {
      options.target = .exchange(exchange, key: try optionalText("key"))
    } else if flag("firstDeath") {
      options.target = .firstDeath
    }
    switch try optionalText("reason") {
    case nil: break
    case "rejected": options.filter.reason = .rejected
    case "expired": options.filter.reason = .expired
    case "max-length": options.filter.reason = .maxLength
    case "delivery-limit": options.filter.reason = .deliveryLimit
    default: throw problem("reason", "is rejected, expired, max-length or delivery-limit")
    }
    options.filter.queue = try optionalName("diedIn")
    options.filter.key = try optionalText("matching")
    options.filter.headers = try headers("headers")
    options.filter.messageID = try optionalText("id")
    options.filter.olderThan = try nanoseconds("olderThan")
    options.limit = try integer("limit")
    options.rate = try integer("rate")
    options.by = try optionalText("by") ?? ""
    if let fault = options.fault { throw QueueDesk.Problem(code: "refused", message: fault) }
    return options
  }
}

extension ExchangeKind {
  /// nil: there is none of this name.
  init?(named text: String) {
    guard let kind = [.direct, .fanout, .topic, .headers, .mqtt].first(where: { (kind: ExchangeKind) in kind.description == text }) else {
      return nil
    }
    self = kind
  }
}

extension HeaderValue {
  /// Lists and objects are there, and equal to nothing.
  init(_ json: JSON) {
    self =
      switch json {
      case .null: .void
      case .bool(let value): .boolean(value)
      case .integer(let value): .integer(value)
      case .number(let value): .real(value)
      case .string(let value): .text(value)
      case .array, .object: .nested
      }
  }

  var json: JSON {
    switch self {
    case .void, .nested: .null
    case .boolean(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .unsigned(let value): .string("\(value)")
    case .real(let value): .number(value)
    case .decimal(let scale, let value): .string("\(value)e-\(scale)")
    case .text(let value): .string(value)
    case .bytes(let value): .string(Base64.text(value))
    }
  }
}
