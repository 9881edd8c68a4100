internal import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// The handler that every engine has: a task that publishes a message.
///
/// It is done when all queues have the message, and those that are durable have it on the disk. Its message's id is the task's key unless the input gives another one, so that an attempt
/// that is repeated is a duplicate, within the broker's window.
struct PublishTask: Sendable {
  static let name = "broker/publish"

  private weak let desk: BrokerDesk?

  /// As a handler. Holds nothing of the engine, which has it.
  static func handler(_ desk: BrokerDesk) -> RegisteredHandler {
    let task = PublishTask(desk: desk)
    return RegisteredHandler(name: name, inputSchema: schema, .asynchronous { context in .json(try await task.run(context)) })
  }

  private func run(_ context: TaskContext) async throws -> JSON {
    guard let desk else { throw TaskFailure("stopped", "the engine has stopped") }
    let message = try PublishInput(context.input(), context)
    let envelope = try message.envelope(desk)
    let payload = message.payload(context)
    let id = envelope.messageID ?? ""
    let turn = desk.confirming
    while !turn.begin(id) {
      // An attempt before this one has published it, and it is not known yet whether the disk has it.
      try await desk.pause()
    }
    var isConfirming = false
    defer { if !isConfirming { turn.end(id) } }
    var hasWaited = false
    while true {
      switch try step(payload.bytes, message.envelope(envelope, payload), desk, message) {
      case .again: try await desk.pause()
      case .full(let queue):
        do { try await RoomWait(desk, .none).wait(in: queue, pauses: hasWaited) } catch let error as BrokerError {
          throw TaskFailure("no-queue", "\(error)", isRetryable: false)
        }
        hasWaited = true
      case .done(.unroutable, _): return try message.unroutable(id)
      case .done(.duplicate, _): return ["status": "duplicate", "message_id": .string(id)]
      case .done(.accepted(let queues), let confirmation):
        if let confirmation {
          isConfirming = true
          try await confirm(confirmation, id, desk)
        }
        return ["status": "accepted", "queues": .integer(Int64(queues)), "message_id": .string(id)]
      }
    }
  }

  private enum Step {
    case done(PublishOutcome, confirmation: BrokerDesk.Confirmation?)
    case full(BrokerName)
    /// In a moment.
    case again
  }

  private func step(_ bytes: [UInt8], _ envelope: Envelope, _ desk: BrokerDesk, _ message: PublishInput) throws -> Step {
    do throws(PublishRefusal) {
      switch try desk.publishOnce(bytes, envelope) {
      case .done(let outcome, let confirmation): return .done(outcome, confirmation: confirmation)
      case .full(let queue): return .full(queue)
      }
    } catch {
      switch error {
      case .busy, .underWay: return .again
      case .route, .properties: throw TaskFailure("bad-input", "\(message.target): \(error)", isRetryable: false)
      case .tooLarge: throw TaskFailure("too-large", "\(message.target): \(error)", isRetryable: false)
      case .closed: throw CancellationError()
      case .unroutable, .full, .memory, .journal: throw TaskFailure("not-published", "\(message.target): \(error)")
      }
    }
  }

  /// Waits until the disk has it. Whoever waits may be cancelled; the turn of its id ends all the same when that is known.
  private func confirm(_ confirmation: BrokerDesk.Confirmation, _ id: String, _ desk: BrokerDesk) async throws {
    let ending = Awaited<Confirmed>()
    confirmation.confirms.whenEnded(confirmation.number) { [weak desk] failure in
      // Whoever tries again publishes it again.
      if failure != nil { desk?.forget(id: id) }
      desk?.confirming.end(id)
      ending.give(failure.map { .failed($0) } ?? .written)
    }
    switch await ending.value(whenCancelled: .cancelled) {
    case .written: return
    case .cancelled: throw CancellationError()
    case .failed(let why): throw TaskFailure("not-confirmed", "the message is in its queues, but not on the disk: \(why)")
    }
  }

  private enum Confirmed: Sendable {
    case written, cancelled
    case failed(String)
  }
}

/// Ids of messages that tasks are publishing: one attempt at a time for each, until the disk has the message.
@safe final class ConfirmingIDs: @unchecked Sendable {
  private let monitor = Monitor()
  // The monitor's.
  private var ids: Set<String> = []

  deinit { monitor.deallocate() }

  /// False: another one is at it.
  func begin(_ id: String) -> Bool { monitor.locked { ids.insert(id).inserted } }
  func end(_ id: String) { monitor.locked { _ = ids.remove(id) } }
}

extension BrokerDesk {
  /// Nanoseconds.
  private static let moment: UInt64 = 1_000_000

  /// Waits for a moment, without a thread. Throws `CancellationError`, also when the engine has no timer left.
  func pause() async throws {
    let ending = Awaited<Bool>()
    guard let alarm = alarms.after(BrokerDesk.moment, { ending.give(true) }) else { throw CancellationError() }
    let wait = whenStopped { ending.give(false) }
    if wait == nil { ending.give(false) }
    let goesOn = await ending.value(whenCancelled: false)
    alarms.cancel(alarm)
    if let wait { forget(wait: wait) }
    if !goesOn { throw CancellationError() }
  }

  /// See `Broker.forget(id:)`.
  fileprivate func forget(id: String) {
    // A broker that is not there knows no ids.
    if let broker = try? broker() { broker.forget(id: id) }
  }
}
