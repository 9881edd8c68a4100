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
    pending.removeAll(keepingCapacity: true)
  }

  private mutating func bury(_ grave: Grave, _ broker: borrowing Broker) {
    let block = unsafe MessageBlock(grave.departure.message)
    guard let locked = grave.place.locked(exactly: grave.since) else { return work.cache.release(block) }
    let name = locked.state.name
    let target = locked.state.machine.configuration.deadLetters
    grave.place.lock.unlock()
    guard let target else { return work.cache.release(block) }
    let letter = letter(block, grave.departure.exit, from: name, target, broker)
    send(letter, target, broker)
  }

  /// The message with one death more, the payload where it was. The reference of the old block goes with it.
  private mutating func letter(
    _ block: MessageBlock, _ reason: QueueExit, from queue: BrokerName, _ target: DeadLetterTarget, _ broker: borrowing Broker
  ) -> MessageBlock {
    let properties = unsafe MessageProperties(block)
    let key = properties.text(.key) ?? queue.description
    var deaths = block.deaths
    deaths.add(
      reason, in: queue.description, at: broker.host.wall(), exchange: broker.router.name(of: block.exchange)?.description ?? "",
      routingKeys: [key], expiration: unsafe properties[.expiration].map { unsafe $0.loadUnaligned(as: UInt64.self) })
    var encoded: [UInt8] = []
    MessageProperties.append(.key, Array((target.key ?? key).utf8), to: &encoded)
    encoded += properties.without([.key, .deaths, .expiration])
    MessageProperties.append(.deaths, deaths.encoded, to: &encoded)
    // A letter of a letter refers to the first one's payload.
    var source = block
    if let inner = block.referred {
      inner.retain()
      source = inner
    }
    let letter = work.cache.claim(referring: source, properties: encoded.count)
    // unsafe: the block has room for them.
    unsafe encoded.withUnsafeBytes { unsafe letter.properties.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    letter.priority = block.priority
    if block.flags.contains(.isPersistent) { letter.flags.insert(.isPersistent) }
    if source != block { work.cache.release(block) }
    return letter
  }

  private mutating func send(_ letter: MessageBlock, _ target: DeadLetterTarget, _ broker: borrowing Broker) {
    let deaths = letter.deaths
    let properties = unsafe MessageProperties(letter)
    var refusal: PublishRefusal? = .unroutable
    if let exchange = target.exchange(broker) {
      letter.exchange = exchange
      do throws(RouteRefusal) {
        // unsafe: the letter is ours until queues have it.
        let key = unsafe properties[.key]?.assumingMemoryBound(to: UInt8.self) ?? UnsafeBufferPointer(start: nil, count: 0)
        let headers = unsafe properties[.headers] ?? UnsafeRawBufferPointer(start: nil, count: 0)
        let found = try unsafe core.route(exchange, key, headers)
        var isCycle = false
        let count = core.filter(found) { number in
          guard let name = broker.name(of: number), deaths.isCycle(to: name.description) else { return true }
          isCycle = true
          return false
        }
        if isCycle { cycles += 1 }
        if count > 0 {
          let now = broker.host.clock.now
          refusal = unsafe withUnsafePointer(to: letter.number) {
            unsafe core.insert(count, MessageList($0, count: 1), due: 0, now, broker, &work).refusal
          }
        } else if isCycle {
          return work.cache.release(letter)
        }
      } catch { refusal = .route(error) }
    }
    if refusal == nil { return }
    lost += 1
    work.cache.release(letter)
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
