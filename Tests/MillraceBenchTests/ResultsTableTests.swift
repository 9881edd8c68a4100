import MillraceWorkflow
import Testing

@testable import MillraceBench

@Suite struct ResultsTableTests {
  private let rows = [
    ComparisonTable.Row(work: "chain", workers: 1, unit: "ns", ours: 7.5, peer: 35, peerName: "Taskflow", goal: 4.5, largerIsBetter: false),
    ComparisonTable.Row(
      work: "rate", workers: 2, unit: "jobs/s", ours: 5_000, peer: 2_500, peerName: "rayon", goal: 3, largerIsBetter: true),
    ComparisonTable.Row(work: "alone", workers: 1, unit: "B", ours: 16, peer: nil, peerName: nil, goal: nil, largerIsBetter: false),
  ]

  private func table(_ rows: [ComparisonTable.Row]) -> ComparisonTable {
    ComparisonTable(name: "core", host: Sample.host, date: "2026-11-25T20:51:35Z", rows: rows)
  }

  @Test("a ratio is larger the better ours is, whatever the unit; goals are reached by it")
  func ratios() throws {
    #expect(abs(try #require(rows[0].ratio) - 35 / 7.5) < 1e-12)
    #expect(rows.map(\.ratio)[1] == 2)
    #expect(rows.map(\.isReached) == [true, false, nil])
    var missing = rows[0]
    missing.ratio = nil
    #expect(missing.isReached == false)
    let broken = ComparisonTable.Row(work: "x", workers: 1, unit: "ns", ours: 0, peer: 3, peerName: "p", goal: 1, largerIsBetter: false)
    #expect(broken.ratio == nil)
  }

  @Test("the exit status tells whether every goal is reached; a report gates nothing")
  func status() {
    #expect(table(rows).exitStatus() == 1)
    #expect(table(rows).exitStatus(reportOnly: true) == 0)
    #expect(table([rows[0], rows[2]]).exitStatus() == 0)
  }

  @Test("the file has the documented members and is read back the same")
  func roundTrip() throws {
    let json = table(rows).json
    #expect(json.object?.map(\.name) == ["name", "host", "commit", "date", "rows"])
    #expect(json["rows"]?[0]?.object?.map(\.name) == ["work", "workers", "unit", "ours", "peer", "peerName", "ratio", "goal"])
    #expect(json["commit"] == .string(Sample.host.commit))
    #expect(try ComparisonTable.read(json.utf8(), name: "t.json").json == json)
    let error = #expect(throws: BenchResultError.self) { try ComparisonTable.read(Array(#"{"name": 3}"#.utf8), name: "t.json") }
    #expect(error?.description == "t.json: name: must be a string")
  }

  @Test("the text is aligned and names what is missed")
  func text() {
    let lines = table(rows).text.split(separator: "\n").map(String.init)
    #expect(lines[0] == "core, commit 0123456789ab, ping-pong 56 ns")
    #expect(lines[2] == "chain        1   7.50   35.0  ns      Taskflow  4.67x  4.5x  reached")
    #expect(lines[3] == "rate         2  5,000  2,500  jobs/s  rayon     2.00x    3x  MISSED")
    #expect(lines[4] == "alone        1   16.0      –  B                     –")
    #expect(lines[5] == "1 of 2 goals reached")
  }

  @Test("a result's table has a line for each level, the reason of a refused one, and says what is a gap")
  func result() {
    var result = Sample.open
    result.levels[0].rounds[0].backlogGrowth = 12
    let text = BenchTable.text(result, name: "new")
    for words in [
      "new: scheduler, open, 50,000 a second, poisson, 2 rounds of 1.00 s after 200 ms, 2 threads, 2 slots, adaptive, replay/burn",
      "Sample 3000, 2 of 2 processors", "ping-pong 54 ns to 54 ns", "5,000", "0.70", "0.25",
      "level 8 refused: the generator was the bottleneck: its lag p99 is 3.1 ms", "level 4: 4 requests failed", "grew by up to 12 requests",
    ] { #expect(text.contains(words), "\(words)\n\(text)") }
    #expect(!text.contains(BenchTable.gap))
    let few = Sample.histogram([(20_000, 0.3, 1)], count: 100)
    for round in 0..<2 { (result.levels[0].rounds[round].service, result.levels[0].rounds[round].response) = (few, few) }
    #expect(BenchTable.text(result, name: "new").contains("too few samples"))
  }

  @Test("a group that was held back, and threads that do not rest without work, are told in table and page, and else are not")
  func disturbances() {
    var result = Sample.open
    for text in [BenchTable.text(result, name: "new"), BenchPage.html([("new", result)])] {
      #expect(!text.contains("held back"))
      #expect(!text.contains("not at rest"))
    }
    (result.host.cgroup.throttledPeriods, result.host.cgroup.throttledNanoseconds) = (7, 412_000_000)
    result.idle = BenchIdle(nanoseconds: 200_000_000, wakeUps: 3, cpuNanoseconds: 1_200_000)
    for text in [BenchTable.text(result, name: "new"), BenchPage.html([("new", result)])] {
      #expect(text.contains("held back by the control group in 7 of 12 periods, 412 ms in all: latencies include it"))
      #expect(text.contains("not at rest without work: 3 wake-ups and 1.20 ms of CPU time in 200 ms"))
    }
  }

  @Test("a search tells the rate that it found, or why there is none, in table and page")
  func search() {
    var result = Sample.searched
    let found = "highest rate that keeps p99<1ms: at least 50,000 a second (2 trials)"
    #expect(BenchTable.text(result, name: "new").hasSuffix(found + "\n"))
    #expect(BenchPage.html([("new", result)]).contains(found.replacing("<", with: "&lt;")))
    result.search?.rate = nil
    result.search?.refusal = "it fails at any rate"
    #expect(BenchTable.text(result, name: "new").hasSuffix("no rate kept p99<1ms: it fails at any rate\n"))
  }

  @Test("text from a file cannot move the cursor")
  func hostile() {
    var result = Sample.open
    result.suite = "x\u{1B}[2J"
    result.levels[1].refusal = "y\u{202E}z"
    let text = BenchTable.text(result, name: "a\u{7}")
    #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || ($0.value >= 0x20 && $0.value != 0x202E) })
  }
}
