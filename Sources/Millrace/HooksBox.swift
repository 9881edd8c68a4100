internal import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// What the runtime calls back with.
final class HooksBox: Sendable {
  let host: TaskHost
  private let book: ScheduleBook
  private let desk: BrokerDesk
  private let stalled: (@Sendable (String) -> Void)?
  /// On the loop's thread, after `Runtime.callBack`.
  let wake: (@Sendable () -> Void)?

  init(host: TaskHost, book: ScheduleBook, desk: BrokerDesk, stalled: (@Sendable (String) -> Void)?, wake: (@Sendable () -> Void)?) {
    self.host = host
    self.book = book
    self.desk = desk
    self.stalled = stalled
    self.wake = wake
  }

  static func from(_ context: UnsafeMutableRawPointer?) -> HooksBox {
    // unsafe: the engine keeps the box for as long as the runtime.
    unsafe Unmanaged<HooksBox>.fromOpaque(context!).takeUnretainedValue()
  }

  func timer(_ value: UInt64, _ kind: UInt16) {
    switch kind {
    case ScheduleBook.timerKind: book.request(value)
    case Broker.timerKind: desk.timerFired(value)
    case AlarmBook.timerKind: desk.alarms.fire(value)
    default: WorkflowRun.fire(host, value: value, kind: kind)
    }
  }

  func stall(_ lane: Int, _ job: UInt64, _ nanoseconds: UInt64) {
    let task = host.taskKey(running: JobID(rawValue: job)) ?? "a job"
    stalled?("\(task) has run for more than \(DurationText.text(nanoseconds)) on lane \(lane), and holds its slot")
  }
}
