import Foundation
import Testing

/// Examples/archive.yaml: outputs, a condition, variables and a cleanup.
@Suite struct CommandArchiveTests {
  private static let archive = Command.packageRoot.appending(path: "Examples/archive.yaml").path

  /// Runs the example on a directory with so many notes; what it left in the directory for temporary files.
  private func archive(_ command: Command, notes: Int, _ more: [String] = []) throws -> (Command.Ending, left: [String]) {
    for name in ["notes", "tmp"] { try FileManager.default.createDirectory(atPath: command.file(name), withIntermediateDirectories: false) }
    for i in 0..<notes { try command.write("notes/\(i).md", "note \(i)\n") }
    let (process, output, errors) = try command.process(["run", Self.archive, "--param", "directory=\(command.file("notes"))"] + more)
    process.environment?["TMPDIR"] = command.file("tmp")
    try process.run()
    process.waitUntilExit()
    let ending = Command.Ending(
      exit: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
      errors: try String(contentsOfFile: errors, encoding: .utf8))
    return (ending, try FileManager.default.contentsOfDirectory(atPath: command.file("tmp")))
  }

  @Test("the archive example packs what there is, tells of it, and leaves nothing behind")
  func packs() throws {
    let (ending, left) = try archive(Command(), notes: 3)
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.contains("3 files, 21 bytes, packed "))
    #expect(!ending.output.contains("packed nothing"))
    #expect(left == [])
  }

  @Test("with nothing to pack its tasks are skipped, and it tells that")
  func nothing() throws {
    let (ending, left) = try archive(Command(), notes: 0)
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.contains("0 files, 0 bytes, packed nothing"))
    #expect(left == [])
  }

  @Test("parameters that are not as declared are wrong use, and say what may be given")
  func parameters() throws {
    let (ending, _) = try archive(Command(), notes: 1, ["--param", "compression=10"])
    #expect(ending.exit == 64)
    #expect(ending.errors.contains("the parameter 'compression' (How hard to try) is 10; it must be at most 9"))
  }
}
