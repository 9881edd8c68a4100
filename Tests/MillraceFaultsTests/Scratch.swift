import Foundation
import MillraceFaults
import Testing

/// A directory of its own for one test. Removed with it.
final class Scratch {
  let path: String

  init() throws {
    path = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath().appending(path: "millrace-scratch-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  }

  deinit {
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      Issue.record(error)
    }
  }

  /// An empty directory with this name.
  func directory(_ name: String = "data") throws -> String {
    let directory = path + "/" + name
    if FileManager.default.fileExists(atPath: directory) { try FileManager.default.removeItem(atPath: directory) }
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    return directory
  }

  /// The program of the tests in a directory.
  func victim(_ count: Int, _ words: [String] = [], in directory: String? = nil) throws -> FaultedProgram {
    let directory = try directory ?? self.directory()
    return FaultedProgram(try FaultTools.victim(), [directory, "\(count)"] + words, directory: directory)
  }
}
