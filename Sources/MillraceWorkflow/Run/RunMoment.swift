internal import MillraceCore

/// What the record of a run that goes on does not tell: what its unfinished tasks wait for, and who has what they need. For explanations.
public struct RunMoment: Sendable {
  /// A task that is not over.
  public struct Task: Sendable {
    /// When the wait for the next attempt ends, nanoseconds since the start of the run; nil: it does not wait for one.
    public var retryAt: UInt64?
    /// Its next attempt is due, but late code of its exclusive handler is still inside.
    public var isBehindLateHandler = false
    /// With the workflow's defaults in place.
    public var timeouts: Timeouts
    /// Most attempts.
    public var attempts: Int
    /// With its values; nil: the task has none.
    public var concurrencyKey: String?
    /// 1 if the definition says nothing; without meaning if there is no key.
    public var concurrencyLimit: Int
    /// 1 if the definition says nothing; without meaning if there is no key.
    public var concurrencyWeight: Int
    /// The rate that it waits for; nil: it does not.
    public var rate: RateLimit?
    /// The destination whose breaker has parked it; nil: none has.
    public var breaker: String?
    /// How many tasks the handler takes at once; 0: any number.
    public var handlerLimit: Int
    /// How much of the running attempt is done, by the last heartbeat that said so, per mille; nil: none has.
    public var perMille: Int?
  }

  /// A task of any run of the engine that has begun and not ended.
  public struct Holder: Sendable {
    /// Id of its run, which may be another than the one that is looked at.
    public var run: String
    /// Id within its run; of an item `TASK[INDEX]`.
    public var task: String
    /// `plugin/handler`, or the name of a registered function.
    public var handler: String
    /// The key of which it holds a part, with its values; nil: it has none.
    public var concurrencyKey: String?
    /// How much of the key's limit it holds.
    public var concurrencyWeight: Int
    /// Nanoseconds before this moment.
    public var age: UInt64
  }

  /// Why nothing of a durable run goes on, whatever its tasks wait for.
  public enum Standstill: Sendable, Hashable {
    /// No process has it. `since`: its last record, nanoseconds since the start of the run.
    case noProcess(since: UInt64)
    /// It was taken over again and again, and its processes ended before any of its tasks did; `suspects` ran then.
    case quarantine(suspects: [String])
  }

  /// By index into the record's tasks.
  public var tasks: [Int: Task] = [:]
  /// Those that run now, the longest first.
  public var holders: [Holder] = []
  /// Index of the first cleanup task; nil: there are none, or they have begun.
  public var cleanup: Int?
  /// What the run waits for before it begins; nil: it does not.
  public var wait: RunWait?
  /// Nothing new starts: a task failed, or the run is cancelled.
  public var isStopping = false
  /// nil: it goes on.
  public var standstill: Standstill?
  /// Made from what is recorded: what only its process knows is left out, as slots, keys and rates that are taken.
  public var isFromRecord = false
}

extension WorkflowRun {
  /// Complexity: O(tasks of all runs of the engine). Any thread; each part is true at some time during the call.
  public func moment() -> RunMoment {
    var moment = RunMoment()
    moment.isStopping = shouldStop
    moment.wait = waitsFor
    addUnfinished(to: &moment, after: 0)
    if let cleanup {
      if monitor.locked({ verdict == nil }) { moment.cleanup = records.count }
      cleanup.addUnfinished(to: &moment, after: records.count)
    }
    let now = host.scheduler.clock.now
    for run in host.activeRuns {
      run.addHolders(to: &moment, now)
      run.cleanup?.addHolders(to: &moment, now)
    }
    moment.holders.sort { ($1.age, $0.run, $0.task) < ($0.age, $1.run, $1.task) }
    return moment
  }

  private func addUnfinished(to moment: inout RunMoment, after first: Int) {
    let (slow, said) = monitor.locked { (self.slow, self.said) }
    let base = origin?.beganAt ?? beganAt
    for node in 0..<UInt32(records.count) where !isOver(node) {
      let policy = compiled.policy(node)
      var task = RunMoment.Task(
        timeouts: policy.timeouts, attempts: policy.retry?.attempts ?? 1, concurrencyKey: policy.key, concurrencyLimit: policy.keyLimit,
        concurrencyWeight: policy.weight,
        handlerLimit: compiled.handlers[Int(compiled.handlerOf[Int(node)])].concurrency)
      task.perMille = said[node].map(Int.init)
      if let state = slow[node] {
        if state.retry != nil { task.retryAt = state.waitEnds > base ? state.waitEnds - base : 0 }
        task.isBehindLateHandler = state.retryBlocked
        if state.isPaced, state.parked == nil { task.rate = policy.rate }
        if state.isPaced, state.parked != nil { task.breaker = policy.breaker?.destination }
      }
      moment.tasks[first + Int(node)] = task
    }
  }

  private func addHolders(to moment: inout RunMoment, _ now: UInt64) {
    for run in itemRuns { run.addHolders(to: &moment, now) }
    for node in 0..<UInt32(records.count) where records.status(node) == .running {
      // What the run does itself holds nothing.
      if compiled.handlers[Int(compiled.handlerOf[Int(node)])].work != nil { continue }
      let start = records.start(node)
      moment.holders.append(
        RunMoment.Holder(
          run: id.description, task: name(node), handler: compiled.handlers[Int(compiled.handlerOf[task(node)])].name,
          concurrencyKey: compiled.policy(node).key, concurrencyWeight: compiled.policy(node).weight,
          age: now > start ? now - start : 0))
    }
  }
}
