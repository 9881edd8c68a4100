/// What is put under load: a function of C and its context, so that a request costs one call through a pointer.
///
/// `send` starts a request and returns; its end is told to the subject's `Meter`, with the same ticket, once, from any thread.
@safe struct Subject: Sendable {
  /// False: it was not taken, and its end will not be told.
  typealias Send = @convention(c) (UnsafeMutableRawPointer, _ intended: UInt64, _ sent: UInt64) -> Bool

  private let function: Send
  // unsafe: the owner's; valid as long as the owner lives, used by many threads.
  private nonisolated(unsafe) let context: UnsafeMutableRawPointer

  /// unsafe: `context` must live for as long as the subject is used.
  @unsafe init(context: UnsafeMutableRawPointer, send: @escaping Send) {
    unsafe self.context = context
    unsafe function = send
  }

  @inline(__always) func send(_ ticket: Ticket) -> Bool { unsafe function(context, ticket.intended, ticket.sent) }
}

/// Who makes a subject, and takes it down.
protocol SubjectOwner: AnyObject {
  /// Valid until `stop`.
  var subject: Subject { get }
  /// Waits for what runs; what waits is dropped. Once.
  func stop()
}
