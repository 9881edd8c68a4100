import Foundation
import Millrace
import Testing

@Suite("millrace bench report, compare", .timeLimit(.minutes(5)))
struct CommandBenchReportTests {
  /// A result of one level: requests a second in each round, latencies of one value.
  private func result(
    suite: String = "scheduler", rates: [Int], latency: Int = 20_000, threads: Int = 2, refusal: String? = nil,
    date: String = "2026-11-25T20:51:35Z"
  ) -> String {
    let histogram = { (count: Int) in
      "{\"count\":\(count),\"minimum\":\(latency),\"maximum\":\(latency),\"sum\":\(latency * count),\"buckets\":[[\(latency),\(count)]]}"
    }
    let rounds = rates.map { rate in
      """
      {"nanoseconds":1000000000,"completed":\(rate),"failed":0,"cpuNanoseconds":900000000,"service":\(histogram(rate)),"response":\(histogram(rate)),\
      "lag":null,"backlogGrowth":0,"pingPongNanoseconds":55.5}
      """
    }
    return """
      {"schema":"millrace.bench/1","suite":"\(suite)","date":"\(date)",
      "host":{"cpuModel":"Sample 3000","cpusOnline":2,"cpusGranted":2,"kernel":"6.1.0","clockSource":"tsc","loadAverage":[0.1,0.2,0.3],
      "pingPongNanoseconds":55.5,"commit":"unknown","version":"0.1.0",
      "cgroup":{"cpuMilli":null,"memoryBytes":null,"throttledPeriods":null,"throttledNanoseconds":null}},
      "configuration":{"mode":"closed","rate":null,"durationNanoseconds":1000000000,"warmUpNanoseconds":100000000,"rounds":\(rates.count),
      "threads":\(threads),"slots":2,"wait":"adaptive","isPinned":false,"subject":null,"subjectHash":null},
      "levels":[{"level":8,"refusal":\(refusal.map { "\"\($0)\"" } ?? "null"),"rounds":[\(rounds.joined(separator: ","))]}]}
      """
  }

  private let steady = [20_000, 20_100, 19_900, 20_050, 19_950, 20_020, 19_980, 20_070, 19_930, 20_010, 20_060, 19_940]

  @Test("report prints a table, and writes a page and percentiles")
  func report() throws {
    let command = try Command()
    try command.write("one.json", result(rates: steady))
    try command.write("two.json", result(rates: steady, refusal: "the queue grew"))
    let ending = try command.run("bench", "report", "one.json", "two.json", "--html", "both.html", "--hgrm", "a/hgrm")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.contains("one: scheduler, closed, 12 rounds of 1.00 s"))
    #expect(ending.output.contains("level 8 refused: the queue grew"))
    #expect(ending.errors.contains("wrote both.html"))
    let page = try command.read("both.html")
    #expect(page.hasPrefix("<!DOCTYPE html>"))
    #expect(page.contains("the queue grew"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: command.file("a/hgrm")) == ["one-8.hgrm"])
    #expect(
      try command.read("a/hgrm/one-8.hgrm").contains(
        "       Value     Percentile TotalCount 1/(1-Percentile)\n\n      20.000 0.000000000000"))
  }

  @Test("files of the same name in two folders are told apart")
  func names() throws {
    let command = try Command()
    for folder in ["a", "b"] {
      try FileManager.default.createDirectory(atPath: command.file(folder), withIntermediateDirectories: false)
      try command.write(folder + "/r.json", result(rates: steady))
    }
    let ending = try command.run("bench", "report", "a/r.json", "b/r.json", "--hgrm", ".")
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(ending.output.contains("1-r: scheduler"))
    #expect(FileManager.default.fileExists(atPath: command.file("2-r-8.hgrm")))
  }

  @Test("what is no result is refused with its name and code 65, and nothing is written")
  func refused() throws {
    let command = try Command()
    try command.write("good.json", result(rates: steady))
    try command.write("bad.json", String(result(rates: steady).dropLast(40)))
    for verb in [["report"], ["compare", "good.json"]] {
      let (process, output, errors) = try command.process(["bench"] + verb + ["bad.json"])
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 65)
      #expect(try String(contentsOfFile: output, encoding: .utf8).isEmpty)
      #expect(try String(contentsOfFile: errors, encoding: .utf8).contains("bad.json: ends in the middle"))
    }
    #expect(try command.run("bench", "report", "good.json", "nowhere.json", "--html", "x.html").exit == 65)
    #expect(!FileManager.default.fileExists(atPath: command.file("x.html")))
    #expect(try command.run("bench", "report", "good.json", "--html", "no/such/folder/x.html").exit == 64)
    #expect(try command.run("bench", "report").exit == 64)
    #expect(try command.run("bench", "compare", "good.json").exit == 64)
    #expect(try command.run("bench", "compare", "good.json", "good.json", "--confidence", "1").exit == 64)
  }

  @Test("compare tells slower, and only --fail-on makes it an exit code")
  func compare() throws {
    let command = try Command()
    try command.write("before.json", result(rates: steady))
    try command.write("after.json", result(rates: steady.map { $0 * 8 / 10 }, latency: 25_000))
    let slower = try command.run("bench", "compare", "before.json", "after.json")
    #expect(slower.exit == 0, "\(slower.errors)")
    #expect(slower.output.contains("verdict: slower"))
    #expect(slower.errors.contains("warning: measured one after the other"))
    #expect(try command.run("bench", "compare", "before.json", "after.json", "--fail-on", "slower").exit == 1)
    #expect(try command.run("bench", "compare", "after.json", "before.json", "--fail-on", "slower").exit == 0)
    let object = try command.run("bench", "compare", "before.json", "after.json", "-o", "json").object()
    #expect(object["verdict"] == "slower")
    #expect(object["paired"] == false)
    let rows = object["rows"]?.array ?? []
    #expect(rows.compactMap { $0["metric"]?.string } == ["throughput", "p50", "p99"])
    #expect(rows.allSatisfy { $0["verdict"] == "slower" })
    #expect(abs((rows[1]["a"]?.double ?? 0) - 20_000) < 1 && abs((rows[1]["b"]?.double ?? 0) - 25_000) < 1)
    #expect(slower.output.contains("20.0 µs") && slower.output.contains("25.0 µs"))
    #expect(abs((rows.first?["ratio"]?.double ?? 0) - 0.8) < 0.01)
    #expect(abs((rows.last?["ratio"]?.double ?? 0) - 1.25) < 0.01)
  }

  @Test("compare takes folders, pair by pair when their files were measured in turns")
  func folders() throws {
    let command = try Command()
    for (index, folder) in ["a", "b"].enumerated() {
      try FileManager.default.createDirectory(atPath: command.file(folder), withIntermediateDirectories: false)
      for turn in 0..<8 {
        let date = "2026-11-25T20:0\(turn):\(index)0Z"
        try command.write("\(folder)/\(turn).json", result(rates: [steady[turn] * (10 - 2 * index)], date: date))
      }
    }
    let object = try command.run("bench", "compare", "a", "b/", "-o", "json").object()
    #expect(object["paired"] == true)
    #expect(object["unit"] == "file")
    #expect(object["verdict"] == "slower")
    #expect(object["rows"]?[0]?["unitsA"] == 8)
    try FileManager.default.createDirectory(atPath: command.file("empty"), withIntermediateDirectories: false)
    let empty = try command.run("bench", "compare", "a", "empty")
    #expect(empty.exit == 65)
    #expect(empty.errors.contains("empty: has no result file"))
  }

  @Test("other suites are refused, other configurations told")
  func differences() throws {
    let command = try Command()
    try command.write("one.json", result(rates: steady))
    try command.write("dag.json", result(suite: "dag", rates: steady))
    try command.write("single.json", result(rates: steady, threads: 1))
    let refused = try command.run("bench", "compare", "one.json", "dag.json")
    #expect(refused.exit == 65)
    #expect(refused.errors.contains("the suites differ: dag, scheduler"))
    let told = try command.run("bench", "compare", "one.json", "single.json")
    #expect(told.exit == 0)
    #expect(told.errors.contains("warning: threads differs: 2 in A, 1 in B"))
    #expect(told.output.contains("verdict: cannot tell"))
  }
}
