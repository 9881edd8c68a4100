internal import MillraceBroker
internal import MillraceWorkflow

/// What a task of `broker/publish` is told.
struct PublishInput {
  private let queue: String?
  private let exchange: String?
  private let key: String
  private let body: JSON?
  private let isMandatory: Bool
  /// All but where to, and what the payload says.
  private let properties: Envelope

  /// Throws `TaskFailure` of type `bad-input`.
  init(_ input: JSON, _ context: TaskContext) throws(TaskFailure) {
    guard let members = input.object else { throw PublishInput.bad("the input is no object: name a 'queue', or an 'exchange' and a 'key'") }
    queue = try PublishInput.text(input, "queue")
    exchange = try PublishInput.text(input, "exchange")
    let key = try PublishInput.text(input, "key")
    if (queue == nil) == (exchange == nil) { throw PublishInput.bad("name either a 'queue', or an 'exchange' and a 'key'") }
    if queue != nil, key != nil { throw PublishInput.bad("'key' is for an 'exchange': a queue gets messages by its name") }
    self.key = key ?? ""
    body = members.first { $0.name == "body" }?.value
    guard let isMandatory = (input["mandatory"] ?? .bool(true)).bool else {
      throw PublishInput.bad("'mandatory' is neither true nor false")
    }
    self.isMandatory = isMandatory
    var properties = Envelope(to: .default)
    properties.messageID = try PublishInput.text(input, "message_id") ?? context.key
    properties.correlationID = try PublishInput.text(input, "correlation")
    properties.tenant = context.tenant
    properties.trace = context.trace?.description
    properties.priority = try PublishInput.priority(input["priority"])
    properties.timeToLive = try PublishInput.duration(input, "time_to_live")
    properties.delay = try PublishInput.duration(input, "delay") ?? 0
    properties.headers = try PublishInput.headers(input["headers"])
    self.properties = properties
  }

  /// Where it is published, for people.
  var target: String { queue.map { "queue '\($0)'" } ?? "exchange '\(exchange ?? "")', key '\(key)'" }

  /// The message but for its payload. Throws `TaskFailure` of type `no-queue` or `no-exchange`, where there is none, or `bad-input`, where there can be none.
  func envelope(_ desk: BrokerDesk) throws(TaskFailure) -> Envelope {
    var envelope = properties
    do {
      let broker = try desk.broker()
      let name = try BrokerName(queue ?? exchange ?? "")
      if queue != nil {
        guard broker.router.queue(named: name) != nil else {
          throw PublishInput.missing("queue", name, broker.queues)
        }
        envelope.key = Array(name.description.utf8)
      } else {
        guard let found = broker.router.exchange(named: name) else {
          throw PublishInput.missing("exchange", name, broker.router.exchangeNames)
        }
        envelope.exchange = found
        envelope.key = Array(key.utf8)
      }
      return envelope
    } catch let failure as TaskFailure { throw failure } catch let error as RoutingError { throw PublishInput.bad("\(error)") } catch {
      throw TaskFailure("not-published", "\(target): \(error)")
    }
  }

  /// The body; without one, what the first task before this one gave.
  func payload(_ context: TaskContext) -> Payload { body.map { .json($0) } ?? context.payload(at: 0) ?? .empty }

  func envelope(_ envelope: Envelope, _ payload: Payload) -> Envelope {
    var envelope = envelope
    envelope.contentType = payload.contentType.mime
    return envelope
  }

  /// No queue has it. Throws `TaskFailure`, unless that is allowed.
  func unroutable(_ id: String) throws(TaskFailure) -> JSON {
    if isMandatory {
      throw TaskFailure(
        "unroutable", "\(target): no queue is bound for this key: bind one, give the exchange an alternate, or say 'mandatory: false'",
        isRetryable: false)
    }
    return ["status": "unroutable", "queues": 0, "message_id": .string(id)]
  }

  // MARK: Members

  private static func bad(_ message: String) -> TaskFailure { TaskFailure("bad-input", message, isRetryable: false) }

  private static func missing(_ kind: String, _ name: BrokerName, _ known: [BrokerName]) -> TaskFailure {
    TaskFailure("no-\(kind)", name.missing(kind, known), isRetryable: false)
  }

  private static func text(_ input: JSON, _ name: String) throws(TaskFailure) -> String? {
    guard let value = input[name], !value.isNull else { return nil }
    guard let text = value.string else { throw bad("'\(name)' is no text") }
    return text
  }

  private static func duration(_ input: JSON, _ name: String) throws(TaskFailure) -> UInt64? {
    guard let text = try text(input, name) else { return nil }
    do throws(DurationSyntaxError) { return try DurationText.nanoseconds(text) } catch { throw bad("'\(name)': \(error)") }
  }

  private static func priority(_ value: JSON?) throws(TaskFailure) -> UInt8 {
    guard let value, !value.isNull else { return Priority.normal.rawValue }
    if let number = value.integer, let priority = UInt8(exactly: number) { return priority }
    if let name = value.string, let priority = Priority.allCases.first(where: { "\($0)" == name }) { return priority.rawValue }
    throw bad("'priority' is \(value.text().prefix(40)): use low, normal, high, critical, or a number from 0 to 255")
  }

  private static func headers(_ value: JSON?) throws(TaskFailure) -> Headers {
    guard let value, !value.isNull else { return Headers() }
    guard let members = value.object else { throw bad("'headers' is no object") }
    var fields: [(String, HeaderValue)] = []
    for member in members {
      guard let header = HeaderValue(member.value) else {
        throw bad("the header '\(member.name.prefix(80))' is a list or an object: use a text, a number, true or false")
      }
      fields.append((member.name, header))
    }
    do throws(RoutingError) { return try Headers(fields) } catch { throw bad("'headers': \(error)") }
  }
}

extension BrokerName {
  /// That there is no such thing, and what was probably meant. Complexity: O(known).
  func missing(_ kind: String, _ known: [BrokerName]) -> String {
    var nearest = NearestName()
    let near = nearest.nearest(to: description, among: known.map(\.description))
    return "there is no \(kind) '\(self)'" + (near.map { ": did you mean '\($0)'?" } ?? ": declare it first")
  }
}

extension BrokerDesk {
  /// As `BrokerName.missing`, of a queue.
  func missing(_ queue: BrokerName) -> String {
    // A broker that is not there has no queues.
    queue.missing("queue", (try? broker())?.queues ?? [])
  }
}

extension HeaderValue {
  /// nil: a header cannot be that.
  init?(_ value: JSON) {
    switch value {
    case .null: self = .void
    case .bool(let flag): self = .boolean(flag)
    case .integer(let number): self = .integer(number)
    case .number(let number): self = .real(number)
    case .string(let text): self = .text(text)
    case .array, .object: return nil
    }
  }
}

extension PublishTask {
  /// What its input may be.
  static let schema: InputSchema = {
    do throws(InputSchema.Malformed) { return try InputSchema(parsing: schemaText) } catch {
      preconditionFailure("invariant broken: the schema of \(name) is none: \(error)")
    }
  }()

  private static let schemaText = """
    {
      "type": "object",
      "properties": {
        "queue": { "type": "string", "minLength": 1, "maxLength": 128, "description": "the queue that gets the message" },
        "exchange": { "type": "string", "minLength": 1, "maxLength": 128, "description": "the exchange that chooses queues by the key" },
        "key": { "type": "string", "maxLength": 255 },
        "body": { "description": "the payload, JSON; without it the output of the first task before this one" },
        "priority": { "anyOf": [{ "enum": ["low", "normal", "high", "critical"] }, { "type": "integer", "minimum": 0, "maximum": 255 }] },
        "time_to_live": { "type": "string", "description": "a duration, such as 30s, after which nobody wants the message any more" },
        "delay": { "type": "string", "description": "a duration, such as 30s, before which nobody gets the message" },
        "headers": { "type": "object" },
        "correlation": { "type": "string" },
        "message_id": { "type": "string" },
        "mandatory": { "type": "boolean" }
      },
      "oneOf": [{ "required": ["queue"] }, { "required": ["exchange"] }],
      "additionalProperties": false
    }
    """
}
