internal import CMillrace
internal import Glibc
internal import MillraceCore
public import MillraceWorkflow

/// Agents as processes, each in a group of its own. See `LocalAgents`.
///
/// An agent reads requests from its standard input and answers on its standard output, a line of JSON each:
///
///     {"key":"K","kind":"health"}                      {"key":"K","result":"ok"}
///     {"key":"K","kind":"task","task":{"name":"x"}}    {"key":"K","result":{"rows":7}}    or {"key":"K","error":"why not"}
///
/// It may be asked again with a key that it has had, and must answer as before. It finds its id in `MILLRACE_AGENT`, its tenant in `MILLRACE_TENANT`, and the path of
/// its credentials in `MILLRACE_CREDENTIALS`. Asked to stop, by SIGTERM, it should end; what is left of its group after the grace gets SIGKILL.
///
/// Both streams are named pipes that the agent holds open itself: it goes on when its host has gone, and the next host finds it by its process id and its start
/// time, so that another process that has got the id is never taken for it.
public final class LocalAgentRuntime: AgentRuntime, AgentDispatcher {
  private let directory: String
  private let programs: [String: [String]]
  private let grace: UInt64
  private let healthTimeout: UInt64
  /// Of those who start and stop an agent, and of those who talk to it: the former wait for the latter, never the other way round.
  private let lives = Turns()
  private let talks = Turns()

  init(_ directory: String, programs: [String: [String]], grace: UInt64, healthTimeout: UInt64) throws {
    self.directory = directory + "/run"
    self.programs = programs
    self.grace = grace
    self.healthTimeout = healthTimeout
    try AtomicFile.makeDirectory(self.directory)
  }

  private func home(_ agent: String) throws(TaskFailure) -> AgentHome {
    try LocalAgents.check(agent)
    return AgentHome("\(directory)/\(agent)")
  }

  /// The process of an agent that runs; nil: there is none.
  public func process(of agent: String) throws -> Int32? { try home(agent).process()?.identity.pid }

  /// Asks the agent whether it is well. Throws `TaskFailure`: `agent-ended`, `agent-silent`, `agent-refused`.
  public func checkHealth(of agent: String, key: String) async throws {
    _ = try await ask(agent, ["key": .string(key + "/health"), "kind": "health"], within: healthTimeout)
  }

  /// The name is `PROCESS ID @ START TIME`. Throws `TaskFailure`: `agent-type` (no such program, not retried), `agent-ended`, `agent-silent`, `agent-refused`, `io`; then nothing of it
  /// is left.
  public func start(_ agent: Agent, credentials: CredentialReference, key: String) async throws -> AgentInstance {
    let home = try home(agent.id)
    guard let program = programs[agent.type], !program.isEmpty else {
      throw TaskFailure("agent-type", "there is no program for agents of type '\(agent.type)'", isRetryable: false)
    }
    return try await lives.turn(of: agent.id) {
      try _Concurrency.Task.checkCancellation()
      do {
        let process = try home.process() ?? home.start(program, environment(agent, credentials))
        try await checkHealth(of: agent.id, key: key)
        return process.identity.instance
      } catch let error as CancellationError {
        // It counts as perhaps started, and is stopped by what undoes it.
        throw error
      } catch {
        let log = home.logEnd
        do { try await home.stop(grace: grace) } catch let second {
          throw TaskFailure("io", "\(error); and it could not be stopped: \(second)")
        }
        guard var failure = error as? TaskFailure, !log.isEmpty else { throw error }
        failure.message += "; it wrote: \(log)"
        throw failure
      }
    }
  }

  /// Throws `TaskFailure` if the process cannot be ended, as while the kernel holds it.
  public func stop(_ agent: String, key: String) async throws {
    let home = try home(agent)
    try await lives.turn(of: agent) { try await home.stop(grace: grace) }
  }

  /// Waits for the answer until the attempt is cancelled, as by a timeout. The request may have 4,096 bytes, the answer a million.
  public func assign(_ task: JSON, to agent: Agent, at instance: AgentInstance, key: String) async throws -> JSON {
    try await ask(agent.id, ["key": .string(key), "kind": "task", "task": task], within: nil)
  }

  private func ask(_ agent: String, _ request: JSON, within limit: UInt64?) async throws -> JSON {
    let home = try home(agent)
    return try await talks.turn(of: agent) {
      guard let process = try home.process() else { throw TaskFailure("agent-ended", "agent \(agent) does not run") }
      return try await AgentChannel(home, process).ask(request, until: limit.map { millrace_monotonic() + $0 })
    }
  }

  private func environment(_ agent: Agent, _ credentials: CredentialReference) -> [String] {
    let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    return [
      "PATH=\(path)", "MILLRACE_AGENT=\(agent.id)", "MILLRACE_TENANT=\(agent.tenant)", "MILLRACE_CREDENTIALS=\(credentials.location)",
    ]
  }
}
