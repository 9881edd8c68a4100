import Foundation
import MillraceFaults
import Testing

@Suite struct RecorderTests {
  @Test("a trace has each call once with its begin and its return, and the marks between them in their order")
  func order() throws {
    let scratch = try Scratch()
    var program = try scratch.victim(4)
    program.records = true
    let records = try #require(try program.run().trace).records
    let story = records.filter { $0.phase != .begin }.map {
      $0.kind == .mark ? String(decoding: $0.bytes.dropLast(), as: UTF8.self) : "\($0.kind)"
    }
    let append = { (number: Int) in ["write", "sync", "acknowledged \(number)"] }
    #expect(
      story == ["open", "recovered 0", "open", "sync"] + (1...4).flatMap(append) + ["open", "write", "sync", "rename", "sync", "sealed 1"])
    let begins = records.filter { $0.phase == .begin }
    #expect(begins.allSatisfy { begin in records.filter { $0.call == begin.call && $0.phase == .end && $0.kind == begin.kind }.count == 1 })
    #expect(records.first { $0.kind == .write }?.bytes == VictimLog.record(1))
  }

  @Test("all that the calls of a program write can be built from the trace again")
  func rebuilt() throws {
    let scratch = try Scratch()
    for (name, words) in [("victim", ["10"]), ("victim", ["10", "direct", "threads"])] {
      let directory = try scratch.directory()
      var program = FaultedProgram(try FaultTools.directory() + "/" + name, [directory] + words, directory: directory)
      program.records = true
      let ending = try program.run()
      #expect(ending.exit == 0, "\(ending.errors)")
      let images = try CrashImages(try #require(ending.trace))
      let moment = images.moment(at: images.trace.records.count)
      // Seeds whose crash lost nothing: there is one in eight.
      let left = try DirectoryImage(reading: directory)
      #expect((0..<200 as Range<UInt64>).contains { moment.image(seed: $0).directory == left })
    }
  }

  @Test("what changes files unseen is told, and no image is made then")
  func unseen() throws {
    let scratch = try Scratch()
    let directory = try scratch.directory()
    try Data("words".utf8).write(to: URL(filePath: scratch.path + "/source"))
    for (tool, arguments, words) in [
      ("/bin/cp", [scratch.path + "/source", directory + "/copy"], "copy_file_range copy"),
      ("/bin/ln", ["-s", "source", directory + "/symbolic"], "symlink symbolic"),
      (try FaultTools.directory() + "/calls", [directory], "symlink s"),
    ] {
      var program = FaultedProgram(tool, arguments, directory: directory)
      program.records = true
      let ending = try program.run()
      let trace = try #require(ending.trace)
      #expect(ending.exit == 0 && trace.unseen.contains(words), "\(trace.unseen) \(ending.errors)")
      #expect(throws: CrashImages.Fault.unseen(trace.unseen[0])) { try CrashImages(trace) }
    }
  }
}
