internal import CMillrace
internal import MillraceCore

/// The work of tasks that wait: for a signal, a time, somebody's yes.
struct WaitWork: HeldWork {
  let word = "wait"

  func begin(_ task: HeldTask) -> HeldStop? {
    switch task.definition.wait {
    case .signal(let name):
      (task.run.origin ?? task.run).mailbox?.wait(for: name, task)
      return nil
    case .until:
      let text = task.text
      guard let end = WallTime.nanoseconds(text) else {
        task.fail("bad-time", "'\(text.prefix(80))' is no time: \(WallTime.fix)")
        return nil
      }
      return TimeWait(task, .wall(end)).begin()
    case .duration:
      let text = task.text
      do throws(DurationSyntaxError) {
        let (end, overflow) = task.run.waitBegan(task.node, task.attempt).addingReportingOverflow(try DurationText.nanoseconds(text))
        return TimeWait(task, .clock(overflow ? .max : end)).begin()
      } catch {
        task.fail("bad-duration", "\(error)")
        return nil
      }
    case .approval:
      // Given to the process before this one.
      if let answer = task.run.recordedAnswer(task.node, task.attempt) { task.conclude(answer.ending) }
      return nil
    case .message:
      guard let source = task.run.host.messages else {
        task.fail("no-broker", "nothing carries messages here")
        return nil
      }
      let queue = task.text
      if source.isOpen { return source.wait(for: queue, task) }
      return task.beginApart(
        { source.wait(for: queue, task) },
        refused: { .failed(type: "no-messages", message: "the broker was not opened: \($0)", isRetryable: true) })
    case nil: return nil
    }
  }
}

/// Gives tasks the messages that they wait for: the engine's part.
package protocol MessageSource: AnyObject, Sendable {
  /// Whether `wait` only looks; else it may have to wait for the disk.
  var isOpen: Bool { get }

  /// A task waits for a message of a queue: in line with others, until it is told to stop. As `HeldWork.begin`.
  func wait(for queue: String, _ task: HeldTask) -> HeldStop?
}

extension HeldTask {
  /// The text of a wait, its expressions' values in place.
  var text: String {
    do throws(JSONSyntaxError) {
      let value = try JSON(parsing: input)
      return value.string ?? value.text()
    } catch {
      return String(decoding: input, as: UTF8.self)
    }
  }

  package func fail(_ type: String, _ message: String) { conclude(.failed(type: type, message: message, isRetryable: false)) }
}

extension HeldEnding {
  static let null = HeldEnding.output(Array("null".utf8), contentType: UInt32(MILLRACE_JSON))
}

/// A task that waits for a time: one timer, armed again where the wall clock says that it was too early.
///
/// # Threads
/// Any.
@safe final class TimeWait: @unchecked Sendable {
  enum End {
    /// Of the engine's clock, which only goes forward.
    case clock(UInt64)
    /// Nanoseconds since 1970. The wall clock may be set: it is looked at again after `TaskHost.wallLook` at the latest, and before the wait ends.
    case wall(Int64)
  }

  private let task: HeldTask
  private let end: End
  private let monitor = Monitor()
  private var timer: TimerHandle?
  private var isOver = false
  private var host: TaskHost { task.run.host }

  init(_ task: HeldTask, _ end: End) {
    self.task = task
    self.end = end
  }

  deinit { monitor.deallocate() }

  func begin() -> HeldStop? {
    look()
    return { [self] in stop() }
  }

  /// How long it still takes; nil: no longer.
  private var rest: UInt64? {
    switch end {
    case .clock(let end):
      let now = host.scheduler.clock.now
      return now < end ? end - now : nil
    case .wall(let end):
      let now = host.wall()
      return now < end ? min(UInt64(end - now), host.wallLook) : nil
    }
  }

  /// Ends the wait, or sets the timer for the next look.
  func look() {
    let ending: HeldEnding? = monitor.locked {
      if isOver { return nil }
      timer = nil
      guard let rest else {
        isOver = true
        return .null
      }
      let waiter = unsafe Unmanaged.passRetained(self)
      do {
        let now = host.scheduler.clock.now
        let value = unsafe UInt64(UInt(bitPattern: waiter.toOpaque()))
        timer = try host.timers.arm(
          shard: host.sharedShard, due: now.addingReportingOverflow(rest).overflow ? .max : now &+ rest, value: value, kind: TimerKind.wait)
        return nil
      } catch {
        unsafe waiter.release()
        isOver = true
        return .failed(type: EngineErrorType.noTimer, message: "the wait could not be kept: \(error)", isRetryable: true)
      }
    }
    if let ending { task.conclude(ending) }
  }

  private func stop() {
    monitor.locked {
      isOver = true
      guard let timer, host.timers.cancel(timer) else { return }
      // unsafe: the retain of the timer, which will not fire any more.
      unsafe Unmanaged.passUnretained(self).release()
    }
    task.conclude(.cancelled)
  }

  /// unsafe: `value` is that of a timer of this kind, which has fired.
  @unsafe static func fire(_ value: UInt64) {
    // unsafe: retained when the timer was armed.
    unsafe Unmanaged<TimeWait>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(value))!).takeRetainedValue().look()
  }
}
