import MillraceBroker
import MillraceCore
import MillraceLog
import MillraceSimulation

@testable import Millrace

/// A journal on a simulated disk that tells how publications ended when the test says so, and as it says.
final class HeldJournal: QueueJournal, @unchecked Sendable {
  private let journal: LogQueueJournal
  private let monitor = Monitor()
  private var sink: JournalSink?
  private var held: [JournalEnding] = []
  private var isHolding = false
  private var failing: JournalOutcome?

  init(_ disk: SimulatedDisk = SimulatedDisk()) throws {
    var configuration = LogQueueJournal.Configuration()
    configuration.log.hasThreads = true
    journal = try LogQueueJournal(disk, configuration)
  }

  deinit { monitor.deallocate() }

  /// What ends from here on is told later.
  func hold() { monitor.locked { isHolding = true } }
  /// Everything is told, now and from here on; `outcome`: what is held, as that.
  func release(as outcome: JournalOutcome? = nil) {
    let (sink, endings) = monitor.locked {
      isHolding = false
      defer { held = [] }
      return (self.sink, held)
    }
    let told = endings.map { JournalEnding(token: $0.token, outcome: outcome ?? $0.outcome) }
    tell(sink, told)
  }
  var heldCount: Int { monitor.locked { held.count } }

  private func ended(_ endings: [JournalEnding]) {
    let sink = monitor.locked { () -> JournalSink? in
      if isHolding { held += endings }
      return isHolding ? nil : self.sink
    }
    tell(sink, endings)
  }

  private func tell(_ sink: JournalSink?, _ endings: [JournalEnding]) {
    guard let sink else { return }
    sink.tell(endings.span)
  }

  func recover(_ sink: JournalSink, _ visitor: inout some JournalVisitor) throws(JournalError) -> JournalRecovery {
    monitor.locked { self.sink = sink }
    let own = unsafe JournalSink(context: Unmanaged.passUnretained(self).toOpaque()) { context, array, count in
      // unsafe: the broker keeps its journal until it is closed.
      let journal = unsafe Unmanaged<HeldJournal>.fromOpaque(context!).takeUnretainedValue()
      journal.ended(unsafe Array(JournalSink.endings(array, count)))
    }
    return try journal.recover(own, &visitor)
  }

  func write(_ batch: JournalBatch, token: UInt64, mayWait: Bool) throws(JournalRefusal) -> UInt64 {
    try unsafe journal.write(batch, token: token, mayWait: mayWait)
  }

  func record(_ changes: [JournalChange], token: UInt64) throws(JournalRefusal) { try journal.record(changes, token: token) }

  func close() {
    journal.close()
    release()
  }
  var failureText: String? { journal.failureText }
}
