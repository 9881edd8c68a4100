internal import CMillrace
internal import CUV
internal import Glibc
internal import Millrace
internal import MillraceCore

/// What `doctor` finds out. Everything is asked once, when it is made.
struct Examination {
  /// Something that is not there, and how to get it.
  struct Finding {
    var part: String
    /// Needed by every run; else only by what `purpose` says.
    var isNeeded: Bool
    var purpose: String
    var remedy: String
  }

  /// Bytes of the array that must show in jemalloc's count.
  static let probeBytes = 64 << 20
  /// Plugins that come with the command.
  static let shippedPlugins = ["debian", "files", "replay", "shell"]

  let machine = Machine.read()
  let clock = ClockFacts.measure()
  let hasMembarrier = millrace_membarrier_register() == 1
  let allocation = Allocator.probe(bytes: Self.probeBytes)
  let places: [(path: String, origin: String, found: String)]
  let plugins: [LoadedPlugin]
  let refused: [String]
  /// Reads definitions against what the plugins offer; where there are none, handlers are not checked.
  let reader: DefinitionReader
  private(set) var missing: [Finding] = []

  init(search: PluginSearch, trust: PluginTrust = PluginTrust(), isolation: [String: PluginIsolation] = [:]) {
    places = Self.places(search)
    do throws(Refusal) {
      let engine = try Engine.forPlugins(search, trust, isolation)
      (plugins, refused) = (engine.plugins, engine.pluginProblems.map(\.description))
      reader = engine.plugins.isEmpty ? DefinitionReader(schemas: engine.inputSchemas) : engine.reader
      engine.shutdown()
    } catch {
      (plugins, refused) = ([], [error.message])
      reader = DefinitionReader()
    }
    missing = Self.missing(plugins: plugins, refused: refused, swiftUsesJemalloc: swiftUsesJemalloc, hasMembarrier: hasMembarrier)
  }

  /// The array of the probe was seen by jemalloc.
  var swiftUsesJemalloc: Bool {
    allocation.map { $0.after >= $0.before + UInt64(Self.probeBytes) } ?? false
  }

  // MARK: - What is missing

  private static func missing(plugins: [LoadedPlugin], refused: [String], swiftUsesJemalloc: Bool, hasMembarrier: Bool) -> [Finding] {
    var findings: [Finding] = []
    let add = { (part: String, isNeeded: Bool, purpose: String, remedy: String) in
      findings.append(Finding(part: part, isNeeded: isNeeded, purpose: purpose, remedy: remedy))
    }
    for reason in refused { add("a plugin", true, "its handlers", reason) }
    for name in shippedPlugins where !plugins.contains(where: { $0.name == name }) {
      add(
        "plugin \(name)", plugins.isEmpty, "handlers \(name)/...", "make build, or name its file: --plugins libmillrace-plugin-\(name).so")
    }
    if !swiftUsesJemalloc {
      add("jemalloc", true, "memory", "apt-get install libjemalloc2, and do not preload another allocator")
    }
    if !hasMembarrier {
      add("membarrier", false, "cheaper wake-ups", "a kernel from 4.14 on that permits the call; without it all works, slower")
    }
    for header in headers where unsafe access(header.path, R_OK) != 0 {
      add(header.package, false, "building millrace", "apt-get install \(header.package), or make deps")
    }
    do { _ = try Zone.named("Europe/London") } catch {
      add("tzdata", false, "schedules with a time zone", "apt-get install tzdata; schedules in UTC need nothing (\(error.message))")
    }
    if unsafe access("/var/lib/dpkg/status", R_OK) != 0 {
      add("/var/lib/dpkg/status", false, "Examples/package-census.yaml", "give another machine's: --param status=FILE")
    }
    return findings
  }

  private static let headers = [
    (package: "libuv1-dev", path: "/usr/include/uv.h"), (package: "libjemalloc-dev", path: "/usr/include/jemalloc/jemalloc.h"),
    (package: "libssl-dev", path: "/usr/include/openssl/evp.h"), (package: "pkg-config", path: "/usr/bin/pkg-config"),
  ]

  private static func places(_ search: PluginSearch) -> [(String, String, String)] {
    let given = search.paths.map { ($0, "--plugins") }
    let environment = search.environment?.split(separator: ":").map { (String($0), PluginSearch.variable) } ?? []
    let beside = search.programDirectory.map { [($0 + "/plugins", "beside the command"), ($0, "beside the command")] } ?? []
    return (given + environment + beside).map { path, origin in
      // A C string for the call.
      (path, origin, unsafe access(path, R_OK) == 0 ? "yes" : "no: \(Output.reason(errno))")
    }
  }

  // MARK: - What is there

  static var swiftVersion: String {
    #if compiler(>=6.4)
      "6.4 or later"
    #else
      "6.3"
    #endif
  }

  // Constants of the libraries: they live as long as the process.
  static var libuvVersion: String { unsafe String(cString: uv_version_string()) }
  static var libcVersion: String {
    var name = [CChar](repeating: 0, count: 64)
    // Fills at most the bytes it is told, the NUL included.
    let bytes = unsafe confstr(Int32(_CS_GNU_LIBC_VERSION), &name, name.count)
    // As `glibc 2.36`.
    let text = String(decoding: name.prefix(max(0, Int(bytes) - 1)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    return text.split(separator: " ").last.map(String.init) ?? "unknown"
  }

  /// Why so many processors.
  var reason: String {
    guard let quota = machine.quotaCPUs else { return "the process may run on \(machine.affinityCPUs); no control group grants less" }
    let grant = quota < Double(machine.affinityCPUs) ? "its control groups grant \(quota)" : "its control groups would grant \(quota)"
    return "the process may run on \(machine.affinityCPUs); \(grant)"
  }
}

/// What the monotonic clock is like.
struct ClockFacts {
  static let reads = 10_000

  /// What the kernel counts by, as `tsc`.
  var source: String
  /// As the system says.
  var resolutionNanoseconds: Int
  /// Mean of many reads.
  var readNanoseconds: Double

  static func measure() -> ClockFacts {
    var resolution = timespec()
    // Filled in during the call.
    unsafe clock_getres(CLOCK_MONOTONIC, &resolution)
    let begin = millrace_monotonic()
    var last = begin
    for _ in 0..<reads { last = millrace_monotonic() }
    return ClockFacts(
      source: Machine.clockSource() ?? "unknown", resolutionNanoseconds: resolution.tv_sec * 1_000_000_000 + resolution.tv_nsec,
      readNanoseconds: Double(last - begin) / Double(reads))
  }
}
