import Foundation
import MillraceWorkflow
import Testing

@testable import MillraceBench

@Suite struct ResultsPageTests {
  /// The object that the page embeds.
  private func data(_ page: String) throws -> JSON {
    let begin = try #require(page.firstRange(of: "<script type=\"application/json\" id=\"data\">"))
    let rest = page[begin.upperBound...]
    return try JSON(parsing: String(rest[..<(try #require(rest.firstRange(of: "</script>")).lowerBound)]))
  }

  private static var hostile: BenchResult {
    var result = Sample.open
    result.suite = "</title><script>alert(1)</script>"
    result.levels[1].refusal = "</script><script>alert(2)</script>\u{202E}"
    return result
  }

  @Test("the page loads nothing: its policy forbids it and nothing asks for it")
  func selfContained() {
    let page = BenchPage.html([("one", Sample.open)])
    #expect(page.contains("default-src 'none'"))
    for word in ["http://", "https://", " src=", "@import", "fetch(", "innerHTML"] { #expect(!page.contains(word), "\(word)") }
  }

  @Test("text of results cannot leave its place")
  func escaped() throws {
    let page = BenchPage.html([("</script><b>", Self.hostile)])
    #expect(!page.contains("<script>alert"))
    #expect(page.components(separatedBy: "</script>").count == 3)
    #expect(!page.unicodeScalars.contains { $0.value == 0x202E })
    #expect(try data(page)[0]?["name"] == "</script><b>")
  }

  @Test("levels have their figures, refused ones their reason, percentiles with too few samples a null")
  func figures() throws {
    var result = Sample.open
    let few = Sample.histogram([(20_000, 0.3, 1)], count: 600)
    for round in 0..<2 { result.levels[0].rounds[round].response = few }
    let levels = try #require(data(BenchPage.html([("one", result)]))[0]?["levels"])
    #expect(levels[0]?["throughput"] == [.number(5_000), .number(5_000), .number(5_000)])
    let at = levels[0]?["response"]?["at"]
    #expect(at?[0]?.integer != nil)
    #expect(at?[1]?.integer != nil)
    #expect(at?[2] == .null, "1,200 samples are too few for 99.9 %")
    #expect(levels[0]?["service"]?["at"]?[2]?.integer != nil)
    let curve = try #require(levels[0]?["response"]?["curve"]?.array)
    #expect(curve.count > 20)
    for index in stride(from: 0, to: curve.count, by: 2) { #expect(try #require(curve[index].double) <= 1 - 10.0 / 1_200) }
    #expect(levels[1]?["refusal"]?.string?.contains("bottleneck") == true)
    #expect(levels[1]?["throughput"] == nil)
  }

  @Test("the table has a row for each level, and one with a reason for a refused one")
  func table() {
    let page = BenchPage.html([("one", Sample.open), ("two", Sample.open)])
    #expect(page.components(separatedBy: "<section class=\"card measured\">").count == 3)
    #expect(page.contains("refused: the generator was the bottleneck: its lag p99 is 3.1 ms</td>"))
    #expect(page.contains("<td class=\"number\">5,000</td>"))
  }

  /// Pages for the eye and for the browser: by name.
  private static var samples: [(name: String, results: [(name: String, result: BenchResult)])] {
    var machine = SampleMachine(seed: 21)
    let levels = [1, 2, 4, 8, 16, 32]
    let one = machine.measure(rounds: 10, levels: levels)
    var refused = machine.measure(cost: 1.4, rounds: 10, levels: levels)
    refused.levels[5] = BenchLevel(level: 32, refusal: "the generator was the bottleneck: its lag p99 is 3.1 ms", rounds: [])
    for round in 0..<10 {
      let few = Sample.histogram([(140_000, 0.3, 1)], count: 90)
      (refused.levels[2].rounds[round].service, refused.levels[2].rounds[round].response) = (few, few)
    }
    var open = machine.measure(rounds: 5, levels: levels)
    open.configuration.mode = .open
    open.configuration.rate = 40_000
    for level in open.levels.indices {
      for round in 0..<5 {
        open.levels[level].rounds[round].response = Sample.histogram(
          [(150_000, 0.5, 0.98), (4_000_000, 0.3, 0.02)], count: open.levels[level].rounds[round].service.count)
      }
    }
    let many = machine.measure(rounds: 3, levels: Array(1...40))
    var none = one
    none.levels = [BenchLevel(level: 1, refusal: "the queue grew by 1,204 requests in a round", rounds: [])]
    return [
      ("six", [("scheduler", one)]), ("several", [("before", one), ("after", refused)]), ("open", [("open", open)]),
      ("forty", [("forty", many)]), ("single", [("single", machine.measure(rounds: 5, levels: [8]))]), ("none", [("none", none)]),
      ("five", (0..<5).map { ("build-\($0)", machine.measure(cost: 1 + 0.1 * Double($0), rounds: 3, levels: levels)) }),
      ("hostile", [("</script><b>", hostile), ("open", Sample.open)]),
    ]
  }

  private static let pointer = """
    for (const svg of document.querySelectorAll('.drawing svg')) {
      const box = svg.getBoundingClientRect();
      svg.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width * .93, clientY: box.top + 40 }));
      document.body.append(' TIP ' + document.getElementById('tip').innerText);
      svg.dispatchEvent(new PointerEvent('pointerleave'));
    }
    for (const input of document.querySelectorAll('input')) input.click();
    document.getElementById('level').dispatchEvent(new Event('change'));
    dispatchEvent(new Event('resize'));
    """

  private static let chromium = ["/usr/bin/chromium", "/usr/bin/google-chrome"].first { FileManager.default.isExecutableFile(atPath: $0) }

  @Test(
    "a browser runs every page without an error: lines are drawn, refused levels hatched, hostile text shown as text",
    .enabled(if: chromium != nil, "needs chromium"), .timeLimit(.minutes(5)))
  func browser() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: folder) } }
    for sample in Self.samples {
      let page = folder.appending(path: "\(sample.name).html")
      // An error of the script becomes text that is looked for; then a pointer moves over each drawing, and what the tip says is kept.
      let watched = BenchPage.html(sample.results)
        .replacing("<script>\n'use strict';", with: "<script>onerror = m => document.body.append('FAULT: ' + m);\n'use strict';")
        .replacing("</body>", with: "<script>\(Self.pointer)</script></body>")
      try watched.write(to: page, atomically: true, encoding: .utf8)
      let process = Process()
      process.executableURL = URL(filePath: try #require(Self.chromium))
      process.arguments = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=\(folder.path)/profile", "--virtual-time-budget=2000",
        "--dump-dom",
        page.absoluteString,
      ]
      let output = Pipe()
      process.standardOutput = output
      process.standardError = FileHandle.nullDevice
      try process.run()
      let dom = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      let body = dom.components(separatedBy: "<script>").first ?? ""
      let said = dom.components(separatedBy: "</script>").last ?? ""
      #expect(!said.contains("FAULT"), "\(sample.name): \(said)")
      #expect(body.components(separatedBy: "<svg viewBox=\"0 0 ").count >= 4, "\(sample.name): three drawings")
      let isRefused = sample.results.contains { $0.result.levels.contains { $0.refusal != nil } }
      #expect(body.contains("url(#hatch") == isRefused || body.contains("url(&quot;#hatch") == isRefused, "\(sample.name)")
      if sample.name == "none" { #expect(body.contains(">no figures</text>")) }
      if sample.name == "hostile" { #expect(!dom.contains("<script>alert")) }
      if sample.name == "six" { #expect(body.contains(">99.9 %</text>")) }
      if sample.name == "several" {
        #expect(said.contains("TIP level 32") && said.contains("refused: the generator was the bottleneck"))
        #expect(said.contains("/s"))
      }
      if sample.name == "open" { #expect(said.contains("p99.9 ")) }
    }
  }

  @Test(
    "writes sample pages for the eye where REPORT_SAMPLES names a directory",
    .enabled(if: ProcessInfo.processInfo.environment["REPORT_SAMPLES"] != nil))
  func write() throws {
    let folder = URL(filePath: try #require(ProcessInfo.processInfo.environment["REPORT_SAMPLES"]))
    for sample in Self.samples {
      try BenchPage.html(sample.results).write(to: folder.appending(path: "bench-\(sample.name).html"), atomically: true, encoding: .utf8)
      for (name, result) in sample.results where !name.contains("/") {
        try Data(BenchResultFile.bytes(result)).write(to: folder.appending(path: "bench-\(sample.name)-\(name).json"))
      }
    }
  }
}
