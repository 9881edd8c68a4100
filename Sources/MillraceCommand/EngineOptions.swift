internal import ArgumentParser
internal import Millrace
internal import MillraceCore

/// How the engine is made that runs something.
struct EngineOptions: ParsableArguments {
  /// A handler that runs for longer is told of, nanoseconds: a minute. Work of some seconds is what people start a command for.
  private static let stallAfter: UInt64 = 60_000_000_000

  /// The engine's words, as options.
  enum Order: String, ExpressibleByArgument, CaseIterable {
    case fifo, deadline
    case criticalPath = "critical-path"

    var engine: Engine.Order {
      switch self {
      case .fifo: .fifo
      case .deadline: .deadline
      case .criticalPath: .criticalPath
      }
    }
  }

  enum Wait: String, ExpressibleByArgument, CaseIterable {
    case spin, adaptive, park

    var engine: WaitPolicy {
      switch self {
      case .spin: .spin
      case .adaptive: .adaptive
      case .park: .park
      }
    }
  }

  @Option(
    name: .customLong("set"), help: ArgumentHelp("A setting, such as replay.mode=wait. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var settings: [Assignment] = []

  @Option(help: "Tasks in progress at once. (default: as many as threads)")
  var slots: Int?

  @Option(help: "Threads that run handlers. (default: the processors granted)")
  var threads: Int?

  @Option(help: "Which ready task of a priority goes first.")
  var order: Order = .fifo

  @Option(help: "What idle threads do.")
  var wait: Wait = .adaptive

  @Option(help: ArgumentHelp("Replayed seconds for each recorded one: sets replay.time-scale.", valueName: "factor"))
  var timeScale: Double?

  @OptionGroup var plugins: PluginOptions

  @OptionGroup var secrets: SecretOptions

  func validate() throws {
    let settings = try Assignment.table(settings, option: "--set", \.value)
    if let slots, slots < 1 { throw ValidationError("--slots is \(slots): give 1 or more") }
    if let threads, threads < 1 { throw ValidationError("--threads is \(threads): give 1 or more") }
    if let timeScale {
      guard timeScale.isFinite, timeScale >= 0 else {
        throw ValidationError("--time-scale is \(timeScale): give a number from 0 on, as 0.01")
      }
      if settings[Trace.scaleSetting] != nil {
        throw ValidationError("--time-scale and --set \(Trace.scaleSetting) say the same: give one")
      }
    }
  }

  /// Once, before any thread is started: it may change the environment.
  func configuration(_ messages: Messages) throws -> Engine.Configuration {
    var configuration = Engine.Configuration()
    configuration.secrets = try secrets.source()
    configuration.slots = slots
    configuration.threads = threads
    configuration.order = order.engine
    configuration.wait = wait.engine
    configuration.plugins = plugins.search
    configuration.pluginTrust = try plugins.trust()
    configuration.isolation = try plugins.isolation()
    configuration.settings = try Assignment.table(settings, option: "--set", \.value)
    if let timeScale { configuration.settings[Trace.scaleSetting] = "\(timeScale)" }
    configuration.log = { level, line in if level != .debug { messages.add(line) } }
    configuration.stallAfter = Self.stallAfter
    configuration.stalled = { messages.add("stalled: \($0)") }
    return configuration
  }

  var scale: Double? { timeScale ?? settings.first { $0.name == Trace.scaleSetting }.flatMap { Double($0.value) } }

  var waits: Bool { settings.contains(Assignment(name: "replay.mode", value: "wait")) }
}
