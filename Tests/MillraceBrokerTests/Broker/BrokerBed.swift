import MillraceCore

@testable import MillraceBroker

/// A broker with a clock that tests move, and a publisher.
final class BrokerBed {
  let clock = VirtualClock(start: 1_000)
  let broker: Broker
  var publisher: Publisher

  init(_ configuration: BrokerConfiguration = BrokerConfiguration()) throws {
    var configuration = configuration
    if configuration.messageBytes == nil { configuration.messageBytes = 64 << 20 }
    let broker = try Broker(configuration, host: BrokerHost(clock: clock.clock, wall: { 1_700_000_000_000_000_000 }))
    let publisher = try broker.makePublisher()
    self.broker = broker
    self.publisher = publisher
  }

  func declare(_ name: String, _ change: (inout QueueConfiguration) -> Void = { _ in }) throws {
    var configuration = QueueConfiguration()
    change(&configuration)
    try broker.declare(queue: BrokerName(name), configuration)
  }

  /// Publishes a text to a queue.
  @discardableResult
  func publish(_ text: String, to queue: String, _ change: (inout Envelope) -> Void = { _ in }) throws -> Receipt? {
    var envelope = try Envelope(to: BrokerName(queue))
    change(&envelope)
    return try publisher.publish(Array(text.utf8).span, envelope)
  }

  /// What is there now, acknowledged.
  func drain(_ queue: String) throws -> [String] {
    var texts: [String] = []
    var receiver = try broker.makeReceiver(BrokerName(queue))
    while try receiver.receive({
      texts.append(String(decoding: $0.copy(), as: UTF8.self))
      return .acknowledge
    }) > 0 {}
    return texts
  }
}

/// Acknowledges a delivery: why it could not be; nil: it was.
func refusal(of delivery: consuming Delivery) -> SettleError? {
  do throws(SettleError) {
    try delivery.acknowledge()
    return nil
  } catch { return error }
}
