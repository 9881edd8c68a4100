import Foundation
import MillraceWorkflow
import Testing

@testable import Millrace

@Suite struct ReportTimelineTests {
  /// What an author of tasks could try: leave the script element, the string or the line, or turn the text around.
  private static let nasty = [
    "</script><script>alert(1)</script>", "<!--<script>", "quote \" and ' and \\ end", "line\nbreak\r\ttab", "line\u{2028}sep\u{2029}para",
    "gpj.\u{202E}exe", "nul\u{0}bell\u{7}esc\u{1B}[2J", "\u{FEFF}\u{FFFF}\u{200B}", "]]>&amp;&lt;", "日本 👍 e\u{301}", "${x}`y`", "",
  ]

  private static var hostile: RunRecord {
    var record = ReportRecords.small
    record.workflow = nasty.joined()
    record.run = nasty.joined()
    record.order = nasty[0]
    let long = String(repeating: "<\u{2028}é", count: 4096 / 6)
    for (index, text) in (nasty + [long]).enumerated() {
      record.tasks.append(
        TaskRecord(
          id: text, handler: text, priority: .normal, status: .failed, dependencies: [2], ready: 9_000_000_000,
          attempts: [
            AttemptRecord(
              number: 1, status: .failed, start: 9_000_000_000, end: 9_500_000_000, lane: -1, errorType: text, message: text + " \(index)")
          ], cause: text))
    }
    return record
  }

  /// The embedded object, cut out as a browser does: from the element to the first end tag after it.
  private func data(_ page: String) throws -> [String: Any] {
    let start = try #require(page.range(of: #"<script type="application/json" id="data">"#)?.upperBound)
    let end = try #require(page.range(of: "</script", range: start..<page.endIndex)?.lowerBound)
    return try #require(try JSONSerialization.jsonObject(with: Data(page[start..<end].utf8)) as? [String: Any])
  }

  @Test("hostile ids, handlers and messages come back unchanged from the embedded data, and cannot leave it")
  func hostile() throws {
    let page = Timeline.html(
      Self.hostile, result: .object(Self.nasty.map { .init($0, .string($0)) } + [.init("list", .array(Self.nasty.map(JSON.string)))]))
    let data = try data(page)
    let ids = try #require(data["id"] as? [String])
    #expect(ids == Self.hostile.tasks.map(\.id))
    #expect(Set(try #require(data["handlers"] as? [String])) == Set(Self.hostile.tasks.map(\.handler)))
    let errors = try #require(data["errors"] as? [String])
    for (index, text) in Self.nasty.enumerated() { #expect(errors.contains(text + " \(index)")) }
    #expect(errors.allSatisfy { $0.utf8.count <= TimelineData.messageLimit })
    #expect(page.components(separatedBy: "<script").count == 3, "the page's own two scripts")
    #expect(!page.contains("alert(1)</script>"))
    for scalar in page.unicodeScalars {
      let hazards: Set<UInt32> = [0, 7, 0x1B, 0x2028, 0x2029, 0x202E, 0xFEFF, 0xFFFF]
      #expect(!hazards.contains(scalar.value), "U+\(String(scalar.value, radix: 16))")
      if hazards.contains(scalar.value) { break }
    }
  }

  @Test("the page loads nothing: its policy forbids it and nothing asks for it")
  func selfContained() {
    let page = Timeline.html(ReportRecords.small, result: nil)
    #expect(page.contains("default-src 'none'"))
    for word in ["http://", "https://", " src=", "@import", "url(", "fetch(", "innerHTML"] { #expect(!page.contains(word), "\(word)") }
  }

  @Test("the columns hold what the record holds")
  func columns() throws {
    let data = try data(Timeline.html(ReportRecords.small, result: nil))
    #expect(data["unit"] as? Int == 100)
    #expect(data["end"] as? Int == 100_000_000)
    #expect(data["id"] as? [String] == ["a", "b", "c"])
    #expect(data["handlers"] as? [String] == ["demo/work", "demo/fetch"])
    #expect(data["handler"] as? [Int] == [0, 1, 0])
    #expect(data["status"] as? Int == 2, "a column of equal values is that value")
    #expect(data["ready"] as? [Int] == [0, 0, 50_000_000])
    #expect(data["by"] as? [Int] == [0, 0, 1], "c was released by the task before it")
    #expect(data["path"] as? [Int] == [1, 2])
    #expect(data["attempts"] as? Int == 4)
    #expect(data["attemptTask"] as? [Int] == [0, 1, 1, 2])
    #expect(data["attemptStart"] as? [Int] == [0, 5_000_000, 25_000_000, 20_000_000])
    #expect(data["attemptLength"] as? [Int] == [20_000_000, 5_000_000, 20_000_000, 40_000_000])
    #expect(data["attemptRow"] as? [Int] == [0, 1, 1, 0])
    #expect(data["attemptNumber"] as? [Int] == [1, 1, 2, 1])
    #expect(data["errors"] as? [String] == ["not-found", "no such page"])
    #expect(data["attemptError"] as? [Int] == [1, 0])
  }

  @Test(
    "a page stays below 45 KiB and 100 bytes a task, and with 4 KiB of message on every attempt below 60 KiB and 150",
    arguments: [10, 150, 2000])
  func size(tasks: Int) {
    var record = ReportRecords(tasks: tasks, failures: 20, seed: 4).record()
    #expect(Timeline.html(record, result: nil).utf8.count < 45 * 1024 + 100 * tasks)
    for task in record.tasks.indices {
      for attempt in record.tasks[task].attempts.indices {
        record.tasks[task].attempts[attempt].message = "\(task)" + String(repeating: "m", count: 4090)
      }
    }
    #expect(Timeline.html(record, result: nil).utf8.count < 60 * 1024 + 150 * tasks)
  }

  @Test("of a run with more attempts than the limit the page says what it leaves out, and its strip counts all")
  func limited() throws {
    let record = ReportRecords(tasks: 400, failures: 50, seed: 2).record()
    let page = Timeline.html(record, result: nil, limit: 100)
    let data = try data(page)
    #expect(data["attempts"] as? Int == 100)
    #expect(data["omitted"] as? Int == record.attemptCount - 100)
    #expect(page.contains("Shows 100 of \(record.attemptCount) attempts"))
    let strip = try #require(data["strip"] as? [Int])
    let work = record.tasks.reduce(0.0) { $0 + Double(record.busy($1)) }
    let counted = Double(strip.reduce(0, +)) / 100 * Double(record.makespan) / Double(strip.count)
    #expect(abs(counted / work - 1) < 0.01)
  }

  private static let chromium = ["/usr/bin/chromium", "/usr/bin/google-chrome"].first { FileManager.default.isExecutableFile(atPath: $0) }

  @Test(
    "a browser runs the page: rows are named, marks and legend drawn, hostile text shown as text",
    .enabled(if: chromium != nil, "needs chromium"), .timeLimit(.minutes(5)))
  func browser() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-timeline-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let page = folder.appending(path: "timeline.html")
    try Timeline.html(Self.hostile, result: nil).write(to: page, atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Self.chromium))
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
    #expect(dom.contains(">worker 1</span>"))
    #expect(dom.contains(">critical path</span>"))
    #expect(dom.contains(">10 s</span>"), "the last mark of the axis")
    #expect(dom.contains("</span>demo/work</li>"))
    #expect(dom.contains("</span>&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;</li>"))
  }

  @Test(
    "writes sample pages for the eye where REPORT_SAMPLES names a directory",
    .enabled(if: ProcessInfo.processInfo.environment["REPORT_SAMPLES"] != nil))
  func samples() throws {
    let folder = URL(fileURLWithPath: try #require(ProcessInfo.processInfo.environment["REPORT_SAMPLES"]))
    let result = JSON.object([
      .init("packages", .integer(1234)), .init("installedSizeKiB", .integer(7_654_321)), .init("filesAltered", .integer(3)),
      .init("sections", .object([.init("libs", .integer(512)), .init("utils", .integer(301)), .init("<b>", .integer(7))])),
      .init(
        "largest",
        .array([
          .object([.init("package", .string("texlive-full")), .init("installedSizeKiB", .integer(1_203_442))]),
          .object([.init("package", .string("linux-image")), .init("installedSizeKiB", .integer(403_442))]),
        ])),
    ])
    func write(_ name: String, _ record: RunRecord, limit: Int = TimelineData.attemptLimit) throws {
      try Timeline.html(record, result: result, limit: limit).write(
        to: folder.appending(path: name + ".html"), atomically: true, encoding: .utf8)
    }
    try write("10", ReportRecords(tasks: 10, threads: 2, slots: 2, blocking: 0, failures: 0, asynchronous: false).record())
    try write("150", ReportRecords(tasks: 150, failures: 60, seed: 5).record())
    try write("10000", ReportRecords(tasks: 10_000, threads: 2, slots: 64, failures: 10, seed: 3).record())
    try write("limited", ReportRecords(tasks: 10_000, threads: 32, slots: 64, failures: 10, seed: 3).record(), limit: 2_000)
    var wide = ReportRecords(tasks: 3_000, threads: 2, slots: 400, failures: 0, seed: 9).record()
    for index in wide.tasks.indices { wide.tasks[index].handler = "replay/wait" }
    try write("wide", wide)
    try write("small", ReportRecords.small)
  }
}
