internal import Millrace
internal import MillraceCore

extension Examination {
  /// The object of `doctor -o json`.
  var json: JSON {
    .object([
      .init("versions", versions),
      .init("processors", processors),
      .init("memory", memory),
      .init("defaults", defaults),
      .init("clock", clockFacts),
      .init("membarrier", .bool(hasMembarrier)),
      .init("allocator", allocator),
      .init("pluginPlaces", pluginPlaces),
      .init("plugins", .array(plugins.map(PluginTable.json))),
      .init("refused", .array(refused.map(JSON.string))),
      .init("missing", .array(missing.map(Self.json))),
    ])
  }

  /// The same for people, as `ResultTables` shows it.
  var tables: JSON {
    .object([
      .init("versions", versions),
      .init(
        "machine",
        .object([
          .init("processors", .string("\(machine.cpusGranted) granted: \(reason)")),
          .init("memoryLimitBytes", bytes(machine.memoryLimit)),
          .init("defaults", .string("\(Quantity.count(threads, "thread")), `\(wait.rawValue)`, \(Quantity.count(tasks, "task")) at once")),
          .init("clock", .string("\(clock.source), resolution \(clock.resolutionNanoseconds) ns, a read takes \(readNanoseconds) ns")),
          .init("membarrier", .string(hasMembarrier ? "available" : "not available: threads park with sequentially consistent operations")),
          .init("jemalloc", .string(allocatorWords)),
        ])),
      .init("placesOfPlugins", pluginPlaces),
      .init("plugins", .array(plugins.map(PluginTable.row))),
      .init("missing", missing.isEmpty ? .string("nothing") : .array(missing.map(Self.json))),
    ])
  }

  private var versions: JSON {
    .object([
      .init("millrace", .string(Engine.version)),
      .init("swift", .string(Self.swiftVersion)),
      .init("libuv", .string(Self.libuvVersion)),
      .init("jemalloc", Allocator.version.map(JSON.string) ?? .null),
      .init("glibc", .string(Self.libcVersion)),
      .init("kernel", .string(machine.kernelRelease)),
    ])
  }

  private var processors: JSON {
    .object([
      .init("granted", .integer(Int64(machine.cpusGranted))),
      .init("affinity", .integer(Int64(machine.affinityCPUs))),
      .init("quota", machine.quotaCPUs.map(JSON.number) ?? .null),
      .init("reason", .string(reason)),
    ])
  }

  private var memory: JSON {
    .object([
      .init("physicalBytes", bytes(machine.physicalMemory)),
      .init("quotaBytes", machine.memoryQuota.map(bytes) ?? .null),
      .init("limitBytes", bytes(machine.memoryLimit)),
    ])
  }

  /// What an engine gets that is told nothing else.
  private var defaults: JSON {
    .object([.init("threads", .integer(Int64(threads))), .init("wait", .string(wait.rawValue)), .init("tasks", .integer(Int64(tasks)))])
  }

  private var threads: Int { RuntimeConfiguration().scheduler.workers }
  private var tasks: Int { Engine.Configuration().capacity }
  private var wait: WaitPolicy {
    let wait = Engine.Configuration().wait
    return wait.resolved(threads: threads, on: machine) ?? wait
  }

  private var clockFacts: JSON {
    .object([
      .init("source", .string(clock.source)),
      .init("resolutionNanoseconds", .integer(Int64(clock.resolutionNanoseconds))),
      .init("readNanoseconds", .number(readNanoseconds)),
    ])
  }

  private var allocator: JSON {
    .object([
      .init("swiftUsesJemalloc", .bool(swiftUsesJemalloc)),
      .init("allocatedBeforeBytes", allocation.map { bytes($0.before) } ?? .null),
      .init("allocatedAfterBytes", allocation.map { bytes($0.after) } ?? .null),
      .init("probeBytes", .integer(Int64(Self.probeBytes))),
    ])
  }

  private var pluginPlaces: JSON {
    .array(places.map { .object([.init("path", .string($0.path)), .init("from", .string($0.origin)), .init("found", .string($0.found))]) })
  }

  /// In tenths: more digits would only be noise.
  private var readNanoseconds: Double { (clock.readNanoseconds * 10).rounded() / 10 }

  private var allocatorWords: String {
    guard let allocation else { return "does not answer" }
    let verdict = swiftUsesJemalloc ? "Swift allocates through it" : "Swift does not allocate through it"
    return "\(verdict): stats.allocated was \(allocation.before), and \(allocation.after) with an array of \(Self.probeBytes) bytes"
  }

  private static func json(_ finding: Finding) -> JSON {
    .object([
      .init("part", .string(finding.part)),
      .init("neededFor", .string(finding.isNeeded ? "every run" : finding.purpose)),
      .init("get", .string(finding.remedy)),
    ])
  }

  private func bytes(_ count: UInt64) -> JSON { .integer(Int64(clamping: count)) }
}
