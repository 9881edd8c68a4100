import Glibc
import Millrace

// Sets up an agent, to be killed meanwhile: AgentHost AGENTS DATA TYPE PROGRAM ARGUMENTS... See docs/sagas.md.
let words = CommandLine.arguments
guard words.count > 4 else {
  print("usage: AgentHost AGENTS DATA TYPE PROGRAM ARGUMENTS...")
  exit(64)
}
var configuration = Engine.Configuration()
configuration.slots = 1
configuration.threads = 1
configuration.capacity = 1_000
configuration.data = words[2]
let engine = try Engine(configuration)
let agents = try LocalAgents(words[1], programs: [words[3]: Array(words[4...])])
try engine.register(AgentProvisioner(agents))
let agent = AgentConfiguration(type: words[3], permissions: ["read"], initialTask: ["name": "process_data"])
let run = try engine.start(AgentProvisioningSaga(tenant: "tenant-123", agent: agent, durability: .log))
print(await run.finished().rawValue)
engine.shutdown()
