import Glibc

/// Reads definitions from files: YAML, JSON, or a recorded trace in WfFormat 1.5, told apart by name and content.
///
/// One pass finds every fault (`DefinitionError`, at most 100 listed), each with file, line, column and what to do. Limits: YAML 4 MiB, depth 64,
/// 1,000 aliases; JSON 64 MiB, depth 64. Complexity: O(bytes).
public struct DefinitionReader: Sendable {
  /// Handlers that exist; nil: not known, so not checked.
  public var handlers: Set<String>?
  /// What the inputs of handlers may be, as far as that is known.
  public var schemas: [String: InputSchema]
  /// Workflows that are deployed, by name; nil: not known, so not checked.
  public var workflows: [String: Definition]?

  /// Without arguments handlers, their inputs and deployed workflows are taken on trust.
  public init(handlers: Set<String>? = nil, schemas: [String: InputSchema] = [:], workflows: [String: Definition]? = nil) {
    self.handlers = handlers
    self.schemas = schemas
    self.workflows = workflows
  }

  /// A definition that can run, with the tasks of its templates in place.
  public struct Reading: Sendable {
    /// Parameters are not in place yet.
    public var definition: Definition
    /// In the order of the file; errors are thrown instead.
    public var warnings: [Fault]
    /// The templates of the file and of those that it includes, used or not.
    public var templates: [Template] = []
  }

  /// A template for a reader who wants to use it.
  public struct Template: Sendable {
    /// As `template: NAME` of a task says it.
    public var name: String
    /// For people; empty: none.
    public var description: String
    /// What `with` of a use must or may give.
    public var parameters: [Definition.Parameter]
    /// How many tasks a use stands for.
    public var tasks: Int
    /// How often the definition uses it, not counting what templates use.
    public var uses: Int
    /// The file that it stands in.
    public var file: String
  }

  /// Reads a file, and those that it includes, which lie in its folder. Throws `DefinitionError` with every fault.
  public func read(path: String) throws(DefinitionError) -> Reading {
    var faults = FaultList(file: path)
    switch FileBytes.read(path, limit: JSON.maximumBytes) {
    case .success(let bytes): return try read(bytes, name: path, folder: IncludeFolder(of: path), children: ChildReader(path, self))
    case .failure(let refusal):
      faults.add(refusal.code, refusal.message, fix: refusal.fix, at: nil)
      throw faults.error
    }
  }

  /// Reads bytes. `name` stands in messages; `.json` at its end, or `{` as the first byte, means JSON. They include nothing and run no files: they lie in no
  /// folder.
  public func read(_ bytes: [UInt8], name: String) throws(DefinitionError) -> Reading {
    try read(bytes, name: name, folder: nil, children: nil)
  }

  func read(_ bytes: [UInt8], name: String, folder: IncludeFolder?, children: ChildReader?) throws(DefinitionError) -> Reading {
    var faults = FaultList(file: name)
    guard let root = Self.parse(bytes, name: name, &faults) else { throw faults.error }
    if ArgoWorkflow.isArgo(root) {
      faults.add(
        .format, "this is a workflow of Argo", fix: "make a definition of it: millrace workflow import \(name) --output mine.yaml",
        at: root.position)
      throw faults.error
    }
    let isTrace = WfFormat.isTrace(root)
    var decoder = DefinitionDecoder(faults: faults)
    decoder.children = children
    decoder.workflows = workflows
    decoder.folder = folder
    decoder.schemas = schemas
    let definition = isTrace ? WfFormat.decode(root, &decoder) : decoder.decode(root)
    DefinitionChecker(handlers: handlers, workflows: workflows).check(
      definition, positions: decoder.positions, decoder.expressions.uses, &decoder.faults, &decoder.nearest)
    let reading = decoder.writtenOut(definition, handlers: handlers)
    guard decoder.faults.errors == 0 else { throw decoder.faults.error }
    return reading
  }

  /// Whether a file is meant to be a definition or a recorded trace: it says so, or cannot be read so far that this could be seen. Files with templates for
  /// others, workflows of Argo and whatever else is YAML or JSON are none.
  package static func holdsDefinition(path: String) -> Bool {
    guard case .success(let bytes) = FileBytes.read(path, limit: JSON.maximumBytes) else { return true }
    var faults = FaultList(file: path)
    guard let root = parse(bytes, name: path, &faults) else { return true }
    return root["workflow"] != nil || root["format"] != nil && (root["tasks"] != nil || root["steps"] != nil)
  }

  static func parse(_ bytes: [UInt8], name: String, _ faults: inout FaultList) -> Located? {
    let first = bytes.first { $0 > 0x20 }
    guard name.hasSuffix(".json") || first == UInt8(ascii: "{") else { return YAMLParser.parse(bytes, faults: &faults) }
    var parser = JSONParser<Located>(bytes)
    do throws(JSONSyntaxError) {
      return try parser.document()
    } catch {
      faults.add(error)
      return nil
    }
  }
}

/// A file as bytes, without Foundation.
package enum FileBytes {
  package struct Refusal: Error {
    package let code: Fault.Code
    package let message: String
    package let fix: String
  }

  package static func read(_ path: String, limit: Int) -> Result<[UInt8], Refusal> {
    // The path is passed as a C string that lives through the call.
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return .failure(refusal(errno)) }
    defer { close(file) }
    return read(file, limit: limit)
  }

  /// All that an open file still holds.
  static func read(_ file: Int32, limit: Int) -> Result<[UInt8], Refusal> {
    var bytes: [UInt8] = []
    while true {
      // Small at first: most definitions are.
      let chunk = min(max(bytes.count, 1 << 14), 1 << 20)
      var got = 0
      // The room is there, and read() says how much of it was written.
      let part = unsafe [UInt8](unsafeUninitializedCapacity: chunk) { room, count in
        repeat { got = unsafe Glibc.read(file, room.baseAddress, chunk) } while got < 0 && errno == EINTR
        count = max(got, 0)
      }
      let failure = errno
      bytes += part
      guard got >= 0 else { return .failure(refusal(failure)) }
      if got == 0 { return .success(bytes) }
      guard bytes.count <= limit else {
        return .failure(
          Refusal(code: .limit, message: "the file has more than \(limit) bytes", fix: "split the workflow, or make it in Swift"))
      }
    }
  }

  /// With neither links nor dots; nil: there is no such file.
  static func realPath(_ path: String) -> String? {
    guard let real = unsafe realpath(path, nil) else { return nil }
    // unsafe: realpath's own memory, ours to free.
    defer { unsafe free(real) }
    return unsafe String(cString: real)
  }

  static func refusal(_ number: Int32, fix: String = "give the path of a definition") -> Refusal {
    // strerror gives a string that lives until the next call on this thread.
    let reason = unsafe String(cString: strerror(number))
    let fix = number == EACCES ? "make the file readable" : fix
    return Refusal(code: .unreadable, message: "cannot read the file: \(reason)", fix: fix)
  }
}
