import Foundation
import Testing

@testable import MillraceWorkflow

/// A definition file that is broken, with every fault that one pass must find: `line:column code: message => fix`, in the order of the file. Those of an
/// included file begin with its name.
struct BrokenFile: Sendable, CustomTestStringConvertible {
  var what: String
  var text: String
  var name = "w.yaml"
  /// Files that it includes, by their paths from its folder.
  var files: [String: String] = [:]
  var faults: [String]

  var testDescription: String { what }
}

/// A table of broken definitions: each read once, each with all its faults.
@Suite struct BrokenDefinitionTests {
  static let table: [BrokenFile] =
    BrokenFile.shape + BrokenFile.tasks + BrokenFile.policies + BrokenFile.values + BrokenFile.ends + BrokenFile.templates
    + BrokenFile.includes + BrokenFile.inputs + BrokenFile.sagas

  /// What the plugins that come with Millrace say of their inputs, and two that use more of the language.
  static let schemas: [String: String] = [
    "files/hash": """
    {"type":["object","null"],"additionalProperties":false,"properties":{"files":{"type":"array","items":{"type":"string","minLength":1}}}}
    """,
    "files/list": """
    {"type":"object","required":["directory"],"additionalProperties":false,"properties":{"directory":{"type":"string","minLength":1},
    "pattern":{"type":"string"},"recursive":{"type":"boolean","default":false},
    "limit":{"type":"integer","minimum":1,"maximum":1000000,"default":100000}}}
    """,
    "replay/task": #"{"type":"object","required":["seconds"],"properties":{"seconds":{"type":"number","minimum":0}}}"#,
    "shell/run": """
    {"type":"object","oneOf":[{"required":["program"]},{"required":["command"]}],"additionalProperties":false,"properties":{
    "program":{"type":"string"},"arguments":{"type":"array","items":{"type":"string"}},"command":{"type":"string"},
    "environment":{"type":"object","additionalProperties":{"type":"string"}},"inheritEnvironment":{"type":"boolean"},
    "directory":{"type":"string"},"stdin":{"type":"string"}}}
    """,
    "test/all": """
    {"type":"object","properties":{"mode":{"enum":["fast","full"]},"kind":{"const":"x"},"name":{"type":"string","minLength":2,"maxLength":5},
    "list":{"type":"array","minItems":2,"maxItems":3},"pair":{"prefixItems":[{"type":"string"}],"items":{"type":"string"}},
    "level":{"exclusiveMinimum":0,"exclusiveMaximum":10},"odd":{"pattern":"^a"}}}
    """,
    "test/tree": """
    {"$ref":"#/$defs/node","$defs":{"node":{"type":"object","required":["name"],"additionalProperties":false,"properties":{
    "name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}},
    "size":{"anyOf":[{"type":"integer"},{"type":"object","properties":{"bytes":{"type":"integer"}}}]}}}}}
    """,
  ]

  static let reader: DefinitionReader = {
    var reader = DefinitionReader(handlers: Set(schemas.keys).union(["test/run"]))
    for (handler, text) in schemas { reader.schemas[handler] = try? InputSchema(parsing: text) }
    return reader
  }()

  /// Reads a file, from a folder of its own if it includes others.
  private static func faults(_ broken: BrokenFile) throws -> [String] {
    var folder = ""
    if !broken.files.isEmpty || broken.text.contains("include:") {
      folder = NSTemporaryDirectory() + "millrace-broken-" + UUID().uuidString + "/"
      for (name, text) in broken.files.merging([broken.name: broken.text], uniquingKeysWith: { $1 }) {
        let url = URL(filePath: folder + name)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
      }
    }
    defer { if !folder.isEmpty { try? FileManager.default.removeItem(atPath: folder) } }
    do throws(DefinitionError) {
      _ = folder.isEmpty ? try reader.read(Array(broken.text.utf8), name: broken.name) : try reader.read(path: folder + broken.name)
      return []
    } catch {
      return error.faults.map { fault in
        let file = fault.file == folder + broken.name ? "" : fault.file.replacing(folder, with: "") + ":"
        let place = fault.line.map { "\($0):\(fault.column ?? 0)" } ?? "-"
        return "\(file)\(place) \(fault.code.rawValue): \(fault.message.replacing(folder, with: "")) => \(fault.fix)"
      }
    }
  }

  @Test("a broken file is refused in one pass with all of its faults, each with line, column, kind and what to do", arguments: table)
  func broken(_ broken: BrokenFile) throws {
    let found = try Self.faults(broken)
    #expect(found == broken.faults, "\(found.joined(separator: "\n"))")
  }

  @Test("the table has 60 files and more, 25 of them and more with several faults, and a schema for each handler that it names")
  func size() {
    #expect(Self.table.count >= 60)
    #expect(Self.table.count { $0.faults.count > 1 } >= 25)
    #expect(Self.table.allSatisfy { !$0.faults.isEmpty })
    #expect(Self.reader.schemas.count == Self.schemas.count)
  }
}
