internal import CMillrace
internal import CPluginCheck
internal import Glibc
internal import MillracePlugins
internal import MillraceWorkflow

/// Makes one check of a plugin, in a process that may end by it.
package struct CheckRoom {
  /// That the plugin cannot go on with what is asked of it: it has been told.
  struct Stop: Error {}

  /// Nanoseconds in which a thread that has been joined has gone, and one that is still at work shows itself.
  private static let grace: UInt64 = 250_000_000

  let request: CheckRequest
  let probe: AllocationProbe?
  let report: CheckReport

  /// `descriptor`: where lines go. `probe`: nil: allocations are not counted. On the main thread, which has loaded no plugin.
  package init(_ request: CheckRequest, descriptor: Int32, probe: AllocationProbe?) {
    (self.request, self.probe) = (request, probe)
    report = CheckReport(descriptor: descriptor)
  }

  package func make(_ check: Check) {
    check_catch(report.descriptor)
    do {
      switch check {
      case .entry: try entry()
      case .versions: versions()
      case .descriptors: try descriptors()
      case .doubleInit: try doubleInit()
      case .twoInstances: try twoInstances()
      case .unknownExtensions: try unknownExtensions()
      case .outputBounds: try calls { try $0.outputBounds() }
      case .emptyInput: try calls { try $0.emptyInput() }
      case .garbageInput: try calls { try $0.garbageInput() }
      case .largeInput: try calls { try $0.largeInput() }
      case .completion: try calls { try $0.completion() }
      case .concurrency: try calls { try $0.concurrency() }
      case .useAfterDestroy: try useAfterDestroy()
      case .threads: try threads()
      case .leaks: try calls { try $0.leaks() }
      case .cost: try calls { try $0.cost() }
      case .fuzz: try calls { try $0.fuzz() }
      }
    } catch {
      // What stopped it has been told.
    }
    report.tell(.end)
  }

  func at(_ what: String, handler: String? = nil, input: String? = nil) { report.tell(.at(what: what, handler: handler, input: input)) }

  func found(_ code: FindingCode, _ what: String, handler: String? = nil, input: String? = nil) {
    report.tell(.found(code: code, handler: handler, what: what, input: input))
  }

  func tellFaults(_ host: CheckingHost, handler: String? = nil, input: String? = nil) {
    for fault in host.faults() { found(fault.code, fault.what, handler: handler, input: input) }
  }

  // MARK: Loading

  /// Tells why not.
  func load(_ host: CheckingHost, _ words: String = "init") throws -> LoadedPlugin {
    at(words)
    var loader = unsafe PluginLoader(host: host.table)
    do throws(PluginError) {
      let plugin = try loader.load(request.path)
      tellFaults(host)
      return plugin
    } catch {
      found(error.code, error.what)
      throw Stop()
    }
  }

  /// Calls `deinit`; what happens before the code is unmapped is `look`'s.
  func unload(_ plugin: LoadedPlugin, _ host: CheckingHost, _ look: () -> Void = {}) {
    at("deinit")
    plugin.unload {
      host.close()
      look()
      at("unmapping the code after deinit had returned: a thread may still have run in it")
    }
    tellFaults(host)
  }

  private func entry() throws {
    let host = CheckingHost(request.settings)
    let plugin = try load(host, "the entry and init")
    report.tell(.plugin(name: plugin.name, version: plugin.version, handlers: plugin.handlers.map(\.qualifiedName)))
    unload(plugin, host)
  }

  /// The entry is called once in a process: so this is all.
  private func versions() {
    let next = MILLRACE_ABI_VERSION + 1
    at("millrace_plugin_entry(\(next))")
    // Its headers were checked. What cannot be loaded, another check has told.
    guard let object = unsafe dlopen(request.path, RTLD_NOW | RTLD_LOCAL), let symbol = unsafe dlsym(object, MILLRACE_ENTRY_NAME) else {
      return
    }
    // The name promises this signature.
    let entry = unsafe unsafeBitCast(symbol, to: millrace_plugin_entry_function.self)
    guard let description = unsafe entry(next) else { return }
    let version = unsafe description.pointee.abi_version
    if version != MILLRACE_ABI_VERSION { found(.wrongABI, "millrace_plugin_entry(\(next)) describes a plugin of interface \(version)") }
  }

  private func descriptors() throws {
    let host = CheckingHost(request.settings)
    let plugin = try load(host)
    line(plugin.summary, "the summary", nil)
    line(plugin.version, "the version", nil)
    schema(plugin.configurationSchema, "configuration_schema", nil)
    for handler in plugin.handlers {
      line(handler.summary, "the summary", handler.qualifiedName)
      schema(handler.inputSchema, "input_schema", handler.qualifiedName)
      schema(handler.outputSchema, "output_schema", handler.qualifiedName)
    }
    unload(plugin, host)
  }

  private func line(_ text: String, _ field: String, _ handler: String?) {
    if text.isEmpty { found(.poorText, "\(field) is empty", handler: handler) }
    if text.contains(where: \.isNewline) { found(.poorText, "\(field) has more than one line", handler: handler) }
  }

  private func schema(_ text: String?, _ field: String, _ handler: String?) {
    guard let text else { return }
    do throws(JSONSyntaxError) {
      let value = try JSON(parsing: text)
      guard value.object != nil else { return found(.badSchema, "\(field) is no JSON object", handler: handler) }
      do throws(InputSchema.Malformed) {
        _ = try InputSchema(value)
      } catch {
        found(.badSchema, "\(field): \(error)", handler: handler)
      }
    } catch {
      found(.badSchema, "\(field) is no JSON: \(error)", handler: handler)
    }
  }

  // MARK: Lives

  private func doubleInit() throws {
    for time in ["first", "second", "third"] {
      let host = CheckingHost(request.settings)
      var loader = unsafe PluginLoader(host: host.table)
      at("the \(time) init, each after the deinit before")
      do throws(PluginError) {
        unload(try loader.load(request.path), host)
      } catch {
        // That the first one fails, another check has told.
        if time != "first" { found(.secondInit, "the \(time) init fails, after the deinit before: \(error.what)") }
        return
      }
    }
  }

  private func twoInstances() throws {
    let (first, second) = (CheckingHost(request.settings), CheckingHost(request.settings))
    let one = try load(first, "init of the first instance")
    at("init of the second instance, while there is a first one")
    var loader = unsafe PluginLoader(host: second.table)
    let two: LoadedPlugin
    do throws(PluginError) {
      two = try loader.load(request.path)
    } catch {
      found(.secondInit, "a second instance beside the first cannot start: \(error.what)")
      return unload(one, first)
    }
    for round in 1...2 {
      try calls(one, first, "the first of two instances") { try $0.few("round \(round)") }
      try calls(two, second, "the second of two instances") { try $0.few("round \(round)") }
    }
    unload(two, second)
    try calls(one, first, "the first instance, after deinit of the second") { try $0.few("once more") }
    tellFaults(second)
    unload(one, first)
    tellFaults(second)
  }

  private func unknownExtensions() throws {
    let bare = CheckingHost(request.settings, isBare: true)
    var loader = unsafe PluginLoader(host: bare.table)
    at("init by a host without extensions")
    let plugin: LoadedPlugin
    do throws(PluginError) {
      plugin = try loader.load(request.path)
    } catch {
      found(.needsExtension, "without extensions of the host: \(error.what)")
      let host = CheckingHost(request.settings)
      return ask(try load(host), host)
    }
    try calls(plugin, bare, "a host without extensions") { try $0.few("") }
    ask(plugin, bare)
  }

  private func ask(_ plugin: LoadedPlugin, _ host: CheckingHost) {
    let long = String(repeating: "x", count: 4_096)
    for id in ["", "millrace.no-such-thing/1", "\(plugin.name).no-such-thing/999", "/", long] {
      at("extension(\"\(id.prefix(40))\")")
      if plugin.has(extension: id) { found(.unknownExtension, "it has a table for the extension '\(id.prefix(40))'") }
    }
    unload(plugin, host)
  }

  private func useAfterDestroy() throws {
    let host = CheckingHost(request.settings)
    let plugin = try load(host)
    try calls(plugin, host, "") { try $0.few("before deinit") }
    unload(plugin, host) {
      at("after deinit, before its code is unmapped")
      pause(Self.grace)
      tellFaults(host)
    }
  }

  private func threads() throws {
    let before = Self.count("/proc/self/task")
    let host = CheckingHost(request.settings)
    let plugin = try load(host)
    try calls(plugin, host, "") { try $0.few("before deinit") }
    unload(plugin, host) {
      var left = Self.count("/proc/self/task") - before
      // One that was joined may not have quite gone.
      for _ in 0..<50 where left > 0 {
        pause(Self.grace / 50)
        left = Self.count("/proc/self/task") - before
      }
      if left > 0 {
        found(
          .threadLeft,
          "\(left) \(left == 1 ? "thread is" : "threads are") there after deinit that \(left == 1 ? "was" : "were") not before init")
      }
    }
  }

  private func pause(_ nanoseconds: UInt64) {
    var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    // Both are ours; a signal makes it shorter.
    unsafe _ = nanosleep(&time, nil)
  }

  /// Entries of a directory.
  static func count(_ directory: String) -> Int {
    guard let open = unsafe opendir(directory) else { return 0 }
    defer { unsafe _ = closedir(open) }
    var count = -2
    while unsafe readdir(open) != nil { count += 1 }
    return count
  }

  // MARK: Calls

  private func calls(_ body: (CallBench) throws -> Void) throws {
    let host = CheckingHost(request.settings)
    let plugin = try load(host)
    try calls(plugin, host, "", body)
    unload(plugin, host)
  }

  private func calls(_ plugin: LoadedPlugin, _ host: CheckingHost, _ place: String, _ body: (CallBench) throws -> Void) throws {
    for handler in plugin.handlers where request.takes(handler.qualifiedName) {
      for (called, isBatch) in [(handler, false)] + (handler.batchOfOne.map { [($0, true)] } ?? []) {
        let bench = CallBench(
          self, host, called, isBatch ? place + (place.isEmpty ? "" : ", ") + "a batch of one" : place, isBatch: isBatch)
        try body(bench)
        bench.end()
      }
    }
  }
}

extension PluginError {
  /// What the finding is called. What a file must be, the command has found out before.
  fileprivate var code: FindingCode {
    switch self {
    case .missingEntry: .missingEntry
    case .wrongABI: .wrongABI
    case .missingManifest, .badManifest, .foreignLayout: .badManifest
    case .missingLibrary, .missingSymbol, .refusedByLinker: .notLinked
    case .failedInit: .failedInit
    default: .malformed
    }
  }
}
