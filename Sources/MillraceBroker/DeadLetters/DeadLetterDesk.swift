internal import MillraceCore

/// Sends dead letters on: to the exchange or queue that the one they died in names, with the story of their deaths.
///
/// # Threads
/// One at a time: the broker's monitor for it.
struct DeadLetterDesk: ~Copyable {
  private var core: PublishCore
  private var work: Workspace
  /// In the order in which they died.
  var pending: [Grave] = []
  /// Dead letters that no queue took.
  private(set) var lost: UInt64 = 0
  /// Those that would have gone round in circles.
  private(set) var cycles: UInt64 = 0

  init(_ core: consuming PublishCore, _ pool: MessagePool) {
    self.core = core
    work = Workspace(pool)
  }

  /// All that is pending goes on, and what dies of that. Complexity: O(letters x (properties + queues)).
  mutating func drain(_ broker: borrowing Broker) {
    var index = 0
    while index < pending.count {
      bury(pending[index], broker)
      pending += work.dead
      work.dead.removeAll(keepingCapacity: true)
      index += 1
    }
    pending.removeAll(keepingCapacity: pending.capacity <= Workspace.longList)
  }

  private mutating func bury(_ grave: Grave, _ broker: borrowing Broker) {
    let block = unsafe MessageBlock(grave.departure.message)
    // It leaves its durable queue together with its way into the next one; alone, if that is not durable, or there is none.
    if grave.journal != 0, block.journalNumber != 0 {
      core.settlements.append(JournalSettlement(block.journalNumber, in: grave.journal, JournalSettlement.How(grave.departure.exit)))
    }
    send(grave, block, broker)
    work.settlements += core.settlements
    core.settlements.removeAll(keepingCapacity: true)
    broker.settleJournal(&work)
  }

  private mutating func send(_ grave: Grave, _ block: MessageBlock, _ broker: borrowing Broker) {
    guard let locked = grave.place.locked(exactly: grave.since) else { return work.cache.release(block) }
    let name = locked.state.name
    let target = locked.state.machine.configuration.deadLetters
    grave.place.lock.unlock()
    guard let target else { return work.cache.release(block) }
    guard let exchange = target.exchange(broker) else {
      lost += 1
      return work.cache.release(block)
    }
    send(letter(block, grave.departure.exit, from: name, to: exchange, target.key, broker), exchange, broker)
  }

  /// The message with one death more, the payload where it was. The reference of the old block goes with it.
  private mutating func letter(
    _ block: MessageBlock, _ reason: QueueExit, from queue: BrokerName, to exchange: ExchangeID, _ newKey: String?,
    _ broker: borrowing Broker
  ) -> MessageBlock {
    let properties = unsafe MessageProperties(block)
    let key = properties.text(.key) ?? queue.description
    var deaths = block.deaths
    deaths.add(
      reason, in: queue.description, at: broker.host.wall(), exchange: broker.router.name(of: block.exchange)?.description ?? "",
      routingKeys: [key], expiration: block.timeToLive == 0 ? nil : block.timeToLive)
    let letter = work.cache.letter(of: block, key: newKey ?? key, deaths, exchange)
    work.cache.release(block)
    return letter
  }

  private mutating func send(_ letter: MessageBlock, _ exchange: ExchangeID, _ broker: borrowing Broker) {
    let deaths = letter.deaths
    let properties = unsafe MessageProperties(letter)
    var isTaken = false
    var isCycle = false
    do throws(RouteRefusal) {
      // unsafe: the letter is ours until queues have it.
      let key = unsafe properties[.key]?.assumingMemoryBound(to: UInt8.self) ?? UnsafeBufferPointer(start: nil, count: 0)
      let headers = unsafe properties[.headers] ?? UnsafeRawBufferPointer(start: nil, count: 0)
      let count = core.filter(try unsafe core.route(exchange, key, headers)) { number in
        guard let name = broker.name(of: number), deaths.isCycle(to: name.description) else { return true }
        isCycle = true
        return false
      }
      if count > 0 {
        let now = broker.host.clock.now
        isTaken = unsafe withUnsafePointer(to: letter.number) {
          unsafe core.insert(count, MessageList($0, count: 1), due: 0, now, broker, &work).taken == 1
        }
      }
    } catch {
      // The exchange went, or takes no messages from outside: nobody wants the letter.
    }
    if isCycle { cycles += 1 }
    if isTaken { return }
    if !isCycle { lost += 1 }
    work.cache.release(letter)
  }
}

extension MessageCache {
  /// The message with another story, key and exchange and no time to live of its own, the payload where it is: a block that refers to it, and has a reference of its own.
  mutating func letter(of block: MessageBlock, key: String, _ deaths: Deaths, _ exchange: ExchangeID) -> MessageBlock {
    var encoded: [UInt8] = []
    MessageProperties.append(.key, key.utf8, to: &encoded)
    // unsafe: the caller holds the block.
    encoded += unsafe MessageProperties(block).without([.key, .deaths])
    MessageProperties.append(.deaths, deaths.encoded, to: &encoded)
    // A letter of a letter refers to the first one's payload.
    let source = block.referred ?? block
    source.retain()
    var traits = block.traits
    (traits.timeToLive, traits.exchange) = (0, exchange)
    let letter = claim(referring: source, properties: encoded.count, traits)
    // unsafe: the block has room for them.
    unsafe encoded.withUnsafeBytes { unsafe letter.properties.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    return letter
  }
}

extension DeadLetterTarget {
  /// The key of all dead letters; nil: each keeps its own.
  fileprivate var key: String? {
    switch self {
    case .queue(let name): name.description
    case .exchange(_, let key): key
    }
  }

  /// nil: it is not there.
  fileprivate func exchange(_ broker: borrowing Broker) -> ExchangeID? {
    switch self {
    case .queue: .default
    case .exchange(let name, _): broker.router.exchange(named: name)
    }
  }
}
