internal import MillraceCore

/// How a publication went, if the message was taken.
public struct Receipt: Sendable, Hashable {
  /// Queues that have it now.
  public var queues: Int
  /// Which of the publisher's messages it is that go to the disk, from 1: on stable storage when `Publisher.confirms` has ended it. nil: it is in memory only.
  public var confirmation: UInt64?
}

/// How a publication went.
public enum Publication: ~Copyable {
  /// All of its queues have it.
  case accepted(Receipt)
  /// A message of this id was taken before, within the broker's window: this one is not needed.
  case duplicate
  /// No queue has it: it is the publisher's as before.
  case refused(MessageDraft, PublishRefusal)
}

/// How the publication of a batch went.
public struct BatchPublication: Sendable, Equatable {
  /// Messages that all of their queues have now, the first ones of the batch.
  public var accepted = 0
  /// Queues that each of them went to.
  public var queues = 0
  /// Why the next one was not taken; nil: all were.
  public var refusal: PublishRefusal?
}

/// Publishes the messages of one thread.
///
/// # Threads
/// One at a time.
/// # Memory
/// A lane of the router, and free blocks of each size that was used. Nothing is allocated for a message in the steady state.
@safe public struct Publisher: ~Copyable, @unchecked Sendable {
  private let broker: Broker
  private var core: PublishCore
  private var work: Workspace
  private let largest: Int
  private let isJournaled: Bool
  private var patience = Patience()

  init(_ broker: Broker) throws(BrokerError) {
    var confirms: Confirms?
    if broker.journal != nil { do throws(MemoryError) { confirms = try broker.takeConfirms() } catch { throw .memory(bytes: error.bytes) } }
    let core: PublishCore
    do { core = try PublishCore(broker.router, confirms) } catch {
      if let confirms { broker.giveConfirms(confirms) }
      throw .routing(error)
    }
    self.broker = broker
    self.core = core
    largest = broker.configuration.largestMessage
    work = Workspace(broker.pool)
    isJournaled = broker.journal != nil
  }

  deinit { if let confirms = core.confirms { broker.giveConfirms(confirms) } }

  /// Which of its messages are on stable storage; nil: the broker has no journal.
  public var confirms: Confirms? { core.confirms }

  /// What all messages of an envelope have here.
  private func traits(_ envelope: borrowing Envelope) -> MessageBlock.Traits {
    var traits = envelope.traits
    if isJournaled, envelope.isPersistent { traits.flags.insert(.hasNumber) }
    return traits
  }

  // MARK: One by one

  /// Memory for a message of so many bytes, which is read where it is written. Throws `PublishRefusal.tooLarge`, `.properties` or `.memory`. Complexity: O(properties).
  public mutating func claim(_ bytes: Int, _ envelope: borrowing Envelope) throws(PublishRefusal) -> MessageDraft {
    let block = try claim(bytes, envelope.encoded.count, envelope)
    // unsafe: the block has room for them behind its payload.
    unsafe envelope.encoded.withUnsafeBytes { unsafe block.properties.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    return MessageDraft(block, broker.spaces, envelope)
  }

  private mutating func claim(_ bytes: Int, _ properties: Int, _ envelope: borrowing Envelope) throws(PublishRefusal) -> MessageBlock {
    guard 0...broker.configuration.largestMessage ~= bytes else {
      throw .tooLarge(bytes: bytes, most: broker.configuration.largestMessage)
    }
    guard properties <= Envelope.maxPropertyBytes else { throw .properties(bytes: properties) }
    guard let block = work.cache.claim(bytes, properties: properties, traits(envelope)) else {
      throw .memory(capacity: broker.pool.capacity)
    }
    return block
  }

  /// Publishes a message. See `Publication`. Complexity: O(key + queues).
  public mutating func publish(_ draft: consuming MessageDraft) -> Publication {
    let block = draft.block
    let now = broker.host.clock.now
    // unsafe: the draft holds the block until its queues do.
    let properties = unsafe MessageProperties(block)
    let id = broker.duplicates == nil ? nil : properties.text(.messageID)
    if let id, let duplicates = broker.duplicates {
      switch duplicates.enter(id, now) {
      case .new: break
      case .duplicate: return .duplicate
      case .underWay: return .refused(draft, .underWay)
      }
    }
    var refusal = PublishRefusal.unroutable
    do throws(RouteRefusal) {
      let key = unsafe properties[.key]?.assumingMemoryBound(to: UInt8.self) ?? UnsafeBufferPointer(start: nil, count: 0)
      let headers = unsafe properties[.headers] ?? UnsafeRawBufferPointer(start: nil, count: 0)
      let count = try unsafe core.route(block.exchange, key, headers)
      if count > 0 {
        let due = draft.delay == 0 ? 0 : Publisher.moment(now, draft.delay) ?? .max
        let (taken, why) = unsafe withUnsafePointer(to: block.number) {
          unsafe core.insert(count, MessageList($0, count: 1), due: due, now, broker, &work)
        }
        broker.bury(&work)
        if taken == 1 {
          if let id { broker.duplicates?.taken(id) }
          draft.give()
          return .accepted(Receipt(queues: count, confirmation: core.isJournaled ? core.confirms?.published : nil))
        }
        if let why { refusal = why }
      }
    } catch { refusal = .route(error) }
    if let id { broker.duplicates?.withdraw(id) }
    return .refused(draft, refusal)
  }

  /// nil: never.
  @inline(__always) private static func moment(_ now: UInt64, _ duration: UInt64?) -> UInt64? {
    guard let duration else { return nil }
    let (sum, overflow) = now.addingReportingOverflow(duration)
    return overflow ? nil : sum
  }

  /// Publishes a message with a payload that is elsewhere: it is copied once. Throws `PublishRefusal`. Complexity: O(bytes + key + queues).
  @discardableResult
  public mutating func publish(_ bytes: Span<UInt8>, _ envelope: borrowing Envelope) throws(PublishRefusal) -> Receipt? {
    let draft = try claim(bytes.count, envelope)
    // unsafe: both have so many bytes.
    unsafe bytes.withUnsafeBytes { unsafe draft.payload.copyMemory(from: $0) }
    switch publish(draft) {
    case .accepted(let receipt): return receipt
    case .duplicate: return nil
    case .refused(_, let refusal): throw refusal
    }
  }

  // MARK: In batches

  /// A batch, empty. `capacity`: 1 to 65,536 messages.
  public func batch(_ envelope: Envelope, capacity: Int = 64) -> MessageBatch {
    precondition(1...65_536 ~= capacity, "a batch has room for 1 to 65,536 messages")
    return MessageBatch(broker.spaces, envelope, traits(envelope), capacity: capacity)
  }

  /// Adds a message to a batch that has room, its payload written by `write`. Throws as `claim`; and what `write` throws, and then there is no message.
  @inline(__always) public mutating func add(
    _ bytes: Int, to batch: inout MessageBatch, _ write: (inout MutableSpan<UInt8>) -> Void
  ) throws(PublishRefusal) {
    precondition(batch.count < batch.capacity, "the batch is full: publish it first")
    guard bytes >= 0, bytes <= largest else { throw .tooLarge(bytes: bytes, most: largest) }
    guard batch.propertyBytes <= Envelope.maxPropertyBytes else { throw .properties(bytes: batch.propertyBytes) }
    guard let block = work.cache.claim(bytes, properties: batch.propertyBytes, batch.traits) else {
      throw .memory(capacity: broker.pool.capacity)
    }
    if batch.propertyBytes > 0 {
      // unsafe: the block has room for so many bytes behind its payload.
      unsafe (block.payload + bytes).copyMemory(from: batch.properties, byteCount: batch.propertyBytes)
    }
    // unsafe: the block is the batch's alone, and has so many bytes.
    var span = unsafe MutableSpan(_unsafeStart: (block.base + MessageBlock.headerBytes).assumingMemoryBound(to: UInt8.self), count: bytes)
    write(&span)
    batch.add(block)
  }

  /// Publishes what a batch holds, in order. What was not taken stays in it. Ids of messages are not looked at. Complexity: O(key + messages x queues).
  public mutating func publish(_ batch: inout MessageBatch) -> BatchPublication {
    if batch.count == 0 { return BatchPublication() }
    let now = broker.host.clock.now
    let due = batch.envelope.delay == 0 ? 0 : Publisher.moment(now, batch.envelope.delay) ?? .max
    let blocks = unsafe MessageList(batch.blocks, count: batch.count)
    do throws(RouteRefusal) {
      let count = try route(batch.envelope)
      if count == 0 { return BatchPublication(refusal: .unroutable) }
      let (taken, refusal) = core.insert(count, blocks, due: due, now, broker, &work)
      broker.bury(&work)
      batch.take(taken)
      return BatchPublication(accepted: taken, queues: count, refusal: refusal)
    } catch { return BatchPublication(refusal: .route(error)) }
  }

  private mutating func route(_ envelope: borrowing Envelope) throws(RouteRefusal) -> Int {
    // unsafe: the arrays stay while they are read.
    let key = unsafe envelope.key.withUnsafeBufferPointer { unsafe $0 }
    let headers = unsafe envelope.headers.encoded.withUnsafeBytes { unsafe $0 }
    return try unsafe core.route(envelope.exchange, key, headers)
  }

  // MARK: Room

  /// Waits until a queue has room for so many messages, or is empty, `nanoseconds` at most. True: it has. Who asks for more is woken less often. Throws `BrokerError.noQueue`.
  public mutating func waitForRoom(in queue: BrokerName, messages: Int = 1, nanoseconds: UInt64) throws(BrokerError) -> Bool {
    try broker.waitForRoom(in: queue, messages: messages, nanoseconds: nanoseconds, &patience)
  }
}
