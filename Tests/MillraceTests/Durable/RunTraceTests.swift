import Foundation
import MillraceFaults
import Testing

/// The program that users run, as its system calls tell it.
@Suite struct RunTraceTests {
  private static let victim = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(path: "RunVictim")
    .path

  private func ending(_ way: String, runs: Int, steps: Int, fault: String? = nil) throws -> FaultedProgram.Ending {
    let folder = try Folder()
    var program = FaultedProgram(Self.victim, [folder.path, "\(runs)", "\(steps)", way], directory: folder.path)
    program.records = true
    program.fault = fault
    return try program.run()
  }

  private func trace(_ way: String, runs: Int, steps: Int) throws -> RecordedTrace {
    let ending = try ending(way, runs: runs, steps: steps)
    #expect(ending.exit == 0, "\(ending.errors)")
    return try #require(ending.trace)
  }

  @Test(
    "the record of a step's completion is on stable storage before the next step's handler starts, however the log writes",
    arguments: ["direct", "dataSync", "sync"])
  func before(way: String) throws {
    let trace = try trace(way, runs: 5, steps: 8)
    #expect(trace.unseen.isEmpty)
    let story = RunTrace(trace.records)
    #expect(story.keys.count == 40 && Set(story.keys).count == 40)
    #expect(story.complaint == nil)
    // It is one record: no other write has the step's output.
    for key in story.keys {
      let found = trace.records.filter {
        $0.kind == .write && $0.phase == .begin && Data($0.bytes).range(of: Data("\"\(key)\"".utf8)) != nil
      }
      #expect(found.count == 1, "\(key)")
    }
  }

  @Test("a trace in which a sync is missing, or comes after the next handler, is found out")
  func foundOut() throws {
    let records = try trace("sync", runs: 1, steps: 4).records
    #expect(RunTrace(records).complaint == nil)
    #expect(RunTrace(records.filter { $0.kind != .sync }).complaint != nil)
    #expect(RunTrace(records.filter { $0.kind != .write }).complaint != nil)
    // The handler's first words before the syncs that it waited for.
    let marks = records.filter { $0.kind == .mark }
    #expect(RunTrace(marks + records.filter { $0.kind != .mark }).complaint != nil)
  }

  @Test(
    "after a write or a sync that failed no step begins, for none before it is recorded",
    arguments: [
      ("direct", "pwrite:40:EIO"), ("dataSync", "pwrite:33:EIO"), ("sync", "fdatasync:20:EIO-dropped"), ("sync", "fdatasync:25:EIO"),
    ])
  func fails(way: String, fault: String) throws {
    let ending = try ending(way, runs: 3, steps: 40, fault: fault)
    #expect(ending.exit == 1 && ending.report.injected.count == 1, "\(ending.exit) \(ending.errors)")
    let story = RunTrace(try #require(ending.trace).records)
    #expect(!story.keys.isEmpty && story.keys.count < 120)
    #expect(story.complaint == nil)
  }
}
