internal import CMillraceEmbedding
internal import CUV
internal import Glibc
internal import Millrace
internal import MillraceCore
internal import Synchronization

/// An engine that a program in another language holds by a handle.
@safe final class EmbeddedEngine: Held, @unchecked Sendable {
  static var kind: HandleKind { .engine }
  /// At once in a process.
  static let maximum = 64

  let engine: Engine
  /// Calls back on the host's loop; nil: callbacks come on the engine's threads.
  let relay: LoopRelay?
  let counts = Counts()
  /// Runs were started, or resumed.
  let hasBegun = Atomic<Bool>(false)
  private let monitor = Monitor()
  // The monitor's.
  private var isEnding = false

  /// Since the engine was made. Relaxed: each is a figure by itself.
  final class Counts: Sendable {
    let started = Atomic<UInt64>(0)
    let completed = Atomic<UInt64>(0)
    let failed = Atomic<UInt64>(0)
    let cancelled = Atomic<UInt64>(0)
    let published = Atomic<UInt64>(0)
    let refused = Atomic<UInt64>(0)

    func ended(_ status: WorkflowStatus) {
      switch status {
      case .completed: completed.wrappingAdd(1, ordering: .relaxed)
      case .cancelled: cancelled.wrappingAdd(1, ordering: .relaxed)
      case .failed: failed.wrappingAdd(1, ordering: .relaxed)
      case .created, .running: break
      }
    }
  }

  var goesWith: EmbeddedEngine? { nil }

  /// Throws `Failure` or `EngineError`. unsafe: what the configuration points to is as the header says.
  @unsafe init(_ given: UnsafePointer<millrace_configuration>?) throws {
    var configuration = Engine.Configuration()
    relay = try unsafe EmbeddedEngine.read(given, &configuration)
    let engine = try Engine(configuration)
    relay?.callBack = { [weak engine] in engine?.callBack() }
    if let refused = engine.pluginProblems.first {
      engine.shutdown()
      throw EngineError.plugins(refused)
    }
    self.engine = engine
  }

  deinit { monitor.deallocate() }

  @unsafe private static func read(
    _ given: UnsafePointer<millrace_configuration>?, _ configuration: inout Engine.Configuration
  ) throws -> LoopRelay? {
    guard let given = unsafe given else { return nil }
    let values = try unsafe Arguments.read(given, "configuration")
    if unsafe values.version != MILLRACE_EMBEDDING_VERSION {
      throw Failure(
        .badVersion,
        "the program was built for version \(unsafe values.version) of the interface, this library (\(Engine.version)) is of \(MILLRACE_EMBEDDING_VERSION)"
      )
    }
    func positive(_ value: UInt32) -> Int? { value == 0 ? nil : Int(value) }
    configuration.slots = unsafe positive(values.slots)
    configuration.threads = unsafe positive(values.threads)
    configuration.blockingThreads = unsafe positive(values.blocking_threads)
    if let capacity = unsafe positive(values.capacity) { configuration.capacity = capacity }
    configuration.data = try unsafe Arguments.optionalText(values.data, "configuration.data")
    if let places = try unsafe Arguments.optionalText(values.plugins, "configuration.plugins", limit: 1 << 16) {
      configuration.plugins = PluginSearch(paths: places.split(separator: ":").map(String.init))
    }
    for (name, value) in try unsafe object(values.tenants, "configuration.tenants") {
      guard let weight = value.integer else {
        throw Failure(.badArgument, "configuration.tenants: the weight of \(name) is no number: write it as {\"\(name)\": 1}")
      }
      configuration.tenants[name] = Int(weight)
    }
    for (name, value) in try unsafe object(values.settings, "configuration.settings") {
      guard let text = value.string else { throw Failure(.badArgument, "configuration.settings: the value of \(name) is no text") }
      configuration.settings[name] = text
    }
    // unsafe: kept until the engine is destroyed, and called by any thread, as the header says.
    nonisolated(unsafe) let context = unsafe values.context
    if let log = unsafe values.log {
      configuration.log = { level, line in unsafe withCTexts([line]) { unsafe log(context, level.rawValue, $0[0]) } }
    }
    if let event = unsafe values.event { configuration.observer = unsafe EventRelay(context, event) }
    guard let loop = unsafe values.loop else { return nil }
    try unsafe checkLibrary(values)
    let relay = LoopRelay()
    configuration.hostLoop = unsafe HostLoop(loop) { relay.run() }
    return relay
  }

  private static func object(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> [String: JSON] {
    guard let text = try unsafe Arguments.optionalText(pointer, name, limit: Arguments.longestJSON) else { return [:] }
    return try Arguments.object(Array(text.utf8), name)
  }

  /// Two copies of libuv in a process do not know each other's loops.
  private static func checkLibrary(_ values: millrace_configuration) throws(Failure) {
    let ours = uv_version()
    guard let theirs = unsafe values.uv_version else {
      throw Failure(
        .badArgument, "configuration.uv_version is NULL: with a loop of the program's own, set it to libuv's function uv_version")
    }
    // unsafe: only compared. A process has one address for a function, whoever asks; with two libuvs there are two functions.
    let own: @convention(c) () -> UInt32 = uv_version
    let isSame = unsafe unsafeBitCast(theirs, to: UInt.self) == unsafeBitCast(own, to: UInt.self)
    if !isSame {
      throw Failure(
        .badVersion,
        "the program's libuv is not the one that this library uses (\(version(ours))): link both with the same shared libuv.so.1")
    }
    let header = unsafe values.uv_header
    guard header >> 16 == ours >> 16, header <= ours | 0xFF else {
      throw Failure(
        .badVersion,
        "the program was compiled with the header of libuv \(version(header)), and runs with \(version(ours)): set uv_header to UV_VERSION_HEX"
      )
    }
  }

  private static func version(_ number: UInt32) -> String { "\(number >> 16).\(number >> 8 & 0xFF).\(number & 0xFF)" }

  // MARK: Threads

  /// Refuses what waits, where that would keep the engine from ending what is waited for. Throws `Failure`.
  func checkMayWait(_ what: String) throws(Failure) {
    try checkIsOutside(what)
    if relay?.isHere == true {
      throw Failure(.wrongThread, "\(what) would stop the loop of the program for as long as it waits: use a callback")
    }
  }

  /// As above, where the loop may stand still. Throws `Failure`.
  func checkIsOutside(_ what: String) throws(Failure) {
    let (isOwn, isOver) = monitor.locked { (!isEnding && engine.isOwnThread, isEnding) }
    if isOwn { throw Failure(.wrongThread, "\(what) was called on a thread of the engine, in a handler or a callback: call it on another") }
    if isOver { throw Failure(.closed, "the engine is being destroyed") }
  }

  /// Goes on with what an earlier process has left: runs of this one would be taken for such. Throws `Failure`, or as `Engine.resume`.
  func resume() throws -> ResumedRuns {
    // Order: acquiring and releasing. Of two callers one goes on.
    if hasBegun.exchange(true, ordering: .acquiringAndReleasing) {
      throw Failure(.refused, "runs were started or resumed already: resume once, before the first run is started")
    }
    return try engine.resume()
  }

  /// Ends the engine. Its handle is none any more. Throws `Failure`.
  func checkMayEnd() throws(Failure) {
    if let relay {
      if !relay.isHere { throw Failure(.wrongThread, "an engine on a loop of the program's own is destroyed on that loop's thread") }
      return
    }
    try checkMayWait("millrace_engine_destroy")
  }

  func end() {
    monitor.locked { isEnding = true }
    engine.shutdown()
    relay?.run()
  }
}
