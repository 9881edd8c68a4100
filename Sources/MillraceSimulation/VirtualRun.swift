internal import CMillrace
internal import MillraceCore
public import MillraceWorkflow

/// What a workflow would do with so many slots if every task took exactly its recorded time: played on a virtual clock by the engine's own
/// scheduler, workers, timers and run, stepped from one thread.
///
/// Nothing waits, and nothing but the seed decides who is stepped when: the same seed gives the same run.
public struct VirtualRun: Sendable {
  public struct Configuration: Sendable {
    public var slots: Int
    /// 1 ... 56, stepped in an order that the seed draws.
    public var workers = 4
    public var order = TaskOrder.fifo
    /// Recorded times are multiplied by this.
    public var timeScale = 1.0
    public var seed: UInt64 = 0

    public init(slots: Int) { self.slots = slots }
  }

  /// Something that happened to a task.
  public struct Event: Sendable, Hashable {
    public enum Kind: Sendable { case start, end }
    public var kind: Kind
    /// Index into the definition's tasks.
    public var task: Int
  }

  /// All that happened at one time, in order, and what was free afterwards, when no worker found anything to do.
  public struct Moment: Sendable, Hashable {
    /// Nanoseconds since the start.
    public var time: UInt64
    public var events: [Event]
    public var freeSlots: Int
  }

  public let moments: [Moment]
  public let status: WorkflowStatus

  /// When the last task ended, nanoseconds.
  public var makespan: UInt64 { moments.last { !$0.events.isEmpty }?.time ?? 0 }

  /// How long the handler of a task takes in a virtual run, nanoseconds; a task without a recorded time takes none.
  public static func duration(of task: TaskDefinition, timeScale: Double = 1) -> UInt64 {
    UInt64((task.recordedSeconds ?? 0) * timeScale * 1e9 + 0.5)
  }

  /// Plays a checked definition whose parameters are in place.
  ///
  /// Complexity: O(tasks + dependencies) and a few steps of every worker for each time at which something happens. Throws `CompileError`, `SubmitError`
  /// or an error of memory.
  public init(of definition: Definition, _ configuration: Configuration) throws {
    let stage = try Stage(definition, configuration)
    (moments, status) = try stage.play()
  }
}
