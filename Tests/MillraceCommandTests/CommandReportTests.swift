import Foundation
import Millrace
import Testing

@Suite("millrace run --report", .timeLimit(.minutes(5)))
struct CommandReportTests {
  @Test("writes the result, every attempt and the page, into a directory that it makes, and nothing else")
  func files() throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("words.yaml", Sample.works), "--report", "a/b/report", "-o", "json")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: command.file("a/b/report")).sorted() == [
        "report.json", "run.json", "timeline.html",
      ])
    #expect(try JSON(parsing: command.read("a/b/report/report.json"))["stdout"] == "hello\n")
    let run = try JSON(parsing: command.read("a/b/report/run.json"))
    #expect(try run["run"] == ending.object()["run"])
    #expect(run["tasks"]?.array?.count == 2)
    #expect(try command.read("a/b/report/timeline.html").hasPrefix("<!DOCTYPE html>"))
  }

  @Test("a workflow without a result reports the run itself, and an earlier report is replaced")
  func withoutResult() throws {
    let command = try Command()
    let file = try command.write("failing.yaml", Sample.fails)
    for _ in 0..<2 {
      let ending = try command.run("run", file, "--report", "out", "-o", "json")
      #expect(ending.exit == 1)
      #expect(try JSON(parsing: command.read("out/report.json")) == ending.object())
    }
  }

  @Test("a directory that cannot be made is told before any work is done")
  func badFolder() throws {
    let command = try Command()
    let file = try command.write("words.yaml", Sample.works)
    let ending = try command.run("run", file, "--report", file)
    #expect(ending.exit == 64)
    #expect(ending.output.isEmpty)
    #expect(ending.errors.contains("--report"))
    #expect(ending.errors.contains("in the way"))
  }

  @Test("where the report cannot be written at the end, the result is printed nevertheless")
  func lostReport() throws {
    let command = try Command()
    // The task itself puts a directory where the file should go.
    let definition = """
      format: 1
      workflow: in-the-way
      tasks: [{ id: block, handler: shell/run, input: { command: "mkdir -p out/run.json/x" } }]
      """
    let ending = try command.run("run", try command.write("block.yaml", definition), "--report", "out", "-o", "json")
    #expect(ending.exit == 75, "\(ending.errors)")
    #expect(try ending.object()["status"] == "COMPLETED")
    #expect(ending.errors.contains("out/run.json"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: command.file("out")).sorted() == ["report.json", "run.json"])
  }

  @Test(
    "a full standard output is told, and the report is written all the same",
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
  func fullOutput() throws {
    let command = try Command()
    let ending = try command.run("run", try command.write("words.yaml", Sample.works), "--report", "out", output: "/dev/full")
    #expect(ending.exit == 75)
    #expect(ending.errors.contains("No space left"))
    #expect(try JSON(parsing: command.read("out/report.json"))["stdout"] == "hello\n")
  }
}
