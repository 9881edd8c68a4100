import Foundation
import Millrace
import Testing

/// Plugins for the checker, of `Tests/CheckedPlugins`: good ones, and others that each have one fault.
enum CheckedPlugins {
  static let folder = Command.packageRoot.appending(path: "Tests/CheckedPlugins")
  static let good = names("good")
  static let broken = names("broken")

  private static func names(_ name: String) -> [String] {
    let found = (try? FileManager.default.contentsOfDirectory(atPath: folder.appending(path: name).path)) ?? []
    return found.filter { $0.hasSuffix(".c") || $0.hasSuffix(".cpp") }.sorted()
  }

  /// Compiles one of them into the command's folder.
  static func build(_ command: Command, _ source: String, _ flags: [String] = []) throws -> String {
    let isPlus = source.hasSuffix(".cpp")
    let compilers = isPlus ? ["/usr/bin/c++", "/usr/bin/g++"] : ["/usr/bin/cc", "/usr/bin/gcc"]
    let compiler = try #require(
      compilers.first { FileManager.default.isExecutableFile(atPath: $0) }, "no compiler: apt-get install gcc g++")
    let output = command.file("checked.so")
    let process = Process()
    process.executableURL = URL(filePath: compiler)
    process.arguments =
      [isPlus ? "-std=c++17" : "-std=c11", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread"]
      + flags
      + ["-I", folder.path, "-I", Command.packageRoot.appending(path: "Sources/CMillrace/include").path]
      + ["-o", output, folder.appending(path: source).path]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(source) does not compile")
    return output
  }
}
