internal import Millrace

extension Examination {
  /// The object of `doctor -o json`.
  var json: JSON {
    [
      "versions": [
        "millrace": .string(RootCommand.version), "swift": .string(Self.swiftVersion), "libuv": .string(Self.libuvVersion),
        "jemalloc": Allocator.version.map(JSON.string) ?? .null, "glibc": .string(Self.libcVersion), "kernel": .string(machine.kernelRelease),
      ],
      "processors": [
        "granted": .integer(Int64(machine.cpusGranted)), "affinity": .integer(Int64(machine.affinityCPUs)),
        "quota": machine.quotaCPUs.map(JSON.number) ?? .null, "reason": .string(reason),
      ],
      "memory": [
        "physicalBytes": bytes(machine.physicalMemory), "quotaBytes": machine.memoryQuota.map(bytes) ?? .null, "limitBytes": bytes(machine.memoryLimit),
      ],
      "clock": [
        "source": .string(clock.source), "resolutionNanoseconds": .integer(Int64(clock.resolutionNanoseconds)),
        "readNanoseconds": .number((clock.readNanoseconds * 10).rounded() / 10),
      ],
      "membarrier": .bool(hasMembarrier),
      "allocator": [
        "swiftUsesJemalloc": .bool(swiftUsesJemalloc), "allocatedBeforeBytes": allocation.map { bytes($0.before) } ?? .null,
        "allocatedAfterBytes": allocation.map { bytes($0.after) } ?? .null, "probeBytes": .integer(Int64(Self.probeBytes)),
      ],
      "pluginPlaces": .array(places.map { ["place": .string($0.place), "found": .string($0.found)] }),
      "plugins": .array(plugins.map(PluginTable.json)),
      "refused": .array(refused.map(JSON.string)),
      "missing": .array(missing.map(Self.json)),
    ]
  }

  /// The same for people, as `ResultTables` shows it.
  var tables: JSON {
    let versions = json["versions"] ?? .null
    let allocator =
      allocation.map {
        "\(swiftUsesJemalloc ? "Swift allocates through it" : "Swift does not allocate through it"): stats.allocated went from "
          + "\($0.before) to \($0.after) by an array of \(Self.probeBytes) bytes"
      } ?? "does not answer"
    return .object([
      .init("versions", versions),
      .init(
        "machine",
        [
          "processors": .string("\(machine.cpusGranted) granted: \(reason)"),
          "memoryLimitBytes": bytes(machine.memoryLimit),
          "clock": .string(
            "\(clock.source), resolution \(clock.resolutionNanoseconds) ns, a read takes \((clock.readNanoseconds * 10).rounded() / 10) ns"),
          "membarrier": .string(hasMembarrier ? "available" : "not available: parking uses sequentially consistent operations instead"),
          "jemalloc": .string(allocator),
        ]),
      .init("placesOfPlugins", json["pluginPlaces"] ?? .null),
      .init("plugins", PluginTable.tables(plugins)["plugins"] ?? .null),
      .init("missing", missing.isEmpty ? .string("nothing") : .array(missing.map(Self.json))),
    ])
  }

  private static func json(_ finding: Finding) -> JSON {
    [
      "part": .string(finding.part), "for": .string(finding.isNeeded ? "every run" : finding.purpose), "get": .string(finding.remedy),
    ]
  }

  private func bytes(_ count: UInt64) -> JSON { .integer(Int64(clamping: count)) }
}
