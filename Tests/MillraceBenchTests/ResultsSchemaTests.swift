import Foundation
import MillraceWorkflow
import Testing

@testable import MillraceBench

/// docs/bench-result.schema.json says what result files are. Two validators: a small one of our own, and Python's where it is there.
@Suite struct ResultsSchemaTests {
  private static let schemaPath = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/docs/bench-result.schema.json"

  private static func schema() throws -> JSON { try JSON(parsing: String(contentsOfFile: schemaPath, encoding: .utf8)) }

  /// What is wrong with a value by the words of JSON Schema that the file uses.
  private func faults(_ value: JSON, _ schema: JSON, root: JSON, at path: String = "") -> [String] {
    if let reference = schema["$ref"]?.string {
      guard let named = root["$defs"]?[reference.replacing("#/$defs/", with: "")] else { return ["\(path): no \(reference)"] }
      return faults(value, named, root: root, at: path)
    }
    if let choices = schema["anyOf"]?.array {
      let all = choices.map { faults(value, $0, root: root, at: path) }
      return all.contains { $0.isEmpty } ? [] : all[0]
    }
    var found: [String] = []
    if let constant = schema["const"], constant != value { found.append("\(path): not \(constant.text())") }
    if let words = schema["enum"]?.array, !words.contains(value) { found.append("\(path): not one of the words") }
    let types = schema["type"].map { $0.array ?? [$0] }?.compactMap(\.string) ?? []
    if !types.isEmpty, !types.contains(where: { matches(value, $0) }) { found.append("\(path): not \(types)") }
    if let least = schema["minimum"]?.double, let number = value.double, number < least { found.append("\(path): below \(least)") }
    for name in schema["required"]?.array?.compactMap(\.string) ?? [] where value[name] == nil { found.append("\(path).\(name): missing") }
    for member in value.object ?? [] {
      guard let properties = schema["properties"] else { continue }
      guard let inner = properties[member.name] else {
        found.append("\(path).\(member.name): not in the schema")
        continue
      }
      found += faults(member.value, inner, root: root, at: "\(path).\(member.name)")
    }
    if let elements = value.array {
      if let fewest = schema["minItems"]?.integer, elements.count < fewest { found.append("\(path): too short") }
      if let most = schema["maxItems"]?.integer, elements.count > most { found.append("\(path): too long") }
      if let items = schema["items"] {
        for (index, element) in elements.enumerated() { found += faults(element, items, root: root, at: "\(path)[\(index)]") }
      }
    }
    return found
  }

  private func matches(_ value: JSON, _ type: String) -> Bool {
    switch type {
    case "object": value.object != nil
    case "array": value.array != nil
    case "string": value.string != nil
    case "boolean": value.bool != nil
    case "null": value.isNull
    case "integer": value.integer != nil
    case "number": value.double != nil
    default: false
    }
  }

  @Test("results keep to the schema, and the schema has a word for each of their members")
  func valid() throws {
    let schema = try Self.schema()
    var machine = SampleMachine(seed: 5)
    #expect(faults(Sample.open.json, schema, root: schema) == [])
    #expect(faults(Sample.searched.json, schema, root: schema) == [])
    #expect(faults(machine.measure(rounds: 2).json, schema, root: schema) == [])
    #expect(schema["properties"]?["schema"]?["const"] == .string(BenchResult.currentSchema))
  }

  @Test("results that break it are found, so that the check above can fail")
  func invalid() throws {
    let schema = try Self.schema()
    var result = Sample.open
    result.schema = "other"
    result.host.cpusOnline = 0
    result.configuration.arrivals = "by bus"
    #expect(faults(result.json, schema, root: schema).count == 3)
    #expect(faults(["schema": "millrace.bench/1"], schema, root: schema).count == 5)
  }

  @Test("the article names every member of the schema")
  func article() throws {
    let text = try String(contentsOfFile: Self.schemaPath.replacing("bench-result.schema.json", with: "bench-result.md"), encoding: .utf8)
    func names(_ schema: JSON) -> [String] {
      (schema["properties"]?.object ?? []).flatMap { [$0.name] + names($0.value) }
        + (schema["$defs"]?.object ?? []).flatMap { names($0.value) }
    }
    for name in try names(Self.schema()) { #expect(text.contains("`\(name)`"), "\(name)") }
  }

  private static let hasPython: Bool = {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", "-c", "import jsonschema"]
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }()

  @Test("Python's validator agrees", .enabled(if: hasPython, "needs python3 with jsonschema"), arguments: [true, false])
  func python(isSound: Bool) throws {
    var result = Sample.searched
    if !isSound { result.levels[0].level = 0 }
    let file = FileManager.default.temporaryDirectory.appending(path: "millrace-result-\(UUID().uuidString).json")
    try Data(BenchResultFile.bytes(result)).write(to: file)
    defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: file) } }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    let program = "import json, sys, jsonschema; jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))"
    process.arguments = ["python3", "-c", program, file.path, Self.schemaPath]
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    #expect((process.terminationStatus == 0) == isSound)
  }
}
