import Foundation
import LogLoad
import MillraceFaults
import MillraceLog
import MillraceSimulation
import Testing

/// `LogVictim` in a directory of its own, and what it has said so far.
final class Victim {
  static let path = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(path: "LogVictim").path
  /// Longer, by hand: `MILLRACE_FULL=1 swift test --filter MillraceLogTests`.
  static let isFull = ProcessInfo.processInfo.environment["MILLRACE_FULL"] != nil

  private let folder: String
  let directory: String
  var ledger = Ledger()

  /// - Parameter isInMemory: where the kernel's own way to the disk is not what is tried.
  init(isInMemory: Bool = false) throws {
    let memory = "/dev/shm"
    let base = isInMemory && FileManager.default.isWritableFile(atPath: memory) ? memory : NSTemporaryDirectory()
    folder = URL(filePath: base).resolvingSymlinksInPath().appending(path: "millrace-victim-\(UUID().uuidString)").path
    directory = folder + "/data"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  deinit {
    do { try FileManager.default.removeItem(atPath: folder) } catch { Issue.record(error) }
  }

  func program(_ words: [String], _ work: String = "append") -> FaultedProgram {
    FaultedProgram(Self.path, [work, directory] + words, directory: directory)
  }

  /// Opens what is there by the log's own code, compares it with what was said, and goes on. nil: nothing is wrong.
  func complaint(isWhole: Bool = true) -> String? {
    do { return try complaint(of: DirectoryStorage(directory, way: .sync), isWhole: isWhole, hasThreads: true) } catch { return "\(error)" }
  }

  /// The same of an image of a crash.
  func complaint(about image: CrashImage, isWhole: Bool) -> String? {
    let disk = SimulatedDisk()
    for (name, bytes) in image.directory.files { disk.put(name, bytes) }
    ledger = Ledger(image.marks)
    do { return try complaint(of: disk, isWhole: isWhole, hasThreads: false) } catch { return "\(error)" }
  }

  private func complaint(of storage: any LogStorage, isWhole: Bool, hasThreads: Bool) throws -> String? {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.commitBytes = 16 << 10
    configuration.hasThreads = hasThreads
    let log = try EventLog(storage, configuration)
    defer { log.close() }
    return ledger.complaint(about: log, isWhole: isWhole)
  }
}
