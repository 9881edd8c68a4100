/// Where dead letters go that are redriven.
public enum RedriveTarget: Sendable, Hashable {
  /// To the queue where each died last.
  case lastDeath
  /// To the queue where each died first of all.
  case firstDeath
  /// All to one queue.
  case queue(BrokerName)
  /// To an exchange, by a key; nil: by the key that each had when it died last.
  case exchange(BrokerName, key: String?)
}

/// How dead letters are redriven.
public struct RedriveOptions: Sendable, Hashable {
  /// Bytes of `by`, at most.
  public static let maxByBytes = 255
  /// Messages a second, at most.
  public static let maxRate = 1_000_000

  /// Where they go.
  public var target = RedriveTarget.lastDeath
  /// Which of them.
  public var filter = RedriveFilter()
  /// So many at most; nil: all.
  public var limit: Int?
  /// Messages a second, 1 to 1,000,000, by the broker's clock; nil: as fast as it goes.
  public var rate: Int?
  /// Who does it: told in each message's story.
  public var by = ""

  /// All, to where each died last, as fast as it goes.
  public init() {}

  /// The first member that is out of bounds, in words; nil: none is.
  public var fault: String? {
    if let limit, limit < 1 { return "limit is \(limit): use 1 or more, or none" }
    if let rate, !(1...RedriveOptions.maxRate ~= rate) {
      return "rate is \(rate): use 1 to \(RedriveOptions.maxRate) messages a second, or none"
    }
    if by.utf8.count > RedriveOptions.maxByBytes { return "by has \(by.utf8.count) bytes: use \(RedriveOptions.maxByBytes) at most" }
    if case .exchange(_, let key?) = target, key.utf8.count > RoutingKey.maxBytes {
      return "the target's key has \(key.utf8.count) bytes: use \(RoutingKey.maxBytes) at most"
    }
    return filter.fault
  }
}

/// Which dead letters are meant: those that are as each member says.
public struct RedriveFilter: Sendable, Hashable {
  /// Why it died last.
  public var reason: QueueExit?
  /// Where it died last.
  public var queue: BrokerName?
  /// A topic pattern of the key that it had then, as `order.#`.
  public var key: String?
  /// Headers that it has, with these values.
  public var headers = Headers()
  /// Its id.
  public var messageID: String?
  /// Nanoseconds since it died in that queue, for that reason, for the first time, at least.
  public var olderThan: UInt64?

  /// All.
  public init() {}

  var fault: String? {
    if let reason, !reason.isDeadLetter { return "reason is \(reason): dead letters are rejected, expired, maxLength or deliveryLimit" }
    guard let key else { return nil }
    do throws(RoutingError) {
      _ = try Pattern(.topic, key: Array(key.utf8), arguments: Headers())
      return nil
    } catch { return "key: \(error)" }
  }
}

/// A filter, ready to be asked again and again.
struct RedriveSieve {
  private let filter: RedriveFilter
  private let pattern: Pattern?
  private let headers: [(name: String, value: HeaderValue)]

  /// `filter`: without a fault.
  init(_ filter: RedriveFilter) {
    self.filter = filter
    do throws(RoutingError) {
      pattern = try filter.key.map { key throws(RoutingError) in try Pattern(.topic, key: Array(key.utf8), arguments: Headers()) }
    } catch { preconditionFailure("a filter is checked before it is used") }
    headers = filter.headers.fields.map { ($0.name, $0.decoded) }
  }

  /// `wall`: nanoseconds since 1970. Complexity: O(properties + deaths).
  func wants(_ block: MessageBlock, wall: Int64) -> Bool {
    // unsafe: the caller holds the block.
    let properties = unsafe MessageProperties(block)
    if let id = filter.messageID, properties.text(.messageID) != id { return false }
    if !headers.isEmpty {
      let own = unsafe properties[.headers].map { unsafe Headers(encoded: $0) } ?? Headers()
      if headers.contains(where: { own[$0.name] != $0.value }) { return false }
    }
    if filter.reason == nil, filter.queue == nil, filter.olderThan == nil, pattern == nil { return true }
    let last = block.deaths.last
    if let reason = filter.reason, last?.reason != reason { return false }
    if let queue = filter.queue, last?.queue != queue.description { return false }
    if let age = filter.olderThan {
      guard let last, wall >= last.time, UInt64(wall &- last.time) >= age else { return false }
    }
    if let pattern, !pattern.matches(Array((last?.routingKeys.first ?? properties.text(.key) ?? "").utf8)) { return false }
    return true
  }
}

extension Pattern {
  /// Of a topic exchange. Complexity: O(words x steps).
  func matches(_ key: [UInt8]) -> Bool {
    let words = key.isEmpty ? [] : key.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    // Whether what was read so far leads to before each step.
    var reached = [true] + steps.map { _ in false }
    func passMany() { for (at, step) in steps.enumerated() where step == .many && reached[at] { reached[at + 1] = true } }
    passMany()
    for word in words {
      var next = [false] + steps.map { _ in false }
      for (at, step) in steps.enumerated() where reached[at] {
        switch step {
        case .word(let own): if word.elementsEqual(own) { next[at + 1] = true }
        case .one: next[at + 1] = true
        case .many: next[at] = true
        }
      }
      reached = next
      passMany()
    }
    return reached[steps.count]
  }
}
