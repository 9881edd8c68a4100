/// Where durable queues write down what must outlive the process.
///
/// Every implementation keeps the same promises, shown by one suite (`JournalConformance`):
/// - What an ending calls `written` is on stable storage: a published message comes back at recovery until it was settled; one that was settled does not.
/// - A batch is there wholly or not at all: a dead letter that moves to another durable queue is neither lost nor doubled.
/// - Messages of a queue come back in the order of their numbers, with their counts. So do exchanges, queues and bindings.
/// - A failed write is fatal: what was under way ends as `unknown`, what comes later is refused as `failed`, until the journal is opened again.
///
/// # Life
/// Opened; `recover` once, before anything is written; batches and definitions; `close` once.
/// # Threads
/// Any, after `recover`. Endings come on any thread, one call after the other, sometimes before the call that they end has returned. The order in which calls returned is the order in
/// which they count, also for another thread that knew of it.
/// # Numbers
/// Messages get theirs from the journal: ascending, unique for ever, also over restarts. Queues get theirs from the broker: one that was never declared before, also not by a queue that is
/// deleted (`JournalRecovery.nextQueue` on).
package protocol QueueJournal: AnyObject, Sendable {
  /// Gives all back that is there, in this order: ids of messages seen, exchanges, queues, bindings, then messages by their numbers. Waits for the disk. Throws `JournalError`.
  /// Complexity: O(bytes of the journal).
  ///
  /// - Parameters:
  ///   - sink: is told of all endings from now on.
  ///   - visitor: is told of what is there, on this thread.
  func recover(_ sink: JournalSink, _ visitor: inout some JournalVisitor) throws(JournalError) -> JournalRecovery

  /// Writes a batch, atomically. All it points to is copied before this returns.
  ///
  /// A settlement or a count need not be waited for: lost in a crash, it only makes the message come again. What it settles may be published by a call that has returned, and not be on the disk
  /// yet. A message is for queues that are declared; a number that is not, or no more, is left out, as if that queue had been deleted just after.
  ///
  /// - Parameters:
  ///   - token: given to the sink when it has ended; 0: nobody is told.
  ///   - mayWait: this thread may write by itself if nobody does, and so wait for the disk. Saves two wake-ups.
  /// - Returns: the number of the first message; the others follow it one by one. Throws `JournalRefusal`: nothing has happened.
  ///
  /// unsafe: all that the batch points to is valid until this returns.
  @unsafe func write(_ batch: JournalBatch, token: UInt64, mayWait: Bool) throws(JournalRefusal) -> UInt64

  /// Declares or deletes something durable; as `write`. A definition takes the place of the one that is there. A queue or an exchange that is deleted takes its bindings
  /// with it, a queue its messages too; exchanges that thereupon delete themselves are to be named.
  func record(_ changes: [JournalChange], token: UInt64) throws(JournalRefusal)

  /// Refuses what comes from now on, ends what was taken, gives everything back. Waits. If nothing failed, this is a clean stop: what consumers held is to be written before, as counts.
  func close()

  /// Why nothing is written any more; nil: it works.
  var failureText: String? { get }
}

/// What no call to a journal may exceed.
package enum JournalLimits {
  /// Messages, settlements and counts, each, of a batch.
  package static let batch = 1_024
  /// Bytes of a batch: payloads, properties and ids, and 48 for each message, 8 for each of its queues.
  package static let batchBytes = (16 << 20) - (64 << 10)
  /// Queues of one message.
  package static let queues = 65_535
  /// Bytes of a message's id.
  package static let idBytes = 65_535
  /// Bytes of one definition as it is encoded.
  package static let definitionBytes = 1 << 20
}

/// Why a call was not taken: nothing has happened, and the caller has it still.
package enum JournalRefusal: UInt8, Error, Sendable {
  /// As many are under way as the journal takes: again in a moment.
  case busy
  /// A limit of `JournalLimits` is exceeded: in parts.
  case tooLarge
  /// A write has failed: see `failureText`.
  case failed
  /// Closed, or not recovered yet.
  case closed
}

/// How a call has ended.
package enum JournalOutcome: UInt8, Sendable {
  /// On stable storage.
  case written
  /// The disk is full, and nothing was written: again when there is room. Settlements and counts of a batch without messages are kept in memory nevertheless, and written by the journal itself
  /// when there is room.
  case noSpace
  /// It does not fit into what the journal writes at once; nothing was written.
  case tooLarge
  /// The journal had failed before; nothing was written.
  case failed
  /// The storage failed under it: it may be there after a restart, or not.
  case unknown
}

/// The end of one call.
package struct JournalEnding: Sendable {
  package var token: UInt64
  package var outcome: JournalOutcome

  package init(token: UInt64, outcome: JournalOutcome) {
    self.token = token
    self.outcome = outcome
  }
}

/// Who is told of ended calls: of all that one sync has ended, in their order, by one call.
///
/// Called by the thread that wrote, which writes nothing meanwhile: it hands on. It may call the journal, but not `close` it.
@safe package struct JournalSink: Sendable {
  /// (context, `JournalEnding`s, how many). The array is the journal's.
  package typealias Told = @convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer, Int) -> Void

  nonisolated(unsafe) let context: UnsafeMutableRawPointer?
  let told: Told

  /// unsafe: `context` is valid until the journal is closed.
  @unsafe package init(context: UnsafeMutableRawPointer?, told: @escaping Told) {
    unsafe self.context = context
    unsafe self.told = told
  }

  /// For journals.
  package func tell(_ endings: Span<JournalEnding>) {
    if endings.isEmpty { return }
    // unsafe: the array is there for the call.
    unsafe endings.withUnsafeBufferPointer { endings in
      unsafe told(context, UnsafeRawPointer(endings.baseAddress!), endings.count)
    }
  }

  /// The endings of a call to a sink.
  ///
  /// unsafe: for the arguments of such a call only, and as long as it lasts.
  @unsafe package static func endings(_ array: UnsafeRawPointer, _ count: Int) -> UnsafeBufferPointer<JournalEnding> {
    unsafe UnsafeBufferPointer(start: array.assumingMemoryBound(to: JournalEnding.self), count: count)
  }
}
