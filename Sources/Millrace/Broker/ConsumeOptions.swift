internal import MillraceBroker
public import MillraceWorkflow

/// How an engine's consumer takes messages.
public struct ConsumeOptions: Sendable {
  /// Messages that it has at a time, ready to run or running: 1 to 65,535.
  public var prefetch = 100
  /// Of those, messages that run at a time, in this consumer; 0: as many as there are slots.
  public var concurrency = 0
  /// Of its jobs; nil: each message's own, those above 3 as critical.
  public var priority: Priority?
  /// On whose account messages are handled that name no tenant of the engine; nil: "default".
  public var tenant: String?
  /// What one message may take; nil: any time. Beyond, it counts as failed, and others get it.
  public var timeout: Duration?
  /// What keeps messages from a destination that fails: while it does they go back to the queue for as long, and nothing is charged. nil: nothing.
  public var breaker: BreakerPolicy?
  /// It wants the queue to itself.
  public var isExclusive = false
  /// Its function waits for I/O, locks or other programs, and gets a thread of the blocking pool. Not for asynchronous functions, nor handlers by
  /// name.
  public var isBlocking = false

  /// As the fields say.
  public init() {}
}

extension ConsumeOptions {
  /// Of the broker's consumer, whose jobs only take the messages.
  func broker(_ tenant: UInt16) -> ConsumerOptions {
    var options = ConsumerOptions()
    // So no more than `concurrency` are ever under way.
    options.prefetch = concurrency > 0 ? min(prefetch, concurrency) : prefetch
    options.priority = priority?.rawValue
    options.tenant = tenant
    options.isExclusive = isExclusive
    return options
  }
}
