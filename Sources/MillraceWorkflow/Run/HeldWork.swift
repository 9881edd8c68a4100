package import CMillrace
internal import MillraceCore

/// Work that the run does itself, without a handler: while it goes on its task is RUNNING, and holds neither a slot nor a thread.
///
/// To add a kind: make it conform to this, and name it in `TaskDefinition.heldWork`. What it must know of its task stands in the definition; values that need
/// expressions stand in the task's `input`, which is made as for a handler.
///
/// An attempt begins with `begin` and ends by the first that comes: `HeldTask.conclude`, a timeout, a cancellation. Retries begin anew.
package protocol HeldWork: Sendable {
  /// What is shown in place of a handler's name.
  var word: String { get }

  /// An attempt has begun. Must not block. May conclude it before it returns; any thread may later.
  ///
  /// Gives what asks the work to stop, when the run stops or a timeout has passed: it is called once at most, on any thread, after `begin` has returned and
  /// without a lock, and the task ends when the work then concludes it. nil: nothing needs to be told, and the task ends at once.
  func begin(_ task: HeldTask) -> HeldStop?
}

/// Asks the work of a held task to stop.
package typealias HeldStop = @Sendable () -> Void

extension TaskDefinition {
  /// The work of a task that has no handler; nil: it has one.
  var heldWork: (any HeldWork)? {
    if !isSpecial { return nil }
    if foreach != nil { return ForeachWork(child == nil ? handler : ChildWork.word) }
    if wait != nil { return WaitWork() }
    return child == nil ? nil : ChildWork()
  }
}

/// How an attempt of a held task ends.
package enum HeldEnding: Sendable {
  case output([UInt8], contentType: UInt32)
  /// As `output`. `kept`: called once, when it is known whether the output counts: of a durable run when it is on stable storage. It is let go of
  /// uncalled where that is never known. It must not block.
  case taken([UInt8], contentType: UInt32, kept: @Sendable (Bool) -> Void)
  /// Memory of the run's arena, claimed before.
  case payload(millrace_payload)
  case failed(type: String, message: String, isRetryable: Bool)
  /// Another process had begun it, and ended under it: another attempt follows, whatever the retry policy says.
  case interrupted(message: String)
  /// Its work has stopped because it was asked to.
  case cancelled
}

extension HeldEnding {
  /// Who is to be told whether it counts; nil: nobody.
  var kept: (@Sendable (Bool) -> Void)? { if case .taken(_, _, let kept) = self { kept } else { nil } }
}

/// One attempt of a held task: what its work has in hand, for as long as it likes.
package struct HeldTask: Sendable {
  package let run: WorkflowRun
  let node: UInt32
  /// Of a run of items the one that the node works on; else 0.
  let item: Int
  /// From 1.
  package let attempt: Int

  package var definition: TaskDefinition { run.definition.tasks[run.task(node)] }

  /// The task's input with its expressions' values in place, JSON text.
  package var input: [UInt8] {
    guard let input = unsafe run.input(node, 0, run.items?.turn(node)) else { return [] }
    // unsafe: an input's bytes lie in the run's memory, which lives as long as the run.
    return unsafe Array(UnsafeRawBufferPointer(start: input.bytes, count: Int(input.payload.length)))
  }

  /// Ends the attempt. False: it has been ended before, and nothing happens. Any thread; must not be called with a lock that `HeldStop` takes.
  /// `note`: called once if it does, before anybody can see it, with the run's monitor: it may take no lock that is held while a task is concluded.
  @discardableResult package func conclude(_ ending: HeldEnding, note: () -> Void = {}) -> Bool {
    run.conclude(self, ending, note)
  }
}

extension HeldTask {
  /// For work that begins by waiting for something: `begin` is called by a thread of the blocking pool, and gives what `HeldWork.begin` gives. `refused`: the ending
  /// if no such thread is to be had.
  func beginApart(_ begin: @escaping @Sendable () -> HeldStop?, refused: (SubmitError) -> HeldEnding) -> HeldStop? {
    let isStopped = Flag()
    do throws(SubmitError) {
      try run.host.runBlocking(
        {
          if isStopped.isSet {
            conclude(.cancelled)
            return
          }
          let stop = begin()
          isStopped.then { stop?() }
        }, priority: run.priority(of: node))
    } catch {
      conclude(refused(error))
      return nil
    }
    return { isStopped.set() }
  }
}

/// Where an attempt of a held task stands, as a value: each event says what follows. Behind the run's monitor.
///
///     beginning --begun--> held --conclude, or stop where nobody needs to be told--> (over)
///         |                  \--stop--> stopping --conclude--> (over)
///         \ what is said meanwhile counts when it has begun
struct HeldState {
  /// Why it is to stop.
  enum Reason: Equatable {
    case runStops
    /// The type of the timeout.
    case timeout(String)
  }

  enum Phase {
    case beginning(ending: HeldEnding?, reason: Reason?)
    case held(HeldStop?)
    case stopping(Reason)
    case over
  }

  enum Action {
    case none
    /// The event came too late.
    case refused
    /// Ask the work to stop, without the monitor.
    case ask(HeldStop)
    /// It is over: the caller, and nobody else, settles the task.
    case finish(HeldEnding, Reason?)
  }

  private(set) var phase = Phase.beginning(ending: nil, reason: nil)

  /// `HeldWork.begin` has returned.
  mutating func begun(_ stop: HeldStop?) -> Action {
    guard case .beginning(let ending, let reason) = phase else { return .refused }
    if let ending {
      // It was not asked to stop: a signal that it has taken is not lost to a timeout.
      phase = .over
      return .finish(ending, nil)
    }
    phase = .held(stop)
    return reason.map { self.stop($0) } ?? .none
  }

  mutating func conclude(_ ending: HeldEnding) -> Action {
    switch phase {
    case .beginning(nil, let reason):
      phase = .beginning(ending: ending, reason: reason)
      return .none
    case .held:
      phase = .over
      return .finish(ending, nil)
    case .stopping(let reason):
      phase = .over
      return .finish(ending, reason)
    case .beginning, .over: return .refused
    }
  }

  /// The first reason counts; none does once an ending has been told.
  mutating func stop(_ reason: Reason) -> Action {
    switch phase {
    case .beginning(nil, nil):
      phase = .beginning(ending: nil, reason: reason)
      return .none
    case .held(let stop?):
      phase = .stopping(reason)
      return .ask(stop)
    case .held(nil):
      phase = .over
      return .finish(.cancelled, reason)
    case .beginning, .stopping, .over: return .refused
    }
  }
}
