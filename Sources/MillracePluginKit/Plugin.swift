public import CMillrace

/// What `millrace_plugin_entry` returns.
public typealias PluginEntry = UnsafePointer<millrace_plugin>

/// A plugin written in Swift.
///
/// ```swift
/// import MillracePluginKit
///
/// let plugin = Plugin("hello", version: "0.1.0", summary: "Greets") {
///   Handler("greet", summary: "Greets whoever input 0 names") { call throws(HandlerError) in
///     .text("hello, \(try call.text(ofInput: 0))")
///   }
/// }
///
/// @c(millrace_plugin_entry)
/// public func entry(_ hostVersion: UInt32) -> PluginEntry? { unsafe plugin.entry(hostVersion) }
/// ```
///
/// One plugin to a shared object. Its descriptions are made once and never freed, and its code stays mapped: the Swift
/// runtime cannot be unloaded. A trap ends the whole process; what may go wrong in a handler is thrown.
///
/// # Threads
/// Handlers run on many threads at once; `starting` and `stopping` on the thread that loads.
@safe public final class Plugin: Sendable {
  // Written in `init`, then read-only for ever.
  private nonisolated(unsafe) let description: UnsafeMutablePointer<millrace_plugin>
  private nonisolated(unsafe) let stateTable: UnsafePointer<millrace_state>?
  private nonisolated(unsafe) let batchTable: UnsafePointer<millrace_batch>?
  private let starting: @Sendable (Host) throws(HandlerError) -> Void
  private let stopping: @Sendable () -> Void
  let state: PluginState?

  /// - Parameters:
  ///   - name: `[a-z0-9-]{1,127}`; the host refuses others, as it does for the other texts.
  ///   - version: the plugin's own.
  ///   - summary: one line for people.
  ///   - configurationSchema: JSON Schema of the plugin's settings, an object whose properties are their names without the plugin's.
  ///   - state: what it keeps in memory, handed over to the build that takes its place; nil: nothing.
  ///   - starting: called once before any handler; what it throws refuses the plugin. The host is valid until `stopping` has returned.
  ///   - stopping: called once, when no call is in progress.
  ///   - handlers: 1 to 1,024.
  public init(
    _ name: String, version: String, summary: String, configurationSchema: String? = nil, state: PluginState? = nil,
    starting: @escaping @Sendable (Host) throws(HandlerError) -> Void = { _ in },
    stopping: @escaping @Sendable () -> Void = {},
    @HandlerList handlers: () -> [Handler]
  ) {
    self.starting = starting
    self.stopping = stopping
    self.state = state
    unsafe stateTable = state?.makeTable()
    let handlers = handlers()
    unsafe batchTable = Batch.makeTable(handlers)
    // Never freed: the interface wants them for as long as the object is mapped, which is for ever.
    let table = UnsafeMutablePointer<UnsafePointer<millrace_handler>?>.allocate(capacity: max(1, handlers.count))
    for (index, handler) in handlers.enumerated() { unsafe (table + index).initialize(to: handler.makeDescription()) }
    unsafe description = .allocate(capacity: 1)
    unsafe description.initialize(
      to: millrace_plugin(
        size: UInt32(MemoryLayout<millrace_plugin>.size), abi_version: MILLRACE_ABI_VERSION,
        name: permanentText(name), version: permanentText(version), summary: permanentText(summary),
        configuration_schema: configurationSchema.map { unsafe permanentText($0) },
        init: { host, message, capacity in unsafe Plugin.start(host, message, capacity) },
        deinit: { unsafe Plugin.current?.stopping() },
        extension: { id in unsafe Plugin.extensionTable(id) }, handlers: table, handler_count: UInt32(handlers.count),
        flags: UInt32(MILLRACE_PLUGIN_STAYS)))
  }

  /// The description, or nil if the host's interface is another one. For `millrace_plugin_entry`.
  public func entry(_ hostVersion: UInt32) -> PluginEntry? {
    guard hostVersion == MILLRACE_ABI_VERSION else { return nil }
    unsafe Plugin.current = self
    return unsafe PluginEntry(description)
  }

  // C gives `init` and `deinit` no context. The loading thread alone writes and reads it, and a shared object, with its
  // own copy of this kit, holds one plugin.
  nonisolated(unsafe) static var current: Plugin?
  nonisolated(unsafe) static var host: Host?

  private static func start(_ host: UnsafePointer<millrace_host>?, _ message: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int32 {
    guard let plugin = unsafe current, let host = unsafe host else { return -1 }
    unsafe Plugin.host = Host(pointer: host)
    do throws(HandlerError) {
      try plugin.starting(unsafe Host(pointer: host))
      return 0
    } catch {
      unsafe refuse(error, message, capacity)
      return -1
    }
  }

  /// Why the host is told no: `capacity` bytes at `message`, as the interface says.
  static func refuse(_ error: HandlerError, _ message: UnsafeMutablePointer<CChar>?, _ capacity: Int) {
    guard let message = unsafe message, capacity > 0 else { return }
    _ = unsafe copyText(error.message, to: UnsafeMutableRawBufferPointer(start: message, count: capacity))
  }

  private static func extensionTable(_ id: UnsafePointer<CChar>?) -> UnsafeRawPointer? {
    guard let id = unsafe id, let plugin = unsafe current else { return nil }
    return switch unsafe String(cString: id) {
    case MILLRACE_STATE: unsafe UnsafeRawPointer(plugin.stateTable)
    case MILLRACE_BATCH: unsafe UnsafeRawPointer(plugin.batchTable)
    default: nil
    }
  }
}

/// Builds the list of a plugin's handlers.
@resultBuilder public enum HandlerList {
  public static func buildBlock(_ handlers: Handler...) -> [Handler] { handlers }
}

/// One kind of work that a plugin does.
public struct Handler: Sendable {
  public typealias Body = @Sendable (borrowing Call) throws(HandlerError) -> Output

  let name: String
  let summary: String
  let inputSchema: String?
  let outputSchema: String?
  let isBlocking: Bool
  let isExclusive: Bool
  let concurrency: UInt32
  let body: Body
  /// nil: it runs one attempt at a time.
  var batch: (most: UInt32, body: Batch.Body)?

  /// - Parameters:
  ///   - name: `[a-z0-9-]{1,127}`; definitions call it `plugin/name`.
  ///   - summary: one line for people.
  ///   - inputSchema: JSON Schema of input 0.
  ///   - outputSchema: JSON Schema of the output, for people and tools: nothing is checked against it.
  ///   - blocking: it may wait for I/O, a lock or a child, and runs in the blocking pool.
  ///   - exclusive: an attempt never overlaps late code of an earlier attempt of the same task.
  ///   - concurrency: at most so many attempts at once; 0: no limit of its own.
  ///   - body: runs one attempt, on any thread.
  public init(
    _ name: String, summary: String, inputSchema: String? = nil, outputSchema: String? = nil, blocking: Bool = false,
    exclusive: Bool = false,
    concurrency: UInt32 = 0, _ body: @escaping Body
  ) {
    self.name = name
    self.summary = summary
    self.inputSchema = inputSchema
    self.outputSchema = outputSchema
    isBlocking = blocking
    isExclusive = exclusive
    self.concurrency = concurrency
    self.body = body
  }

  /// A handler that runs several attempts in one call, as the host has them ready: the extension `millrace.batch/1`.
  ///
  /// ```swift
  /// Handler("embed", summary: "Embeds texts", most: 64) { batch in
  ///   var texts: [String] = []
  ///   for index in 0..<batch.count { texts.append((try? batch.withCall(index) { call throws(HandlerError) in try call.text(ofInput: 0) }) ?? "") }
  ///   for (index, vector) in model.embed(texts).enumerated() { batch.finish(index, .json(vector)) }
  /// }
  /// ```
  ///
  /// - Parameters:
  ///   - most: attempts of one call, 2 to `MILLRACE_BATCH_ATTEMPTS`, 256; the host refuses others. None waits for others to come: there may be one.
  ///   - body: ends each attempt of the batch, by `Batch.finish` or `Batch.fail`.
  ///
  /// The others as above.
  public init(
    _ name: String, summary: String, inputSchema: String? = nil, outputSchema: String? = nil, blocking: Bool = false,
    concurrency: UInt32 = 0, most: Int, _ body: @escaping Batch.Body
  ) {
    self.init(name, summary: summary, inputSchema: inputSchema, outputSchema: outputSchema, blocking: blocking, concurrency: concurrency) {
      _ throws(HandlerError) in
      throw .failed("batch", "the handler is run by batches, of one attempt too")
    }
    batch = (UInt32(clamping: most), body)
  }

  /// Made once and never freed.
  func makeDescription() -> UnsafePointer<millrace_handler> {
    let flags = (isBlocking ? UInt32(MILLRACE_BLOCKING) : 0) | (isExclusive ? UInt32(MILLRACE_EXCLUSIVE) : 0)
    let made = UnsafeMutablePointer<millrace_handler>.allocate(capacity: 1)
    unsafe made.initialize(
      to: millrace_handler(
        size: UInt32(MemoryLayout<millrace_handler>.size), flags: flags, name: permanentText(name), summary: permanentText(summary),
        input_schema: inputSchema.map { unsafe permanentText($0) }, output_schema: outputSchema.map { unsafe permanentText($0) },
        context: batch.map { unsafe Unmanaged.passRetained(Batch.Context($0.body)).toOpaque() }
          ?? Unmanaged.passRetained(HandlerBody(body)).toOpaque(),
        concurrency: concurrency, reserved: 0,
        run: { context, call, outcome in unsafe runAttempt(context, call, outcome) }))
    if batch != nil { unsafe made.pointee.run = { context, call, outcome in unsafe Batch.runAlone(context, call, outcome) } }
    return unsafe UnsafePointer(made)
  }
}

/// A handler's closure as the `context` of C.
final class HandlerBody: Sendable {
  let run: Handler.Body

  init(_ run: @escaping Handler.Body) { self.run = run }
}

/// Runs one attempt for the host. Allocates nothing itself.
private func runAttempt(
  _ context: UnsafeMutableRawPointer?, _ call: UnsafePointer<millrace_call>?, _ outcome: UnsafeMutablePointer<millrace_outcome>?
) -> UInt32 {
  guard let context = unsafe context, let call = unsafe call, let outcome = unsafe outcome, let attempt = unsafe call.pointee.attempt else {
    return UInt32(MILLRACE_FAILED)
  }
  let access = unsafe AttemptAccess(host: call.pointee.host, attempt: attempt)
  // The body is retained for ever by its description.
  return unsafe Unmanaged<HandlerBody>.fromOpaque(context)._withUnsafeGuaranteedRef { body in
    do throws(HandlerError) {
      let output = try body.run(unsafe Call(call, access))
      return try unsafe access.write(output, to: outcome)
    } catch {
      return unsafe access.write(error, to: outcome)
    }
  }
}

/// A NUL-terminated copy that is never freed.
func permanentText(_ text: String) -> UnsafePointer<CChar> {
  let bytes = text.utf8CString
  let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
  for (index, byte) in bytes.enumerated() { unsafe (copy + index).initialize(to: byte) }
  return unsafe UnsafePointer(copy)
}
