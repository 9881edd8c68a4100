internal import CMillraceEmbedding
internal import Millrace

extension RegisteredHandler {
  /// Bytes of an input schema, at most.
  private static let longestSchema = 1 << 20

  /// A handler of the caller's, checked. Throws `Failure`.
  ///
  /// unsafe: `run` and `context` keep the promises of millrace/plugin.h until the engine is destroyed.
  @unsafe convenience init(foreign handler: UnsafePointer<millrace_handler>?) throws {
    let given = try unsafe Arguments.read(handler, "handler")
    let name = try unsafe Arguments.text(given.name, "handler.name")
    if unsafe given.run == nil { throw Arguments.missing("handler.run") }
    let known = UInt32(MILLRACE_BLOCKING | MILLRACE_EXCLUSIVE)
    if unsafe given.flags & ~known != 0 {
      throw Failure(.badArgument, "handler.flags has unknown bits: 0x\(String(unsafe given.flags & ~known, radix: 16))")
    }
    var schema: InputSchema?
    if let text = try unsafe Arguments.optionalText(given.input_schema, "handler.input_schema", limit: RegisteredHandler.longestSchema) {
      do { schema = try InputSchema(parsing: text) } catch { throw Failure(.badArgument, "handler.input_schema: \(error)") }
    }
    unsafe self.init(name: name, given, inputSchema: schema)
  }
}
