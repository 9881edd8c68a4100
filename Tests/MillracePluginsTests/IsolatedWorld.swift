import CMillrace
import Foundation
import Synchronization
import Testing

@testable import MillracePlugins

/// A hostile plugin in processes of its own, and this thread, which receives what they say: nothing happens but in `turn`.
final class IsolatedWorld {
  let workshop: Workshop
  let host: TestHost
  let plugin: LoadedPlugin
  let isolated: IsolatedPlugin
  private var loader: PluginLoader
  private var lastToken: millrace_token = 0

  static func bounds(_ change: (inout IsolationBounds) -> Void = { _ in }) -> IsolationBounds {
    var bounds = IsolationBounds()
    bounds.slots = 3
    bounds.attemptBytes = 1 << 20
    bounds.helpers = 2
    bounds.memory = 64 << 20
    bounds.firstWait = 1_000_000
    bounds.crashes = 100
    change(&bounds)
    return bounds
  }

  init(
    _ isolation: PluginIsolation = .process(IsolatedWorld.bounds()), _ definitions: [String] = [], file: String = HostilePlugin.file,
    settings: [String: String] = [:], clock: (@Sendable () -> UInt64)? = nil
  ) throws {
    workshop = try Workshop()
    host = TestHost()
    var choice = IsolationChoice()
    choice.plugins["hostile"] = isolation
    choice.standard = isolation
    loader = unsafe PluginLoader(host: host.table, isolation: choice, settings: settings)
    loader.driver = .caller
    if let clock { loader.clock = clock }
    do {
      plugin = try loader.load(IsolatedWorld.compiled(file, definitions, in: workshop))
    } catch {
      host.end()
      throw error
    }
    isolated = try #require(plugin.isolated)
  }

  /// Most tests want the same bytes, which are compiled once.
  private static let builds = Mutex<[[String]: Data]>([:])

  private static func compiled(_ file: String, _ definitions: [String], in workshop: Workshop) throws -> String {
    if let bytes = builds.withLock({ $0[definitions] }) { return try workshop.write(file, bytes) }
    let path = try workshop.plugin(file, source: HostilePlugin.source, definitions)
    let bytes = try Data(contentsOf: URL(filePath: path))
    builds.withLock { $0[definitions] = bytes }
    return path
  }

  /// Ends the processes: none is left.
  func end() {
    loader.unloadAll()
    host.end()
  }

  var process: Int32? { isolated.processes[0].process }

  /// Begins an attempt: its token, or how it ended at once.
  func begin(_ handler: String, _ attempt: TestAttempt? = nil) throws -> (millrace_token, TestOutcome) {
    let found = try #require(plugin.handlers.first { $0.qualifiedName == "hostile/\(handler)" })
    let outcome = unsafe host.run(found.pointer, attempt ?? TestAttempt(host))
    return (host.state.withLock { $0.lastToken }, outcome)
  }

  /// Until a condition holds, a minute at most.
  func turn(until condition: () -> Bool) throws {
    let deadline = millrace_monotonic() + 60_000_000_000
    while !condition() {
      isolated.turn(waits: true)
      try #require(millrace_monotonic() < deadline, "a minute has gone by")
    }
  }

  func end(of token: millrace_token) throws -> TestOutcome {
    try turn { host.ended(token) != nil }
    return try #require(host.ended(token))
  }

  /// Runs an attempt to its end.
  func run(_ handler: String, _ attempt: TestAttempt? = nil) throws -> TestOutcome {
    let (token, outcome) = try begin(handler, attempt)
    return outcome.status == UInt32(MILLRACE_PENDING) ? try end(of: token) : outcome
  }
}

/// An attempt that should stop from the beginning on.
func stopped(_ host: TestHost) -> TestAttempt {
  let attempt = TestAttempt(host)
  attempt.cancel(afterChecks: 0)
  return attempt
}
