internal import CMillrace
internal import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// Tasks that wait for messages, and what they have taken: by queue, first in first out.
///
/// A queue for which nobody waits has no consumer here. A message goes to a task that waits, and is acknowledged when the task's end is recorded; until then the queue holds it, and takes it
/// back if the process ends.
///
/// # Threads
/// Any. Tasks are concluded, and messages settled, without the lock.
@safe final class MessageLines: MessageSource, @unchecked Sendable {
  private struct Waiter {
    let number: UInt64
    let task: HeldTask
  }

  private final class Line {
    let number: UInt64
    let queue: BrokerName
    let receiver: ReceiverBox
    var waiting: [Waiter] = []
    var first = 0
    /// Messages that tasks have taken, and that are not settled.
    var held = 0
    /// By which somebody is told when there is a message.
    var ticket: MessageTicket?
    private let broker: Broker

    init(_ number: UInt64, _ queue: BrokerName, _ broker: Broker) throws(BrokerError) {
      (self.number, self.queue, self.broker) = (number, queue, broker)
      receiver = ReceiverBox(try broker.makeReceiver(queue))
    }

    deinit { if let ticket { broker.cancel(ticket) } }
  }

  private final class ReceiverBox {
    var receiver: Receiver
    init(_ receiver: consuming Receiver) { self.receiver = receiver }
  }

  /// Nanoseconds until an engine that was full is asked again.
  private static let fullWait: UInt64 = 1_000_000

  private weak let desk: BrokerDesk?
  private let monitor = Monitor()
  // Set before anything else.
  private var core: (scheduler: Scheduler, handler: HandlerIndex)?
  // The monitor's.
  private var lines: [UInt64: Line] = [:]
  private var numbers: [BrokerName: UInt64] = [:]
  private var last: UInt64 = 0

  init(_ desk: BrokerDesk) { self.desk = desk }

  deinit { monitor.deallocate() }

  /// Once, before anything else. The desk keeps this object until the scheduler has stopped.
  func connect(_ scheduler: Scheduler) {
    // unsafe: as said.
    let work = unsafe Handler(
      run: { lines, context in
        let number = unsafe context.assumingMemoryBound(to: JobContext.self).pointee.first
        unsafe Unmanaged<MessageLines>.fromOpaque(lines!).takeUnretainedValue().told(number)
        return Outcome.done.rawValue
      }, context: Unmanaged.passUnretained(self).toOpaque())
    if let handler = scheduler.register(work) { core = (scheduler, handler) }
  }

  // MARK: MessageSource

  var isOpen: Bool { desk?.isOpen ?? true }

  func wait(for queue: String, _ task: HeldTask) -> HeldStop? {
    guard let desk else { return nil }
    do {
      let name = try BrokerName(queue)
      let broker = try desk.broker()
      let (line, waiter) = try monitor.locked {
        last += 1
        let line = try numbers[name].flatMap { lines[$0] } ?? open(name, broker)
        line.waiting.append(Waiter(number: last, task: task))
        return (line.number, last)
      }
      serve(line)
      return { [weak self] in if self?.leave(line, waiter) ?? true { task.conclude(.cancelled) } }
    } catch BrokerError.noQueue(let name) {
      task.fail("no-queue", desk.missing(name))
    } catch let error as RoutingError {
      task.fail("no-queue", "\(error)")
    } catch {
      // Somebody has the queue to himself, or the broker is not to be had: that may pass.
      task.conclude(.failed(type: "no-messages", message: "\(error)", isRetryable: true))
    }
    return nil
  }

  /// With the monitor. Throws `BrokerError`.
  private func open(_ queue: BrokerName, _ broker: Broker) throws(BrokerError) -> Line {
    let line = try Line(last, queue, broker)
    lines[last] = line
    numbers[queue] = last
    return line
  }

  /// A task waits no longer. False: it has a message, by which it ends.
  private func leave(_ number: UInt64, _ waiter: UInt64) -> Bool {
    monitor.locked {
      guard let line = lines[number], let index = line.waiting[line.first...].firstIndex(where: { $0.number == waiter }) else {
        return false
      }
      line.waiting.remove(at: index)
      closeIfIdle(line)
      return true
    }
  }

  /// With the monitor: nobody waits there, and nothing is in hand: others have the queue to themselves.
  private func closeIfIdle(_ line: Line) {
    guard line.first == line.waiting.count, line.held == 0, lines[line.number] === line else { return }
    forget(line)
  }

  private func forget(_ line: Line) {
    lines[line.number] = nil
    if numbers[line.queue] == line.number { numbers[line.queue] = nil }
  }

  // MARK: Serving

  /// There may be a message: the ticket is used up.
  private func told(_ number: UInt64) {
    monitor.locked { lines[number]?.ticket = nil }
    serve(number)
  }

  private enum Step {
    case give(HeldTask, ReceivedMessage)
    case fail([HeldTask], BrokerName)
    case done
  }

  /// Gives tasks what is there, and sees to it that somebody comes when there is more.
  private func serve(_ number: UInt64) {
    while true {
      switch monitor.locked({ step(number) }) {
      case .give(let task, let message): give(task, message, number)
      case .fail(let tasks, let queue):
        for task in tasks { task.fail("no-queue", "the queue '\(queue)' was deleted") }
        return
      case .done: return
      }
    }
  }

  /// With the monitor.
  private func step(_ number: UInt64) -> Step {
    guard let line = lines[number], line.first < line.waiting.count else { return .done }
    do throws(BrokerError) {
      while true {
        if let delivery = try line.receiver.receiver.next() {
          let waiter = line.waiting[line.first]
          line.first += 1
          if line.first > 64, line.first > line.waiting.count / 2 {
            line.waiting.removeFirst(line.first)
            line.first = 0
          }
          line.held += 1
          return .give(waiter.task, ReceivedMessage(delivery))
        }
        if line.ticket == nil { line.ticket = try line.receiver.receiver.whenMessage { [weak self] in self?.request(number) } }
        if line.ticket != nil { return .done }
      }
    } catch {
      let tasks = line.waiting[line.first...].map(\.task)
      line.waiting = []
      line.first = 0
      forget(line)
      return .fail(tasks, line.queue)
    }
  }

  /// Has `serve` called on a worker. Called by whoever publishes.
  private func request(_ number: UInt64) {
    guard let core else { return }
    do throws(SubmitError) {
      try core.scheduler.submit(JobRequest(handler: core.handler, priority: 2, first: number))
    } catch {
      if case .full = error { _ = desk?.alarms.after(MessageLines.fullWait) { [weak self] in self?.request(number) } }
    }
  }

  private func give(_ task: HeldTask, _ message: ReceivedMessage, _ line: UInt64) {
    let taken = TakenMessage(message, self, line)
    let output = JSON(message).utf8()
    if output.count > Int(MILLRACE_INLINE_BYTES) {
      taken.settle(.reject)
      task.fail("too-large", "a message of \(output.count) bytes as JSON: at most \(MILLRACE_INLINE_BYTES) fit; it is a dead letter")
      return
    }
    // If it has ended meanwhile the message goes back with what took it.
    task.conclude(.taken(output, contentType: UInt32(MILLRACE_JSON)) { taken.settle($0 ? .acknowledge : .release(after: 0)) })
  }

  /// A message is settled.
  fileprivate func settled(_ number: UInt64) {
    monitor.locked {
      guard let line = lines[number] else { return }
      line.held -= 1
      closeIfIdle(line)
    }
  }

  /// The runtime has stopped, and nobody gets a message any more.
  func end() {
    let left = monitor.locked {
      defer { (lines, numbers) = ([:], [:]) }
      return lines
    }
    withExtendedLifetime(left) {}
  }
}

/// A message that a task has taken: settled when it is known whether the task's end counts; let go of before, it goes back.
private final class TakenMessage: Sendable {
  private let message: ReceivedMessage
  private let lines: MessageLines
  private let line: UInt64

  init(_ message: ReceivedMessage, _ lines: MessageLines, _ line: UInt64) { (self.message, self.lines, self.line) = (message, lines, line) }

  deinit {
    settle(.release(after: 0))
    lines.settled(line)
  }

  /// The first counts. What was taken back meanwhile, or deleted with its queue, is not ours to settle.
  func settle(_ settlement: Settlement) { do throws(SettleError) { try message.settle(settlement) } catch {} }
}

extension JSON {
  /// A message as the output of a task that waited for it.
  fileprivate init(_ message: ReceivedMessage) {
    let text = { (value: String?) in value.map(JSON.string) ?? .null }
    var members: [JSON.Member] = []
    let (body, isBytes) = JSON.body(of: message)
    members.append(.init("body", isBytes ? .null : body))
    if isBytes { members.append(.init("body_base64", body)) }
    members.append(.init("key", .string(message.key)))
    members.append(.init("exchange", .string(message.exchange)))
    members.append(.init("priority", .integer(Int64(message.priority))))
    members.append(.init("message_id", text(message.messageID)))
    members.append(.init("correlation", text(message.correlationID)))
    members.append(
      .init("headers", .object(message.headers.names.compactMap { name in message.headers[name].map { .init(name, JSON($0)) } })))
    members.append(.init("redelivered", .bool(message.isRedelivered)))
    self = .object(members)
  }

  /// JSON where it is, else text where it is; bytes in base64.
  static func body(of message: ReceivedMessage) -> (JSON, isBytes: Bool) {
    let bytes = message.copy()
    if message.contentType?.hasPrefix("text/") != true {
      do throws(JSONSyntaxError) { return (try JSON(parsing: bytes), false) } catch {}
    }
    if let text = String(validating: bytes, as: UTF8.self) { return (.string(text), false) }
    return (.string(Base64.text(bytes)), true)
  }

  private init(_ value: HeaderValue) {
    self =
      switch value {
      case .void, .nested: .null
      case .boolean(let flag): .bool(flag)
      case .integer(let number): .integer(number)
      case .unsigned(let number): Int64(exactly: number).map(JSON.integer) ?? .number(Double(number))
      case .real(let number): .number(number)
      case .decimal(let scale, let value): .number(Double(value) / (0..<scale).reduce(1.0) { product, _ in product * 10 })
      case .text(let text): .string(text)
      case .bytes(let bytes): .string(Base64.text(bytes))
      }
  }
}
