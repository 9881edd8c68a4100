internal import Foundation

/// `injector.so`, `recorder.so` and the program `victim` of `Tests/Faults`, built by the machine's C compiler when they are first wanted, into a
/// temporary directory that goes with the process.
public enum FaultTools {
  public struct BuildError: Error, CustomStringConvertible {
    public let description: String
  }

  /// Where they are.
  public static func directory() throws -> String { try built.get() }
  public static func injector() throws -> String { try directory() + "/injector.so" }
  public static func recorder() throws -> String { try directory() + "/recorder.so" }
  /// A plugin of `Tests/Faults/ledger.c`.
  public static func ledger() throws -> String { try directory() + "/libmillrace-plugin-ledger.so" }
  public static func victim() throws -> String { try directory() + "/victim" }

  private static let source = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Tests/Faults/build").path
  private static let folder = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath()
    .appending(path: "millrace-faults-\(UUID().uuidString)").path

  private static let built: Result<String, any Error> = Result {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    atexit { try? FileManager.default.removeItem(atPath: FaultTools.folder) }  // Nobody is left to be told.
    let process = Process()
    let said = Pipe()
    process.executableURL = URL(filePath: source)
    process.arguments = [folder]
    process.standardError = said
    try process.run()
    let words = try said.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw BuildError(description: String(decoding: words, as: UTF8.self)) }
    return folder
  }
}
