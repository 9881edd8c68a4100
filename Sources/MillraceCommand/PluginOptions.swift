internal import ArgumentParser
internal import Millrace
internal import MillraceCore
internal import MillracePlugins

/// Where plugins are looked for: the same on every command that needs them.
struct PluginOptions: ParsableArguments {
  @Option(
    name: .customLong("plugins"),
    help: ArgumentHelp(
      "A plugin's file, or a directory of them; may be repeated. Looked at before MILLRACE_PLUGINS and what lies beside the command.",
      valueName: "path"))
  var paths: [String] = []

  @Option(
    name: .customLong("plugin-list"),
    help: ArgumentHelp(
      "A file that lists the builds that may be loaded, a SHA-256 a line, as sha256sum writes it. All others are refused.",
      valueName: "file"))
  var list: String?

  @Option(
    name: .customLong("plugin-key"),
    help: ArgumentHelp(
      "An Ed25519 public key, as PEM; may be repeated. A plugin must be signed by one of them, in FILE.sig beside it.", valueName: "file"))
  var keys: [String] = []

  @Option(
    name: .customLong("isolate"),
    help: ArgumentHelp(
      "Where a plugin's code runs: in-process (the default), process, or untrusted, a process without rights; bounds behind commas, as process,memory=256M; may be repeated.",
      valueName: "name=how"))
  var isolate: [String] = []

  var search: PluginSearch { .ofProcess(paths: paths) }

  func validate() throws {
    if keys.count > PluginTrust.mostKeys {
      throw ValidationError("--plugin-key is given \(keys.count) times: \(PluginTrust.mostKeys) at most")
    }
    _ = try isolation()
  }

  /// Which builds may be loaded. Throws `Refusal`: what says so cannot be used.
  func trust() throws(Refusal) -> PluginTrust {
    do throws(PluginError) {
      var trust = PluginTrust()
      if let list { trust.builds = try PluginTrust.builds(listedIn: list) }
      for key in keys { trust.keys.append(try SigningKey(pem: key)) }
      return trust
    } catch { throw Refusal(.missing, "\(error)") }
  }

  /// By name.
  func isolation() throws(ValidationError) -> [String: PluginIsolation] {
    var isolation: [String: PluginIsolation] = [:]
    for assignment in isolate {
      let (name, value) = IsolationText.halves(assignment)
      guard let value, !name.isEmpty else {
        throw ValidationError("--isolate is '\(assignment)': give NAME=process, NAME=untrusted or NAME=in-process")
      }
      let how: PluginIsolation
      do { how = try IsolationText.isolation(value) } catch { throw ValidationError("--isolate is '\(assignment)': \(error.message)") }
      if let before = isolation[name], before != how {
        let words = before.name == how.name ? "different bounds" : "\(before.name) and \(how.name)"
        throw ValidationError("--isolate says two things of \(name): \(words)")
      }
      isolation[name] = how
    }
    return isolation
  }
}

extension Engine {
  /// An engine for asking what its plugins offer: it runs nothing.
  static func forPlugins(_ options: PluginOptions) throws -> Engine {
    try forPlugins(options.search, options.trust(), options.isolation())
  }

  static func forPlugins(
    _ search: PluginSearch, _ trust: PluginTrust = PluginTrust(), _ isolation: [String: PluginIsolation] = [:]
  ) throws(Refusal) -> Engine {
    var configuration = Configuration()
    configuration.slots = 1
    configuration.threads = 1
    configuration.wait = .park
    configuration.plugins = search
    configuration.pluginTrust = trust
    configuration.isolation = isolation
    return try made(configuration)
  }

  /// - Throws: `Refusal` with the exit code that suits.
  static func made(_ configuration: Configuration) throws(Refusal) -> Engine {
    do throws(EngineError) {
      return try Engine(configuration)
    } catch {
      guard case .data(let path, _) = error, !path.isEmpty else { throw Refusal(error.exit, "\(error)") }
      throw Refusal(
        error.exit, "\(error)\n  fix: give durable runs a directory that this user may write to: --data, or \(DataOptions.variable)")
    }
  }

  /// Says on standard error which plugins were refused.
  func tellPluginProblems() {
    for problem in pluginProblems { Output.note("warning: \(problem)") }
    for problem in schemaProblems { Output.note("warning: \(problem.handler): \(problem.reason)") }
  }
}

extension EngineError {
  fileprivate var exit: Exit {
    switch self {
    case .runtime(.spinNeedsProcessors), .runtime(.outOfRange), .badHandlerName, .stopped, .noSchedule, .noMessages, .preparedElsewhere,
      .badTenant,
      .tooManyTenants, .unknownTenant, .unknownWorkflow, .badVersion:
      .wrongUse
    case .runtime(.memory), .runtime(.loop), .runtime(.thread): .tryAgain
    case .noStore: .wrongUse
    case .data: .tryAgain
    case .plugins: .missing
    case .duplicateHandler, .tooManyHandlers, .tooManySchedules, .tooManyWorkflows: .badData
    }
  }
}
