import Glibc
import MillraceWorkflow
import Testing

@Suite struct DefinitionDocumentTests {
  private static let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()

  @Test("the example of the article is a definition without faults")
  func article() throws {
    let text = try String(contentsOfFile: "\(Self.root)/docs/definitions.md")
    let blocks = text.split(separator: "```yaml\n").dropFirst().map { $0.prefix(upTo: $0.firstRange(of: "```")!.lowerBound) }
    #expect(blocks.count == 1)
    for block in blocks {
      let reading = try DefinitionReader().read(Array(block.utf8), name: "docs/definitions.md")
      #expect(reading.warnings == [])
      let resolved = try reading.definition.resolve(parameters: ["day": "Monday"])
      #expect(resolved.tasks.first?.input == ["file": "/var/lib/dpkg/status", "chunks": 2])
    }
  }

  @Test("the schema is JSON and names every key the reader knows")
  func schema() throws {
    let schema = try JSON(parsing: String(contentsOfFile: "\(Self.root)/docs/definition.schema.json"))
    for (value, at) in [(schema, "definition"), (schema["$defs"]?["task"] ?? nil, "task")] {
      let names = try #require(value["properties"]?.object).map(\.name)
      // The reader lists the keys it knows when it meets one it does not.
      let text = at == "task" ? "format: 1\nworkflow: w\ntasks: [{ zzzzzzzz: 1 }]" : "zzzzzzzz: 1"
      let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(text.utf8), name: "w") }
      let fault = try #require(error?.faults.first { $0.code == .unknownKey })
      #expect(Set(fault.fix.dropFirst("the keys are ".count).split(separator: ", ").map(String.init)) == Set(names))
    }
  }
}

extension String {
  fileprivate init(contentsOfFile path: String) throws {
    guard let file = unsafe fopen(path, "r") else { throw Missing(path: path) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = unsafe getc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    self = String(decoding: bytes, as: UTF8.self)
  }
}

private struct Missing: Error {
  let path: String
}
