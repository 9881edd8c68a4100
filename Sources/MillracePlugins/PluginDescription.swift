import CMillrace
import Glibc

/// What `millrace_plugin_entry` returned, checked field by field and copied.
@safe struct PluginDescription {
  /// Bytes of a version or a summary, at most.
  static let longestLine = 1_024
  /// Bytes of a schema, at most.
  static let longestSchema = Int(MILLRACE_SCHEMA_BYTES)
  static let largestHandlerCount: UInt32 = 1_024

  let name: String
  let version: String
  let summary: String
  let configurationSchema: String?
  let stays: Bool
  /// The plugin's functions and handlers: valid while the object is mapped.
  private let pointer: UnsafePointer<millrace_plugin>
  private let check: FieldCheck

  var initialize: (@convention(c) (UnsafePointer<millrace_host>?, UnsafeMutablePointer<CChar>?, Int) -> Int32)? {
    unsafe pointer.pointee.`init`
  }
  var deinitialize: (@convention(c) () -> Void)? { unsafe pointer.pointee.`deinit` }

  /// The plugin's table of this id; nil: it has none. Valid until `deinit`.
  func extensionTable(_ id: String) -> UnsafeRawPointer? {
    guard let find = unsafe pointer.pointee.`extension` else { return nil }
    return unsafe find(id)
  }

  /// Reads everything that is fixed before `init`.
  ///
  /// - Throws: `wrongABI`, `malformed`.
  init(_ returned: UnsafePointer<millrace_plugin>?, path: String) throws(PluginError) {
    guard let plugin = unsafe returned else { throw .wrongABI(path: path, plugin: nil, host: MILLRACE_ABI_VERSION) }
    check = FieldCheck(path: path)
    unsafe pointer = plugin
    // `size` and `abi_version` are there in every version; nothing else is read before they are known.
    let size = Int(unsafe plugin.pointee.size)
    guard size >= 8 else { throw check.malformed("size", "is \(size)") }
    let version = unsafe plugin.pointee.abi_version
    guard version == MILLRACE_ABI_VERSION else { throw .wrongABI(path: path, plugin: version, host: MILLRACE_ABI_VERSION) }
    try unsafe check.size(size, MemoryLayout<millrace_plugin>.size, "size")
    name = try unsafe check.name(plugin.pointee.name, "name")
    self.version = try unsafe check.text(plugin.pointee.version, "version", limit: Self.longestLine)
    summary = try unsafe check.text(plugin.pointee.summary, "summary", limit: Self.longestLine)
    configurationSchema = try unsafe check.schema(plugin.pointee.configuration_schema, "configuration_schema")
    let flags = unsafe plugin.pointee.flags
    try check.flags(flags, known: UInt32(MILLRACE_PLUGIN_STAYS), "flags")
    stays = flags & UInt32(MILLRACE_PLUGIN_STAYS) != 0
  }

  /// Reads the handlers: after `init`, which may have made them.
  ///
  /// - Throws: `malformed`.
  /// - Complexity: O(handlers).
  func handlers() throws(PluginError) -> [LoadedHandler] {
    let count = unsafe pointer.pointee.handler_count
    guard (1...Self.largestHandlerCount).contains(count) else {
      throw check.malformed("handler_count", "is \(count), expected 1 to \(Self.largestHandlerCount)")
    }
    guard let table = unsafe pointer.pointee.handlers else { throw check.malformed("handlers", "is NULL") }
    var handlers: [LoadedHandler] = []
    var names: Set<String> = []
    for index in 0..<Int(count) {
      // The plugin promises `handler_count` entries.
      guard let handler = unsafe table[index] else { throw check.malformed("handlers[\(index)]", "is NULL") }
      let loaded = try unsafe read(handler, "handlers[\(index)]")
      guard names.insert(loaded.qualifiedName).inserted else {
        throw check.malformed("handlers[\(index)].name", "is \(loaded.qualifiedName) a second time")
      }
      handlers.append(loaded)
    }
    let batches = try unsafe batches(of: handlers)
    for index in handlers.indices { unsafe handlers[index].batch = batches[handlers[index].qualifiedName] }
    return handlers
  }

  /// What the plugin says of handlers that run several attempts in one call, by the handler's name. After `init`.
  ///
  /// - Throws: `malformed`.
  /// - Complexity: O(handlers).
  private func batches(of handlers: [LoadedHandler]) throws(PluginError) -> [String: UnsafePointer<millrace_batch_handler>] {
    guard let found = unsafe extensionTable(MILLRACE_BATCH) else { return unsafe [:] }
    // The id names this struct; the size of each is checked before anything behind it is read.
    let table = unsafe found.assumingMemoryBound(to: millrace_batch.self)
    let field = MILLRACE_BATCH
    try unsafe check.size(Int(table.pointee.size), MemoryLayout<millrace_batch>.size, field + ".size")
    let count = unsafe table.pointee.handler_count
    guard count >= 1, Int(count) <= handlers.count else {
      throw check.malformed(field + ".handler_count", "is \(count), expected 1 to the plugin's \(handlers.count)")
    }
    guard let entries = unsafe table.pointee.handlers else { throw check.malformed(field + ".handlers", "is NULL") }
    var batches: [String: UnsafePointer<millrace_batch_handler>] = unsafe [:]
    for index in 0..<Int(count) {
      let place = "\(field).handlers[\(index)]"
      guard let entry = unsafe entries[index] else { throw check.malformed(place, "is NULL") }
      try unsafe check.size(Int(entry.pointee.size), MemoryLayout<millrace_batch_handler>.size, place + ".size")
      let value = unsafe entry.pointee
      let name = self.name + "/" + (try unsafe check.name(value.name, place + ".name"))
      guard let handler = handlers.first(where: { $0.qualifiedName == name }) else {
        throw check.malformed(place + ".name", "is \(name), which is none of the plugin's handlers")
      }
      guard handler.flags & UInt32(MILLRACE_EXCLUSIVE) == 0 else {
        throw check.malformed(place + ".name", "is \(name), which is MILLRACE_EXCLUSIVE: such a handler has no batches")
      }
      let most = unsafe value.most
      guard (2...UInt32(MILLRACE_BATCH_ATTEMPTS)).contains(most) else {
        throw check.malformed(place + ".most", "is \(most), expected 2 to \(MILLRACE_BATCH_ATTEMPTS)")
      }
      guard unsafe value.run != nil else { throw check.malformed(place + ".run", "is NULL") }
      guard unsafe batches.updateValue(entry, forKey: name) == nil else {
        throw check.malformed(place + ".name", "is \(name) a second time")
      }
    }
    return unsafe batches
  }

  private func read(_ handler: UnsafePointer<millrace_handler>, _ field: String) throws(PluginError) -> LoadedHandler {
    // The plugin's memory, valid while the object is mapped; the size is checked before anything behind it is read.
    try unsafe check.size(Int(handler.pointee.size), MemoryLayout<millrace_handler>.size, field + ".size")
    let value = unsafe handler.pointee
    try unsafe check.flags(value.flags, known: UInt32(MILLRACE_BLOCKING | MILLRACE_EXCLUSIVE), field + ".flags")
    guard unsafe value.run != nil else { throw check.malformed(field + ".run", "is NULL") }
    return unsafe LoadedHandler(
      qualifiedName: name + "/" + (try check.name(value.name, field + ".name")),
      summary: try check.text(value.summary, field + ".summary", limit: Self.longestLine),
      inputSchema: try check.schema(value.input_schema, field + ".input_schema"),
      outputSchema: try check.schema(value.output_schema, field + ".output_schema"), flags: value.flags, concurrency: value.concurrency,
      pointer: handler)
  }
}

/// Checks of single fields of plugin memory.
private struct FieldCheck {
  let path: String

  func malformed(_ field: String, _ reason: String) -> PluginError { .malformed(path: path, field: field, reason: reason) }

  func size(_ size: Int, _ needed: Int, _ field: String) throws(PluginError) {
    guard size >= needed else { throw malformed(field, "is \(size), expected \(needed) or more") }
  }

  func flags(_ flags: UInt32, known: UInt32, _ field: String) throws(PluginError) {
    guard flags & ~known == 0 else { throw malformed(field, "has unknown bits: 0x\(String(flags & ~known, radix: 16))") }
  }

  /// `[a-z0-9-]{1,127}`.
  func name(_ pointer: UnsafePointer<CChar>?, _ field: String) throws(PluginError) -> String {
    let name = try unsafe text(pointer, field, limit: Int(MILLRACE_NAME_BYTES) - 1)
    let allowed = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
      default: false
      }
    }
    guard allowed, !name.isEmpty else { throw malformed(field, "is \"\(name)\", expected [a-z0-9-]{1,\(MILLRACE_NAME_BYTES - 1)}") }
    return name
  }

  /// The text of a schema, which may be absent. Whether it is one, the engine finds out.
  func schema(_ pointer: UnsafePointer<CChar>?, _ field: String) throws(PluginError) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    return try unsafe text(pointer, field, limit: PluginDescription.longestSchema)
  }

  /// At most `limit` bytes of UTF-8.
  func text(_ pointer: UnsafePointer<CChar>?, _ field: String, limit: Int) throws(PluginError) -> String {
    guard let pointer = unsafe pointer else { throw malformed(field, "is NULL") }
    // Reads no further than the first NUL or `limit` + 1 bytes.
    let count = unsafe strnlen(pointer, limit + 1)
    guard count <= limit else { throw malformed(field, "has more than \(limit) bytes") }
    let bytes = unsafe UnsafeRawBufferPointer(start: pointer, count: count)
    guard let text = unsafe String(validating: bytes, as: UTF8.self) else { throw malformed(field, "is not UTF-8") }
    return text
  }
}
