public import MillraceCore

/// What a broker is made with.
public struct BrokerConfiguration: Sendable {
  /// Exchanges, queues and bindings.
  public var routing = RoutingLimits()
  /// Bytes of memory for messages, what is free in it included; nil: a quarter of the memory that the process is granted.
  public var messageBytes: Int?
  /// Bytes of one payload, at most.
  public var largestMessage = 16 << 20
  /// Nanoseconds within which a second message of the same id is not taken again; 0: ids are not looked at.
  public var duplicateWindow: UInt64 = 0
  /// Ids that are remembered for that, at most; the oldest go first.
  public var duplicateIDs = 1 << 20

  /// As the fields say.
  public init() {}

  /// The first member that is out of bounds, in words; nil: none is.
  public var fault: String? {
    if let messageBytes, !((1 << 20)...(1 << 46) ~= messageBytes) { return "messageBytes is \(messageBytes): use 1 MiB to 64 TiB" }
    if !(1...(1 << 30) ~= largestMessage) { return "largestMessage is \(largestMessage): use 1 to 2^30 bytes" }
    if !(1...(1 << 26) ~= duplicateIDs) { return "duplicateIDs is \(duplicateIDs): use 1 to 2^26" }
    return nil
  }
}

/// What a broker lives on.
public struct BrokerHost: Sendable {
  /// By which messages expire.
  public var clock: Clock
  /// Nanoseconds since 1970, for what is told.
  public var wall: @Sendable () -> Int64
  /// Runs consumers that are jobs; nil: there are none.
  public var scheduler: Scheduler?
  /// Expired and delayed messages move by it; nil: when somebody uses their queue, or by `Broker.advance`.
  public var timers: Timers?
  /// The shard of timers that any thread uses.
  public var timerShard: Int

  /// - Parameters:
  ///   - clock: of the scheduler, if there is one.
  ///   - wall: nanoseconds since 1970.
  ///   - scheduler: runs consumers; it must have stopped before the broker goes.
  ///   - timers: their sink hands what has `Broker.timerKind` to `Broker.timerFired`.
  ///   - timerShard: of those timers.
  public init(
    clock: Clock = .monotonic, wall: @escaping @Sendable () -> Int64, scheduler: Scheduler? = nil, timers: Timers? = nil,
    timerShard: Int = 0
  ) {
    (self.clock, self.wall, self.scheduler, self.timers, self.timerShard) = (clock, wall, scheduler, timers, timerShard)
  }
}
