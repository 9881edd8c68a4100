public import Millrace
public import MillraceCore

/// What a suite needs beside the load: how its engine is built, and, for the user's own, what to run.
public struct SuiteSettings: Sendable {
  public var threads: Int
  public var slots: Int
  public var wait: WaitPolicy
  /// Where plugins are looked for.
  public var plugins: PluginSearch
  /// Which builds may be loaded.
  public var pluginTrust = PluginTrust()
  /// Which of them run in processes of their own.
  public var isolation: [String: PluginIsolation] = [:]
  /// Suite `handler`: the plugin's name, or its file if there is a slash in it or it ends in .so.
  public var plugin: String?
  /// Suite `handler`: the handler's name in the plugin.
  public var handler: String?
  /// Suite `workflow`: the definition's file.
  public var workflow: String?
  /// Members of the handler's input, or parameters of the workflow.
  public var parameters: [String: JSON] = [:]
  /// What plugins read, by full name.
  public var settings: [String: String] = [:]
  /// Suite `fixed`: what a job burns, nanoseconds.
  public var serviceTime: UInt64 = 100_000
  /// Suite `broker`: bytes of a payload, 16 to 1 MiB.
  public var messageBytes = 64
  /// Suite `broker`: 1 to 64.
  public var consumers = 1
  /// Suite `broker`: the queue is durable, in a directory of its own in the working directory.
  public var isDurable = false
  /// What plugins and the engine log.
  public var log: @Sendable (String) -> Void = { _ in }

  public init(threads: Int, slots: Int, wait: WaitPolicy, plugins: PluginSearch) {
    self.threads = threads
    self.slots = slots
    self.wait = wait
    self.plugins = plugins
  }

  /// Requests under way at once, at most; what comes beyond fails. Memory, and the time to drain a queue, stay within bounds.
  static let capacity = 1 << 16

  /// The core alone, for suites that need no engine.
  var core: RuntimeConfiguration {
    var configuration = RuntimeConfiguration(slots: slots, threads: threads, capacity: SuiteSettings.capacity, wait: wait)
    configuration.stallAfter = 0
    return configuration
  }
}

/// A suite ready to be measured.
struct PreparedSuite {
  var owner: any SubjectOwner
  /// As a result file names it, as `handler replay/task`.
  var name: String
  /// `plugin/handler` or the workflow's file, when it is the user's own, and its SHA-256.
  var subject: String?
  var hash: String?

  init(_ suite: Suite, _ settings: SuiteSettings, _ meter: Meter) throws(BenchError) {
    name = suite.rawValue
    switch suite {
    case .scheduler: owner = try CoreSubject(.empty, settings, meter)
    case .fixed: owner = try CoreSubject(.burn(nanoseconds: settings.serviceTime), settings, meter)
    case .dag: owner = try GraphSubject(settings, meter)
    case .timers: owner = try TimerSubject(settings, meter)
    case .pluginCall: owner = try PluginCallSubject(settings, meter)
    case .endToEnd: owner = try EngineSubject(.endToEnd, settings, meter)
    case .broker:
      let own = try BrokerSubject(settings, meter)
      owner = own
      name += " " + own.name
    case .handler:
      let own = try EngineSubject(.handler, settings, meter)
      (owner, subject, hash) = (own, own.name, own.hash)
      name += " " + own.name
    case .workflow:
      let own = try EngineSubject(.workflow, settings, meter)
      (owner, subject, hash) = (own, own.name, own.hash)
      name += " " + own.workflowName
    }
  }
}
