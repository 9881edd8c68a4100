public import MillraceWorkflow

/// What an agent is to be.
public struct AgentConfiguration: Sendable, Hashable {
  /// Which program it is: a word that the runtime knows.
  public var type: String
  /// What its credentials allow.
  public var permissions: [String]
  /// The first thing it is asked to do.
  public var initialTask: JSON

  /// Nothing is checked here.
  public init(type: String, permissions: [String] = [], initialTask: JSON) {
    self.type = type
    self.permissions = permissions
    self.initialTask = initialTask
  }
}

/// An agent as its registry knows it.
public struct Agent: Sendable, Hashable, Codable {
  /// That of the saga's run, so that every attempt means the same agent.
  public var id: String
  /// Whose it is.
  public var tenant: String
  /// See `AgentConfiguration`.
  public var type: String
  /// See `AgentConfiguration`.
  public var permissions: [String]

  /// Nothing is checked here.
  public init(id: String, tenant: String, type: String, permissions: [String]) {
    self.id = id
    self.tenant = tenant
    self.type = type
    self.permissions = permissions
  }
}

/// Where an agent finds its credentials. Never the credentials: it is recorded.
public struct CredentialReference: Sendable, Hashable, Codable {
  /// A path, or the name of a secret.
  public var location: String

  /// Takes it as it is.
  public init(location: String) { self.location = location }
}

/// A running agent.
public struct AgentInstance: Sendable, Hashable, Codable {
  /// What the runtime calls it: a process, a container.
  public var name: String

  /// Takes it as it is.
  public init(name: String) { self.name = name }
}

/// Who is there. As all contracts of `AgentProvisioningSaga`: a call may come again with the same key, after a crash or a timeout, and must then find what it
/// did before; what undoes must accept that there is nothing to undo. What throws has done nothing, unless it throws `CancellationError`.
public protocol AgentRegistry: Sendable {
  /// Makes the agent known. Throws if there is another of its id.
  func register(_ agent: Agent, key: String) async throws
  /// Forgets it.
  func deregister(_ agent: String, key: String) async throws
}

/// By what agents show who they are. See `AgentRegistry` for what holds for every call.
public protocol CredentialIssuer: Sendable {
  /// Issues credentials with the agent's permissions.
  func issue(for agent: Agent, key: String) async throws -> CredentialReference
  /// Takes away all that the agent has.
  func revoke(of agent: String, key: String) async throws
}

/// Where agents run. See `AgentRegistry` for what holds for every call.
public protocol AgentRuntime: Sendable {
  /// Starts the agent, and returns when it is healthy.
  func start(_ agent: Agent, credentials: CredentialReference, key: String) async throws -> AgentInstance
  /// Stops it: nothing of it runs any more when this returns.
  func stop(_ agent: String, key: String) async throws
}

/// How agents are given work. See `AgentRegistry` for what holds for every call.
public protocol AgentDispatcher: Sendable {
  /// Gives the agent a task and returns its answer.
  func assign(_ task: JSON, to agent: Agent, at instance: AgentInstance, key: String) async throws -> JSON
}
