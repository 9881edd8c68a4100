import Foundation
import MillraceWorkflow
import Testing

@testable import Millrace

/// Agents as processes of this machine: each of the contracts by itself.
@Suite(.timeLimit(.minutes(5))) struct LocalAgentTests {
  private func agent(_ type: String = "good", id: String = "a-1") -> Agent {
    Agent(id: id, tenant: "tenant-123", type: type, permissions: ["read", "write"])
  }

  private func start(_ agents: LocalAgents, _ agent: Agent) async throws -> AgentInstance {
    let credentials = try await agents.credentials.issue(for: agent, key: "k")
    return try await agents.runtime.start(agent, credentials: credentials, key: "k")
  }

  private func failure(_ body: () async throws -> Void) async throws -> TaskFailure {
    let error = await #expect(throws: TaskFailure.self) { try await body() }
    return try #require(error)
  }

  @Test("a registered agent is there once, also for the next program, and another of its id is refused")
  func registry() async throws {
    let world = try AgentWorld()
    do {
      let registry = try world.agents().registry
      for _ in 0..<2 { try await registry.register(agent(), key: "k") }
      #expect(try registry.agents == [agent()])
      #expect(try await failure { try await registry.register(agent("mute"), key: "k") }.type == "agent-conflict")
      #expect(try await failure { try await registry.register(agent(id: "../x"), key: "k") }.type == "bad-input")
    }
    let registry = try world.agents().registry
    #expect(try registry.agent("a-1") == agent())
    for _ in 0..<2 { try await registry.deregister("a-1", key: "k") }
    #expect(try registry.agents.isEmpty)
  }

  @Test("a directory that a program has open is refused to another")
  func inUse() async throws {
    let world = try AgentWorld()
    let agents = try world.agents()
    #expect(try await failure { _ = try world.agents() }.type == "in-use")
    #expect(try agents.registry.agents.isEmpty)
  }

  @Test("a token has 256 bits, is its user's only, stands for its permissions until it is revoked, and is kept nowhere else")
  func credentials() async throws {
    let world = try AgentWorld()
    let path: String
    let token: String
    do {
      let credentials = try world.agents().credentials
      path = try await credentials.issue(for: agent(), key: "k").location
      token = try String(contentsOfFile: path, encoding: .utf8)
      #expect(try await credentials.issue(for: agent(), key: "k").location == path)
    }
    #expect(token.count == 64 && token.allSatisfy(\.isHexDigit))
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
    #expect(try !String(contentsOfFile: world.directory + "/credentials.json", encoding: .utf8).contains(token))
    let credentials = try world.agents().credentials
    #expect(try String(contentsOfFile: path, encoding: .utf8) == token)
    let grant = try #require(try credentials.grant(for: token))
    #expect(grant.agent == "a-1" && grant.permissions == ["read", "write"])
    #expect(try credentials.grant(for: String(token.reversed())) == nil)
    for _ in 0..<2 { try await credentials.revoke(of: "a-1", key: "k") }
    #expect(try credentials.grant(for: token) == nil)
    #expect(world.tokens.isEmpty)
    _ = try await credentials.issue(for: agent(), key: "k")
    #expect(try String(contentsOfFile: path, encoding: .utf8) != token)
    #expect(try credentials.grant(for: token) == nil)
  }

  @Test("a token whose file or whose row was lost is replaced by one that is whole")
  func lostToken() async throws {
    let world = try AgentWorld()
    for name in ["credentials.json", "tokens/a-1"] {
      _ = try await world.agents().credentials.issue(for: agent(), key: "k")
      try FileManager.default.removeItem(atPath: "\(world.directory)/\(name)")
      let credentials = try world.agents().credentials
      let path = try await credentials.issue(for: agent(), key: "k").location
      #expect(try credentials.grant(for: String(contentsOfFile: path, encoding: .utf8))?.agent == "a-1")
      #expect(try credentials.grants.count == 1)
    }
  }

  @Test("an agent is one process in a group of its own, which the next program finds, talks to and stops")
  func runtime() async throws {
    let world = try AgentWorld()
    let instance: AgentInstance
    do {
      let agents = try world.agents()
      instance = try await start(agents, agent())
      #expect(try await start(agents, agent()) == instance)
    }
    #expect(world.processes.count == 1)
    let agents = try world.agents()
    let pid = try #require(try agents.runtime.process(of: "a-1"))
    #expect(world.processes == [pid] && getpgid(pid) == pid)
    #expect(try await start(agents, agent()) == instance)
    try await agents.runtime.checkHealth(of: "a-1", key: "h")
    for _ in 0..<2 {
      let answer = try await agents.runtime.assign(["name": "x"], to: agent(), at: instance, key: "t")
      #expect(answer == ["tenant": "tenant-123", "lines": 7])
    }
    for _ in 0..<2 { try await agents.runtime.stop("a-1", key: "s") }
    #expect(try agents.runtime.process(of: "a-1") == nil)
    #expect(world.processes.isEmpty && world.homes.isEmpty)
    #expect(kill(pid, 0) == -1)  // Waited for as well.
    #expect(try await failure { try await agents.runtime.checkHealth(of: "a-1", key: "h") }.type == "agent-ended")
  }

  @Test("an agent that does not mind SIGTERM, and its children, end by SIGKILL")
  func stubborn() async throws {
    let world = try AgentWorld()
    let agents = try world.agents(grace: 1_000_000)
    _ = try await start(agents, agent("stubborn"))
    #expect(world.processes.count == 2)
    try await agents.runtime.stop("a-1", key: "s")
    #expect(await world.settles(0))
  }

  @Test("a process that has got the id of an agent is not taken for it, and is not touched", arguments: ["start time", "boot"])
  func anotherProcess(what: String) async throws {
    let world = try AgentWorld()
    let agents = try world.agents()
    let bystander = Process()
    bystander.executableURL = URL(filePath: "/bin/cat")
    bystander.standardInput = Pipe()
    try bystander.run()
    defer { bystander.terminate() }
    let pid = bystander.processIdentifier
    var identity = try ProcessIdentity(of: pid)
    if what == "boot" { identity.boot = "another" } else { identity.started -= 1 }
    try AtomicFile.makeDirectory(world.directory + "/run/a-1")
    try AtomicFile.write(JSON(encoding: identity).utf8(), to: world.directory + "/run/a-1/process.json", mode: 0o600)
    #expect(try agents.runtime.process(of: "a-1") == nil)
    try await agents.runtime.stop("a-1", key: "s")
    #expect(bystander.isRunning && world.homes.isEmpty)
    _ = try await start(agents, agent())
    #expect(try agents.runtime.process(of: "a-1") != pid)
    try await agents.runtime.stop("a-1", key: "s")
  }

  @Test(
    "a start that fails says why and leaves nothing",
    arguments: [("dies", "agent-ended"), ("mute", "agent-silent"), ("none", "agent-type")])
  func badStart(type: String, error: String) async throws {
    let world = try AgentWorld()
    let agents = try world.agents(healthTimeout: type == "mute" ? 1_000_000 : 60_000_000_000)
    let failure = try await failure { _ = try await start(agents, agent(type)) }
    #expect(failure.type == error)
    if type == "dies" { #expect(failure.message.contains("no licence")) }
    #expect(world.processes.isEmpty && world.homes.isEmpty)
  }

  @Test("answers to others and half lines are passed over; a task that is no answer ends with the agent, or is too large")
  func answers() async throws {
    let world = try AgentWorld()
    let agents = try world.agents()
    let instance = try await start(agents, agent("babbles", id: "b"))
    #expect(try await agents.runtime.assign(1, to: agent(id: "b"), at: instance, key: "t") == 2)
    let large = JSON.string(String(repeating: "x", count: 5_000))
    #expect(
      try await failure { _ = try await agents.runtime.assign(large, to: agent(id: "b"), at: instance, key: "t") }.type == "too-large")
    try await agents.runtime.stop("b", key: "s")
    let other = try await start(agents, agent("leaves", id: "c"))
    #expect(try await failure { _ = try await agents.runtime.assign(1, to: agent(id: "c"), at: other, key: "t") }.type == "agent-ended")
    try await agents.runtime.stop("c", key: "s")
    #expect(world.processes.isEmpty)
  }
}
