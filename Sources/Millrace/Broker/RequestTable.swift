internal import MillraceBroker
internal import MillraceCore

/// Requests that wait for their answers, by number.
@safe final class RequestTable: @unchecked Sendable {
  /// The type of the error, in an answer that is one; its payload is the message.
  static let errorHeader = "millrace-error"

  typealias Answer = Result<ReceivedMessage, any Error>

  /// What has come that nobody waited for.
  struct Strays: Sendable {
    var late = 0
    var unknown = 0
  }

  private let monitor = Monitor()
  // The monitor's.
  private var waiting: [UInt64: @Sendable (Answer) -> Void] = [:]
  private var last: UInt64 = 0
  private var queue: (name: String, prefix: String)?
  private var counts = Strays()
  private var isStopped = false

  deinit { monitor.deallocate() }

  var strays: Strays { monitor.locked { counts } }

  /// Where answers come, made by the first who asks: a queue of this engine's own, which one consumer has. Throws `BrokerError`.
  func replyQueue(_ broker: Broker, _ id: String) throws -> (name: String, prefix: String) {
    try monitor.locked {
      if let queue { return queue }
      let name = try BrokerName(system: "\(BrokerName.reserved)reply.\(id)")
      var configuration = QueueConfiguration()
      configuration.isExclusive = true
      try broker.declare(queue: name, configuration)
      var options = ConsumerOptions()
      options.priority = 3
      try broker.take(name, options) { [weak self] delivery in
        let message = ReceivedMessage(delivery)
        // Settled before it is handed over: it is in place for as long as somebody has it.
        do throws(SettleError) { try message.acknowledge() } catch { return }
        self?.answer(message)
      }
      queue = (name.description, "\(id)-")
      return (name.description, "\(id)-")
    }
  }

  /// A request begins; nil: the engine has stopped, and nobody is told.
  func enter(_ answered: @escaping @Sendable (Answer) -> Void) -> UInt64? {
    monitor.locked {
      if isStopped { return nil }
      last += 1
      waiting[last] = answered
      return last
    }
  }

  /// It has ended otherwise. False: it was answered.
  @discardableResult func end(_ number: UInt64, _ answer: Answer) -> Bool {
    guard let answered = monitor.locked({ waiting.removeValue(forKey: number) }) else { return false }
    answered(answer)
    return true
  }

  private func answer(_ message: ReceivedMessage) {
    let answered: (@Sendable (Answer) -> Void)? = monitor.locked {
      guard let id = message.correlationID, let prefix = queue?.prefix, id.hasPrefix(prefix),
        let number = UInt64(id.dropFirst(prefix.count)), number > 0, number <= last
      else {
        counts.unknown += 1
        return nil
      }
      if let answered = waiting.removeValue(forKey: number) { return answered }
      counts.late += 1
      return nil
    }
    guard let answered else { return }
    if case .text(let type)? = message.headers[RequestTable.errorHeader] {
      answered(.failure(RequestError.failed(type: type, message: String(decoding: message.copy(), as: UTF8.self))))
    } else {
      answered(.success(message))
    }
  }

  func stop() {
    let left = monitor.locked {
      isStopped = true
      defer { waiting = [:] }
      return waiting.sorted { $0.key < $1.key }.map(\.value)
    }
    for answered in left { answered(.failure(RequestError.closed)) }
  }
}

/// Why a request has no answer.
public enum RequestError: Error, Sendable, Hashable, CustomStringConvertible {
  /// None came in time. Whoever was asked may still do what it was asked for.
  case timedOut(after: Duration)
  /// No queue wants it.
  case unroutable
  /// Whoever was asked says that it cannot be done.
  case failed(type: String, message: String)
  /// The engine stopped meanwhile.
  case closed

  public var description: String {
    switch self {
    case .timedOut(let duration): "no answer came within \(duration): a consumer may be missing, or slow"
    case .unroutable: "no queue takes the request: bind one for its key"
    case .failed(let type, let message): "the request failed: \(type): \(message)"
    case .closed: "the engine stopped before an answer came"
    }
  }
}
