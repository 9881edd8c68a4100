internal import MillraceWorkflow

/// Agents by id, in memory and in a file. See `LocalAgents`.
public final class LocalAgentRegistry: AgentRegistry {
  private let table: FileTable

  init(_ directory: String) throws { table = try FileTable(directory + "/registry.json") }

  /// All that are registered, by id. Complexity: O(agents).
  public var agents: [Agent] {
    get throws { try table.all.sorted { $0.key < $1.key }.map { try $0.value.decoded() } }
  }

  /// The agent of an id; nil: there is none.
  public func agent(_ id: String) throws -> Agent? { try table.all[id]?.decoded() }

  /// Throws `TaskFailure` of type `agent-conflict`, which is not retried, if the id has another agent. Complexity: O(agents).
  public func register(_ agent: Agent, key: String) async throws {
    try LocalAgents.check(agent.id)
    let row = try JSON(encoding: agent)
    try table.change(agent.id) { old in
      if let old, old != row { throw TaskFailure("agent-conflict", "\(agent.id) is registered already, as \(old)", isRetryable: false) }
      return row
    }
  }

  /// Complexity: O(agents).
  public func deregister(_ agent: String, key: String) async throws { try table.change(agent) { _ in nil } }
}
