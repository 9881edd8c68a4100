/// How a step of a saga is undone: a handler that runs if a step that comes after it, or beside it, fails.
///
/// `compensation: "shop/refund"` in Swift is a handler and nothing else; `.notNeeded` says that there is nothing to undo. What it is called with more than
/// once has the same key, and may find that there is nothing to undo: the step may not have been done.
public struct Compensation: Sendable, Hashable, ExpressibleByStringLiteral {
  /// Nothing has to be undone, as after a query.
  public static let notNeeded = Compensation(handler: "")
  /// Where `retry` says nothing: without an end, after waits drawn from up to 1 s, 2 s, 4 s, ... 100 s.
  public static let defaultRetry = RetryPolicy(attempts: RetryPolicy.unlimited)

  /// `plugin/handler`, or the name of a registered function; empty: none is needed.
  public var handler: String
  /// Input 0 of the handler: JSON whose texts may hold expressions over the step's own output and those before it. nil: `{"input": ..., "output": ...}`, what the step
  /// was given and what it gave, `null` where that is not known.
  public var input: JSON?
  /// nil: `defaultRetry`, whatever the defaults of the saga say.
  public var retry: RetryPolicy?
  /// nil: no limit, whatever the defaults of the saga say.
  public var timeouts: Timeouts

  /// Nothing is checked here: `DefinitionChecker.check` does that.
  public init(handler: String, input: JSON? = nil, retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts()) {
    self.handler = handler
    self.input = input
    self.retry = retry
    self.timeouts = timeouts
  }

  public init(stringLiteral handler: String) { self.init(handler: handler) }

  /// There is something to run.
  public var isNeeded: Bool { self != .notNeeded }

  /// The input's expressions, once the parameters are in place; nil: `input` is what the handler gets.
  var inputProgram: InputProgram?
}

extension Definition {
  /// How the attempts of a saga's step are repeated: as the step says, else the defaults; without either a step after the pivot is tried without an end, all
  /// else once. An attempt of a pivot of which nobody knows what it did is not among these: where nothing else is said, it is repeated without an end.
  public func retry(ofStep number: Int, in plan: SagaPlan) -> RetryPolicy? {
    if let retry = tasks[number].policy.retry ?? defaults.retry { return retry }
    return plan.kind(of: number) == .retriable ? Compensation.defaultRetry : nil
  }
}
