/// Recorded executions of scientific workflows in WfFormat 1.5, the format of the WfCommons project, as definitions that replay them.
///
/// Each task becomes one with the handler `replay/task` and the input `{"seconds": runtimeInSeconds}`. Its dependencies are its parents, checked against
/// the children that these name. Ids that hold other characters than ours have them replaced by `_`, with `-2`, `-3`, ... where that makes two equal.
public enum WfFormat {
  /// The only `schemaVersion` that is read.
  public static let version = "1.5"
  /// Of every task that comes out; the plugin `replay` has it.
  public static let handler = "replay/task"

  /// Reads a trace. Throws `DefinitionError` with every fault. `DefinitionReader` does the same for a file that holds a trace.
  public static func read(_ bytes: [UInt8], name: String) throws(DefinitionError) -> Definition {
    var faults = FaultList(file: name)
    let root: Located
    do throws(JSONSyntaxError) {
      var parser = JSONParser<Located>(bytes)
      root = try parser.document()
    } catch {
      faults.add(error)
      throw faults.error
    }
    var decoder = DefinitionDecoder(faults: faults)
    let definition = decode(root, &decoder)
    DefinitionChecker().check(definition, positions: decoder.positions, [], &decoder.faults, &decoder.nearest)
    guard decoder.faults.errors == 0 else { throw decoder.faults.error }
    return definition
  }

  static func isTrace(_ root: Located) -> Bool { root["workflow"]?["specification"]?["tasks"] != nil }

  static func decode(_ root: Located, _ decoder: inout DefinitionDecoder) -> Definition {
    var reader = WfReader(decoder)
    defer { decoder = reader.decoder }
    return reader.read(root)
  }
}

private struct WfReader {
  var decoder: DefinitionDecoder

  private var ids: [String: String] = [:]
  private var used: Set<String> = []

  init(_ decoder: DefinitionDecoder) { self.decoder = decoder }

  mutating func read(_ root: Located) -> Definition {
    decoder.positions.isImport = true
    var definition = Definition("")
    if let version = root["schemaVersion"], version.string != WfFormat.version {
      decoder.faults.add(
        .format, "WfFormat \(version.json.text()) is not known; this release reads \(WfFormat.version)", fix: "convert the trace to 1.5",
        at: version.position)
    }
    let name = root["name"]?.string ?? ""
    definition.name = name.isEmpty ? "trace" : sanitized(name)
    definition.description = root["description"]?.string ?? ""
    definition.recordedMakespanSeconds = seconds(root["workflow"]?["execution"]?["makespanInSeconds"], "'makespanInSeconds'")
    let tasks = elements(root["workflow"]?["specification"]?["tasks"], "'tasks'", at: root.position)
    let recorded = recordedSeconds(root)
    assignIds(tasks)
    for task in tasks { definition.tasks.append(read(task, recorded)) }
    crossCheck(tasks)
    return definition
  }

  private mutating func read(_ task: Located, _ recorded: [String: Double]) -> TaskDefinition {
    let position = task["id"]?.position ?? task.position
    let raw = task["id"]?.string ?? ""
    let parents = elements(task["parents"], "'parents'", at: position)
    if !raw.isEmpty, recorded[raw] == nil {
      decoder.faults.add(
        .missing, "task '\(raw)' has no recorded runtime", fix: "add it to 'execution.tasks' with 'runtimeInSeconds'", at: position)
    }
    decoder.positions.tasks.append(
      DefinitionPositions.TaskPositions(task: task.position, id: position, handler: position, dependencies: parents.map(\.position)))
    let seconds = recorded[raw]
    return TaskDefinition(
      ids[raw] ?? "", handler: WfFormat.handler, dependencies: parents.map { ids[$0.string ?? ""] ?? $0.string ?? "" },
      input: .object([JSON.Member("seconds", .number(seconds ?? 0))]), recordedSeconds: seconds)
  }

  /// Gives every id of the trace one of ours. Those that are ids already keep their name, wherever they stand.
  private mutating func assignIds(_ tasks: [Located]) {
    for task in tasks {
      guard let id = task["id"]?.string, !id.isEmpty else {
        decoder.faults.add(.missing, "a task has no 'id'", fix: "add 'id' as text", at: task.position)
        continue
      }
      if Identifier.isId(id) {
        ids[id] = id
        used.insert(id)
      }
    }
    var next: [String: Int] = [:]
    for task in tasks {
      guard let id = task["id"]?.string, !id.isEmpty, ids[id] == nil else { continue }
      let base = sanitized(id)
      var name = base
      while !used.insert(name).inserted {
        next[base, default: 1] += 1
        let suffix = "-\(next[base, default: 1])"
        name = base.prefix(Identifier.maximumLength - suffix.count) + suffix
      }
      ids[id] = name
    }
  }

  private func sanitized(_ text: String) -> String {
    let bytes = text.utf8.prefix(Identifier.maximumLength).map { Identifier.isWord($0) || $0 == UInt8(ascii: ".") ? $0 : UInt8(ascii: "_") }
    return String(decoding: bytes, as: UTF8.self)
  }

  private mutating func recordedSeconds(_ root: Located) -> [String: Double] {
    var result: [String: Double] = [:]
    guard let list = root["workflow"]?["execution"]?["tasks"] else { return result }
    for task in elements(list, "'execution.tasks'", at: list.position) {
      guard let id = task["id"]?.string, let length = seconds(task["runtimeInSeconds"], "'runtimeInSeconds'") else { continue }
      result[id] = length
    }
    return result
  }

  /// Every parent must name the task as child, and every child it as parent.
  private mutating func crossCheck(_ tasks: [Located]) {
    struct Edge: Hashable {
      let parent: String
      let child: String
    }
    var fromChildren: [Edge: Position] = [:]
    var fromParents: Set<Edge> = []
    for task in tasks {
      guard let id = task["id"]?.string else { continue }
      for child in task["children"]?.elements ?? [] { fromChildren[Edge(parent: id, child: child.string ?? "")] = child.position }
    }
    for task in tasks {
      guard let id = task["id"]?.string else { continue }
      for parent in task["parents"]?.elements ?? [] {
        let edge = Edge(parent: parent.string ?? "", child: id)
        fromParents.insert(edge)
        // An unknown parent is a fault of its own.
        guard ids[edge.parent] != nil, fromChildren[edge] == nil else { continue }
        decoder.faults.add(
          .mismatch, "task '\(id)' names '\(edge.parent)' as parent, which does not name it as child",
          fix: "correct 'children' or 'parents'",
          at: parent.position)
      }
    }
    for (edge, position) in fromChildren where !fromParents.contains(edge) {
      decoder.faults.add(
        .mismatch, "task '\(edge.parent)' names '\(edge.child)' as child, which does not name it as parent",
        fix: "correct 'children' or 'parents'",
        at: position)
    }
  }

  private mutating func elements(_ value: Located?, _ label: String, at position: Position) -> [Located] {
    guard let value else {
      decoder.faults.add(.missing, "\(label) is missing", fix: "add it as a list", at: position)
      return []
    }
    return decoder.list(value, label, "values", fix: "write a list")
  }

  private mutating func seconds(_ value: Located?, _ label: String) -> Double? {
    guard let value else { return nil }
    if let number = value.scalar?.double, 0...Double(DurationText.maximum / 1_000_000_000) ~= number { return number }
    decoder.faults.add(.badValue, "\(label) must be seconds from 0 to ten years", fix: "correct the number", at: value.position)
    return nil
  }
}
