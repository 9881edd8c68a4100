internal import MillraceWorkflow

/// What can be measured.
public enum Suite: String, Sendable, CaseIterable {
  case scheduler, dag, timers
  case pluginCall = "plugin-call"
  case endToEnd = "end-to-end"
  case broker, fixed, handler, workflow

  /// One line for people.
  public var summary: String {
    switch self {
    case .scheduler: "an empty job on the core: submitted, run, settled"
    case .dag: "a graph of 10 empty jobs, 1 -> 8 -> 1, as one run of a prebuilt plan"
    case .timers: "a timer armed for 1 ms; its latency is how late it fires"
    case .pluginCall: "an empty job of the core that calls the plugin handler bench/empty"
    case .endToEnd: "a workflow of 5 tasks of bench/empty, 1 -> 3 -> 1, through the engine"
    case .broker: "a message through a queue: --message-bytes, --consumers, --durable"
    case .fixed: "a job that burns --service-time: a queue whose waiting times are known"
    case .handler: "your own handler, as a workflow of one task: --plugin, --handler"
    case .workflow: "your own workflow: --workflow"
    }
  }

  /// - Throws: `wrongUse` with the nearest name.
  public init(named name: String) throws(BenchError) {
    guard let suite = Suite(rawValue: name) else {
      var names = NearestName()
      let known = Suite.allCases.map(\.rawValue)
      let guess = names.nearest(to: name, among: known).map { "did you mean \($0)?" } ?? "there are \(known.joined(separator: ", "))"
      throw .wrongUse("there is no suite '\(name)': \(guess)")
    }
    self = suite
  }
}
