#if Postgres
  internal import MillraceCore
  internal import MillraceLog

  /// An append that waits to be sent, or for its outcome.
  struct PendingAppend: Sendable {
    let appends: [StreamAppend]
    let completion: EventCompletion<AppendReceipt>
    let events: Int
    let bytes: Int
    /// Wall clock, nanoseconds: the time of its events, however often it is sent.
    let time: Int64
    /// Monotonic, nanoseconds: until when it waits for a connection.
    var deadline: UInt64
    /// How often its connection was lost: its events may be there.
    var losses = 0
    /// The end, at the latest, when it was first sent: its events are not before.
    var sentAt: UInt64?
    /// It is sent by itself: a group with it was refused.
    var isAlone = false
  }

  /// Appends in groups: those that wait when a group may be sent are one transaction.
  ///
  /// # Threads
  /// `take` and `close`: any. The rest: the lane's.
  /// # Fields
  /// `queue`, `bytes`, `isClosed`: under the monitor. The others: the lane's.
  final class AppendWork: LaneWork, @unchecked Sendable {
    struct Bounds: Sendable {
      var queued: Int
      var queuedBytes: Int
      var group: Int
      var patience: UInt64
    }

    private let session: Session
    private let bounds: Bounds
    private let monitor = Monitor()
    private var queue = FIFO<PendingAppend>()
    /// Accepted and without an outcome.
    private var accepted = 0
    private var bytes = 0
    private var isClosed = false
    /// A position that was the end at some time.
    private var knownEnd: UInt64 = 0

    init(_ session: Session, _ bounds: Bounds) {
      self.session = session
      self.bounds = bounds
    }

    deinit { monitor.deallocate() }

    /// nil: it is taken, and will be completed.
    func take(_ append: PendingAppend) -> EventStoreError? {
      monitor.locked {
        if isClosed { return .closed }
        // One that is larger than all room is taken when there is nothing else.
        if accepted >= bounds.queued || (accepted > 0 && bytes + append.bytes > bounds.queuedBytes) { return .busy }
        accepted += 1
        bytes += append.bytes
        queue.append(append)
        return nil
      }
    }

    func close() { monitor.locked { isClosed = true } }

    var isDone: Bool { monitor.locked { isClosed && accepted == 0 } }
    var alarm: UInt64? { nil }

    private func complete(_ append: PendingAppend, _ result: Result<AppendReceipt, EventStoreError>) {
      monitor.locked {
        accepted -= 1
        bytes -= append.bytes
      }
      append.completion(result)
    }

    // MARK: Groups

    func next() -> [PendingAppend]? {
      monitor.locked {
        guard var first = queue.take() else { return nil }
        first.sentAt = first.sentAt ?? knownEnd
        var group = [first]
        if first.isAlone { return group }
        var ids = Set(first.appends.lazy.flatMap(\.events).map(\.id))
        var events = first.events
        var bytes = first.bytes
        while group.count < bounds.group, var next = queue.first, !next.isAlone,
          events + next.events <= EventLimits.eventsInAppend, bytes + next.bytes <= EventLimits.bytesInAppend,
          // The same events twice: the second one must find the first one's in the table.
          ids.isDisjoint(with: next.appends.lazy.flatMap(\.events).map(\.id))
        {
          _ = queue.take()
          next.sentAt = next.sentAt ?? knownEnd
          ids.formUnion(next.appends.lazy.flatMap(\.events).map(\.id))
          events += next.events
          bytes += next.bytes
          group.append(next)
        }
        return group
      }
    }

    func encoded(_ group: [PendingAppend]) -> (Statement, Parameters) {
      // What was sent before is looked for from where it can be, however much was appended meanwhile.
      let from = group.lazy.filter { $0.losses > 0 }.compactMap(\.sentAt).min()
      return (.append, AppendCode.parameters(group, session: session, searchedFrom: from))
    }

    func finished(_ group: [PendingAppend], _ outcome: Result<Rows, Failure>) {
      switch outcome {
      case .success(let rows):
        var row = 0
        for append in group {
          let result = AppendCode.result(of: append, rows, from: row)
          if case .success(let receipt) = result, let last = receipt.streams.map(\.lastPosition).max() {
            knownEnd = max(knownEnd, last + 1)
          }
          row += append.appends.count
          complete(append, result)
        }
      case .failure(.refused(let code, let text)):
        if ["40001", "40P01"].contains(code) { return putBack(group) }
        // Which of them it was is not known: each by itself, but for what the server has no time or room for.
        if group.count > 1, !["57014", "53100", "53200", "54000"].contains(code) { return putBack(group, alone: true) }
        for append in group { complete(append, .failure(EventStoreError(refusal: code, text, at: session.target.place))) }
      case .failure(.lost(let why)):
        lost([group], why: why)
      }
    }

    private func putBack(_ group: [PendingAppend], alone: Bool = false) {
      let again = group.map {
        var append = $0
        append.isAlone = append.isAlone || alone
        return append
      }
      monitor.locked { queue.putBack(again) }
    }

    // MARK: Without a connection

    /// Sent again when there is a connection: by their ids it is seen whether they were appended before it was lost.
    func lost(_ groups: [[PendingAppend]], why: String) {
      let now = Monotonic.now
      var again: [PendingAppend] = []
      for var append in groups.joined() {
        append.losses += 1
        append.deadline = now + bounds.patience
        if append.losses > 5 {
          complete(append, .failure(.outcomeUnknown("\(why); and so \(append.losses) times")))
        } else {
          again.append(append)
        }
      }
      monitor.locked { queue.putBack(again) }
    }

    func began(end: UInt64) { knownEnd = max(knownEnd, end) }

    func heard(end: UInt64) {}

    func expire(_ now: UInt64, why: String) -> UInt64? {
      let (late, due) = monitor.locked { (queue.takeAll { $0.deadline <= now }, queue.least(\.deadline)) }
      for append in late { complete(append, .failure(append.losses > 0 ? .outcomeUnknown(why) : .unavailable(why))) }
      return due
    }
  }
#endif
