import Foundation
import MillraceFaults
import MillraceLog
import MillraceTesting
import Testing

@testable import Millrace

/// The saga over real processes: forward, back, and killed at any moment.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AgentProvisioningSagaTests {
  private func saga(_ type: String, durability: Durability = .none) -> AgentProvisioningSaga {
    let task: JSON = ["name": "process_data", "text": "${params.tenant}"]
    return AgentProvisioningSaga(
      tenant: "tenant-123", agent: AgentConfiguration(type: type, permissions: ["read", "write"], initialTask: task), durability: durability
    )
  }

  private func engine(_ agents: LocalAgents, store: (any EventStore)? = nil, data: String? = nil) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.slots = 2
    configuration.threads = 2
    configuration.capacity = 1_000
    configuration.store = store
    configuration.data = data
    let engine = try Engine(configuration)
    try engine.register(AgentProvisioner(agents))
    return engine
  }

  /// One process, one token, one entry, all of the same agent.
  private func expectOne(_ world: AgentWorld, _ agents: LocalAgents, _ place: String = "") async throws {
    #expect(await world.settles(1), "\(place): \(world.processes)")
    let all = try agents.registry.agents
    let agent = try #require(all.first, "\(place)")
    #expect(all.count == 1 && agent.tenant == "tenant-123", "\(place): \(all)")
    #expect(world.processes.first == (try agents.runtime.process(of: agent.id)), "\(place)")
    #expect(world.tokens == [agent.id] && world.homes == [agent.id], "\(place): \(world.tokens)")
    let token = try String(contentsOfFile: "\(world.directory)/tokens/\(agent.id)", encoding: .utf8)
    let grants = try agents.credentials.grants
    #expect(try grants.count == 1 && grants.first == agents.credentials.grant(for: token), "\(place)")
  }

  @Test("an agent is set up: registered, with credentials, running, and its first task is answered")
  func allGoesWell() async throws {
    let world = try AgentWorld()
    let agents = try world.agents()
    let engine = try engine(agents)
    let result = try await engine.run(saga("good"))
    let made = try result.value(as: ProvisionedAgent.self)
    #expect(made.agent == Agent(id: result.id, tenant: "tenant-123", type: "good", permissions: ["read", "write"]))
    #expect(made.answer == ["tenant": "tenant-123", "lines": 7])
    #expect(result.handle.saga?.status == .completed)
    try await expectOne(world, agents)
    try await agents.runtime.stop(made.agent.id, key: "s")
    engine.shutdown()
  }

  @Test(
    "where a step fails, all before it is undone: no process, no token, no entry",
    arguments: [
      ("register", "good", "io"), ("issue", "good", "io"), ("start", "dies", "agent-ended"), ("start", "unknown", "agent-type"),
      ("assign", "refuses", "agent-refused"), ("assign", "leaves", "agent-ended"), ("assign", "forgets", "start-to-close"),
    ])
  func stepFails(step: String, type: String, error: String) async throws {
    let world = try AgentWorld()
    let agents = try world.agents()
    // A file cannot be written where a directory is.
    let file = ["register": "registry", "issue": "credentials"][step]
    if let file { try AtomicFile.makeDirectory("\(world.directory)/\(file).json.new") }
    let engine = try engine(agents)
    var saga = saga(type)
    if type == "forgets" { saga.taskTimeout = 1_000_000 }
    let failure = await #expect(throws: WorkflowError.self) { try await engine.run(saga) }
    #expect(failure?.task == step && failure?.errorType == error, "\(String(describing: failure))")
    #expect(failure?.result.saga == .compensated)
    #expect(try await world.isEmpty(agents), "\(world.processes) \(world.tokens) \(world.homes)")
    engine.shutdown()
  }

  @Test("a recorded saga that is cut off after any record finds what it did: the same process, token and entry")
  func everyPrefix() async throws {
    let world = try AgentWorld()
    let agents = try world.agents()
    let store = MemoryEventStore()
    let first = try engine(agents, store: store)
    let made = try await first.run(saga("good", durability: .log)).value(as: ProvisionedAgent.self)
    first.shutdown()
    let events = store.all
    let begins = try #require(events.firstIndex { $0.type == "run-created" })
    for count in begins + 1...events.count {
      let place = "after \(count) of \(events.count)"
      let engine = try engine(agents, store: DurableWorld().store(events.prefix(count)))
      let resumed = try engine.resume()
      #expect(resumed.problems.isEmpty, "\(place): \(resumed.problems)")
      if let run = resumed.handles.first {
        #expect(await run.finished() == .completed, "\(place)")
        #expect(try run.output(of: "assign", as: ProvisionedAgent.self) == made, "\(place)")
      } else {
        #expect(events.prefix(count).contains { $0.type == "run-ended" }, "\(place)")
      }
      try await expectOne(world, agents, place)
      engine.shutdown()
    }
    try await agents.runtime.stop(made.agent.id, key: "s")
  }

  /// Every call by hand: `MILLRACE_FULL=1 swift test --filter AgentProvisioningSagaTests`.
  private static let stride = ProcessInfo.processInfo.environment["MILLRACE_FULL"] == nil ? 5 : 1

  @Test(
    "a host that is killed, or meets an error, at any call on a file: the next one ends the saga with one agent, or none",
    arguments: ["good", "refuses"], ["kill-after", "EIO"])
  func hostFails(type: String, fault: String) async throws {
    var number = 1
    while number < 200, try await hostFails(type, "any:\(number):\(fault)") { number += Self.stride }
    #expect(20..<200 ~= number)
  }

  /// False: it met no fault.
  private func hostFails(_ type: String, _ fault: String) async throws -> Bool {
    let host = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(path: "AgentHost").path
    let world = try AgentWorld()
    try AtomicFile.makeDirectory(world.directory)
    let data = world.folder.path + "/data"
    let words = [world.directory, data, type] + AgentWorld.program(type)
    var program = FaultedProgram(host, words, directory: world.directory)
    program.fault = fault
    let faulted = program
    let ending = try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread { continuation.resume(with: Result { try faulted.run() }) }
    }
    let place = "\(fault): \(ending.report.injected) \(ending.output)\(ending.errors)"
    let agents = try world.agents()
    let engine = try engine(agents, data: data)
    let resumed = try engine.resume()
    #expect(resumed.problems.isEmpty, "\(place): \(resumed.problems)")
    for run in resumed.handles {
      let status = await run.finished()
      #expect(run.saga?.status == (type == "good" ? .completed : .compensated), "\(place): \(status) \(run.record().tasks)")
    }
    let isMade = type == "good" && (ending.output == "COMPLETED\n" || !resumed.handles.isEmpty)
    if isMade { try await expectOne(world, agents, place) } else { #expect(try await world.isEmpty(agents), "\(place)") }
    for agent in try agents.registry.agents { try await agents.runtime.stop(agent.id, key: "s") }
    engine.shutdown()
    if !ending.report.injected.isEmpty { return true }
    #expect(ending.output == (type == "good" ? "COMPLETED\n" : "FAILED\n"), "\(place)")
    return false
  }
}
