import Foundation
import Testing

@testable import MillraceWorkflow

/// Files that definitions include, on a real disk.
@Suite struct IncludeTests {
  /// A folder with files, removed at the end.
  private final class Folder {
    let path: String

    init(_ files: [String: String]) throws {
      path = NSTemporaryDirectory() + "millrace-include-" + UUID().uuidString
      for (name, text) in files { try write(name, text) }
    }

    func write(_ name: String, _ text: String) throws {
      let url = URL(filePath: path + "/" + name)
      try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: url)
    }

    func link(_ name: String, to target: String) throws {
      try FileManager.default.createSymbolicLink(atPath: path + "/" + name, withDestinationPath: target)
    }

    /// Lines of faults without the folder's name.
    func faults(_ name: String = "w.yaml") -> [String] {
      let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(path: path + "/" + name) }
      return "\(error.map(\.description) ?? "")".split(separator: "\n").map { String($0.replacing(path + "/", with: "")) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  private static func workflow(_ include: String, template: String = "t") -> String {
    "format: 1\nworkflow: w\ninclude: [\(include)]\ntasks: [{ id: u, template: \(template) }]\n"
  }

  private static func templates(_ name: String, include: String = "", tasks: String = "[{ id: a, handler: h }]") -> String {
    "format: 1\n\(include.isEmpty ? "" : "include: [\(include)]\n")templates: [{ template: \(name), tasks: \(tasks) }]\n"
  }

  @Test("templates come from files beside the definition and below, and from those that these include; one file by two ways counts once")
  func files() throws {
    let folder = try Folder([
      "w.yaml": Self.workflow("lib/a.yaml, b.json"),
      "lib/a.yaml": Self.templates("t", include: "deep/c.yaml, d.yaml", tasks: "[{ id: x, template: c }]"),
      "lib/deep/c.yaml": Self.templates("c"), "lib/d.yaml": Self.templates("d", include: "deep/c.yaml"),
      "b.json": #"{"format": 1, "templates": [{"template": "b", "tasks": [{"id": "a", "handler": "h"}]}]}"#,
    ])
    let reading = try DefinitionReader().read(path: folder.path + "/w.yaml")
    #expect(reading.definition.tasks.map(\.id) == ["u.x.a"])
    #expect(reading.templates.map(\.name) == ["c", "d", "t", "b"])
    #expect(reading.templates.first?.file == folder.path + "/lib/deep/c.yaml")
    #expect(reading.templates.map(\.uses) == [0, 0, 1, 0])
  }

  @Test("faults of an included file stand under its name, behind those of the definition")
  func faults() throws {
    let folder = try Folder([
      "w.yaml": Self.workflow("a.yaml, b.yaml", template: "tt"),
      "a.yaml": Self.templates("t", tasks: "[{ id: a, handler: h, dependencies: [b], when: \"${params.x}\" }]"),
      "b.yaml": "format: 1\ntasks: []\n",
    ])
    #expect(
      folder.faults() == [
        "w.yaml:4:28: error: task 'u' uses the template 'tt', which is not there", "  fix: did you mean 't'?",
        "a.yaml:2:72: error: task 'a' depends on 'b', which is not a task", "  fix: add the task, or remove the dependency",
        "a.yaml:2:85: error: the parameter 'x' is not declared by the template 't'",
        "  fix: declare it: 'parameters: { x: { default: VALUE } }'",
        "b.yaml:2:1: error: unknown key 'tasks' in a file that is included", "  fix: the keys are format, description, include, templates",
      ])
  }

  @Test("nothing outside of the folder is read: no absolute path, no '..', no link to anywhere, nothing that is no file")
  func confined() throws {
    let outside = try Folder(["t.yaml": Self.templates("t")])
    let folder = try Folder([
      "w.yaml": Self.workflow("/etc/hosts, ../t.yaml, a/../t.yaml, ./t.yaml, '', link.yaml, dir/t.yaml, sub, gone.yaml, pipe"), "sub/x": "",
    ])
    try folder.link("link.yaml", to: outside.path + "/t.yaml")
    try folder.link("dir", to: outside.path)
    #expect(unsafe mkfifo(folder.path + "/pipe", 0o600) == 0)
    let faults = folder.faults().filter { !$0.hasPrefix("  fix") }.map { $0.drop { $0 != "e" } }
    #expect(
      faults == [
        "error: '/etc/hosts' does not lie in the folder of the file that includes it",
        "error: '../t.yaml' does not lie in the folder of the file that includes it",
        "error: 'a/../t.yaml' does not lie in the folder of the file that includes it",
        "error: './t.yaml' does not lie in the folder of the file that includes it",
        "error: '' does not lie in the folder of the file that includes it",
        "error: 'link.yaml' cannot be included: 'link.yaml' is a symbolic link, and none is followed",
        "error: 'dir/t.yaml' cannot be included: 'dir' is a symbolic link, and none is followed",
        "error: 'sub' cannot be included: it is no regular file",
        "error: 'gone.yaml' cannot be included: cannot read the file: No such file or directory",
        "error: 'pipe' cannot be included: it is no regular file", "error: task 'u' uses the template 't', which is not there",
      ])
    // A link inside the folder to a file inside is none the less a link.
    try folder.write("real.yaml", Self.templates("t"))
    try folder.link("near.yaml", to: "real.yaml")
    try folder.write("v.yaml", Self.workflow("near.yaml"))
    #expect(folder.faults("v.yaml").first?.contains("is a symbolic link") == true)
    try folder.write("v.yaml", Self.workflow("real.yaml"))
    #expect(try DefinitionReader().read(path: folder.path + "/v.yaml").definition.tasks.count == 1)
  }

  @Test("files that include each other are told with the way, and so is one that includes the definition")
  func cycles() throws {
    let folder = try Folder([
      "w.yaml": Self.workflow("a.yaml"), "a.yaml": Self.templates("t", include: "b.yaml"),
      "b.yaml": Self.templates("b", include: "c.yaml, w.yaml"),
      "c.yaml": Self.templates("c", include: "a.yaml"),
    ])
    let faults = folder.faults()
    #expect(faults.contains("c.yaml:2:11: error: files include each other: a.yaml -> b.yaml -> c.yaml -> a.yaml"), "\(faults)")
    #expect(faults.contains("b.yaml:2:19: error: files include each other: w.yaml -> a.yaml -> b.yaml -> w.yaml"), "\(faults)")
  }

  @Test("depth, number and bytes of files are bounded")
  func limits() throws {
    var files = ["w.yaml": Self.workflow("f0.yaml")]
    for level in 0..<9 { files["f\(level).yaml"] = Self.templates("t\(level == 0 ? "" : "\(level)")", include: "f\(level + 1).yaml") }
    #expect(try Folder(files).faults().contains { $0.hasSuffix("error: files include each other more than 8 deep") })
    files = [:]
    for number in 0..<65 { files["f\(number).yaml"] = Self.templates("t\(number)") }
    files["w.yaml"] = Self.workflow((0..<65).map { "f\($0).yaml" }.joined(separator: ", "), template: "t0")
    let faults = try Folder(files).faults()
    #expect(faults.filter { $0.contains("more than 64 files are included") }.count == 1)
    let large = try Folder(["w.yaml": Self.workflow("a.yaml"), "a.yaml": String(repeating: "#", count: IncludeFolder.maximumBytes + 1)])
    #expect(large.faults().contains { $0.contains("'a.yaml' cannot be included: the file has more than 16777216 bytes") })
  }

  @Test("bytes that lie in no folder include nothing")
  func bytes() {
    let error = #expect(throws: DefinitionError.self) {
      try DefinitionReader().read(Array(Self.workflow("a.yaml").utf8), name: "w.yaml")
    }
    #expect(error?.faults.first?.message == "'a.yaml' cannot be included: the definition is in no folder")
    #expect(error?.faults.first.map { [$0.line, $0.column] } == [3, 11])
  }
}
