import CMillrace

/// What a child says of its plugin, as a `millrace_plugin` of this process: so the same eyes look at it.
///
/// It lives until the handlers are used no more.
@safe final class ChildDescription: @unchecked Sendable {
  // unsafe: allocated in init, freed in deinit.
  let plugin: UnsafeMutablePointer<millrace_plugin>
  private let handlers: UnsafeMutablePointer<millrace_handler>
  private let table: UnsafeMutablePointer<UnsafePointer<millrace_handler>?>
  private var texts: [UnsafeMutablePointer<CChar>] = unsafe []
  private let count: Int

  /// Reads what was copied out of the arena. Throws `malformed`.
  init(_ bytes: [UInt8], path: String) throws(PluginError) {
    var reader = Reader(bytes: bytes, path: path)
    let size = try reader.number()
    let version = try reader.number()
    let flags = try reader.number()
    var texts: [UnsafeMutablePointer<CChar>] = unsafe []
    var made: [millrace_handler] = unsafe []
    func text() throws(PluginError) -> UnsafePointer<CChar>? {
      guard let bytes = try reader.text() else { return nil }
      let text = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
      for (place, byte) in bytes.enumerated() { unsafe text[place] = CChar(bitPattern: byte) }
      unsafe text[bytes.count] = 0
      unsafe texts.append(text)
      return unsafe UnsafePointer(text)
    }
    do throws(PluginError) {
      var read = unsafe millrace_plugin()
      unsafe read.size = size
      unsafe read.abi_version = version
      unsafe read.flags = flags
      unsafe read.name = try text()
      unsafe read.version = try text()
      unsafe read.summary = try text()
      unsafe read.configuration_schema = try text()
      let count = try reader.number()
      guard count <= PluginDescription.largestHandlerCount else {
        throw .malformed(path: path, field: "handler_count", reason: "is \(count), expected 1 to \(PluginDescription.largestHandlerCount)")
      }
      for _ in 0..<count {
        var handler = unsafe millrace_handler()
        unsafe handler.size = try reader.number()
        unsafe handler.flags = try reader.number()
        unsafe handler.concurrency = try reader.number()
        // A function that is there, until the handler is `serve`d.
        if try reader.number() != 0 { unsafe handler.run = { _, _, _ in UInt32(MILLRACE_FAILED) } }
        unsafe handler.name = try text()
        unsafe handler.summary = try text()
        unsafe handler.input_schema = try text()
        unsafe handler.output_schema = try text()
        unsafe made.append(handler)
      }
      self.count = Int(count)
      unsafe plugin = .allocate(capacity: 1)
      unsafe handlers = .allocate(capacity: max(1, self.count))
      unsafe table = .allocate(capacity: max(1, self.count))
      for index in 0..<self.count {
        unsafe (handlers + index).initialize(to: made[index])
        unsafe (table + index).initialize(to: UnsafePointer(handlers + index))
      }
      unsafe read.handler_count = count
      unsafe read.handlers = UnsafePointer(table)
      unsafe plugin.initialize(to: read)
      unsafe self.texts = texts
    } catch {
      for index in unsafe 0..<texts.count { unsafe texts[index].deallocate() }
      throw error
    }
  }

  deinit {
    for index in unsafe 0..<texts.count { unsafe texts[index].deallocate() }
    unsafe handlers.deallocate()
    unsafe table.deallocate()
    unsafe plugin.deallocate()
  }

  /// What the engine calls from here on: a function of this process, which blocks nobody.
  func serve(
    _ index: Int, most: Int, context: UnsafeMutableRawPointer,
    _ run:
      @escaping @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<millrace_call>?, UnsafeMutablePointer<millrace_outcome>?) -> UInt32
  ) {
    let handler = unsafe handlers + index
    let told = unsafe Int(handler.pointee.concurrency)
    unsafe handler.pointee.flags &= ~UInt32(MILLRACE_BLOCKING)
    unsafe handler.pointee.concurrency = UInt32(told == 0 ? most : min(told, most))
    unsafe handler.pointee.context = context
    unsafe handler.pointee.run = run
  }

  private struct Reader {
    let bytes: [UInt8]
    let path: String
    var at = 0

    private func ended() -> PluginError {
      .malformed(path: path, field: "the description", reason: "ends too early: the plugin has written over it")
    }

    mutating func number() throws(PluginError) -> UInt32 {
      guard bytes.count - at >= 4 else { throw ended() }
      defer { at += 4 }
      return (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }

    /// Without its NUL.
    mutating func text() throws(PluginError) -> ArraySlice<UInt8>? {
      let length = Int(try number())
      if length == 0 { return nil }
      guard bytes.count - at >= length else { throw ended() }
      defer { at += length }
      return bytes[at..<at + length - 1]
    }
  }
}
