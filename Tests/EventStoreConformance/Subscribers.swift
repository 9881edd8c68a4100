public import MillraceLog
internal import Testing

/// A catch-up subscription that asks for the next page as soon as it has one, and reports all events.
public final class EventFollower: Sendable {
  public let events = Reports<RecordedEvent>()
  private let subscription: CatchUpSubscription

  public init(_ source: SubscriptionSource, from checkpoint: UInt64 = 0, store: any EventStore, host: SubscriptionHost, limit: Int) throws {
    subscription = try CatchUpSubscription(source, from: checkpoint, store: store, host: host, limit: limit)
    Self.ask(subscription, events)
  }

  private static func ask(_ subscription: CatchUpSubscription, _ events: Reports<RecordedEvent>) {
    subscription.next { result in
      switch result {
      case .success(let delivery):
        if case .events(let page, _) = delivery { for event in page { events.tell(event) } }
        ask(subscription, events)
      case .failure(let end):
        if end != .stopped { Issue.record("the subscription has ended: \(end)") }
        events.finish()
      }
    }
  }

  /// Where the next one goes on.
  public var checkpoint: UInt64 { events.all.last.map(subscription.source.checkpoint) ?? 0 }

  /// When this returns, no event comes any more.
  public func stop() async { await withCheckedContinuation { continuation in subscription.stop { continuation.resume() } } }
}

/// For `async` code.
extension PersistentGroup {
  public func start() async throws {
    try await withCheckedThrowingContinuation { continuation in start { continuation.resume(with: $0) } }
  }

  public func stop() async { await withCheckedContinuation { continuation in stop { continuation.resume() } } }

  public func parked(limit: Int) async throws -> [ParkedMessage] {
    try await withCheckedThrowingContinuation { continuation in parked(limit: limit) { continuation.resume(with: $0) } }
  }

  /// Connects a consumer of which `each` gets every message. Before the group starts: messages that come without a consumer's link would wait for their timeout.
  public func work(_ name: String, credit: Int = 8, _ each: @escaping @Sendable (GroupConsumer, GroupMessage) -> Void) {
    let link = Reports<GroupConsumer>()
    link.tell(
      connect(name, credit: credit) { notice in
        guard case .message(let message) = notice, let consumer = link.all.first else { return }
        each(consumer, message)
      })
  }
}
