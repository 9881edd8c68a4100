import Glibc
import MillraceWorkflow
import Testing

@Suite struct DefinitionDocumentTests {
  private static let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()

  @Test("the examples of the articles are definitions without faults", arguments: ["definitions.md", "expressions.md"])
  func article(name: String) throws {
    let text = try String(contentsOfFile: "\(Self.root)/docs/\(name)")
    let blocks = text.split(separator: "```yaml\n").dropFirst().map { String($0.prefix(upTo: $0.firstRange(of: "```")!.lowerBound)) }
    #expect(!blocks.isEmpty)
    for block in blocks {
      let reading = try DefinitionReader().read(Array(whole(block).utf8), name: name)
      #expect(reading.warnings == [])
      guard block.hasPrefix("format") else { continue }
      let resolved = try reading.definition.resolve(parameters: ["day": "Monday"])
      #expect(resolved.tasks.first?.input == ["file": "/var/lib/dpkg/status", "chunks": 2])
    }
  }

  @Test("the example of sagas.md is a saga without faults")
  func sagas() throws {
    let text = try String(contentsOfFile: "\(Self.root)/docs/sagas.md")
    let block = try #require(text.split(separator: "```yaml\n").dropFirst().first)
    let yaml = String(block.prefix(upTo: try #require(block.firstRange(of: "```")).lowerBound))
    let reading = try DefinitionReader().read(Array(yaml.utf8), name: "sagas.md")
    #expect(reading.warnings == [])
    #expect(try SagaPlan(reading.definition).pivot == 3)
  }

  /// A block that is a part of a definition, with the rest around it.
  private func whole(_ block: String) -> String {
    let names = ["scratch", "host", "directory", "mode"].map { "\($0): {}" }.joined(separator: ", ")
    let rest = "format: 1\nworkflow: w\nparameters: { \(names) }\n"
    if ["tasks:", "templates:", "concurrency:"].contains(where: block.hasPrefix) { return rest + block }
    if ["cleanup:", "on_message:"].contains(where: block.hasPrefix) { return rest + "tasks: [{ id: split, handler: h }]\n" + block }
    return block.hasPrefix("env:") ? rest + "tasks:\n  - id: a\n    handler: h\n    " + block : block
  }

  @Test("the schema is JSON and names every key the reader knows")
  func schema() throws {
    let schema = try JSON(parsing: String(contentsOfFile: "\(Self.root)/docs/definition.schema.json"))
    let parts: [(JSON?, String)] = [
      (schema, "zzzzzzzz: 1"), (schema, "kind: saga\nzzzzzzzz: 1"),
      (schema["$defs"]?["step"], "kind: saga\nsteps: [{ zzzzzzzz: 1 }]"),
      (schema["$defs"]?["compensation"]?["anyOf"]?[1], "kind: saga\nsteps: [{ compensation: { zzzzzzzz: 1 } }]"),
      (schema["$defs"]?["stepRetry"], "kind: saga\nsteps: [{ retry: { zzzzzzzz: 1 } }]"),
      (schema["$defs"]?["task"], "format: 1\nworkflow: w\ntasks: [{ zzzzzzzz: 1 }]"),
      (schema["$defs"]?["template"], "format: 1\nworkflow: w\ntemplates: [{ zzzzzzzz: 1 }]\ntasks: []"),
      (schema["properties"]?["concurrency"], "concurrency: { zzzzzzzz: 1 }"),
      (schema["properties"]?["defaults"], "defaults: { zzzzzzzz: 1 }"),
      (schema["$defs"]?["concurrency"], "defaults: { concurrency: { zzzzzzzz: 1 } }"),
      (schema["$defs"]?["rate"], "defaults: { rate: { zzzzzzzz: 1 } }"),
      (schema["$defs"]?["breaker"], "defaults: { breaker: { zzzzzzzz: 1 } }"),
      (schema["$defs"]?["breaker"]?["properties"]?["retry_budget"], "defaults: { breaker: { retry_budget: { zzzzzzzz: 1 } } }"),
    ]
    for (value, text) in parts {
      let kind = text.hasPrefix("kind: saga") ? "then" : "else"
      let others = value?[kind]?["properties"]?.object?.map(\.name) ?? []
      let names = try #require(value?["properties"]?.object).map(\.name).filter { !others.contains($0) }
      // The reader lists the keys it knows when it meets one it does not.
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
