import Foundation
import Testing

@testable import MillracePlugins

@Suite struct PluginSearchTests {
  @Test("the places are searched in order, and an earlier one hides files of the same name in later directories")
  func order() throws {
    let workshop = try Workshop()
    for name in [
      "given/libmillrace-plugin-a.so", "given/other.so", "given/libmillrace-plugin-x.txt", "variable/libmillrace-plugin-b.so",
      "variable/libmillrace-plugin-a.so", "program/plugins/libmillrace-plugin-c.so", "program/libmillrace-plugin-c.so",
      "program/libmillrace-plugin-d.so", "loose.so", "odd name.so",
    ] { try workshop.write(name, []) }
    let search = PluginSearch(
      paths: [workshop.file("loose.so"), workshop.file("given")],
      environment: "\(workshop.file("odd name.so")):\(workshop.file("variable"))", programDirectory: workshop.file("program"))
    #expect(
      try search.files()
        == [
          "loose.so", "given/libmillrace-plugin-a.so", "odd name.so", "variable/libmillrace-plugin-b.so",
          "program/plugins/libmillrace-plugin-c.so", "program/libmillrace-plugin-d.so",
        ].map(workshop.file))
  }

  @Test("a named place must exist; the ones beside the program need not") func absent() throws {
    let workshop = try Workshop()
    #expect(try PluginSearch(programDirectory: workshop.file("nowhere")).files() == [])
    let nowhere = workshop.file("nowhere")
    #expect(throws: PluginError.missing(path: nowhere)) { try PluginSearch(paths: [nowhere]).files() }
    #expect(throws: PluginError.missing(path: nowhere)) { try PluginSearch(environment: nowhere).files() }
    #expect(try PluginSearch(environment: "").files() == [])
  }

  @Test("a file named twice stays twice, so that the loader can say so") func twice() throws {
    let workshop = try Workshop()
    let file = try workshop.write("plugin.so", [])
    #expect(try PluginSearch(paths: [file, file]).files() == [file, file])
  }

  @Test("a directory of more than 256 plugins is refused") func bound() throws {
    let workshop = try Workshop()
    for index in 0..<256 { try workshop.write("libmillrace-plugin-\(index).so", []) }
    #expect(try PluginSearch(paths: [workshop.path]).files().count == 256)
    try workshop.write("libmillrace-plugin-256.so", [])
    #expect(throws: PluginError.tooManyPlugins(directory: workshop.path, limit: 256)) { try PluginSearch(paths: [workshop.path]).files() }
  }
}
