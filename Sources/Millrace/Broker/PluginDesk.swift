internal import CMillrace
internal import Glibc
internal import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// Messages that plugins write: the extension `MILLRACE_BROKER`.
///
/// Drafts are numbers, and a number that is over is none, so that a plugin's mistake harms nobody.
///
/// # Threads
/// Any.
@safe final class PluginDesk: PluginBroker, @unchecked Sendable {
  /// Drafts that are open at once, at most.
  static let mostDrafts = 65_536
  /// Bytes of a text of a message, at most; all of them together have `Envelope.maxPropertyBytes`.
  private static let longestText = Envelope.maxPropertyBytes

  private final class DraftBox {
    var draft: MessageDraft?
    init(_ draft: consuming MessageDraft) { self.draft = consume draft }
  }

  private weak let desk: BrokerDesk?
  private let monitor = Monitor()
  // The monitor's.
  private var drafts: [UInt64: DraftBox] = [:]
  private var last: UInt64 = 0
  private var isClosed = false

  init(_ desk: BrokerDesk) { self.desk = desk }

  deinit { monitor.deallocate() }

  /// Nothing is claimed or published any more. What plugins hold stays, for they may be writing it.
  func close() { monitor.locked { isClosed = true } }

  /// Drops what plugins have left. After they are unloaded.
  func end() {
    let left = monitor.locked {
      isClosed = true
      defer { drafts = [:] }
      return drafts
    }
    withExtendedLifetime(left) {}
  }

  // MARK: PluginBroker

  @unsafe func claim(_ bytes: UInt64, _ message: UnsafeRawPointer, tenant: String?, trace: String?) -> PluginClaim {
    do throws(Refusal) {
      guard let desk else { throw .closed }
      // unsafe: the plugin's message, during the call.
      var envelope = try unsafe PluginDesk.envelope(message.assumingMemoryBound(to: millrace_publication.self), desk)
      envelope.tenant = tenant
      envelope.trace = trace
      guard bytes <= UInt64(Int32.max) else { throw .tooLarge }
      let box: DraftBox
      do throws(PublishRefusal) {
        box = try desk.publishing { publisher throws(PublishRefusal) in DraftBox(try publisher.claim(Int(bytes), envelope)) }
      } catch { throw Refusal(error) }
      // unsafe: the draft's memory stays until it is published or dropped.
      let memory = unsafe box.draft?.payload.baseAddress
      let number = try monitor.locked { () throws(Refusal) in
        if isClosed { throw .closed }
        if drafts.count == PluginDesk.mostDrafts { throw .noMemory }
        last += 1
        drafts[last] = box
        return last
      }
      return unsafe PluginClaim(number, memory)
    } catch { return PluginClaim(code: error.rawValue) }
  }

  func publish(_ draft: UInt64) -> (code: UInt32, queues: Int) {
    // Nobody else has it meanwhile.
    guard let box = monitor.locked({ drafts.removeValue(forKey: draft) }) else { return (Refusal.malformed.rawValue, 0) }
    guard let desk else { return (Refusal.closed.rawValue, 0) }
    var queues = 0
    var code = UInt32(MILLRACE_PUBLISH_DONE)
    do throws(PublishRefusal) {
      try desk.publishing { publisher throws(PublishRefusal) in
        guard let message = box.draft.take() else { return }
        switch publisher.publish(message) {
        case .accepted(let receipt): queues = receipt.queues
        case .duplicate: code = UInt32(MILLRACE_PUBLISH_DUPLICATE)
        case .refused(let message, let refusal):
          box.draft = consume message
          throw refusal
        }
      }
    } catch {
      code = Refusal(error).rawValue
      // As it was before.
      monitor.locked { drafts[draft] = box }
    }
    return (code, queues)
  }

  func drop(_ draft: UInt64) {
    let box = monitor.locked { drafts.removeValue(forKey: draft) }
    withExtendedLifetime(box) {}
  }

  // MARK: Messages

  private enum Refusal: UInt32, Error {
    case unroutable = 2
    case full = 3
    case busy = 4
    case malformed = 5
    case nowhere = 6
    case tooLarge = 7
    case noMemory = 8
    case closed = 9
    case journal = 10

    init(_ refusal: PublishRefusal) {
      self =
        switch refusal {
        case .unroutable: .unroutable
        case .full: .full
        case .route(.noExchange), .route(.isInternal): .nowhere
        case .route: .malformed
        case .tooLarge, .properties: .tooLarge
        case .memory: .noMemory
        case .busy, .underWay: .busy
        case .closed: .closed
        case .journal: .journal
        }
    }
  }

  /// unsafe: the plugin's, of which only `size` bytes are there; those of version 1 are.
  private static func envelope(_ message: UnsafePointer<millrace_publication>, _ desk: BrokerDesk) throws(Refusal) -> Envelope {
    guard unsafe message.pointee.size >= 88 else { throw .malformed }
    let message = unsafe message.pointee
    let known = UInt32(MILLRACE_PUBLICATION_TRANSIENT | MILLRACE_PUBLICATION_PRIORITY)
    guard unsafe message.flags & ~known == 0 else { throw .malformed }
    let key = try unsafe text(message.key) ?? ""
    var envelope = Envelope(to: .default, key: key)
    if let name = try unsafe text(message.exchange) {
      do {
        guard let found = try desk.broker().router.exchange(named: BrokerName(name)) else { throw Refusal.nowhere }
        envelope.exchange = found
      } catch let refusal as Refusal { throw refusal } catch is RoutingError { throw .malformed } catch { throw .closed }
    }
    envelope.isPersistent = unsafe message.flags & UInt32(MILLRACE_PUBLICATION_TRANSIENT) == 0
    if unsafe message.flags & UInt32(MILLRACE_PUBLICATION_PRIORITY) != 0 {
      guard let priority = unsafe UInt8(exactly: message.priority) else { throw .malformed }
      envelope.priority = priority
    }
    envelope.messageID = try unsafe text(message.id)
    envelope.contentType = try unsafe text(message.content_type)
    envelope.correlationID = try unsafe text(message.correlation_id)
    envelope.replyTo = try unsafe text(message.reply_to)
    envelope.delay = unsafe message.delay
    if unsafe message.time_to_live > 0 { envelope.timeToLive = unsafe message.time_to_live }
    envelope.headers = try unsafe headers(message)
    return envelope
  }

  private static func headers(_ message: millrace_publication) throws(Refusal) -> Headers {
    let count = Int(unsafe message.header_count)
    if count == 0 { return Headers() }
    guard count <= Int(MILLRACE_HEADERS), let texts = unsafe message.headers else { throw .malformed }
    var fields: [(String, HeaderValue)] = []
    for index in 0..<count {
      // unsafe: the plugin says that there are so many pairs.
      guard let name = try unsafe text(texts[2 * index]), let value = try unsafe text(texts[2 * index + 1]) else { throw .malformed }
      fields.append((name, .text(value)))
    }
    do throws(RoutingError) { return try Headers(fields) } catch { throw .malformed }
  }

  /// nil: NULL. Throws where it is no UTF-8 or longer than any message has room for.
  private static func text(_ pointer: UnsafePointer<CChar>?) throws(Refusal) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    // unsafe: no further than the first NUL or the bound.
    let count = unsafe strnlen(pointer, longestText + 1)
    guard count <= longestText else { throw .tooLarge }
    guard let text = unsafe String(validating: UnsafeRawBufferPointer(start: pointer, count: count), as: UTF8.self) else {
      throw .malformed
    }
    return text
  }
}
