internal import CMillrace
public import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

extension Engine {
  /// Publishes a request, and waits for its answer without a thread: the first message that comes to this engine's own queue and names the request.
  /// In place for as long as it is held, and settled.
  ///
  /// Consumers of engines answer by what their handlers return; others publish to the queue that `replyTo` names, with the `correlationID` of the request.
  /// `timeout` counts from the call, the wait for room included; the request expires as long after its queue took it, so that nobody does what nobody waits for.
  ///
  /// Throws `RequestError`, `PublishRefusal`, `BrokerError` or `CancellationError`. Answers that come after that are dropped and counted: `strayReplies`.
  public func request(_ payload: Payload, _ envelope: Envelope, timeout: Duration = .seconds(30)) async throws -> ReceivedMessage {
    let queue = try desk.requests.replyQueue(broker, desk.id)
    let wait = RequestWait(desk.requests)
    guard let number = wait.begin() else { throw RequestError.closed }
    let limit = RoomWait.Limit(timeout, on: runtime.scheduler.clock)
    let envelope = asking(envelope, queue, number, UInt64(clamping: timeout))
    let alarm = desk.alarms.after(UInt64(clamping: timeout)) { [requests = desk.requests] in
      requests.end(number, .failure(RequestError.timedOut(after: timeout)))
    }
    defer { if let alarm { desk.alarms.cancel(alarm) } }
    do {
      if try await publish(payload, envelope, waiting: limit.left.map { .nanoseconds($0) }) == .unroutable { throw RequestError.unroutable }
    } catch {
      desk.requests.end(number, .failure(error))
    }
    return try await withTaskCancellationHandler {
      try await wait.answer()
    } onCancel: { [requests = desk.requests] in
      requests.end(number, .failure(CancellationError()))
    }
  }

  private func asking(_ envelope: Envelope, _ queue: (name: String, prefix: String), _ number: UInt64, _ timeout: UInt64) -> Envelope {
    var envelope = envelope
    envelope.replyTo = queue.name
    envelope.correlationID = "\(queue.prefix)\(number)"
    envelope.timeToLive = min(envelope.timeToLive ?? .max, timeout)
    envelope.isPersistent = false
    return envelope
  }

  /// As above, on the calling thread, which is none of the engine's, and without waiting for room. `nanoseconds`: `UInt64.max` is no bound.
  package func requestHere(_ bytes: [UInt8], _ envelope: Envelope, nanoseconds: UInt64) throws -> ReceivedMessage {
    let queue = try desk.requests.replyQueue(broker, desk.id)
    let wait = RequestWait(desk.requests)
    guard let number = wait.begin() else { throw RequestError.closed }
    let (deadline, overflow) = millrace_monotonic().addingReportingOverflow(nanoseconds)
    do {
      if try publishAtOnce(bytes, asking(envelope, queue, number, nanoseconds)) == .unroutable { throw RequestError.unroutable }
    } catch {
      desk.requests.end(number, .failure(error))
    }
    if let answer = wait.answer(until: overflow ? .max : deadline) { return try answer.get() }
    desk.requests.end(number, .failure(RequestError.timedOut(after: .nanoseconds(Int64(clamping: nanoseconds)))))
    // Whoever was first has said it: the answer may have come just now.
    return try wait.held().get()
  }

  /// As the first, to a queue.
  public func request(
    _ payload: Payload, to queue: String, timeout: Duration = .seconds(30), _ change: (inout Envelope) -> Void = { _ in }
  ) async throws -> ReceivedMessage {
    var envelope = Envelope(to: try BrokerName(queue))
    change(&envelope)
    return try await request(payload, envelope, timeout: timeout)
  }

  /// As the first, to an exchange, by a key.
  public func request(
    _ payload: Payload, exchange: String, key: String, timeout: Duration = .seconds(30), _ change: (inout Envelope) -> Void = { _ in }
  ) async throws -> ReceivedMessage {
    var envelope = Envelope(to: try self.exchange(exchange), key: key)
    change(&envelope)
    return try await request(payload, envelope, timeout: timeout)
  }

  /// A request and its answer as JSON. Throws `EncodingError` and `DecodingError` as well.
  public func request<Answer: Decodable>(
    json value: some Encodable, to queue: String, as type: Answer.Type = Answer.self, timeout: Duration = .seconds(30)
  ) async throws -> Answer {
    try await request(.json(JSON(encoding: value)), to: queue, timeout: timeout).decoded(as: type)
  }

  /// Answers that nobody waited for: those that came too late, and those that name no request of this engine.
  public var strayReplies: (late: Int, unknown: Int) {
    let strays = desk.requests.strays
    return (strays.late, strays.unknown)
  }
}

extension ReceivedMessage {
  /// The payload, a JSON text, as a value. Throws `DecodingError` with the place of what does not fit. Complexity: O(bytes).
  public func decoded<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    try JSON(parsing: copy()).decoded(as: type)
  }

  /// The payload as UTF-8; what is none becomes U+FFFD. Complexity: O(bytes).
  public var text: String { withBytes { bytes in unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) } } }
}

/// The one who waits for an answer: it may come before the wait begins.
@safe private final class RequestWait: @unchecked Sendable {
  private let requests: RequestTable
  private let monitor = Monitor()
  // The monitor's.
  private var answer: RequestTable.Answer?
  private var continuation: CheckedContinuation<ReceivedMessage, any Error>?

  init(_ requests: RequestTable) { self.requests = requests }

  deinit { monitor.deallocate() }

  func begin() -> UInt64? { requests.enter { self.end($0) } }

  private func end(_ answer: RequestTable.Answer) {
    let continuation: CheckedContinuation<ReceivedMessage, any Error>? = monitor.locked {
      self.answer = answer
      monitor.broadcast(.ended)
      defer { self.continuation = nil }
      return self.continuation
    }
    continuation?.resume(with: answer)
  }

  /// On the calling thread, until `deadline` of the monotonic clock; nil: none has come by then.
  func answer(until deadline: UInt64) -> RequestTable.Answer? {
    monitor.locked {
      while self.answer == nil { if !monitor.wait(.ended, until: deadline) { break } }
      return self.answer
    }
  }

  /// After `RequestTable.end`, which may have come too late, while the answer is on its way here.
  func held() -> RequestTable.Answer {
    monitor.locked {
      while true {
        if let answer = self.answer { return answer }
        monitor.wait(.ended)
      }
    }
  }

  func answer() async throws -> ReceivedMessage {
    try await withCheckedThrowingContinuation { continuation in
      let answer = monitor.locked {
        if self.answer == nil { self.continuation = continuation }
        return self.answer
      }
      if let answer { continuation.resume(with: answer) }
    }
  }
}
