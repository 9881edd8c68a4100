import MillraceWorkflow
import Testing

@Suite struct DefinitionWfFormatTests {
  /// Recorded traces beside the package or one level higher, if they are there.
  static let folder: String? = {
    let parts = #filePath.split(separator: "/").map { "/" + $0 }
    return [4, 5].map { parts.dropLast($0).joined() + "/shared/data/wfinstances" }.first {
      (try? DefinitionReader().read(path: "\($0)/bacass-dirt02-001.json")) != nil
    }
  }()

  static let traces: [(name: String, tasks: Int, makespan: Double)] = [
    ("1000genome-chameleon-22ch-250k-001", 902, 10417), ("bacass-dirt02-001", 11, 4243), ("blast-chameleon-small-001", 43, 1279.3),
    ("bwa-chameleon-large-001", 1004, 52218.36), ("epigenomics-chameleon-ilmn-6seq-100k-001", 863, 1498), ("mag-dirt02-001", 157, 4104),
    ("montage-chameleon-2mass-005d-001", 58, 1060), ("montage-chameleon-2mass-02d-001", 619, 7331),
    ("montage-chameleon-2mass-05d-001", 1738, 2554), ("rnaseq-dirt02-001", 197, 3131),
  ]

  @Test("all ten recorded traces are read", .enabled(if: folder != nil, "the traces are not beside the package"), arguments: traces)
  func recorded(name: String, tasks: Int, makespan: Double) throws {
    let folder = try #require(Self.folder)
    let definition = try DefinitionReader(handlers: [WfFormat.handler]).read(path: "\(folder)/\(name).json").definition
    #expect(definition.tasks.count == tasks)
    #expect(definition.recordedMakespanSeconds == makespan)
    #expect(definition.tasks.allSatisfy { $0.handler == "replay/task" && $0.recordedSeconds == $0.input["seconds"]?.double })
    try DefinitionChecker().check(definition)
  }

  private func trace(_ tasks: String, runtimes: String, version: String = "1.5") -> [UInt8] {
    Array(
      """
      {"name": "t", "schemaVersion": "\(version)", "workflow": {
      "specification": {"tasks": [
      \(tasks)
      ]},
      "execution": {"makespanInSeconds": 7, "tasks": [\(runtimes)]}}}
      """.utf8)
  }

  @Test("parents become dependencies, runtimes the input of the replay")
  func small() throws {
    let bytes = trace(
      #"{"id": "a", "parents": [], "children": ["b"]}, {"id": "b", "parents": ["a"], "children": []}"#,
      runtimes: #"{"id": "a", "runtimeInSeconds": 1.5}, {"id": "b", "runtimeInSeconds": 0}"#)
    let definition = try WfFormat.read(bytes, name: "t.json")
    #expect(
      definition
        == Definition(
          "t",
          tasks: [
            TaskDefinition("a", handler: "replay/task", input: ["seconds": 1.5], recordedSeconds: 1.5),
            TaskDefinition("b", handler: "replay/task", dependencies: ["a"], input: ["seconds": 0.0], recordedSeconds: 0),
          ], recordedMakespanSeconds: 7))
  }

  @Test("ids with other characters are mapped, keep apart, and leave ids that were good alone")
  func ids() throws {
    let bytes = trace(
      #"{"id": "x (1)", "parents": [], "children": ["x_1_"]}, {"id": "x:1:", "parents": []}, {"id": "x_1_", "parents": []}, {"id": "x_1_-2", "parents": ["x (1)"]}"#
        .replacing(#"["x_1_"]"#, with: #"["x_1_-2"]"#),
      runtimes: ["x (1)", "x:1:", "x_1_", "x_1_-2"].map { #"{"id": "\#($0)", "runtimeInSeconds": 1}"# }.joined(separator: ","))
    let definition = try WfFormat.read(bytes, name: "t.json")
    #expect(definition.tasks.map(\.id) == ["x__1_", "x_1_-3", "x_1_", "x_1_-2"])
    #expect(definition.tasks[3].dependencies == ["x__1_"])
  }

  @Test("parents and children that do not agree, unknown parents and missing runtimes are faults with their place")
  func mismatches() {
    let bytes = trace(
      """
      {"id": "a", "parents": [], "children": ["b"]},
      {"id": "b", "parents": [], "children": []},
      {"id": "c", "parents": ["b"], "children": []},
      {"id": "d", "parents": ["z"], "children": []}
      """, runtimes: #"{"id": "a", "runtimeInSeconds": 1}, {"id": "b", "runtimeInSeconds": 1}, {"id": "c", "runtimeInSeconds": -1}"#,
      version: "1.4")
    let error = #expect(throws: DefinitionError.self) { try WfFormat.read(bytes, name: "t.json") }
    #expect(
      error?.description == """
        t.json:1:32: error: WfFormat "1.4" is not known; this release reads 1.5
          fix: convert the trace to 1.5
        t.json:3:41: error: task 'a' names 'b' as child, which does not name it as parent
          fix: correct 'children' or 'parents'
        t.json:5:8: error: task 'c' has no recorded runtime
          fix: add it to 'execution.tasks' with 'runtimeInSeconds'
        t.json:5:25: error: task 'c' names 'b' as parent, which does not name it as child
          fix: correct 'children' or 'parents'
        t.json:6:8: error: task 'd' has no recorded runtime
          fix: add it to 'execution.tasks' with 'runtimeInSeconds'
        t.json:6:25: error: task 'd' depends on 'z', which is not a task
          fix: add the task, or remove the dependency
        t.json:8:153: error: 'runtimeInSeconds' must be seconds from 0 to ten years
          fix: correct the number
        """)
  }

  @Test("a replay plugin that is not there is told once, not for every task")
  func missingHandler() {
    let bytes = trace(
      #"{"id": "a", "parents": []}, {"id": "b", "parents": []}"#,
      runtimes: #"{"id": "a", "runtimeInSeconds": 1}, {"id": "b", "runtimeInSeconds": 1}"#)
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader(handlers: []).read(bytes, name: "t.json") }
    #expect(error?.faults.map(\.message) == ["task 'a' has the unknown handler 'replay/task'"])
  }
}
