import MillraceWorkflow
import Testing

/// A file of 10,000 tasks. What grows with the square of their number would take far beyond the limit; figures are in docs/definitions.md.
@Suite(.timeLimit(.minutes(5))) struct DefinitionSizeTests {
  private static let count = 10_000

  private static func yaml(_ dependency: (Int) -> String, handler: String = "shell/run") -> String {
    let tasks = (0..<count).map { index in
      let names = index == 0 ? [] : index < 3 ? [index - 1] : [index - 1, index / 2]
      let dependencies = names.isEmpty ? "" : "    dependencies: [\(names.map(dependency).joined(separator: ", "))]\n"
      return "  - id: task-\(index)\n    handler: \(handler)\n\(dependencies)    input: { part: \(index), day: \"${params.day}\" }\n"
    }
    return "format: 1\nworkflow: large\nparameters: { day: { default: today } }\ntasks:\n" + tasks.joined()
  }

  private let reader = DefinitionReader(handlers: ["shell/run"])

  @Test("is read as YAML and as JSON")
  func correct() throws {
    let definition = try reader.read(Array(Self.yaml { "task-\($0)" }.utf8), name: "w.yaml").definition
    #expect(definition.tasks.count == Self.count)
    let tasks = definition.tasks.map { task in
      "{\"id\":\"\(task.id)\",\"handler\":\"shell/run\",\"dependencies\":\(JSON.array(task.dependencies.map(JSON.string)).text()),\"input\":\(task.input.text())}"
    }
    let json =
      "{\"format\":1,\"workflow\":\"large\",\"parameters\":{\"day\":{\"default\":\"today\"}},\"tasks\":[\(tasks.joined(separator: ","))]}"
    #expect(try reader.read(Array(json.utf8), name: "w.json").definition == definition)
  }

  @Test("is refused when every task is wrong twice, and the faults are counted")
  func wrong() {
    let text = Self.yaml({ "tsak-\($0)" }, handler: "shell/rnu")
    let error = #expect(throws: DefinitionError.self) { try reader.read(Array(text.utf8), name: "w.yaml") }
    #expect(error?.faults.count == DefinitionError.maximumFaults)
    #expect(error?.omitted == 2 * (Self.count - 3) + 2 + Self.count - DefinitionError.maximumFaults)
  }

  @Test("is refused when its tasks are one circle, which is told as a whole")
  func circle() {
    let text = Self.yaml { "task-\($0)" }.replacing(
      "  - id: task-0\n    handler: shell/run\n", with: "  - id: task-0\n    handler: shell/run\n    dependencies: [task-9999]\n")
    let error = #expect(throws: DefinitionError.self) { try reader.read(Array(text.utf8), name: "w.yaml") }
    #expect(error?.faults.contains { $0.code == .cycle } == true)
  }
}
