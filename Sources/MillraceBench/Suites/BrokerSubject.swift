internal import Glibc
internal import Millrace
internal import MillraceCore

/// A request is a message through an engine's broker. In memory it ends when a consumer, a job of the engine, has it; of a durable queue when it is confirmed, on stable storage, while consumers acknowledge.
///
/// # Threads
/// Any that sends has a publisher for itself meanwhile; each publisher to a durable queue has a thread that tells of what was confirmed.
@safe final class BrokerSubject: SubjectOwner {
  /// Bytes of a payload, at least: both words of the ticket.
  static let leastBytes = 16
  static let mostBytes = 1 << 20

  private let engine: Engine
  private let meter: Meter
  private let bytes: Int
  private let lines: BrokerLines
  /// Where the durable queue is, made for this alone; nil: it is in memory.
  private let folder: String?
  /// As a result names it.
  let name: String

  init(_ settings: SuiteSettings, _ meter: Meter) throws(BenchError) {
    guard (Self.leastBytes...Self.mostBytes).contains(settings.messageBytes) else {
      throw .wrongUse("--message-bytes is \(settings.messageBytes): give \(Self.leastBytes) to \(Self.mostBytes)")
    }
    guard 1...64 ~= settings.consumers else { throw .wrongUse("--consumers is \(settings.consumers): give 1 to 64") }
    self.meter = meter
    bytes = settings.messageBytes
    name = "\(bytes) B, \(settings.consumers) \(settings.consumers == 1 ? "consumer" : "consumers")\(settings.isDurable ? ", durable" : "")"
    var configuration = Engine.Configuration()
    (configuration.slots, configuration.threads, configuration.wait) = (settings.slots, settings.threads, settings.wait)
    configuration.capacity = SuiteSettings.capacity
    configuration.stallAfter = 0
    configuration.plugins = PluginSearch()
    let folder = settings.isDurable ? try Self.makeFolder() : nil
    configuration.data = folder
    self.folder = folder
    do throws(EngineError) { engine = try Engine(configuration) } catch {
      if let folder { Self.remove(folder) }
      throw .tryAgain("\(error)")
    }
    do throws(BrokerError) { lines = try BrokerLines(engine.broker, settings, meter) } catch {
      engine.shutdown()
      if let folder { Self.remove(folder) }
      throw .tryAgain("\(error)")
    }
  }

  var subject: Subject {
    // unsafe: this object outlives the engine's threads, which `stop` ends.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<BrokerSubject>.fromOpaque(context)._withUnsafeGuaranteedRef {
        $0.lines.send(Ticket(intended: intended, sent: sent), bytes: $0.bytes)
      }
    }
  }

  func stop() {
    lines.stop()
    engine.shutdown()
    if let folder { Self.remove(folder) }
  }

  // MARK: The directory

  /// In the working directory, so that its disk is what is measured.
  private static func makeFolder() throws(BenchError) -> String {
    var name = Array("./millrace-bench-XXXXXX\0".utf8CString.dropLast())
    // unsafe: written within its length.
    guard unsafe name.withUnsafeMutableBufferPointer({ unsafe mkdtemp($0.baseAddress!) }) != nil else {
      throw .tryAgain("no directory for durable queues can be made here: \(unsafe String(cString: strerror(errno)))")
    }
    return unsafe name.withUnsafeBufferPointer { unsafe String(cString: $0.baseAddress!) }
  }

  /// What an engine has made there: files, and directories of files. What cannot be removed stays.
  private static func remove(_ folder: String) {
    guard let directory = unsafe opendir(folder) else { return }
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name == "." || name == ".." { continue }
      let path = folder + "/" + name
      if unsafe unlink(path) != 0 { remove(path) }
    }
    unsafe closedir(directory)
    _ = unsafe rmdir(folder)
  }
}

/// The queue's publishers and consumers.
@safe final class BrokerLines: @unchecked Sendable {
  /// Publishers, each one thread's at a time: more threads wait for one.
  static let count = 4

  private let broker: Broker
  private let meter: Meter
  private let monitor = Monitor()
  // The monitor's.
  private var free: [BrokerLine] = []
  private let all: [BrokerLine]
  private let consumers: [JobConsumer]

  /// Throws `BrokerError`.
  init(_ broker: Broker, _ settings: SuiteSettings, _ meter: Meter) throws(BrokerError) {
    (self.broker, self.meter) = (broker, meter)
    let queue: BrokerName
    do throws(RoutingError) { queue = try BrokerName("bench") } catch { throw .routing(error) }
    var configuration = QueueConfiguration()
    configuration.isDurable = settings.isDurable
    try broker.declare(queue: queue, configuration)
    var lines: [BrokerLine] = []
    for _ in 0..<BrokerLines.count { lines.append(try BrokerLine(broker, queue, meter, isDurable: settings.isDurable)) }
    (all, free) = (lines, lines)
    var options = ConsumerOptions()
    options.prefetch = 256
    let isDurable = settings.isDurable
    consumers = try (0..<settings.consumers).map { _ throws(BrokerError) in
      try broker.consume(queue, options) { message, _ in
        if !isDurable { meter.end(BrokerLine.ticket(message), isDone: true) }
        return .acknowledge
      }
    }
  }

  deinit { monitor.deallocate() }

  /// False: the message was refused.
  func send(_ ticket: Ticket, bytes: Int) -> Bool {
    let line = monitor.locked {
      while free.isEmpty { monitor.wait(.work) }
      return free.removeLast()
    }
    defer {
      monitor.locked {
        free.append(line)
        monitor.signal(.work)
      }
    }
    return line.send(ticket, bytes: bytes)
  }

  func stop() {
    for consumer in consumers { consumer.close() }
    for line in all { line.stop() }
  }
}

/// A publisher, and what it has sent that is not confirmed.
@safe final class BrokerLine: @unchecked Sendable {
  private var publisher: Publisher
  private let envelope: Envelope
  private let confirms: Confirms?
  private let meter: Meter
  private let monitor = Monitor()
  // The monitor's.
  private var sent: [Ticket] = []
  private var isStopped = false
  private var hasThread = false

  /// Throws `BrokerError`.
  init(_ broker: Broker, _ queue: BrokerName, _ meter: Meter, isDurable: Bool) throws(BrokerError) {
    let publisher = try broker.makePublisher()
    confirms = isDurable ? publisher.confirms : nil
    self.publisher = publisher
    self.meter = meter
    var envelope = Envelope(to: queue)
    envelope.isPersistent = isDurable
    self.envelope = envelope
    guard let confirms else { return }
    hasThread = true
    let isThere = OwnThread.run { [self] in tell(confirms) }
    if isThere { return }
    hasThread = false
    throw .memory(bytes: 1 << 20)
  }

  deinit { monitor.deallocate() }

  static func ticket(_ message: borrowing Message) -> Ticket {
    // unsafe: a payload has both words.
    unsafe Ticket(
      intended: message.payload.loadUnaligned(as: UInt64.self), sent: message.payload.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
  }

  func send(_ ticket: Ticket, bytes: Int) -> Bool {
    let draft: MessageDraft
    do throws(PublishRefusal) { draft = try publisher.claim(bytes, envelope) } catch { return false }
    // unsafe: a payload has both words.
    unsafe draft.payload.storeBytes(of: ticket.intended, as: UInt64.self)
    unsafe draft.payload.storeBytes(of: ticket.sent, toByteOffset: 8, as: UInt64.self)
    // Before it can be confirmed.
    if confirms != nil { monitor.locked { sent.append(ticket) } }
    if case .accepted = publisher.publish(draft) { return true }
    if confirms != nil { monitor.locked { _ = sent.removeLast() } }
    return false
  }

  /// The end of each request that was confirmed, until it is stopped.
  private func tell(_ confirms: Confirms) {
    var told: UInt64 = 0
    while !monitor.locked({ isStopped }) {
      guard confirms.wait(for: told + 1, nanoseconds: 20_000_000) else { continue }
      let count = confirms.ended - told
      let isDone = confirms.failed.isEmpty
      let tickets = monitor.locked {
        defer { sent.removeFirst(Int(count)) }
        return Array(sent.prefix(Int(count)))
      }
      for ticket in tickets { meter.end(ticket, isDone: isDone) }
      told += count
    }
    monitor.locked {
      hasThread = false
      monitor.broadcast(.ended)
    }
  }

  func stop() {
    monitor.locked {
      isStopped = true
      while hasThread { monitor.wait(.ended) }
    }
  }
}
