import Foundation
import Testing

@testable import Millrace

/// A plugin in C that a test compiles, and an engine that has it.
struct BuiltPlugin {
  static let compiler = ["/usr/bin/cc", "/usr/bin/gcc", "/usr/bin/clang"].first { FileManager.default.isExecutableFile(atPath: $0) }
  private static let headers = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Sources/CMillrace/include").path

  let folder: Folder
  let engine: Engine
  /// What it logged.
  let notes = Notes()

  init(_ source: String, _ change: (inout Engine.Configuration) -> Void = { _ in }) throws {
    folder = try Folder()
    try Data(source.utf8).write(to: URL(filePath: folder.path + "/plugin.c"))
    let process = Process()
    process.executableURL = URL(filePath: try #require(BuiltPlugin.compiler, "no C compiler in /usr/bin: apt-get install gcc"))
    process.arguments = [
      "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", BuiltPlugin.headers, "-o",
      folder.path + "/libmillrace-plugin-built.so", folder.path + "/plugin.c",
    ]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    var configuration = Engine.Configuration()
    configuration.slots = 4
    configuration.threads = 2
    configuration.capacity = 10_000
    configuration.plugins = PluginSearch(paths: [folder.path])
    let notes = notes
    configuration.log = { _, line in notes.add(line) }
    change(&configuration)
    engine = try Engine(configuration)
    #expect(engine.pluginProblems.isEmpty, "\(engine.pluginProblems)")
  }
}
