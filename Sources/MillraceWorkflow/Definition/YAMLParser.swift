import CYaml

/// Reads one YAML document into a tree with positions, from libyaml's events.
///
/// Yams builds nodes first and can be asked afterwards; a file made of aliases has to be refused before. So this reads the events of the same parser,
/// counts aliases and depth as they come, and shares what an alias names instead of copying it. Plain scalars follow the core schema of YAML 1.2:
/// `no`, `on` and `12:30` are text.
struct YAMLParser {
  /// Longest text: 4 MiB.
  static let maximumBytes = 4 << 20
  static let maximumDepth = 64
  static let maximumAliases = 1_000
  /// What all aliases together may stand for, in bytes of text and 8 bytes a value.
  static let maximumAliasedBytes = 16 << 20

  static let tooDeep = "lists and maps are nested more than \(maximumDepth) deep"

  /// A finished value and what it costs to walk through it.
  private struct Measured {
    var tree: Located
    var height: Int
    var bytes: Int
  }

  /// A list or map that is still open.
  private struct Open {
    var position: Position
    var anchor: String?
    var isMap: Bool
    var elements: [Located] = []
    var entries: [Located.Entry] = []
    /// Lines of the keys so far.
    var lines: [String: UInt32] = [:]
    var key: (name: String, position: Position)?
    var height = 1
    var bytes = 8
  }

  private var open: [Open] = []
  private var anchors: [String: Measured] = [:]
  private var aliases = 0
  private var aliasedBytes = 0
  private var root: Located?

  /// The document; nil if a fault (added to `faults`) makes it unreadable. Duplicate keys are faults that do not stop the reading.
  static func parse(_ bytes: [UInt8], faults: inout FaultList) -> Located? {
    guard bytes.count <= maximumBytes else {
      faults.add(
        .limit, "the file has \(bytes.count) bytes; at most \(maximumBytes) are read as YAML",
        fix: "write large definitions as JSON (64 MiB), or make them in Swift", at: .start)
      return nil
    }
    guard !hasTagDirective(bytes) else {
      faults.add(.syntax, "a %TAG directive", fix: "remove it; definitions use no tags", at: .start)
      return nil
    }
    var parser = YAMLParser()
    do throws(Stop) {
      try parser.events(bytes, &faults)
    } catch {
      return nil
    }
    if parser.root == nil { faults.add(.syntax, "the file is empty", fix: "begin with 'format: 1' and 'workflow: NAME'", at: .start) }
    return parser.root
  }

  /// A fault was added that ends the reading.
  private struct Stop: Error {}

  /// libyaml compares every directive with all before it, so a file of directives would take quadratic time.
  private static func hasTagDirective(_ bytes: [UInt8]) -> Bool {
    var start = 0
    while start < bytes.count {
      let line = bytes[start...].prefix { $0 != 0x0A }
      if line.starts(with: "%TAG".utf8) { return true }
      let isContent = line.first.map { $0 != UInt8(ascii: "%") && $0 != UInt8(ascii: "#") && $0 > 0x20 } ?? false
      if isContent { return false }
      start = line.endIndex + 1
    }
    return false
  }

  private mutating func events(_ bytes: [UInt8], _ faults: inout FaultList) throws(Stop) {
    var parser = unsafe yaml_parser_t()
    guard unsafe yaml_parser_initialize(&parser) == 1 else {
      faults.add(.unreadable, "no memory to read the file", fix: "free memory and try again", at: .start)
      throw Stop()
    }
    defer { unsafe yaml_parser_delete(&parser) }
    unsafe yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
    // The parser keeps the pointer, so every call that reads stays inside the closure.
    let result: Result<Void, Stop> = unsafe bytes.withUnsafeBufferPointer { buffer in
      unsafe yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
      do throws(Stop) {
        while try unsafe next(&parser, bytes, &faults) {}
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  /// Takes one event; false at the end of the stream.
  private mutating func next(_ parser: inout yaml_parser_t, _ bytes: [UInt8], _ faults: inout FaultList) throws(Stop) -> Bool {
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(&parser, &event) == 1 else {
      unsafe YAMLSyntax.add(parser, bytes, to: &faults)
      throw Stop()
    }
    // The event owns its text; everything kept is copied before it goes.
    defer { unsafe yaml_event_delete(&event) }
    let position = unsafe Position(event.start_mark)
    switch unsafe event.type {
    case YAML_STREAM_END_EVENT: return false
    case YAML_DOCUMENT_START_EVENT:
      guard root == nil else {
        throw stop(.syntax, "a second document begins here", fix: "keep one workflow in a file", at: position, &faults)
      }
    case YAML_ALIAS_EVENT: try unsafe alias(text(event.data.alias.anchor), at: position, &faults)
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      // libyaml gives length bytes at value; they live until the event is deleted.
      let value = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      let plain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE
      let tag = unsafe text(scalar.tag)
      let anchor = unsafe text(scalar.anchor)
      // Marks count characters: in one line, and as many as the text has, they are its own.
      let (start, end) = unsafe (event.start_mark, event.end_mark)
      let isWhole = start.line == end.line && Int(end.index - start.index) == value.unicodeScalars.count + (plain ? 0 : 2)
      try self.scalar(value, plain: plain, offset: isWhole ? (plain ? 0 : 1) : nil, tag: tag, anchor: anchor, at: position, &faults)
    case YAML_SEQUENCE_START_EVENT:
      let start = unsafe event.data.sequence_start
      try unsafe begin(isMap: false, tag: text(start.tag), anchor: text(start.anchor), at: position, &faults)
    case YAML_MAPPING_START_EVENT:
      let start = unsafe event.data.mapping_start
      try unsafe begin(isMap: true, tag: text(start.tag), anchor: text(start.anchor), at: position, &faults)
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
      let done = open.removeLast()
      let tree = done.isMap ? Located.map(done.entries, at: done.position) : .list(done.elements, at: done.position)
      try place(Measured(tree: tree, height: done.height, bytes: done.bytes), anchor: done.anchor, &faults)
    default: break
    }
    return true
  }

  private func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
    // Anchors and tags are NUL-terminated.
    unsafe pointer.map { unsafe String(cString: $0) }
  }

  // MARK: Values

  private mutating func alias(_ anchor: String?, at position: Position, _ faults: inout FaultList) throws(Stop) {
    aliases += 1
    guard aliases <= Self.maximumAliases else {
      throw stop(.limit, "more than \(Self.maximumAliases) aliases", fix: "write the values out, or use 'defaults'", at: position, &faults)
    }
    guard let anchor, let value = anchors[anchor] else {
      throw stop(
        .syntax, "the alias *\(anchor ?? "") names no anchor before it", fix: "write &\(anchor ?? "") before the value it names",
        at: position, &faults)
    }
    aliasedBytes += value.bytes
    guard aliasedBytes <= Self.maximumAliasedBytes else {
      throw stop(
        .limit, "the aliases stand for more than \(Self.maximumAliasedBytes) bytes", fix: "do not nest aliases of large values",
        at: position, &faults)
    }
    guard open.count + value.height <= Self.maximumDepth else { throw tooDeep(position, &faults) }
    try place(value, anchor: nil, &faults)
  }

  private mutating func scalar(
    _ value: String, plain: Bool, offset: UInt8?, tag: String?, anchor: String?, at position: Position, _ faults: inout FaultList
  ) throws(Stop) {
    if let tag, tag != "tag:yaml.org,2002:str", tag != "!" { throw unknownTag(tag, position, &faults) }
    if let last = open.indices.last, open[last].isMap, open[last].key == nil {
      return key(value, plain: plain, at: position, &faults)
    }
    let json = plain && tag == nil ? YAMLScalar.json(value) : .string(value)
    guard let json else {
      throw stop(
        .badValue, "the number \(value.prefix(40)) cannot be held", fix: "write it in quotes, or within 1.8e308", at: position, &faults)
    }
    let tree: Located
    if case .string(let text) = json {
      tree = .text(text, at: position, offset: tag == nil ? offset : nil)
    } else {
      tree = .scalar(json, at: position)
    }
    try place(Measured(tree: tree, height: 0, bytes: 8 + value.utf8.count), anchor: anchor, &faults)
  }

  private mutating func key(_ name: String, plain: Bool, at position: Position, _ faults: inout FaultList) {
    let last = open.count - 1
    if plain, name == "<<" {
      faults.add(.syntax, "merge keys are not read", fix: "write the values out, or use 'defaults'", at: position)
    } else if let first = open[last].lines.updateValue(position.line, forKey: name) {
      open[last].lines[name] = first
      faults.add(.duplicateKey, "the key '\(name)' occurs twice; first at line \(first)", fix: "remove one of them", at: position)
    }
    open[last].key = (name, position)
  }

  private mutating func begin(isMap: Bool, tag: String?, anchor: String?, at position: Position, _ faults: inout FaultList) throws(Stop) {
    if let tag, tag != "tag:yaml.org,2002:map", tag != "tag:yaml.org,2002:seq" { throw unknownTag(tag, position, &faults) }
    guard open.count < Self.maximumDepth else { throw tooDeep(position, &faults) }
    if let last = open.indices.last, open[last].isMap, open[last].key == nil {
      throw stop(
        .syntax, "a key that is \(isMap ? "a map" : "a list")", fix: "use text as key; put text with { or [ in quotes", at: position,
        &faults)
    }
    open.append(Open(position: position, anchor: anchor, isMap: isMap))
  }

  /// Puts a finished value where it belongs.
  private mutating func place(_ value: Measured, anchor: String?, _ faults: inout FaultList) throws(Stop) {
    if let anchor { anchors[anchor] = value }
    guard let last = open.indices.last else {
      root = value.tree
      return
    }
    if open[last].isMap {
      guard let key = open[last].key else {
        throw stop(.syntax, "an alias as key", fix: "write the key out", at: value.tree.position, &faults)
      }
      open[last].entries.append(Located.Entry(name: key.name, position: key.position, value: value.tree))
      open[last].bytes += 8 + key.name.utf8.count
      open[last].key = nil
    } else {
      open[last].elements.append(value.tree)
    }
    open[last].height = max(open[last].height, value.height + 1)
    open[last].bytes += value.bytes
  }

  // MARK: Faults

  private func stop(_ code: Fault.Code, _ message: String, fix: String, at position: Position, _ faults: inout FaultList) -> Stop {
    faults.add(code, message, fix: fix, at: position)
    return Stop()
  }

  private func tooDeep(_ position: Position, _ faults: inout FaultList) -> Stop {
    stop(.limit, Self.tooDeep, fix: "use fewer levels", at: position, &faults)
  }

  private func unknownTag(_ tag: String, _ position: Position, _ faults: inout FaultList) -> Stop {
    stop(.syntax, "the tag \(tag.prefix(60)) is not read", fix: "remove it; put text in quotes", at: position, &faults)
  }
}

extension Position {
  init(_ mark: yaml_mark_t) {
    self.init(line: UInt32(truncatingIfNeeded: mark.line + 1), column: UInt32(truncatingIfNeeded: mark.column + 1))
  }
}
