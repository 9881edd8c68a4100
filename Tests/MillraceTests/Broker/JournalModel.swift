import MillraceBroker

/// What a journal should hold, as plain values: each change is applied at once.
struct JournalModel: Equatable {
  struct Message: Equatable {
    var sent: SentMessage
    var places: [UInt32: JournalCount]
  }

  var exchanges: [DurableExchange] = []
  var queues: [DurableQueue] = []
  var bindings: [Binding] = []
  var messages: [UInt64: Message] = [:]
  var seen: Set<SeenID> = []

  mutating func apply(_ messages: [SentMessage], first: UInt64, settled: [JournalSettlement], counts: [JournalCount]) {
    for (index, sent) in messages.enumerated() {
      let number = first + UInt64(index)
      if !sent.id.isEmpty { seen.insert(SeenID(id: sent.id, until: sent.idExpiry)) }
      let places = sent.queues.filter { number in queues.contains { $0.number == number } }
      if places.isEmpty { continue }
      self.messages[number] = Message(
        sent: sent, places: Dictionary(uniqueKeysWithValues: places.map { ($0, JournalCount(number, in: $0, acquired: 0, failed: 0)) }))
    }
    for settlement in settled { remove(settlement.message, settlement.queue) }
    for count in counts {
      guard let before = self.messages[count.message]?.places[count.queue] else { continue }
      self.messages[count.message]!.places[count.queue] = JournalCount(
        count.message, in: count.queue, acquired: max(before.acquired, count.acquired), failed: max(before.failed, count.failed))
    }
  }

  private mutating func remove(_ message: UInt64, _ queue: UInt32) {
    messages[message]?.places[queue] = nil
    if messages[message]?.places.isEmpty == true { messages[message] = nil }
  }

  mutating func apply(_ change: JournalChange) {
    switch change {
    case .declare(.exchange(let exchange)): exchanges.put(exchange) { $0.name == exchange.name }
    case .declare(.queue(let queue)):
      if let before = queues.first(where: { $0.name == queue.name }), before.number != queue.number { empty(before.number) }
      queues.put(queue) { $0.name == queue.name }
    case .declare(.binding(let binding)): bindings.put(binding) { $0 == binding }
    case .delete(.exchange(let name)):
      exchanges.removeAll { $0.name == name }
      bindings.removeAll { $0.source == name || $0.target == .exchange(name) }
    case .delete(.queue(let name)):
      if let queue = queues.first(where: { $0.name == name }) { empty(queue.number) }
      queues.removeAll { $0.name == name }
      bindings.removeAll { $0.target == .queue(name) }
    case .delete(.binding(let binding)): bindings.removeAll { $0 == binding }
    }
  }

  private mutating func empty(_ queue: UInt32) { for number in messages.keys { remove(number, queue) } }

  /// The first difference to what came back, in words; nil: there is none.
  func difference(_ back: Recovered, now: Int64) -> String? {
    let definitions =
      exchanges.map(DurableDefinition.exchange) + queues.map(DurableDefinition.queue) + bindings.map(DurableDefinition.binding)
    let difference = Set(definitions).symmetricDifference(back.definitions)
    if !difference.isEmpty || definitions.count != back.definitions.count { return "definitions differ: \(difference.map(\.name))" }
    let wanted = messages.keys.sorted()
    if back.messages.map(\.number) != wanted { return "messages are \(back.messages.map(\.number)), not \(wanted)" }
    for message in back.messages {
      let (sent, places) = (messages[message.number]!.sent, messages[message.number]!.places)
      let counts = message.places.map { JournalCount(message.number, in: $0.queue, acquired: $0.acquired, failed: $0.failed) }
      if counts != places.values.sorted(by: { $0.queue < $1.queue }) { return "\(message.number) is at \(counts), not \(places)" }
      let again = SentMessage(
        queues: sent.queues, payload: message.payload, properties: message.properties, priority: message.priority, expiry: message.expiry,
        due: message.due, id: message.id, idExpiry: message.idExpiry)
      if again != sent { return "\(message.number) is not as it was sent" }
    }
    let ids = seen.filter { $0.until > now }
    if Set(back.seen) != ids { return "\(back.seen.count) ids came back, of \(ids.count)" }
    return nil
  }
}

extension Array {
  /// In place of the one that is so, or at the end.
  fileprivate mutating func put(_ element: Element, _ isSame: (Element) -> Bool) {
    if let index = firstIndex(where: isSame) { self[index] = element } else { append(element) }
  }
}
