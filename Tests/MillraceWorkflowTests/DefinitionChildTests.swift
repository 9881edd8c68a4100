import Foundation
import Testing

@testable import MillraceWorkflow

/// A folder of definitions, for one test.
private final class Folder {
  let path: String

  init() throws {
    let url = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath().appending(path: "millrace-" + UUID().uuidString)
    try FileManager.default.createDirectory(at: url.appending(path: "inner/sub"), withIntermediateDirectories: true)
    path = url.path
  }

  deinit { do { try FileManager.default.removeItem(atPath: path) } catch { Issue.record(error) } }

  func write(_ name: String, _ tasks: String, parameters: String = "{}") throws {
    let text = "format: 1\nworkflow: w\nparameters: \(parameters)\ntasks:\n" + tasks
    try Data(text.utf8).write(to: URL(filePath: path + "/inner/" + name))
  }

  func read(_ name: String = "w.yaml", workflows: [String: Definition]? = nil) throws(DefinitionError) -> Definition {
    try DefinitionReader(handlers: ["h"], workflows: workflows).read(path: path + "/inner/" + name).definition
  }

  /// What is printed, less the folder.
  func faults(_ name: String = "w.yaml", workflows: [String: Definition]? = nil) -> String {
    do throws(DefinitionError) {
      _ = try read(name, workflows: workflows)
      return ""
    } catch {
      return error.description.replacing(path + "/inner/", with: "")
    }
  }
}

@Suite struct DefinitionChildTests {
  private let declared = "{ place: { enum: [here, there] }, count: { type: integer, default: 1 } }"

  @Test("a child's file is read with its parent, once, from its folder and below; a name is kept")
  func read() throws {
    let folder = try Folder()
    try folder.write("sub/leaf.yaml", "  - { id: x, handler: h }\n")
    try folder.write("child.yaml", "  - { id: x, workflow: sub/leaf.yaml }\n", parameters: declared)
    try folder.write(
      "w.yaml",
      """
        - { id: a, workflow: child.yaml, parameters: { place: here } }
        - { id: b, workflow: child.yaml, parameters: { place: "${tasks.a.output.place}", count: 2 }, dependencies: [a] }
        - { id: c, workflow: other }
      """)
    let definition = try folder.read()
    #expect(definition.tasks.map { $0.child?.name } == ["child.yaml", "child.yaml", "other"])
    #expect(definition.tasks[0].child?.definition?.tasks[0].child?.definition?.tasks.map(\.id) == ["x"])
    #expect(definition.tasks[1].input == ["place": "${tasks.a.output.place}", "count": 2])
    #expect(definition.tasks[2].child?.definition == nil)
    #expect(try Graph.text(definition).contains("workflow: child.yaml"))
  }

  @Test("faults of a child are told with its own file, once, behind those of its parent")
  func faultsOfChild() throws {
    let folder = try Folder()
    try folder.write("child.yaml", "  - { id: x, handler: g }\n")
    try folder.write("w.yaml", "  - { id: a, workflow: child.yaml }\n  - { id: b, workflow: child.yaml }\n  - { id: a, handler: h }\n")
    #expect(
      folder.faults() == """
        w.yaml:7:11: error: the id 'a' is used twice; first at line 5
          fix: give one of the tasks another id
        child.yaml:5:23: error: task 'x' has the unknown handler 'g'
          fix: load its plugin; known are h
        """)
  }

  @Test("parameters are held against what the child declares, each at its place")
  func parameters() throws {
    let folder = try Folder()
    try folder.write("child.yaml", "  - { id: x, handler: h }\n", parameters: declared)
    try folder.write(
      "w.yaml",
      "  - { id: a, workflow: child.yaml, parameters: { plase: here } }\n  - { id: b, workflow: child.yaml, parameters: { place: away, count: x } }\n  - { id: c, workflow: child.yaml, parameters: [1] }\n  - { id: d, handler: h, parameters: {} }\n"
    )
    #expect(
      folder.faults() == """
        w.yaml:5:24: error: task 'a': the parameter 'place' of 'w' must be given
          fix: write 'parameters: { place: VALUE }'
        w.yaml:5:50: error: task 'a': 'plase' is no parameter of 'w'
          fix: did you mean 'place'?
        w.yaml:6:57: error: task 'b': the parameter 'place' of 'w' is "away"; it must be one of here, there
          fix: give another value
        w.yaml:6:70: error: task 'b': the parameter 'count' of 'w' is "x"; it must be a whole number
          fix: give another value
        w.yaml:7:24: error: task 'c': the parameters must be a map
          fix: write 'parameters: { NAME: VALUE }'
        w.yaml:8:26: error: task 'd' has 'parameters', but no 'workflow' that could use them
          fix: call it 'input'
        """)
  }

  @Test("a workflow for each item: 'item' and 'index' stand in its parameters and its condition; elsewhere they are none")
  func items() throws {
    let folder = try Folder()
    try folder.write("child.yaml", "  - { id: x, handler: h }\n", parameters: declared)
    try folder.write(
      "w.yaml",
      """
        - { id: a, workflow: child.yaml, foreach: [here, there], parallelism: 2, when: "${index < 9}", parameters: { place: "${item}", count: "${index}" } }
      """)
    let task = try #require(try folder.read().tasks.first)
    #expect(task.foreach == .list(["here", "there"]) && task.parallelism == 2 && task.child?.name == "child.yaml")
    #expect(try Graph.text(folder.read()).contains("foreach workflow: child.yaml"))
    try folder.write(
      "w.yaml",
      "  - { id: a, workflow: child.yaml, parameters: { place: \"${item}\" } }\n  - { id: b, workflow: child.yaml, foreach: [1], parameters: { plase: x }, env: { A: b } }\n  - { id: c, wait: for 1s, foreach: [1], parallelism: 2 }\n"
    )
    #expect(
      folder.faults() == """
        w.yaml:5:60: error: 'item' is there only in a task with 'foreach'
          fix: add 'foreach: ${tasks.ID.output}' to the task, or use params.NAME
        w.yaml:6:24: error: task 'b': the parameter 'place' of 'w' must be given
          fix: write 'parameters: { place: VALUE }'
        w.yaml:6:64: error: task 'b': 'plase' is no parameter of 'w'
          fix: did you mean 'place'?
        w.yaml:6:76: error: task 'b' has 'env', but no handler that could use it
          fix: remove 'env'
        w.yaml:7:28: error: task 'c' has 'foreach', and waits
          fix: run a workflow that waits for each item: 'workflow: NAME'
        w.yaml:7:42: error: task 'c' has 'parallelism', and waits
          fix: run a workflow that waits for each item: 'workflow: NAME'
        """)
  }

  @Test("a file that is elsewhere, by path or by link, or nowhere, is refused; so is a circle of files")
  func places() throws {
    let folder = try Folder()
    try folder.write("../out.yaml", "  - { id: x, handler: h }\n")
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/inner/link.yaml", withDestinationPath: folder.path + "/out.yaml")
    try folder.write("sub/up.yaml", "  - { id: x, workflow: ../w.yaml }\n")
    try folder.write(
      "w.yaml",
      ["../out.yaml", "/etc/x.yaml", "link.yaml", "none.yaml", "sub/up.yaml", "w.yaml"].enumerated()
        .map { "  - { id: a\($0), workflow: \($1) }\n" }.joined())
    #expect(
      folder.faults() == """
        w.yaml:5:25: error: the workflow '../out.yaml' is not below the folder of this file
          fix: name a file in this folder or below
        w.yaml:6:25: error: the workflow '/etc/x.yaml' is not below the folder of this file
          fix: name a file in this folder or below
        w.yaml:7:25: error: the workflow 'link.yaml' is a link to a file elsewhere
          fix: put the file into this folder or below
        w.yaml:8:25: error: there is no file 'none.yaml'
          fix: give the path from this file on
        w.yaml:10:25: error: workflows that run one another: w.yaml -> w.yaml
          fix: end the circle: a child cannot run its parent
        sub/up.yaml:5:24: error: the workflow '../w.yaml' is not below the folder of this file
          fix: name a file in this folder or below
        """)
    try folder.write("a.yaml", "  - { id: x, workflow: b.yaml }\n")
    try folder.write("b.yaml", "  - { id: x, workflow: a.yaml }\n")
    #expect(folder.faults("a.yaml").contains("b.yaml:5:24: error: workflows that run one another: a.yaml -> b.yaml -> a.yaml"))
    for i in 0...ChildWorkflow.maximumDepth {
      try folder.write(
        "d\(i).yaml", i == ChildWorkflow.maximumDepth ? "  - { id: x, handler: h }\n" : "  - { id: x, workflow: d\(i + 1).yaml }\n")
    }
    #expect(folder.faults("d0.yaml").contains("workflows below one another more than 8 deep"))
    #expect(folder.faults("d1.yaml") == "")
  }

  @Test("a name must be deployed where it is known what is, and a definition in no file names none")
  func names() throws {
    let folder = try Folder()
    try folder.write(
      "w.yaml", "  - { id: a, workflow: relase, parameters: { x: 1 } }\n  - { id: b, workflow: release, parameters: { x: 1 } }\n")
    #expect(
      folder.faults(workflows: ["release": Definition("release")]) == """
        w.yaml:5:24: error: task 'a' runs the workflow 'relase', which is not deployed
          fix: did you mean 'release'?
        w.yaml:6:47: error: task 'b': 'x' is no parameter of 'release'
          fix: it has no parameters
        """)
    #expect(folder.faults() == "")
    let text =
      "format: 1\nworkflow: w\ntasks: [{ id: a, workflow: b.yaml }, { id: b, workflow: \"a b\" }, { id: c, workflow: d, input: 1 }]"
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(text.utf8), name: "w") }
    #expect(error?.faults.map(\.code) == [.badValue, .badValue, .mismatch])
  }

  @Test("a child in Swift is checked with its parent")
  func swift() throws {
    var child = Definition("child", parameters: [.init("x")])
    child.task("t", handler: "g")
    var parent = Definition("parent")
    parent.workflow("a", of: child, parameters: ["y": 1])
    parent.workflow("b", named: "none")
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker(handlers: ["h"], workflows: [:]).check(parent) }
    #expect(error?.faults.map(\.code) == [.unknownParameter, .missing, .unknownWorkflow, .unknownHandler])
    #expect(error?.faults.map(\.file) == ["parent", "parent", "parent", "child"])
  }
}
