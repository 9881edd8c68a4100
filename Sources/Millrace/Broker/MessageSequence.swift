public import MillraceBroker
internal import MillraceCore

/// The messages of a queue, one after the other:
///
/// ```swift
/// for await message in try engine.messages("orders", prefetch: 10) {
///   try await store(message.decoded(as: Order.self))
///   try message.acknowledge()
/// }
/// ```
///
/// Each is settled by whoever takes it; one that is let go of unsettled goes back to the queue, and so does what was fetched and not taken when the
/// sequence is let go of, or the Swift task that waits is
/// cancelled. The sequence ends when the queue is deleted or the engine closes. Several iterators share the messages.
public struct MessageSequence: AsyncSequence, Sendable {
  private let stream: MessageStream

  init(_ stream: MessageStream) { self.stream = stream }

  /// Settles a message, and all that were taken before it and are not settled, by whatever iterator. How many these were; what nobody holds any more has gone back before, and is not among them.
  ///
  /// Throws `SettleError`, and nothing was settled: `.notYours` for a message of another sequence. Complexity: O(messages that are out).
  @discardableResult
  public func settle(upTo message: ReceivedMessage, _ settlement: Settlement) throws(SettleError) -> Int {
    try stream.settle(upTo: message, settlement)
  }

  /// Takes messages.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let stream: MessageStream

    /// The next message; nil: there will be none.
    public mutating func next() async -> ReceivedMessage? { await stream.next() }
  }

  /// Takes from the same messages as all others.
  public func makeAsyncIterator() -> Iterator { Iterator(stream: stream) }
}

/// What a `MessageSequence` has fetched, and who waits for more.
@safe final class MessageStream: @unchecked Sendable {
  private let tap: Tap

  init(_ desk: BrokerDesk, _ queue: BrokerName, prefetch: Int, isExclusive: Bool) throws {
    tap = Tap(desk, prefetch: prefetch)
    var options = ConsumerOptions()
    (options.prefetch, options.isExclusive) = (prefetch, isExclusive)
    try tap.open(queue, options)
  }

  /// The tap is the engine's as well.
  deinit { tap.close() }

  func next() async -> ReceivedMessage? { await tap.next() }

  func settle(upTo message: ReceivedMessage, _ settlement: Settlement) throws(SettleError) -> Int {
    try tap.settle(upTo: message, settlement)
  }

  /// What the broker and the engine know of it.
  private final class Tap: BrokerDesk.Closable, @unchecked Sendable {
    private let desk: BrokerDesk
    private let monitor = Monitor()
    private let consumer = Once<JobConsumer>()
    // The monitor's.
    private var fetched = Fetched()
    private var taken: TakenMessages
    private var waiting: [UInt64: CheckedContinuation<ReceivedMessage?, Never>] = [:]
    private var last: UInt64 = 0
    /// Waits that were cancelled before they began.
    private var cancelled: Set<UInt64> = []
    private var isClosed = false

    init(_ desk: BrokerDesk, prefetch: Int) {
      self.desk = desk
      taken = TakenMessages(most: prefetch)
    }

    deinit { monitor.deallocate() }

    func open(_ queue: BrokerName, _ options: ConsumerOptions) throws {
      let made = try desk.broker().take(queue, options) { [weak self] in
        self?.end()
      } _: { [weak self] delivery in
        self?.give(ReceivedMessage(delivery))
      }
      consumer.set(made)
      if desk.enter(self) { return }
      close()
      throw EngineError.stopped
    }

    func close() {
      desk.leave(self)
      // What was fetched goes back after the consumer is closed: not to itself.
      // Once: the broker may have gone with the engine, which closes all sequences before.
      consumer.take()?.close()
      end()
      drop()
    }

    private func give(_ message: ReceivedMessage) {
      // Let go of without the monitor: the last one who has a message gives it back to the queue.
      var seen: [ReceivedMessage] = []
      defer { withExtendedLifetime(seen) {} }
      let continuation: CheckedContinuation<ReceivedMessage?, Never>? = monitor.locked {
        if isClosed { return nil }
        if let first = waiting.keys.min() {
          seen = taken.append(message)
          return waiting.removeValue(forKey: first)
        }
        fetched.append(message)
        return nil
      }
      continuation?.resume(returning: message)
    }

    /// No more messages come. A lock of the broker may be held, which what was fetched would need to go back: it stays until somebody asks for it.
    private func end() {
      let waiters = monitor.locked {
        isClosed = true
        defer { waiting = [:] }
        return waiting.values.map { $0 }
      }
      for continuation in waiters { continuation.resume(returning: nil) }
    }

    private func drop() {
      let left = monitor.locked {
        defer { fetched = Fetched() }
        return fetched
      }
      _ = left
    }

    func next() async -> ReceivedMessage? {
      let (number, isOver) = monitor.locked {
        last += 1
        return (last, isClosed)
      }
      if isOver {
        drop()
        return nil
      }
      defer { monitor.locked { _ = cancelled.remove(number) } }
      return await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          // As in `give`.
          var seen: [ReceivedMessage] = []
          defer { withExtendedLifetime(seen) {} }
          let (isOver, message): (Bool, ReceivedMessage?) = monitor.locked {
            if isClosed || cancelled.contains(number) { return (true, nil) }
            if let message = fetched.takeFirst() {
              seen = taken.append(message)
              return (true, message)
            }
            waiting[number] = continuation
            return (false, nil)
          }
          if isOver { continuation.resume(returning: message) }
        }
      } onCancel: {
        cancel(number)
      }
    }

    func settle(upTo message: ReceivedMessage, _ settlement: Settlement) throws(SettleError) -> Int {
      // Settled without the monitor: what goes back may come to this tap again at once.
      guard let before = monitor.locked({ taken.takeBefore(message) }) else { throw .notYours }
      try message.settle(settlement)
      var count = 1
      for other in before {
        // Taken back meanwhile, or settled by another thread: not by this.
        do throws(SettleError) { try other.settle(settlement) } catch { continue }
        count += 1
      }
      return count
    }

    /// The Swift task that takes messages was cancelled: they are for others.
    private func cancel(_ number: UInt64) {
      let continuation = monitor.locked {
        cancelled.insert(number)
        return waiting.removeValue(forKey: number)
      }
      continuation?.resume(returning: nil)
    }
  }
}

/// Messages in order.
private struct Fetched: Sendable {
  private var messages: [ReceivedMessage?] = []
  private var first = 0

  var isEmpty: Bool { first == messages.count }

  mutating func append(_ message: ReceivedMessage) { messages.append(message) }

  mutating func takeFirst() -> ReceivedMessage? {
    if isEmpty { return nil }
    defer {
      messages[first] = nil
      first += 1
      if isEmpty {
        messages.removeAll(keepingCapacity: true)
        first = 0
      }
    }
    return messages[first]
  }
}

/// Messages that were handed out, in that order, and are not let go of: it keeps none of them.
///
/// # Size
/// Twice as many places as may be out.
private struct TakenMessages: Sendable {
  private struct Taken: Sendable { weak var message: ReceivedMessage? }

  private let most: Int
  private var all: [Taken] = []

  init(most: Int) { self.most = most }

  /// Those that were looked at, to be let go of by the caller. Complexity: O(1), amortised.
  mutating func append(_ message: ReceivedMessage) -> [ReceivedMessage] {
    var seen: [ReceivedMessage] = []
    if all.count >= 2 * most + 16 {
      seen = all.compactMap(\.message)
      all = seen.filter { !$0.isSettled }.map { Taken(message: $0) }
    }
    all.append(Taken(message: message))
    return seen
  }

  /// Those before it that are not settled, the oldest first; it and they are no longer here. nil: it never was, or was settled so before.
  mutating func takeBefore(_ message: ReceivedMessage) -> [ReceivedMessage]? {
    guard let end = all.firstIndex(where: { $0.message === message }) else { return nil }
    let before = all[..<end].compactMap(\.message).filter { !$0.isSettled }
    all.removeFirst(end + 1)
    return before
  }
}

extension Engine {
  /// The messages of a queue: see `MessageSequence`. At most `prefetch` of them are fetched and not settled at a time, 1 to 65,535. `isExclusive`: it
  /// wants the queue to itself.
  ///
  /// Throws `BrokerError`, or `EngineError.stopped`.
  public func messages(_ queue: String, prefetch: Int = 100, isExclusive: Bool = false) throws -> MessageSequence {
    MessageSequence(try MessageStream(desk, BrokerName(queue), prefetch: prefetch, isExclusive: isExclusive))
  }
}
