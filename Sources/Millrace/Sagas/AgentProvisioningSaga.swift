public import MillraceWorkflow

/// Sets up an agent: registers it, issues its credentials, starts its runtime, and gives it its first task. If one of these fails, what was done before it is
/// undone.
///
/// ```swift
/// try engine.register(AgentProvisioner(LocalAgents("/var/lib/agents", programs: ["processor": ["/usr/bin/processor"]])))
/// let saga = AgentProvisioningSaga(
///   tenant: "tenant-123", agent: AgentConfiguration(type: "processor", permissions: ["read", "write"], initialTask: ["name": "process_data"]))
/// let agent = try await engine.run(saga).value(as: ProvisionedAgent.self)
/// ```
///
/// The engine must have the handlers of an `AgentProvisioner`. The agent's id is that of the saga's run.
public struct AgentProvisioningSaga: BuiltInSaga {
  /// Whose agent it is. The engine's own tenant is said to `run` and `start`.
  public var tenant: String
  /// What the agent is to be.
  public var agent: AgentConfiguration
  /// `.log`: it goes on after a crash.
  public var durability: Durability
  /// For each attempt of a step but the first task, nanoseconds. One that takes longer may have been done, and is undone.
  public var stepTimeout: UInt64 = 60_000_000_000
  /// For the first task, nanoseconds.
  public var taskTimeout: UInt64 = 600_000_000_000

  /// Nothing is checked here.
  public init(tenant: String, agent: AgentConfiguration, durability: Durability = .none) {
    self.tenant = tenant
    self.agent = agent
    self.durability = durability
  }

  /// The same for all agents but for the timeouts: the agent is in the parameters, where `${` means nothing.
  public var definition: Definition {
    var saga = Definition(
      saga: "agent-provisioning", description: "Sets up an agent with its permissions and its first task.",
      parameters: [
        .init("tenant", kind: .string), .init("type", kind: .string), .init("permissions", kind: .array), .init("task"),
      ],
      defaults: Policy(timeouts: Timeouts(startToClose: stepTimeout)), result: "assign", durability: durability)
    let registered = saga.step(
      "register", handler: "agents/register",
      input: ["tenant": "${params.tenant}", "type": "${params.type}", "permissions": "${params.permissions}"],
      compensation: "agents/deregister")
    let issued = saga.step(
      "issue", handler: "agents/issue", dependencies: [registered], input: ["agent": "${tasks.register.output}"],
      compensation: "agents/revoke")
    let started = saga.step(
      "start", handler: "agents/start", dependencies: [issued],
      input: ["agent": "${tasks.register.output}", "credentials": "${tasks.issue.output}"], compensation: "agents/stop")
    saga.step(
      "assign", handler: "agents/assign", dependencies: [started],
      input: [
        "agent": "${tasks.register.output}", "credentials": "${tasks.issue.output}", "instance": "${tasks.start.output}",
        "task": "${params.task}",
      ],
      compensation: .notNeeded, timeouts: Timeouts(startToClose: taskTimeout))
    return saga
  }

  public var parameters: [String: JSON] {
    [
      "tenant": .string(tenant), "type": .string(agent.type), "permissions": .array(agent.permissions.map { .string($0) }),
      "task": agent.initialTask,
    ]
  }
}

/// What `AgentProvisioningSaga` has made: its result.
public struct ProvisionedAgent: Sendable, Hashable, Codable {
  /// As it is registered.
  public var agent: Agent
  /// Where it finds its credentials.
  public var credentials: CredentialReference
  /// Where it runs.
  public var instance: AgentInstance
  /// What it said to its first task.
  public var answer: JSON
}

/// Those who do the steps of `AgentProvisioningSaga`. `engine.register` makes them its handlers: before `resume`, if sagas are durable.
public struct AgentProvisioner: Sendable {
  /// Who is there.
  public var registry: any AgentRegistry
  /// By what agents show who they are.
  public var credentials: any CredentialIssuer
  /// Where they run.
  public var runtime: any AgentRuntime
  /// How they are given work.
  public var dispatcher: any AgentDispatcher

  /// One for each contract.
  public init(
    registry: any AgentRegistry, credentials: any CredentialIssuer, runtime: any AgentRuntime, dispatcher: any AgentDispatcher
  ) {
    self.registry = registry
    self.credentials = credentials
    self.runtime = runtime
    self.dispatcher = dispatcher
  }

  /// Processes of this machine.
  public init(_ agents: LocalAgents) {
    self.init(registry: agents.registry, credentials: agents.credentials, runtime: agents.runtime, dispatcher: agents.runtime)
  }
}

extension HandlerRegistry {
  /// Makes the steps of `AgentProvisioningSaga`, and what undoes them, handlers: `agents/register`, `deregister`, `issue`, `revoke`, `start`, `stop` and `assign`. Throws
  /// `EngineError` if there are such already.
  public func register(_ provisioner: AgentProvisioner) throws(EngineError) {
    let (registry, credentials, runtime, dispatcher) = (
      provisioner.registry, provisioner.credentials, provisioner.runtime, provisioner.dispatcher
    )
    try register("agents/register") { (wanted: WantedAgent, context: TaskContext) async throws -> Agent in
      let agent = Agent(id: context.runID, tenant: wanted.tenant, type: wanted.type, permissions: wanted.permissions)
      try await registry.register(agent, key: context.key)
      return agent
    }
    try register("agents/deregister") { (_: JSON, context: TaskContext) async throws in
      try await registry.deregister(context.runID, key: context.key)
    }
    try register("agents/issue") { (made: RegisteredAgent, context: TaskContext) async throws -> CredentialReference in
      try await credentials.issue(for: made.agent, key: context.key)
    }
    try register("agents/revoke") { (_: JSON, context: TaskContext) async throws in
      try await credentials.revoke(of: context.runID, key: context.key)
    }
    try register("agents/start") { (made: AgentWithCredentials, context: TaskContext) async throws -> AgentInstance in
      try await runtime.start(made.agent, credentials: made.credentials, key: context.key)
    }
    try register("agents/stop") { (_: JSON, context: TaskContext) async throws in
      try await runtime.stop(context.runID, key: context.key)
    }
    try register("agents/assign") { (made: RunningAgent, context: TaskContext) async throws -> ProvisionedAgent in
      let answer = try await dispatcher.assign(made.task, to: made.agent, at: made.instance, key: context.key)
      return ProvisionedAgent(agent: made.agent, credentials: made.credentials, instance: made.instance, answer: answer)
    }
  }
}

private struct WantedAgent: Codable, Sendable {
  var tenant: String
  var type: String
  var permissions: [String]
}

private struct RegisteredAgent: Codable, Sendable { var agent: Agent }

private struct AgentWithCredentials: Codable, Sendable {
  var agent: Agent
  var credentials: CredentialReference
}

private struct RunningAgent: Codable, Sendable {
  var agent: Agent
  var credentials: CredentialReference
  var instance: AgentInstance
  var task: JSON
}
