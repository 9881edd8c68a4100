import CMillrace

/// Where a message goes, and what it says of itself.
public struct Message: Sendable {
  /// nil: to the queue of the key's name.
  public var exchange: String?
  /// By which the exchange chooses: 255 bytes at most.
  public var key: String
  /// By which a second one is told apart, as `Call.taskKey`.
  public var id: String?
  /// As MIME has it.
  public var contentType: String?
  /// What it answers.
  public var correlationID: String?
  /// The queue that an answer is wanted in.
  public var replyTo: String?
  /// Names and texts: 256 at most.
  public var headers: [(name: String, value: String)] = []
  /// Before that nobody gets it.
  public var delay = Duration.zero
  /// After that nobody wants it; nil: its queues say.
  public var timeToLive: Duration?
  /// 0 the lowest; nil: normal, which is 1.
  public var priority: UInt8?
  /// Durable queues keep it over a restart.
  public var isPersistent = true

  /// To a queue.
  public init(to queue: String) { key = queue }

  /// To an exchange.
  public init(exchange: String, key: String) {
    self.exchange = exchange
    self.key = key
  }
}

extension Call {
  /// Publishes a message of `count` bytes, written by `write` where its consumers read it, on behalf of the run's tenant and in its trace. Never waits.
  ///
  /// - Returns: how many queues have it; nil: one of its id was taken before.
  /// - Throws: `no-broker`, `bad-message`, `no-exchange`, `too-large`, `unroutable`; `not-published`, which another attempt may cure.
  /// - Complexity: O(bytes of its texts), and what the broker takes.
  @discardableResult
  public func publish(_ message: Message, bytes count: Int, _ write: (inout MutableSpan<UInt8>) -> Void) throws(HandlerError) -> Int? {
    try access.publish(message, count, write)
  }

  /// Publishes a text.
  @discardableResult
  public func publish(_ message: Message, _ text: String) throws(HandlerError) -> Int? {
    let bytes = Array(text.utf8)
    return try publish(message, bytes: bytes.count) { span in
      for index in bytes.indices { span[index] = bytes[index] }
    }
  }
}

extension Host {
  /// Random bytes, 65,536 at most: the system's, or, of a host with a seed, the same in each run; those are no keys.
  ///
  /// - Throws: `no-random` if the host has none.
  public func randomBytes(_ count: Int) throws(HandlerError) -> [UInt8] {
    precondition(0...Int(MILLRACE_RANDOM_BYTES) ~= count, "0 to 65,536 bytes are drawn at once")
    guard let found = unsafe pointer.pointee.extension(pointer, MILLRACE_RANDOM) else {
      throw .failed("no-random", "the host has no randomness")
    }
    // The id names this struct; it is the host's until the plugin has stopped.
    let random = unsafe found.assumingMemoryBound(to: millrace_random.self)
    var bytes = [UInt8](repeating: 0, count: count)
    // The array has `count` bytes.
    let code = unsafe bytes.withUnsafeMutableBytes { unsafe random.pointee.fill(pointer, $0.baseAddress, $0.count) }
    guard code == 0 else { throw .failed("no-random", "the system gave no random bytes") }
    return bytes
  }
}

extension AttemptAccess {
  func publish(_ message: Message, _ count: Int, _ write: (inout MutableSpan<UInt8>) -> Void) throws(HandlerError) -> Int? {
    guard let found = unsafe table.pointee.extension(table, MILLRACE_BROKER) else { throw .failed("no-broker", "the host has no broker") }
    // The id names this struct; it is the host's until the plugin has stopped.
    let broker = unsafe found.assumingMemoryBound(to: millrace_broker.self)
    let length = count < 0 ? UInt64.max : UInt64(count)
    var texts = CTexts()
    var draft: millrace_draft = 0
    var memory: UnsafeMutableRawPointer?
    try check(unsafe try texts.with(message) { unsafe broker.pointee.claim(table, attempt, length, $0, &draft, &memory) })
    // The host gave `count` bytes; the span cannot leave `write`.
    var span = unsafe MutableSpan<UInt8>(_unsafeBytes: UnsafeMutableRawBufferPointer(start: memory, count: count))
    write(&span)
    var queues: UInt32 = 0
    let code = unsafe broker.pointee.publish(table, draft, &queues)
    if code == UInt32(MILLRACE_PUBLISH_DUPLICATE) { return nil }
    if code != UInt32(MILLRACE_PUBLISH_DONE) { unsafe broker.pointee.drop(table, draft) }
    try check(code)
    return Int(queues)
  }

  private func check(_ code: UInt32) throws(HandlerError) {
    switch Int(code) {
    case Int(MILLRACE_PUBLISH_DONE): return
    case Int(MILLRACE_PUBLISH_UNROUTABLE): throw .failed("unroutable", "no queue wants the message: bind one")
    case Int(MILLRACE_PUBLISH_FULL): throw .retry("not-published", "a queue of the message is full")
    case Int(MILLRACE_PUBLISH_BUSY): throw .retry("not-published", "the broker's disk is behind, or a message of this id is under way")
    case Int(MILLRACE_PUBLISH_MALFORMED): throw .failed("bad-message", "a name, key, text or header of the message is none")
    case Int(MILLRACE_PUBLISH_NOWHERE):
      throw .failed("no-exchange", "there is no such exchange, or it takes messages of other exchanges only")
    case Int(MILLRACE_PUBLISH_TOO_LARGE): throw .failed("too-large", "the message, or its texts together, is larger than the broker takes")
    case Int(MILLRACE_PUBLISH_NO_MEMORY): throw .retry("not-published", "the broker has no memory left for messages")
    case Int(MILLRACE_PUBLISH_CLOSED): throw .cancelled
    default: throw .retry("not-published", "the broker could not keep the message (\(code))")
    }
  }
}

/// The texts of a message as C has them, for one call.
private struct CTexts {
  private var bytes: [CChar] = []

  /// Calls `body` with the message. Throws `bad-message` for a text with a NUL inside, which C would cut there.
  mutating func with(_ message: Message, _ body: (UnsafePointer<millrace_publication>) -> UInt32) throws(HandlerError) -> UInt32 {
    let fields = [message.exchange, message.key, message.id, message.contentType, message.correlationID, message.replyTo]
    var starts: [Int?] = []
    for text in fields { starts.append(try add(text)) }
    for header in message.headers {
      starts.append(try add(header.name))
      starts.append(try add(header.value))
    }
    var flags: UInt32 = message.isPersistent ? 0 : UInt32(MILLRACE_PUBLICATION_TRANSIENT)
    if message.priority != nil { flags |= UInt32(MILLRACE_PUBLICATION_PRIORITY) }
    let timeToLive = message.timeToLive.map { max($0.nanoseconds, 1) } ?? 0
    // The texts and the table of headers stay until `body` has returned.
    return unsafe bytes.withUnsafeBufferPointer { buffer in
      let texts = unsafe starts.map { start in unsafe start.map { unsafe buffer.baseAddress! + $0 } }
      let headers = unsafe Array(texts[fields.count...])
      return unsafe headers.withUnsafeBufferPointer { headers in
        var value = unsafe millrace_publication(
          size: UInt32(MemoryLayout<millrace_publication>.size), flags: flags, exchange: texts[0], key: texts[1], id: texts[2],
          content_type: texts[3], correlation_id: texts[4], reply_to: texts[5], headers: headers.baseAddress,
          delay: message.delay.nanoseconds, time_to_live: timeToLive, priority: UInt32(message.priority ?? 0),
          header_count: UInt32(clamping: message.headers.count))
        return unsafe body(&value)
      }
    }
  }

  /// Where the text begins.
  private mutating func add(_ text: String?) throws(HandlerError) -> Int? {
    guard let text else { return nil }
    guard !text.utf8.contains(0) else { throw .failed("bad-message", "a text of the message has a NUL inside") }
    let start = bytes.count
    bytes += text.utf8CString
    return start
  }
}
