import Foundation
import Millrace
import Testing

/// The command in a real control group with a quarter of a processor and 512 MiB.
@Suite(
  "millrace in a small container", .serialized, .timeLimit(.minutes(5)),
  .enabled(if: ControlGroup.refusal == nil, Comment(rawValue: ControlGroup.refusal ?? "")))
struct CommandContainerTests {
  private func run(
    _ group: ControlGroup, _ command: Command, _ arguments: [String], program: URL = Command.program
  ) throws -> Command.Ending {
    let (process, output, errors) = try command.process(arguments)
    process.executableURL = program
    group.wrap(process)
    try process.run()
    process.waitUntilExit()
    return Command.Ending(
      exit: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOfFile: output, encoding: .utf8), errors: try String(contentsOfFile: errors, encoding: .utf8))
  }

  /// A closed load wants a whole processor all the time: it is held back in most periods.
  private static let load = ["bench", "run", "scheduler", "--levels", "1,4", "--rounds", "2", "--duration", "300ms", "--warm-up", "10ms"]

  @Test("one thread, which parks; held-back periods are in the result; without work nothing is scheduled; memory stays far below the limit")
  func bench() throws {
    let (group, command) = (try ControlGroup(), try Command())
    let ending = try run(group, command, Self.load + ["-o", "json"])
    #expect(ending.exit == 0, "\(ending.errors)")
    let result = try ending.object()
    let (host, configuration) = (result["host"], result["configuration"])
    #expect(host?["cpusGranted"] == 1)
    #expect(host?["cgroup"]?["cpuMilli"] == 250)
    #expect(host?["cgroup"]?["memoryBytes"] == .integer(Int64(ControlGroup.memory)))
    // Two threads that spin at each other would use up the quota.
    #expect(host?["pingPongNanoseconds"]?.isNull == true)
    #expect(configuration?["threads"] == 1)
    #expect(configuration?["slots"] == 1)
    #expect(configuration?["wait"] == "park")
    let periods = try #require(host?["cgroup"]?["periods"]?.integer)
    let held = try #require(host?["cgroup"]?["throttledPeriods"]?.integer)
    #expect(held > 0 && held <= periods)
    #expect((host?["cgroup"]?["throttledNanoseconds"]?.integer ?? 0) > 0)
    #expect(result["idle"]?["wakeUps"] == 0)
    #expect(result["idle"]?["cpuNanoseconds"] == 0)
    #expect((result["idle"]?["nanoseconds"]?.integer ?? 0) >= 200_000_000)
    if let peak = group.memoryPeak { #expect(peak < ControlGroup.memory / 4, "\(peak) bytes") }
  }

  @Test("table and page tell in how many periods it was held back, and that latencies include it")
  func warning() throws {
    let (group, command) = (try ControlGroup(), try Command())
    let ending = try run(group, command, Self.load)
    #expect(ending.exit == 0, "\(ending.errors)")
    let told = /held back by the control group in \d+ of \d+ periods?, [^:]+: latencies include it/
    #expect(ending.output.contains(told), "\(ending.output)")
    #expect(!ending.output.contains("not at rest"))
    #expect(try command.run("bench", "report", "bench-scheduler.json", "--html", "page.html").exit == 0)
    #expect(try command.read("page.html").contains(told))
  }

  @Test(
    "`spin` is refused with what is granted, and what to use instead", arguments: [["bench", "run", "scheduler"], ["run", "works.yaml"]])
  func spin(arguments: [String]) throws {
    let (group, command) = (try ControlGroup(), try Command())
    try command.write("works.yaml", Sample.works)
    let ending = try run(group, command, arguments + ["--wait", "spin"])
    #expect(ending.exit == 64)
    #expect(ending.errors.contains("0.25 of one is granted: use `adaptive` or `park`"), "\(ending.errors)")
  }

  @Test("an engine with more threads than are granted is not scheduled either while it is idle")
  func idle() throws {
    let (group, command) = (try ControlGroup(), try Command())
    let program = Command.program.deletingLastPathComponent().appending(path: "CoreBenchmark")
    let ending = try run(group, command, ["idle-wakeups", "2", "300", "2"], program: program)
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.split(separator: "\n").map { Double($0) } == [0, 0])
  }

  @Test("doctor tells the defaults that follow: one thread, parked, and queues for a quarter of the memory")
  func doctor() throws {
    let (group, command) = (try ControlGroup(), try Command())
    let ending = try run(group, command, ["doctor", "-o", "json"])
    #expect(ending.exit == 0, "\(ending.errors)")
    let defaults = try ending.object()["defaults"]
    #expect(defaults?["threads"] == 1)
    #expect(defaults?["wait"] == "park")
    let tasks = try #require(defaults?["tasks"]?.integer)
    #expect(Int(tasks) == ControlGroup.memory / 4 / Engine.Configuration.taskBytes)
  }
}
