internal import MillraceBroker

/// Which messages start runs of a workflow by themselves, once an engine is asked to consume them.
public struct MessageTrigger: Sendable, Hashable {
  /// What `prefetch` may be.
  public static let prefetchRange = 1...65_535

  /// Whose messages they are; nil: of a queue of the workflow's name.
  public var queue: String?
  /// What the queue is bound to; nil: nothing.
  public var exchange: String?
  /// By which it is bound.
  public var key: String
  /// Messages that are in hand at a time: whose runs are being started.
  public var prefetch: Int
  /// The parameter that is the message's body; nil: the body is an object, whose members are the parameters of their names.
  public var parameter: String?

  /// A queue.
  public init(queue: String, prefetch: Int = 100, parameter: String? = nil) {
    (self.queue, key, self.prefetch, self.parameter) = (queue, "", prefetch, parameter)
  }

  /// A queue of the workflow's own, bound to an exchange.
  public init(exchange: String, key: String = "", queue: String? = nil, prefetch: Int = 100, parameter: String? = nil) {
    (self.queue, self.exchange, self.key, self.prefetch, self.parameter) = (queue, exchange, key, prefetch, parameter)
  }

  /// What is wrong with a member: its name, the message and what to do.
  func faults(of definition: Definition) -> [(member: String, code: Fault.Code, message: String, fix: String)] {
    var faults: [(member: String, code: Fault.Code, message: String, fix: String)] = []
    if queue == nil, exchange == nil {
      faults.append(
        ("", .missing, "'on_message' names neither a queue nor an exchange", "write 'queue: NAME', or 'exchange: NAME' and 'key: PATTERN'"))
    }
    for (member, name) in [("queue", queue ?? (exchange == nil ? nil : definition.name)), ("exchange", exchange)] {
      guard let name else { continue }
      do throws(RoutingError) { _ = try BrokerName(name) } catch {
        faults.append((member, .badId, "'\(member)': \(error)", "use 1 to 128 of A-Z a-z 0-9 . _ and -"))
      }
    }
    if exchange == nil, !key.isEmpty {
      faults.append(
        ("key", .mismatch, "'key' is for an 'exchange': a queue gets messages by its name", "remove 'key', or name the exchange"))
    }
    if key.utf8.count > 255 { faults.append(("key", .badValue, "a key of \(key.utf8.count) bytes", "use 255 at most")) }
    if !MessageTrigger.prefetchRange.contains(prefetch) {
      faults.append(("prefetch", .badValue, "'prefetch' is \(prefetch)", "use 1 to \(MessageTrigger.prefetchRange.upperBound)"))
    }
    if let parameter, !definition.parameters.contains(where: { $0.name == parameter }) {
      var nearest = NearestName()
      let near = nearest.nearest(to: parameter, among: definition.parameters.map(\.name))
      faults.append(
        (
          "parameter", .unknownParameter, "the parameter '\(parameter.prefix(128))' is not declared",
          near.map { "did you mean '\($0)'?" } ?? "declare it"
        ))
    }
    return faults
  }
}

extension DefinitionDecoder {
  private static let triggerKeys = ["queue", "exchange", "key", "prefetch", "parameter"]

  /// `on_message: orders` is short for `on_message: { queue: orders }`.
  mutating func trigger(_ value: Located, of definition: Definition) -> MessageTrigger? {
    let before = faults.errors
    var trigger: MessageTrigger
    if let queue = value.string {
      trigger = MessageTrigger(queue: queue)
    } else {
      guard let entries = map(value, "'on_message'", Self.triggerKeys, fix: "write 'on_message: { queue: NAME }'") else { return nil }
      trigger = MessageTrigger(queue: "")
      trigger.queue = nil
      for entry in entries {
        switch entry.name {
        case "queue": trigger.queue = text(entry.value, "'queue'") ?? trigger.queue
        case "exchange": trigger.exchange = text(entry.value, "'exchange'")
        case "key": trigger.key = text(entry.value, "'key'") ?? ""
        case "prefetch": trigger.prefetch = integer(entry.value, "'prefetch'", MessageTrigger.prefetchRange) ?? trigger.prefetch
        case "parameter": trigger.parameter = text(entry.value, "'parameter'")
        default: break
        }
      }
    }
    for fault in faults.errors > before ? [] : trigger.faults(of: definition) {
      faults.add(fault.code, fault.message, fix: fault.fix, at: value[fault.member]?.position ?? value.position)
    }
    return trigger
  }
}
