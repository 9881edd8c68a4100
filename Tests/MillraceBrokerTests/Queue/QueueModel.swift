@testable import MillraceBroker

/// A queue as its rules read, slow and plain: what `QueueMachine` is compared with.
struct QueueModel {
  enum Place: Equatable {
    case ready
    case delayed(until: UInt64)
    case held(by: Int, order: Int)
  }

  struct Message {
    var id: UInt64
    var bytes: Int
    var priority: Int
    var expiry: UInt64
    var sequence: Int
    var place: Place
    /// The last moment before something happens to it.
    var deadline: UInt64?
    var acquired = 0
    var failed = 0
  }

  struct Consumer {
    var prefetch: Int
    var isExclusive: Bool
  }

  let configuration: QueueConfiguration
  var messages: [Message] = []
  /// By the number that the machine gave.
  var consumers: [Int: Consumer] = [:]
  /// Oldest first.
  var arrivals: [Int] = []
  /// Whose turn it is.
  var turns: [Int] = []
  private var count = 0

  init(_ configuration: QueueConfiguration) { self.configuration = configuration }

  private mutating func next() -> Int {
    count += 1
    return count
  }

  var ready: Int { messages.count { $0.place == .ready } }
  private var isWaiting: [Message] { messages.filter { if case .held = $0.place { false } else { true } } }
  var size: Int { isWaiting.count }
  var bytes: Int { isWaiting.reduce(0) { $0 + $1.bytes } }
  func held(_ consumer: Int) -> [Message] {
    messages.compactMap { message -> (Int, Message)? in
      if case .held(consumer, let order) = message.place { (order, message) } else { nil }
    }.sorted { $0.0 < $1.0 }.map(\.1)
  }

  private mutating func setDeadline(_ index: Int, _ last: UInt64) {
    messages[index].deadline = last == .max ? nil : last
  }

  private mutating func remove(_ id: UInt64, _ exit: QueueExit) -> QueueDeparture {
    let message = messages.remove(at: messages.firstIndex { $0.id == id }!)
    return QueueDeparture(message: id, exit: exit, failed: UInt16(message.failed))
  }

  mutating func advance(_ now: UInt64) -> [QueueDeparture] {
    var gone: [QueueDeparture] = []
    while let index = messages.indices.filter({ (messages[$0].deadline ?? .max) < now }).min(by: {
      (messages[$0].deadline!, messages[$0].sequence) < (messages[$1].deadline!, messages[$1].sequence)
    }) {
      let message = messages[index]
      messages[index].deadline = nil
      switch message.place {
      case .ready: gone.append(remove(message.id, .expired))
      case .delayed:
        if message.expiry < now {
          gone.append(remove(message.id, .expired))
        } else {
          if message.acquired == 0 { messages[index].sequence = next() }
          messages[index].place = .ready
          setDeadline(index, message.expiry)
        }
      case .held(let consumer, _):
        gone += giveBack(index, after: 0, now)
        enterLine(consumer)
      }
    }
    return gone
  }

  /// nil: refused.
  mutating func publish(_ message: QueueMessage, _ now: UInt64) -> (isTaken: Bool, gone: [QueueDeparture]) {
    var gone = advance(now)
    let isFull = size + 1 > configuration.maxSize || bytes + Int(message.bytes) > configuration.maxBytes
    if isFull, configuration.overflow != .dropHead {
      if configuration.overflow == .rejectPublishDeadLetter {
        gone.append(QueueDeparture(message: message.id, exit: .maxLength, failed: 0))
      }
      return (false, gone)
    }
    let own = message.expiry == 0 ? UInt64.max : message.expiry
    let expiry = min(own, configuration.timeToLive.map { now + $0 } ?? .max)
    messages.append(
      Message(
        id: message.id, bytes: Int(message.bytes), priority: min(Int(message.priority), configuration.priorities - 1), expiry: expiry,
        sequence: next(), place: message.due > now ? .delayed(until: message.due) : .ready))
    setDeadline(messages.count - 1, message.due > now ? min(message.due - 1, expiry) : expiry)
    while size > configuration.maxSize || bytes > configuration.maxBytes {
      let victim = messages.filter { $0.place == .ready }.min { ($0.priority, $0.sequence) < ($1.priority, $1.sequence) }
      if let victim {
        gone.append(remove(victim.id, .maxLength))
      } else if messages.contains(where: { $0.id == message.id }) {
        gone.append(remove(message.id, .maxLength))
      } else {
        break
      }
    }
    return (true, gone)
  }

  private mutating func enterLine(_ consumer: Int) {
    guard let known = consumers[consumer], held(consumer).count < known.prefetch, !turns.contains(consumer) else { return }
    turns.append(consumer)
  }

  mutating func deliver(_ most: Int, _ now: UInt64) -> (deliveries: [(consumer: Int, message: UInt64)], gone: [QueueDeparture]) {
    let gone = advance(now)
    var deliveries: [(consumer: Int, message: UInt64)] = []
    while deliveries.count < most, ready > 0 {
      let consumer: Int
      if configuration.isSingleActive {
        guard let active = arrivals.first, held(active).count < consumers[active]!.prefetch else { break }
        consumer = active
      } else {
        guard let turn = turns.first else { break }
        turns.removeFirst()
        if consumers[turn].map({ held(turn).count < $0.prefetch }) != true { continue }
        consumer = turn
      }
      deliveries.append((consumer, acquire(consumer, now)))
      enterLine(consumer)
    }
    return (deliveries, gone)
  }

  /// A message for one that asks, whatever its prefetch.
  mutating func take(_ consumer: Int, _ now: UInt64) -> UInt64? {
    if ready == 0 || configuration.isSingleActive && arrivals.first != consumer { return nil }
    return acquire(consumer, now)
  }

  private mutating func acquire(_ consumer: Int, _ now: UInt64) -> UInt64 {
    let index = messages.indices.filter { messages[$0].place == .ready }.min {
      (-messages[$0].priority, messages[$0].sequence) < (-messages[$1].priority, messages[$1].sequence)
    }!
    messages[index].place = .held(by: consumer, order: next())
    messages[index].acquired += 1
    setDeadline(index, configuration.lease.map { now + $0 } ?? .max)
    return messages[index].id
  }

  mutating func settle(_ id: UInt64, _ settlement: QueueSettlement, _ now: UInt64) -> [QueueDeparture] {
    let index = messages.firstIndex { $0.id == id }!
    guard case .held(let consumer, _) = messages[index].place else { return [] }
    defer { enterLine(consumer) }
    switch settlement {
    case .acknowledge: return [remove(id, .acknowledged)]
    case .reject:
      messages[index].failed += 1
      return [remove(id, .rejected)]
    case .retry(let after): return fail(index, after, now)
    case .release(let after): return giveBack(index, after: after, now)
    }
  }

  private mutating func fail(_ index: Int, _ after: UInt64?, _ now: UInt64) -> [QueueDeparture] {
    messages[index].failed += 1
    let failed = messages[index].failed
    if let limit = configuration.deliveryLimit, failed > limit { return [remove(messages[index].id, .deliveryLimit)] }
    return giveBack(index, after: after ?? min(configuration.retryDelay * UInt64(failed), configuration.longestRetry), now)
  }

  private mutating func giveBack(_ index: Int, after wait: UInt64, _ now: UInt64) -> [QueueDeparture] {
    if messages[index].expiry < now { return [remove(messages[index].id, .expired)] }
    messages[index].place = wait > 0 ? .delayed(until: now + wait) : .ready
    setDeadline(index, wait > 0 ? min(now + wait - 1, messages[index].expiry) : messages[index].expiry)
    return []
  }

  mutating func add(_ number: Int, prefetch: Int, isExclusive: Bool) {
    consumers[number] = Consumer(prefetch: prefetch, isExclusive: isExclusive)
    arrivals.append(number)
    enterLine(number)
  }

  mutating func remove(consumer: Int, isFailure: Bool, _ now: UInt64) -> [QueueDeparture] {
    var gone: [QueueDeparture] = []
    for message in held(consumer) {
      let index = messages.firstIndex { $0.id == message.id }!
      gone += isFailure ? fail(index, 0, now) : giveBack(index, after: 0, now)
    }
    consumers[consumer] = nil
    arrivals.removeAll { $0 == consumer }
    turns.removeAll { $0 == consumer }
    return gone
  }

  mutating func extend(_ id: UInt64, _ lease: UInt64, _ now: UInt64) {
    setDeadline(messages.firstIndex { $0.id == id }!, now + lease)
  }

  mutating func purge() -> [QueueDeparture] { isWaiting.map(\.id).map { remove($0, .purged) } }
}
