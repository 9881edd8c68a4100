// swift-tools-version: 6.2
import PackageDescription

// The house, bottom to top. An arrow only points down: a row may need only rows of a lower layer.
struct Row {
  enum Kind {
    case system(pkgConfig: String, apt: String)
    case c, swift, command, pluginC, pluginSwift
    case programC(named: String)
    case shared  // a shared library for programs in other languages
    case support, benchmark  // no products: for this package's command, tests and measurements

    var isProgram: Bool {
      switch self {
      case .command, .benchmark, .programC: true
      default: false
      }
    }
  }

  let layer: Int
  let name: String
  let kind: Kind
  var path: String? = nil
  var needs: [String] = []
  var packages: [Target.Dependency] = []
  var tests: [String]? = nil  // what the tests of this row need besides the row itself
  var doubles: [Target.Dependency] = []  // and of other packages
}

let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
/// What a server's programs log, measure, trace and live by. Behind a trait: SwiftPM resolves whatever a package may need, used or not, so that
/// without it everybody who depends on this one would fetch six packages more.
let services: [Target.Dependency] = [
  ("Logging", "swift-log"), ("CoreMetrics", "swift-metrics"), ("Instrumentation", "swift-distributed-tracing"),
  ("Tracing", "swift-distributed-tracing"), ("ServiceLifecycle", "swift-service-lifecycle"),
].map(ofServices)
let serviceDoubles: [Target.Dependency] = [
  ("InMemoryLogging", "swift-log"), ("MetricsTestKit", "swift-metrics"), ("InMemoryTracing", "swift-distributed-tracing"),
  ("ServiceLifecycleTestKit", "swift-service-lifecycle"),
].map(ofServices)

/// Behind a trait too: what needs libpq is compiled only where that is asked for, and installed.
let postgres = Target.Dependency.target(name: "CPostgres", condition: .when(traits: ["Postgres"]))
/// And what a real RabbitMQ is talked to with.
let rabbitMQ = Target.Dependency.target(name: "CRabbitMQ", condition: .when(traits: ["AMQP"]))

func ofServices(_ product: String, of package: String) -> Target.Dependency {
  .product(name: product, package: package, condition: .when(traits: ["Services"]))
}

let rows: [Row] = [
  Row(layer: 0, name: "CUV", kind: .system(pkgConfig: "libuv", apt: "libuv1-dev")),
  Row(layer: 0, name: "CJemalloc", kind: .system(pkgConfig: "jemalloc", apt: "libjemalloc-dev")),
  Row(layer: 0, name: "CCrypto", kind: .system(pkgConfig: "libcrypto", apt: "libssl-dev")),
  Row(layer: 0, name: "CPostgres", kind: .system(pkgConfig: "libpq", apt: "libpq-dev")),
  Row(layer: 0, name: "CRabbitMQ", kind: .system(pkgConfig: "librabbitmq", apt: "librabbitmq-dev")),
  Row(layer: 0, name: "CMillrace", kind: .c),
  Row(layer: 1, name: "CPluginManifest", kind: .c, needs: ["CMillrace"]),
  Row(layer: 1, name: "CPluginCheck", kind: .c, needs: ["CMillrace"]),
  Row(layer: 1, name: "MillraceFaults", kind: .support, tests: []),
  Row(layer: 1, name: "MillraceCore", kind: .swift, needs: ["CMillrace", "CUV"], tests: ["MillraceLog"]),
  Row(
    layer: 2, name: "MillraceLog", kind: .swift, needs: ["MillraceCore", "CMillrace"],
    tests: ["EventStoreConformance", "LogLoad", "MillraceFaults", "MillraceSimulation", "MillraceTesting"]),
  Row(layer: 2, name: "MillraceBroker", kind: .swift, needs: ["MillraceCore", "CMillrace"], tests: [], doubles: [rabbitMQ]),
  Row(layer: 3, name: "EventStoreConformance", kind: .support, path: "Tests/EventStoreConformance", needs: ["MillraceLog"]),
  Row(layer: 3, name: "LogLoad", kind: .support, path: "Tests/Faults/LogLoad", needs: ["MillraceLog"]),
  Row(layer: 4, name: "LogVictim", kind: .benchmark, path: "Tests/Faults/LogVictim", needs: ["LogLoad", "MillraceLog"]),
  Row(layer: 2, name: "MillracePluginKit", kind: .swift, needs: ["CMillrace", "CPluginManifest"]),
  Row(
    layer: 3, name: "MillraceWorkflow", kind: .swift, needs: ["MillraceBroker", "MillraceCore", "MillraceLog", "CMillrace"],
    packages: [yams],
    tests: ["MillraceSimulation"]),
  Row(layer: 3, name: "MillracePlugins", kind: .swift, needs: ["MillraceCore", "CMillrace", "CCrypto"], tests: ["MillracePluginKit"]),
  Row(
    layer: 4, name: "MillracePluginCheck", kind: .support, needs: ["CPluginCheck", "MillracePlugins", "MillraceWorkflow", "CMillrace"]),
  Row(layer: 3, name: "PluginHost", kind: .programC(named: "millrace-plugin-host"), needs: ["CMillrace"]),
  Row(layer: 3, name: "BenchPlugin", kind: .pluginC, path: "plugins/bench", needs: ["CMillrace"]),
  Row(layer: 3, name: "DebianPlugin", kind: .pluginC, path: "plugins/debian", needs: ["CMillrace", "CCrypto"]),
  Row(layer: 3, name: "ReplayPlugin", kind: .pluginC, path: "plugins/replay", needs: ["CMillrace"]),
  Row(layer: 3, name: "ShellPlugin", kind: .pluginC, path: "plugins/shell", needs: ["CMillrace"]),
  Row(layer: 3, name: "FilesPlugin", kind: .pluginSwift, path: "plugins/files", needs: ["MillracePluginKit", "CCrypto"]),
  Row(
    layer: 4, name: "Millrace", kind: .swift,
    needs: ["MillraceCore", "MillraceLog", "MillraceBroker", "MillraceWorkflow", "MillracePlugins", "CMillrace"],
    tests: ["MillraceFaults", "MillraceSimulation", "MillraceTesting"]),
  Row(layer: 5, name: "AgentHost", kind: .benchmark, path: "Tests/Faults/AgentHost", needs: ["Millrace", "MillraceWorkflow"]),
  Row(
    layer: 5, name: "MillraceBench", kind: .swift, needs: ["Millrace", "MillraceCore", "MillracePlugins", "MillraceWorkflow", "CMillrace"],
    packages: [histogram], tests: []),
  Row(
    layer: 5, name: "MillraceServices", kind: .swift, needs: ["Millrace", "MillraceCore"], packages: services, tests: ["MillraceTesting"],
    doubles: serviceDoubles),
  Row(
    layer: 5, name: "MillracePostgres", kind: .swift, needs: ["MillraceLog", "MillraceCore"], packages: [postgres],
    tests: ["EventStoreConformance"]),
  Row(layer: 5, name: "MillraceSimulation", kind: .support, needs: ["MillraceCore", "MillraceLog", "MillraceWorkflow", "CMillrace"]),
  Row(
    layer: 6, name: "MillraceTesting", kind: .swift,
    needs: ["Millrace", "MillraceCore", "MillraceLog", "MillraceSimulation", "MillraceWorkflow"], tests: []),
  Row(
    layer: 6, name: "MillraceEmbedding", kind: .shared, needs: ["Millrace", "MillraceBroker", "MillraceCore", "CMillrace", "CUV"], tests: []
  ),
  Row(layer: 6, name: "EngineBenchmark", kind: .benchmark, path: "Benchmarks/Engine", needs: ["Millrace", "MillraceCore"], tests: []),
  Row(layer: 6, name: "RunVictim", kind: .benchmark, path: "Tests/Faults/RunVictim", needs: ["CMillrace", "Millrace", "MillraceLog"]),
  Row(
    layer: 6, name: "JournalVictim", kind: .benchmark, path: "Tests/Faults/JournalVictim",
    needs: ["Millrace", "MillraceBroker", "MillraceCore", "MillraceLog"]),
  Row(
    layer: 6, name: "BrokerVictim", kind: .benchmark, path: "Tests/Faults/BrokerVictim",
    needs: ["Millrace", "MillraceBroker", "MillraceCore", "MillraceLog", "CMillrace"]),
  Row(layer: 6, name: "LogCrashes", kind: .benchmark, path: "Tests/Faults/LogCrashes", needs: ["MillraceSimulation"]),
  Row(layer: 6, name: "LogBenchmark", kind: .benchmark, path: "Benchmarks/Log", needs: ["MillraceCore", "MillraceLog", "CMillrace"]),
  Row(
    layer: 6, name: "DurableBenchmark", kind: .benchmark, path: "Benchmarks/Durable",
    needs: ["Millrace", "MillraceCore", "MillraceLog", "CJemalloc", "CMillrace"]),
  Row(
    layer: 6, name: "BrokerBenchmark", kind: .benchmark, path: "Benchmarks/Broker",
    needs: ["Millrace", "MillraceBroker", "MillraceCore", "MillraceLog", "CMillrace"],
    tests: []),
  Row(
    layer: 6, name: "CoreBenchmark", kind: .benchmark, path: "Benchmarks/Core", needs: ["MillraceCore", "MillracePlugins", "CMillrace"],
    tests: []),
  Row(
    layer: 6, name: "PluginBenchmark", kind: .benchmark, path: "Benchmarks/Plugins",
    needs: ["MillraceCore", "MillracePlugins", "CMillrace"]),
  Row(
    layer: 6, name: "TracesBenchmark", kind: .benchmark, path: "Benchmarks/Traces",
    needs: ["Millrace", "MillracePlugins", "MillraceSimulation", "MillraceWorkflow"]),
  Row(
    layer: 6, name: "MillraceCommand", kind: .command,
    needs: [
      "Millrace", "MillraceBench", "MillraceCore", "MillraceLog", "MillracePluginCheck", "MillracePlugins", "MillraceWorkflow", "CJemalloc",
      "CMillrace", "CPluginCheck", "CUV",
    ],
    packages: [arguments],
    tests: ["MillraceFaults"]),
]

let layers = Dictionary(uniqueKeysWithValues: rows.map { ($0.name, $0.layer) })
for row in rows {
  for need in row.needs {
    guard let layer = layers[need] else { preconditionFailure("\(row.name) needs \(need), which is not a row") }
    precondition(layer < row.layer, "\(row.name) (layer \(row.layer)) may not need \(need) (layer \(layer))")
  }
}

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .strictMemorySafety(), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]
let strictC: [CSetting] = [.treatAllWarnings(as: .error), .define("_GNU_SOURCE")]

func target(_ row: Row) -> Target {
  let needs = row.needs.map { Target.Dependency(stringLiteral: $0) } + row.packages
  switch row.kind {
  case .system(let pkgConfig, let apt):
    return .systemLibrary(name: row.name, pkgConfig: pkgConfig, providers: [.apt([apt])])
  case .c:
    return .target(name: row.name, dependencies: needs, path: row.path, cSettings: strictC)
  case .pluginC:
    // Nothing in it is Swift: with the runtime's start object, which is linked into everything else, its code could never be unmapped.
    return .target(
      name: row.name, dependencies: needs, path: row.path, cSettings: strictC, linkerSettings: [.unsafeFlags(["-nostartfiles"])])
  case .swift, .shared, .pluginSwift, .support:
    return .target(name: row.name, dependencies: needs, path: row.path, swiftSettings: strict)
  case .command, .benchmark:
    return .executableTarget(name: row.name, dependencies: needs, path: row.path, swiftSettings: strict)
  case .programC:
    return .executableTarget(name: row.name, dependencies: needs, path: row.path, cSettings: strictC)
  }
}

func products(_ row: Row) -> [Product] {
  switch row.kind {
  case .command: [.executable(name: "millrace", targets: [row.name])]
  case .programC(let name): [.executable(name: name, targets: [row.name])]
  case .pluginC, .pluginSwift:
    // `DebianPlugin` becomes `libmillrace-plugin-debian.so`, found beside the command.
    [
      .library(
        name: "millrace-plugin-" + row.path!.split(separator: "/").last!, type: .dynamic, targets: [row.name])
    ]
  // Linked by `make libmillrace`, which gives it its name and keeps all but its interface to itself.
  case .shared: [.library(name: "millrace-embedding", type: .dynamic, targets: [row.name])]
  case .swift: [.library(name: row.name, targets: [row.name])]
  case .system, .c, .support, .benchmark: []
  }
}

func tests(_ row: Row) -> Target? {
  guard let more = row.tests else { return nil }
  // Programs are tested as processes: linking the command would bring its jemalloc into the bundle of all tests, where ThreadSanitizer cannot
  // bear it.
  let names: [String] = (row.kind.isProgram ? ["Millrace"] : [row.name] + row.needs) + more
  let dependencies = names.map { Target.Dependency(stringLiteral: $0) } + row.packages + row.doubles
  return .testTarget(name: row.name + "Tests", dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
  name: "millrace",
  products: rows.flatMap(products),
  traits: [
    .trait(name: "Services", description: "MillraceServices, and the packages that it needs: swift-log, swift-metrics and others."),
    .trait(name: "Postgres", description: "MillracePostgres: event streams in PostgreSQL. Needs libpq."),
    .trait(name: "AMQP", description: "Tests of the broker beside a RabbitMQ. Needs librabbitmq."),
  ],
  dependencies: [
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: rows.map(target)
    + rows.compactMap(tests),
  swiftLanguageModes: [.v6]
)
