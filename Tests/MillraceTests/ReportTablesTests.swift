import MillraceWorkflow
import Testing

@testable import Millrace

@Suite struct ReportTablesTests {
  private let census = JSON.object([
    .init("packages", .integer(1234)), .init("installedSizeKiB", .integer(7_654_321)), .init("isComplete", .bool(true)),
    .init("sections", .object([.init("utils", .integer(30)), .init("libs", .integer(60)), .init("admin", .integer(60))])),
    .init(
      "mostDependedUpon",
      .array([
        .object([.init("package", .string("libc6")), .init("dependents", .integer(2000))]),
        .object([.init("package", .string("日本")), .init("dependents", .integer(500))]),
      ])),
    .init("check", .object([.init("filesChecked", .integer(12000)), .init("mode", .string("full"))])),
    .init("altered", .array([.string("/etc/a"), .string("/etc/b")])),
  ])

  @Test("a result becomes lines, tables with bars, and lists")
  func whole() {
    #expect(
      ResultTables.text(census, width: 40) == """
        Packages:       1,234
        Installed size: 7.3 GiB
        Is complete:    yes

        Sections
          admin  60  ████████████████████████
          libs   60  ████████████████████████
          utils  30  ████████████

        Most depended upon
          Package  Dependents
          libc6         2,000  █████████████████
          日本            500  ████▎

        Check
          Files checked: 12,000
          Mode:          full

        Altered
          /etc/a, /etc/b

        """)
  }

  @Test("names and numbers are ranked, and only the ten greatest shown")
  func ranking() {
    let members = (1...13).map { JSON.Member("n\($0)", .integer(Int64($0))) }
    let lines = ResultTables.text(.object([.init("counts", .object(members))]), width: 60).split(separator: "\n")
    #expect(lines.count == 12)
    #expect(lines[1].hasPrefix("  n13  13  █"))
    #expect(lines.last == "  and 3 more")
  }

  @Test(
    "keys become words, and their endings units",
    arguments: [
      ("mostDependedUpon", "Most depended upon"), ("installedSizeKiB", "Installed size"), ("elapsedSeconds", "Elapsed"), ("bytes", "Bytes"),
      ("files_altered", "Files altered"), ("parseJSONFile", "Parse JSON file"), ("x", "X"), ("", ""),
    ])
  func words(key: String, words: String) {
    #expect(Label(key).words == words)
  }

  @Test("units apply to values within an object of numbers, too")
  func units() {
    let result = JSON.object([
      .init("sizeBytes", .object([.init("a", .integer(2048)), .init("b", .integer(1024))])), .init("waitSeconds", .number(0.25)),
    ])
    #expect(
      ResultTables.text(result, width: 24) == """
        Wait: 250 ms

        Size
          a  2.0 KiB  ██████████
          b  1.0 KiB  █████

        """)
  }

  @Test(
    "other shapes are shown as well: single values, mixed arrays, nothing",
    arguments: [
      (JSON.integer(7), "Result: 7\n"), (.null, "Result: none\n"), (.object([]), ""), (.array([]), "Result\n  none\n"),
      (.array([.integer(1), .object([.init("a", .null)])]), "Result\n  1, 1 member\n"),
      (.object([.init("o", .object([]))]), "O: none\n"),
    ])
  func shapes(result: JSON, text: String) {
    #expect(ResultTables.text(result, width: 40) == text)
  }

  @Test("rows of different members leave gaps, not faults")
  func gaps() {
    let result = JSON.array([.object([.init("a", .integer(1))]), .object([.init("b", .string("x"))]), .object([])])
    #expect(ResultTables.text(result, width: 30) == "Result\n  A  B\n  1     ██████████████████████\n     x\n\n")
  }

  @Test("no width and no hostile text makes a line wider than asked or lets a control through", arguments: [20, 33, 80, 200])
  func hostile(width: Int) {
    let nasty = [
      "\u{1B}[2J\u{1B}[H", "a\nb\rc", "日本語日本語日本語日本語日本語", "\u{202E}txt.exe", String(repeating: "x", count: 500), "e\u{301}\u{301}", "👨‍👩‍👧",
    ]
    var members = nasty.map { JSON.Member($0, .string($0)) } + nasty.map { JSON.Member($0 + "Bytes", .integer(.max)) }
    members.append(
      .init("rows", .array(nasty.map { .object([.init($0, .string($0)), .init("n", .number(1e9)), .init("m", .string($0))]) })))
    members.append(.init("ranks", .object(nasty.enumerated().map { .init($1, .integer(Int64($0) - 3)) })))
    members.append(.init("list", .array(nasty.map(JSON.string))))
    let text = ResultTables.text(.object(members + [.init("nested", .object([.init("deep", .object(members))]))]), width: width)
    for line in text.split(separator: "\n") {
      #expect(TerminalText.width(String(line)) <= width)
      #expect(
        line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && $0.value != 0x202E && !(0x80..<0xA0).contains($0.value) })
    }
  }
}
